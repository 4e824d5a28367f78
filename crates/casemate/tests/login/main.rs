//! People who log in on the control API at a certified provider: what lets them in, what ends it, and what of all that
//! somebody could try instead does not. Nothing here asserts how fast.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod flows;
mod person;
mod provider;
mod refused;
mod settings;
#[path = "../support/mod.rs"]
mod support;
