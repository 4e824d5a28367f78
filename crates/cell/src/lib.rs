//! Untrusted code: compile it, wall it in, run it, limit it, meter it. It never holds a store, a key, a
//! policy or a socket other than those between node and worker, and it never decides what a run may have.
//!
//! Two halves: `node` runs in the node's process and believes nothing that comes from a worker; `worker`
//! runs in a process of its own, behind `wall`, and knows wasmtime. Between them is `protocol`. What a run
//! asks of the world leaves through [`Broker`].

mod broker;
mod compile;
mod engine;
mod node;
pub mod protocol;
mod slice;
pub mod wall;
mod walls;
mod worker;

pub use broker::{BodyBroken, BodyStream, Broker, CallError, Called, LogStream};
pub use compile::{CompileError, child::compile_main, fingerprint};
pub use node::{AnswerBody, CellConfig, Cells, Code, RequestBody, Run, Running, StartError, WorkerView};
pub use slice::answer_promptly;
pub use walls::Walls;
pub use worker::worker_main;
