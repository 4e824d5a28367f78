//! The one executable: child processes first, then the command line. It never decides what is allowed.

mod certificates;
mod child;
mod cli;
mod client;
mod clock;
mod commands;
mod config;
mod demo;
mod descriptors;
mod events;
mod exit;
mod folder;
mod lists;
mod node;
mod output;
mod project;
mod proof;
mod session;
mod telemetry;
mod templates;
mod transport;
mod usage;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    exit::{Exit, Failure},
    output::Output,
};

/// Half of what an allocation costs with the system's, in the node and in its workers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A worker and a compilation are this same executable; they wall themselves in before there is a
    // thread, a runtime or a log.
    if let Some(code) = child::run() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let out = Output::new(cli.global.output);
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out.failure(&failure);
            failure.exit.into()
        }
    }
}

/// Help and version for who asked for them; else what is wrong with the words, for people or, where they asked for
/// that, for programs.
fn misused(error: &clap::Error) -> ExitCode {
    let for_programs = usage::wants_json(std::env::args().skip(1));
    if error.use_stderr() && for_programs {
        Output::new(output::Format::Json).failure(&usage::failure(error));
        return Exit::Usage.into();
    }
    // Whoever read has gone: there is nobody left to tell.
    let _unheard = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS }
}

fn start(cli: Cli) -> Result<(), Failure> {
    let node = matches!(cli.command, Command::Up(_) | Command::Demo);
    if node {
        // Large pages are zeroed when they are touched, two megabytes at a time, while requests wait. Its children
        // inherit it. A kernel without large pages says no, and is right.
        let _without = rustix::thread::disable_transparent_huge_pages(true);
    }
    let mut builder = if node {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        // What serves wakes beside functions that compute.
        builder.on_thread_start(cell::answer_promptly);
        builder
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
