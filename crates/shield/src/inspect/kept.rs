//! A request as it is kept: until its answer is looked at, or for other rules to be asked of it. It never keeps one by
//! itself.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, request::Parts, response};

use super::Seen;
use crate::Peer;

/// A request that rules have looked at, with what they saw of its body.
#[derive(Debug, Clone)]
pub struct Asked {
    pub(super) head: Parts,
    pub(super) peer: Peer,
    body: Bytes,
    is_whole: bool,
}

impl Asked {
    /// Keeps what rules need. `is_whole` says whether that is all of its body.
    pub fn of(from: &Parts, peer: &Peer, body: Bytes, is_whole: bool) -> Self {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = from.method.clone();
        head.uri = from.uri.clone();
        head.version = from.version;
        head.headers = from.headers.clone();
        Self { head, peer: peer.clone(), body, is_whole }
    }

    /// Without the values of a header.
    #[must_use]
    pub fn without(mut self, name: &HeaderName) -> Self {
        if self.head.headers.contains_key(name) {
            self.head.headers.insert(name, HeaderValue::from_static("-"));
        }
        self
    }

    /// Its method and path.
    pub fn asked(&self) -> (&str, &str) {
        (self.head.method.as_str(), self.head.uri.path())
    }

    /// About how much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        const FIELD: usize = 96;
        let headers = self.head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD);
        let uri = self.head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        std::mem::size_of::<Self>() + headers.sum::<usize>() + uri + self.body.len()
    }

    pub(super) fn seen(&self) -> Seen<'_> {
        if self.is_whole { Seen::Whole(&self.body) } else { Seen::Start(&self.body) }
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
