//! The child that tests put in a worker's place: the real one, one that plays by a script, or an escaped
//! guest. It is never shipped.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test's own process")]

mod escape;
mod play;

use std::process::ExitCode;

use model::World;

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
        ["play", name] => play::play(name),
        ["escape", layer, name, rest @ ..] => escape::escape(layer, name, rest),
        other => {
            eprintln!("cell-probe: {other:?} is nothing that it plays");
            ExitCode::FAILURE
        }
    }
}
