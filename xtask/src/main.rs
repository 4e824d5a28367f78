//! `cargo xtask`: what the house does to itself. It never ships.

mod attacks;
mod bench;
mod dist;
mod guests;
mod load;
mod servers;
mod soak;
mod test;
mod tidy;
mod tools;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

/// Tasks of the work tree.
#[derive(Parser)]
enum Task {
    /// Run everything that must hold: format, tidy, deny, clippy, guests, tests, the demo.
    Test {
        /// Leave out what needs other languages' toolchains.
        #[arg(long)]
        fast: bool,
    },
    /// Measure Casemate with everything on beside its peers.
    #[command(after_help = bench::parts())]
    Bench {
        /// One part by its name below, or `rust` for all that begin with it; all without.
        part: Option<String>,
        /// Seconds of each round.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Rounds; the median counts.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Measure this executable, and build nothing if the load is built.
        #[arg(long)]
        exe: Option<PathBuf>,
        /// `json` prints one object for machines.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Attack a node for an hour under a friendly load, then kill it and what it is made of, again and again.
    Soak {
        /// About how long; from 30 on the crash tests run in their long form.
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// Write the result into `docs/reliability.md`.
        #[arg(long)]
        write: bool,
        /// Leave the crash tests out.
        #[arg(long)]
        no_crashes: bool,
    },
    /// Check the rules of the house that no compiler checks.
    Tidy,
    /// Build the functions under `guests/`, or check the committed ones.
    Guests(guests::Args),
    /// Build the executable as it ships, with its licences and digests, into `target/dist-out`.
    Dist,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands in the work tree")?;
    match Task::parse() {
        Task::Test { fast } => test::run(root, fast),
        Task::Bench { part, seconds, rounds, exe, output } => {
            let json = output == Output::Json;
            bench::run(root, &bench::Options { seconds, rounds, part, exe, json })
        }
        Task::Soak { minutes, write, no_crashes } => {
            soak::run(root, &soak::Options { minutes: minutes.max(1), write, no_crashes })
        }
        Task::Tidy => tidy::run(root),
        Task::Guests(args) => guests::run(root, &args),
        Task::Dist => dist::run(root),
    }
}
