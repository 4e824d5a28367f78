//! The one window of a cell: what a run asks of the world, and how it is told. It never answers by itself.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use futures_util::Stream;
use model::{Outcome, Usage};

pub use crate::protocol::{CallError, LogStream};

/// A body under way, piece by piece.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, BodyBroken>> + Send>>;

/// Why a body has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyBroken {
    /// Whoever sent it went away, or stopped sending it.
    #[error("the body broke off")]
    Off,
    /// What was sent breaks the framing of bodies: a chunk's size that is none, say.
    #[error("the body breaks its framing")]
    Malformed,
}

/// The answer to an outbound call, or why there is none.
pub type Called = Result<http::Response<BodyStream>, CallError>;

/// What one run may ask for. The platform makes one for each run, around that run's frozen grants.
///
/// All calls of one run come in the order in which the guest made them. Dropping the future of
/// [`Broker::call`] or its body cancels the call.
pub trait Broker: Send + Sync + 'static {
    /// The guest wrote to its log. Called within `log_bytes`; not necessarily whole lines.
    fn log(&self, stream: LogStream, bytes: Bytes);

    /// The guest calls out. The target is absolute. What no grant covers is [`CallError::Denied`].
    fn call(&self, request: http::Request<BodyStream>) -> Pin<Box<dyn Future<Output = Called> + Send>>;

    /// The guest asked for more outbound calls than `outbound_calls`; it was told so and goes on. Called once.
    fn calls_exhausted(&self);

    /// The run is over: called exactly once, after everything else.
    fn finished(&self, usage: Usage, outcome: Outcome);
}
