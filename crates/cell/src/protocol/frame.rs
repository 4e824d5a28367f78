//! The words that node and worker say to each other. It never reads or writes a socket.
//!
//! One stream socket, little-endian, each frame `length u32 | kind u8 | run u64 | payload`. A run's id is
//! given by the node and never used twice on one socket. The node believes nothing that a worker says.
#![expect(missing_docs, reason = "the docstring of a frame covers its fields")]

use bytes::Bytes;
use model::{Fault, Limits, Usage, World};

/// Raised by one whenever a frame changes its layout; both sides refuse another.
pub const VERSION: u16 = 3;

/// A run of a function in one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// A component's compiled code in one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeId(pub u64);

/// One outbound call of a run, numbered by the worker from 1.
pub type CallId = u32;

/// Name and value of a header, in the order in which it was sent.
pub type HeaderLine = (Bytes, Bytes);

/// The head of the request that a run is to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    pub method: Bytes,
    /// `http` or `https`.
    pub scheme: Bytes,
    pub authority: Bytes,
    /// Path and query.
    pub target: Bytes,
    pub headers: Vec<HeaderLine>,
}

/// The head of an answer, of the guest or of an outbound destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    pub status: u16,
    pub headers: Vec<HeaderLine>,
}

/// Which of a guest's two logs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStream {
    Stdout,
    Stderr,
}

/// What a node says to a worker.
#[expect(clippy::large_enum_variant, reason = "the large one is the one that every run has")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToWorker {
    /// The compiled code behind the one file descriptor sent along (a sealed memfd) has this id from now on.
    Load { code: CodeId, world: World },
    /// No run will name this code again.
    Unload { code: CodeId },
    /// Run it. `body` is the first part of the request's body, and all of it if `body_ends`.
    Start { run: RunId, code: CodeId, limits: Limits, head: RequestHead, body: Bytes, body_ends: bool },
    /// More of the request's body, within the window.
    Body { run: RunId, bytes: Bytes, ends: bool },
    /// So many bytes of the answer's body were passed on: the worker may send as many more.
    Credit { run: RunId, bytes: u32 },
    /// Stop it and forget it; the worker still says `Done`.
    Cancel { run: RunId },
    /// The head of an outbound answer.
    CallHead { run: RunId, call: CallId, head: ResponseHead },
    /// Part of an outbound answer's body, within the window.
    CallBody { run: RunId, call: CallId, bytes: Bytes, ends: bool },
    /// The outbound call failed, before or after its head.
    CallFailed { run: RunId, call: CallId, why: CallError },
    /// So many bytes of the outbound request's body were passed on.
    CallCredit { run: RunId, call: CallId, bytes: u32 },
    /// Are you there? Answered with the same number.
    Ping { number: u64 },
}

/// What a worker says to its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToNode {
    /// First of all, once, behind the wall: the protocol's version and the walls that stand.
    Ready { version: u16, walls: crate::Walls },
    /// The code is mapped.
    Loaded { code: CodeId },
    /// It cannot be used.
    LoadFailed { code: CodeId, why: String },
    /// The head of the answer.
    Head { run: RunId, head: ResponseHead },
    /// Part of the answer's body, within the window; empty with `ends` for its end.
    Body { run: RunId, bytes: Bytes, ends: bool },
    /// So many bytes of the request's body were taken by the guest.
    Credit { run: RunId, bytes: u32 },
    /// What the guest wrote to its log.
    Log { run: RunId, stream: LogStream, bytes: Bytes },
    /// The guest wants to call out. `target` is absolute.
    Call { run: RunId, call: CallId, head: RequestHead },
    /// Part of the outbound request's body, within the window.
    CallBody { run: RunId, call: CallId, bytes: Bytes, ends: bool },
    /// The guest lost interest in the call.
    CallDropped { run: RunId, call: CallId },
    /// So many bytes of the outbound answer's body were taken by the guest.
    CallCredit { run: RunId, call: CallId, bytes: u32 },
    /// The guest wanted more calls than it may make, and was told so. Once, and only where it made all others.
    CallsExhausted { run: RunId },
    /// The run used more CPU time than `WORN_CPU_MS`. Once, and before its `Done`.
    Heavy { run: RunId },
    /// Last of a run, once: what it used, and why it failed if it did (with a detail for its owner).
    Done { run: RunId, usage: Usage, fault: Option<(Fault, String)> },
    /// I am.
    Pong { number: u64 },
}

/// Why an outbound call failed: an error of `wasi:http/types`, by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallError {
    /// No grant covers it, or its address is refused: `HTTP-request-denied`.
    Denied,
    /// `destination-not-found`, `DNS-error`.
    NotFound,
    /// `connection-refused`, `connection-terminated`.
    Connection,
    /// `TLS-certificate-error` and its like.
    Tls,
    /// `connection-timeout`, `HTTP-response-timeout`.
    Timeout,
    /// A body or head was larger than is allowed.
    TooLarge,
    /// `HTTP-protocol-error`.
    Protocol,
    /// Anything else: `internal-error`.
    Internal,
}
