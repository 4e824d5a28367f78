//! The child that tests put in a worker's place: the real one, one that plays by a script, or an escaped
//! guest. It is never shipped.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout, reason = "a test's own process")]

mod escape;
mod play;

use std::process::ExitCode;

use cell::{CellConfig, Cells};
use model::{TrustLabel, World};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["worker"] => cell::worker_main(),
        ["compile", "wasi-0.2"] => cell::compile_main(World::P2),
        ["compile", "wasi-0.3"] => cell::compile_main(World::P3),
        // In a compiler's place: never ends, allocates, dies.
        ["compile-hang", _] => loop {
            std::thread::park();
        },
        ["compile-eat", _] => play::eat(),
        ["compile-die", _] => std::process::abort(),
        ["node"] => node(),
        ["play", name] => play::play(name),
        ["escape", layer, name, rest @ ..] => escape::escape(layer, name, rest),
        other => {
            eprintln!("cell-probe: {other:?} is nothing that it plays");
            ExitCode::FAILURE
        }
    }
}

/// A node with one worker that minds nothing; says the worker's process id and waits to be killed.
fn node() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let worker_args = vec!["play".into(), "sleeps".into()];
        let config = CellConfig::new(std::env::current_exe().unwrap());
        let cells = Cells::start(CellConfig { workers: 1, worker_args, ..config }).await.unwrap();
        println!("{}", cells.worker_pids(&TrustLabel::default()).first().unwrap());
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}
