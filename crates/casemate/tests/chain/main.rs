//! Functions that call functions, on a real node: who the callee is told calls, what the record says, and what must
//! not work, however the caller goes about it. Nothing here asserts how fast.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod calls;
mod claims;
mod loops;
#[path = "../support/mod.rs"]
mod support;
mod village;
