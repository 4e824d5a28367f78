//! A request as it is kept until its answer is looked at, and the answer. It never keeps one longer.

use bytes::Bytes;
use http::{request::Parts, response};

use super::Inspected;
use crate::Peer;

/// A request that was let through, for the look at its answer.
#[derive(Debug, Clone)]
pub struct Asked {
    pub(super) head: Parts,
    pub(super) peer: Peer,
    pub(super) body: Bytes,
}

impl Asked {
    /// Keeps what an answer's rules need of a request. `body` is what was looked at of its body.
    pub fn of<B>(inspected: &Inspected<B>, body: Bytes) -> Self {
        let from = inspected.head();
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = from.method.clone();
        head.uri = from.uri.clone();
        head.version = from.version;
        head.headers = from.headers.clone();
        Self { head, peer: inspected.peer().clone(), body }
    }
}

/// An answer, and how it begins.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Its status and headers.
    pub head: &'a response::Parts,
    /// What is in hand of its body.
    pub start: &'a [u8],
}
