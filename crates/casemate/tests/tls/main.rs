//! Certificates of a node as its clients see them: by which names it answers, what a change of the operator's files does,
//! what an authority issues by ACME, and what a scanner finds. Nothing here asserts how fast.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod files;
mod handshake;
mod issued;
mod names;
mod pebble;
mod scan;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

/// Waits until something is there, for a minute.
#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(100));
    }
}
