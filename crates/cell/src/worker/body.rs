//! A body that the guest reads, as the library that serves `wasi:http` wants it. It never reads ahead of
//! the guest.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use wasmtime_wasi_http::Error;

use super::{calls::Held, run::Run};
use crate::protocol::ToNode;

/// The body of a request to the guest, or of an answer to a call of its.
pub(super) struct Incoming(Source);

enum Source {
    Request(Arc<Run>),
    Answer(Held),
}

impl Incoming {
    pub(super) fn request(run: Arc<Run>) -> Self {
        Self(Source::Request(run))
    }

    pub(super) fn answer(held: Held) -> Self {
        Self(Source::Answer(held))
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let (run, flow) = match &self.0 {
            Source::Request(run) => (run, &run.body),
            Source::Answer(held) => (&held.0.run, &held.0.body),
        };
        let taken = ready!(flow.poll(cx));
        if taken.tell > 0 {
            let (run, bytes) = (run.id, taken.tell);
            let frame = match &self.0 {
                Source::Request(_) => ToNode::Credit { run, bytes },
                Source::Answer(held) => ToNode::CallCredit { run, call: held.0.id, bytes },
            };
            let _fits = match &self.0 {
                Source::Request(run) => run.send(&frame),
                Source::Answer(held) => held.0.run.send(&frame),
            };
        }
        if let Some(Ok(piece)) = &taken.piece {
            match &self.0 {
                Source::Request(run) => run.took(piece.len()),
                Source::Answer(held) => held.0.run.moved(),
            }
        }
        Poll::Ready(taken.piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Request(run) => run.body.is_over(),
            Source::Answer(held) => held.0.body.is_over(),
        }
    }
}
