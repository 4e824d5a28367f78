//! Everything bad that a function, an upload or a body can be, on a whole node: each ends with its own code
//! and status, leaves a record, and a friendly function on the same node answers as before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod code;
mod processes;
mod requests;
mod runs;
#[path = "../support/mod.rs"]
mod support;
mod town;
mod uploads;
