//! Callers of every kind on a real node: who is let in by what, what is refused under which code, and that the
//! caller is told the same whatever it is. Nothing here asserts how fast.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod caller;
mod certificates;
mod messages;
mod reach;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
