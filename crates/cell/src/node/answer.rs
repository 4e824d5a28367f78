//! The caller's end of a run: its answer, piece by piece. It never speaks to a worker but through its link.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use model::{Fault, limits};
use parking_lot::Mutex;

use super::link::Link;

/// A run under way. Resolves with the head of its answer; dropping it cancels the run.
#[derive(Debug)]
#[must_use = "dropping it cancels the run"]
pub struct Running {
    slot: Arc<Slot>,
    taken: bool,
}

/// The body of an answer. Dropping it before its end cancels the run.
#[derive(Debug)]
pub struct AnswerBody {
    /// What was looked at and put back: it comes first.
    ahead: VecDeque<Bytes>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// All of it came before anyone asked.
    Whole(Option<Bytes>),
    Stream(Arc<Slot>),
}

/// Where the link leaves what the worker sends, and the caller takes it.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    head: Option<http::response::Parts>,
    chunks: VecDeque<Bytes>,
    ended: bool,
    fault: Option<Fault>,
    waker: Option<Waker>,
    /// Bytes taken that the worker was not told of yet.
    untold: u32,
    place: Option<(Arc<Link>, u64)>,
    /// The caller lost interest.
    gone: bool,
}

impl Running {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Self { slot, taken: false }
    }
}

impl Future for Running {
    type Output = Result<http::Response<AnswerBody>, Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.slot.0.lock();
        if let Some(fault) = state.fault {
            this.taken = true;
            return Poll::Ready(Err(fault));
        }
        let Some(head) = state.head.take() else {
            state.wait(context);
            return Poll::Pending;
        };
        this.taken = true;
        let body = if state.ended && state.chunks.len() <= 1 {
            Kind::Whole(state.chunks.pop_front())
        } else {
            Kind::Stream(Arc::clone(&this.slot))
        };
        Poll::Ready(Ok(http::Response::from_parts(head, AnswerBody { ahead: VecDeque::new(), kind: body })))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.taken {
            self.slot.abandon();
        }
    }
}

impl AnswerBody {
    /// The whole body, if it came before anyone asked for it: nothing more is to be waited for.
    pub fn whole(&self) -> Option<&Bytes> {
        match &self.kind {
            Kind::Whole(bytes) if self.ahead.is_empty() => bytes.as_ref(),
            _ => None,
        }
    }

    /// The same with pieces that were taken from it before everything else.
    #[must_use]
    pub fn put_back(mut self, pieces: Vec<Bytes>) -> Self {
        match (&mut self.kind, pieces.as_slice()) {
            (Kind::Whole(taken @ None), [all]) if self.ahead.is_empty() => *taken = Some(all.clone()),
            _ => pieces.into_iter().rev().for_each(|piece| self.ahead.push_front(piece)),
        }
        self
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(piece) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &mut self.kind {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Kind::Stream(slot) => slot.poll_chunk(context).map(|next| next.map(|c| c.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        if !self.ahead.is_empty() {
            return false;
        }
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Stream(slot) => slot.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => {
                let ahead: usize = self.ahead.iter().map(Bytes::len).sum();
                SizeHint::with_exact((ahead + bytes.as_ref().map_or(0, Bytes::len)) as u64)
            }
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Kind::Stream(slot) = &self.kind {
            slot.abandon();
        }
    }
}

impl Slot {
    /// Which link and run fill this slot from now on. False if nobody waits for it any longer.
    pub(super) fn place(&self, link: &Arc<Link>, run: u64) -> bool {
        let mut state = self.0.lock();
        state.place = Some((Arc::clone(link), run));
        !state.gone
    }

    pub(super) fn head(&self, head: http::response::Parts) -> Option<Waker> {
        let mut state = self.0.lock();
        state.head = Some(head);
        state.waker.take()
    }

    pub(super) fn chunk(&self, bytes: Bytes, ends: bool) -> Option<Waker> {
        let mut state = self.0.lock();
        if !bytes.is_empty() && !state.gone {
            state.chunks.push_back(bytes);
        }
        state.ended |= ends;
        if ends {
            state.place = None;
        }
        state.waker.take()
    }

    /// The run failed. An answer that is whole already stays.
    pub(super) fn fail(&self, fault: Fault) -> Option<Waker> {
        let mut state = self.0.lock();
        state.place = None;
        if !state.ended {
            state.fault.get_or_insert(fault);
        }
        state.waker.take()
    }

    fn poll_chunk(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        let mut state = self.0.lock();
        let Some(bytes) = state.chunks.pop_front() else {
            if let Some(fault) = state.fault.take() {
                state.ended = true;
                return Poll::Ready(Some(Err(fault)));
            }
            if state.ended {
                return Poll::Ready(None);
            }
            state.wait(context);
            return Poll::Pending;
        };
        let taken = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        state.untold = state.untold.saturating_add(taken);
        if state.untold >= limits::STREAM_WINDOW_BYTES / 2 && !state.ended {
            let told = std::mem::take(&mut state.untold);
            let place = state.place.clone();
            drop(state);
            if let Some((link, run)) = place {
                link.credit(run, told);
            }
        }
        Poll::Ready(Some(Ok(bytes)))
    }

    fn is_over(&self) -> bool {
        let state = self.0.lock();
        state.ended && state.chunks.is_empty() && state.fault.is_none()
    }

    fn abandon(&self) {
        let mut state = self.0.lock();
        state.gone = true;
        state.chunks.clear();
        let place = state.place.take();
        let over = state.ended || state.fault.is_some();
        drop(state);
        if let Some((link, run)) = place.filter(|_| !over) {
            link.cancel(run, Fault::CallerGone);
        }
    }
}

impl State {
    fn wait(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }
}
