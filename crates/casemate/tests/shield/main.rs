//! What the shield sees and does, on a real node: each signal fires once and is in the record, honest traffic raises none,
//! each action works, ends, is undone and outlives a restart, and nobody may do any of it who may not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod actions;
mod profiles;
mod signals;
mod sources;
#[path = "../support/stepping.rs"]
mod stepping;
#[path = "../support/mod.rs"]
mod support;
