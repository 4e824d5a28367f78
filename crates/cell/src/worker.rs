//! The worker's half: one thread that runs guests for the node at the other end of one socket. It never opens
//! a path or a connection, never talks to anyone else, and ends when the node does.
//!
//! It works in turns: read what came, let every run that may go on do so for a while, write all that came of
//! it at once. Time, memory and all other limits are looked at here, between the turns of the guests.

mod answer;
mod body;
mod calls;
mod code;
mod fields;
mod flow;
mod guest;
mod hub;
mod run;
mod socket;
mod tick;
mod turn;

#[cfg(test)]
mod tests;

use std::{future::poll_fn, os::fd::OwnedFd, process::ExitCode};

use wasmtime::component::Component;

use crate::{
    Walls,
    engine::Engines,
    protocol::{Malformed, ToNode, VERSION},
    wall::{self, WallKind},
};
use turn::Worker;

/// Why a worker ends otherwise than because its node is done with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    /// The pools could not be made.
    #[error("no engine: {0}")]
    Engines(String),
    /// A wall that the kernel has could not be raised.
    #[error("no wall: {0}")]
    Wall(#[from] wall::WallError),
    /// The timer, the runtime or the socket.
    #[error("input or output: {0}")]
    Io(#[from] std::io::Error),
    /// The node said what is no frame.
    #[error("the node sent {0}")]
    Malformed(#[from] Malformed),
    /// The node broke the order of frames.
    #[error("the node sent {0}")]
    OutOfOrder(&'static str),
}

/// The whole life of a worker process, to be called first of all in `main`, with one thread and with the
/// socket to the node on standard input. What goes wrong is one line on standard error.
pub fn worker_main() -> ExitCode {
    match live() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody reads it but the node, and nothing can be done if it does not.
            let _unheard =
                std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("worker: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn live() -> Result<(), WorkerError> {
    let entered = wall::enter(WallKind::Worker)?;
    let prepared = Prepared::new()?;
    tick::start()?;
    let (walls, ()) = wall::seal(&entered, || ())?;
    prepared.serve(entered.input, walls)
}

/// What must be opened before the wall stands.
pub(crate) struct Prepared {
    engines: &'static Engines,
    runtime: tokio::runtime::Runtime,
}

impl Prepared {
    /// Makes engines and runtime.
    pub(crate) fn new() -> Result<Self, WorkerError> {
        let engines = Engines::of_process().map_err(|why| WorkerError::Engines(why.to_owned()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { engines, runtime })
    }

    /// Serves the node at the other end of `socket` until it hangs up.
    pub(crate) fn serve(self, socket: OwnedFd, walls: Walls) -> Result<(), WorkerError> {
        self.runtime.block_on(async {
            let mut worker = Worker::new(self.engines, socket)?;
            worker.say(&ToNode::Ready { version: VERSION, walls });
            // A worker shares its thread with nobody: with the runtime's budget of one task, runs would stop in the
            // middle, whoever came after the first forty, and all be alive at once.
            tokio::task::unconstrained(poll_fn(|cx| worker.poll(cx))).await
        })
    }
}

/// Whether `component` could run here: everything it imports is there to be linked with, and it exports the
/// entry of `world`.
///
/// # Errors
/// Names what is not there.
pub(crate) fn check_links(
    engine: &wasmtime::Engine,
    world: model::World,
    component: &Component,
) -> wasmtime::Result<()> {
    code::link(engine, world, component).map(drop)
}
