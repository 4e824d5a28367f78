//! The one executable: child processes first, then the command line. It never decides what is allowed.

mod certificates;
mod child;
mod cli;
mod client;
mod clock;
mod commands;
mod config;
mod demo;
mod exit;
mod folder;
mod node;
mod output;
mod project;
mod session;
mod telemetry;
mod templates;
mod transport;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    exit::{Exit, Failure},
    output::Output,
};

fn main() -> ExitCode {
    // A worker and a compilation are this same executable; they wall themselves in before there is a
    // thread, a runtime or a log.
    if let Some(code) = child::run() {
        return code;
    }
    let cli = Cli::parse();
    let out = Output::new(cli.global.output);
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out.failure(&failure);
            failure.exit.into()
        }
    }
}

fn start(cli: Cli) -> Result<(), Failure> {
    let node = matches!(cli.command, Command::Up(_) | Command::Demo);
    let mut builder = if node {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Failed, format!("cannot start the runtime: {e}")))?;
    let done = runtime.block_on(commands::run(cli));
    // What still runs (a drain that was cut short) must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    done
}
