//! The node and its data folder: killed at any moment, damaged, foreign, and not its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod book;
mod first;
mod killed;
mod refused;
#[path = "../support/mod.rs"]
mod support;
