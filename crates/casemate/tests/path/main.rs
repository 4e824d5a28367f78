//! The whole path on a real node: deploy over the control API, call over TLS, and the record that each leaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod access;
mod bounds;
mod clock;
mod drain;
mod explain;
mod hostile;
mod languages;
mod lifecycle;
mod load;
mod policies;
mod rates;
mod rest;
#[path = "../support/stepping.rs"]
mod stepping;
#[path = "../support/mod.rs"]
mod support;
mod walls;
mod wire;
