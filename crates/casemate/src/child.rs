//! The hidden commands by which this executable is its own child: `worker`, `compile` and `walls`. It starts
//! nothing before the child has walled itself in.

use std::{io::Write, process::ExitCode};

use cell::wall::{WallKind, raise};
use model::World;

/// Raises all walls of a worker and says on standard error which of them stand.
pub(crate) const WALLS: &str = "walls";

/// Runs a child process to its end, if this is to be one: the first argument alone decides.
pub(crate) fn run() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    match args.next()?.as_str() {
        "worker" => Some(cell::worker_main()),
        "compile" => Some(compile(args.next().as_deref())),
        WALLS => Some(walls()),
        _ => None,
    }
}

fn compile(world: Option<&str>) -> ExitCode {
    match world {
        Some("wasi-0.2") => cell::compile_main(World::P2),
        Some("wasi-0.3") => cell::compile_main(World::P3),
        _ => ExitCode::from(2),
    }
}

fn walls() -> ExitCode {
    let said = match raise(WallKind::Worker) {
        Ok((walls, _entered)) => format!("{WALLS} {}\n", walls.0),
        Err(error) => format!("{error}\n"),
    };
    // Standard error is all that this process has left.
    let _unheard = std::io::stderr().write_all(said.as_bytes());
    ExitCode::SUCCESS
}
