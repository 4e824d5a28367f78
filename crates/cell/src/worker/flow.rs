//! Body bytes under way: inwards in pieces that wait for the guest, outwards as far as the node gives
//! credit. It never copies a piece and never holds more than the window.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use model::limits;
use parking_lot::Mutex;
use wasmtime_wasi_http::Error;

/// Taken bytes that are told to the sender in one frame.
const TELL_BYTES: u32 = limits::STREAM_WINDOW_BYTES / 4;

/// A body that comes from the node.
#[derive(Default)]
pub(super) struct Inflow(Mutex<Inward>);

#[derive(Default)]
struct Inward {
    pieces: VecDeque<Bytes>,
    ended: bool,
    broken: Option<Error>,
    waker: Option<Waker>,
    untold: u32,
}

/// What the guest got from a body, and how many bytes the sender may send again.
pub(super) struct Taken {
    pub(super) piece: Option<Result<Bytes, Error>>,
    pub(super) tell: u32,
}

impl Inflow {
    /// A piece came.
    pub(super) fn push(&self, bytes: Bytes, ends: bool) {
        let mut inward = self.0.lock();
        if !bytes.is_empty() && !inward.ended {
            inward.pieces.push_back(bytes);
        }
        inward.ended |= ends;
        inward.wake();
    }

    /// No more will come, and not because it is all.
    pub(super) fn break_off(&self, why: Error) {
        let mut inward = self.0.lock();
        if !inward.ended {
            inward.ended = true;
            inward.broken = Some(why);
        }
        inward.wake();
    }

    /// Whether all of it was taken.
    pub(super) fn is_over(&self) -> bool {
        let inward = self.0.lock();
        inward.ended && inward.pieces.is_empty() && inward.broken.is_none()
    }

    /// The next piece, nothing at the end.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Taken> {
        let mut inward = self.0.lock();
        if let Some(piece) = inward.pieces.pop_front() {
            inward.untold = inward.untold.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
            let tell = !inward.ended && (inward.untold >= TELL_BYTES || inward.pieces.is_empty());
            let tell = if tell { std::mem::take(&mut inward.untold) } else { 0 };
            return Poll::Ready(Taken { piece: Some(Ok(piece)), tell });
        }
        if let Some(why) = inward.broken.take() {
            return Poll::Ready(Taken { piece: Some(Err(why)), tell: 0 });
        }
        if inward.ended {
            return Poll::Ready(Taken { piece: None, tell: 0 });
        }
        inward.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Inward {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// How many bytes may still be sent to the node.
pub(super) struct Credit(Mutex<(u32, Option<Waker>)>);

impl Default for Credit {
    fn default() -> Self {
        Self(Mutex::new((limits::STREAM_WINDOW_BYTES, None)))
    }
}

impl Credit {
    /// The node passed so many on.
    pub(super) fn add(&self, bytes: u32) {
        let mut held = self.0.lock();
        held.0 = held.0.saturating_add(bytes).min(limits::STREAM_WINDOW_BYTES);
        if let Some(waker) = held.1.take() {
            waker.wake();
        }
    }

    /// Takes up to `wanted` bytes of it, at least one, or waits.
    pub(super) fn poll(&self, cx: &Context<'_>, wanted: usize) -> Poll<usize> {
        let mut held = self.0.lock();
        if held.0 == 0 {
            held.1 = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let taken = held.0.min(wanted);
        held.0 -= taken;
        Poll::Ready(usize::try_from(taken).unwrap_or(0))
    }
}
