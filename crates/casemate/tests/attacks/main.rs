//! Hostile clients, one function each: what it is answered, under which code, which record it leaves, and that
//! a friendly caller is served meanwhile and afterwards. Nothing here asserts how fast.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod bodies;
mod connections;
mod heads;
mod line;
mod meanings;
mod network;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod table;
