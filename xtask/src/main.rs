//! `cargo xtask`: what the house does to itself. It never ships.

mod guests;

use std::path::Path;

use anyhow::{Context, Result};
use clap::Parser;

/// Tasks of the work tree.
#[derive(Parser)]
enum Task {
    /// Build the functions under `guests/`, or check the committed ones.
    Guests(guests::Args),
}

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the work tree")?;
    match Task::parse() {
        Task::Guests(args) => guests::run(root, &args),
    }
}
