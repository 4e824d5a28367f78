//! The gate between a connection and the parser of HTTP/1.1: lets through what is one request without doubt,
//! and holds back everything else. It never changes a byte, and never judges one: the [`Framer`] does.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use shield::http1::{Framer, Malformed, Step};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{Later, Patience, farewell};

/// What is read at once where a head came in pieces, in bytes.
const PIECE_BYTES: usize = 8 * 1024;

/// Makes the document that a refusal is answered with, and sees to its record.
pub(crate) type Refuse = Box<dyn Fn(Malformed) -> Vec<u8> + Send>;

/// What the gate is told of the answers to what it let through.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Answers that the parser took to their end.
    ended: AtomicU64,
    /// One of them says that it is the last.
    last: AtomicBool,
    /// One of them says that the client is to come back later.
    pause: AtomicBool,
}

/// One answer under way, until the parser drops it with its last byte.
#[derive(Debug)]
pub(crate) struct Answer(Arc<Answers>);

impl Answers {
    pub(crate) fn begin(self: &Arc<Self>) -> Answer {
        Answer(self.clone())
    }

    /// Nothing is answered after the one under way.
    pub(crate) fn last(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    /// Nothing is read for a while after the one under way.
    pub(super) fn pause(&self) {
        self.pause.store(true, Ordering::Relaxed);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection whose reader sees whole heads and true bodies, and nothing after the first byte that is
/// neither. When it is shut down after a refusal, the refusal is its last answer.
pub(crate) struct Gate<S> {
    /// None while the last answer is on its way.
    stream: Option<S>,
    framer: Framer,
    /// Bytes that were read and not yet let through; the first `judged` of them may pass.
    held: Vec<u8>,
    judged: usize,
    /// Heads that were let through, and answers that were written and flushed.
    asked: u64,
    answered: u64,
    answers: Arc<Answers>,
    refused: Option<Malformed>,
    /// The client said that no request follows.
    over: bool,
    patience: Patience,
    timer: Timer,
    /// Nothing is read until it is over.
    pause: Option<Pin<Box<Sleep>>>,
    later: Arc<Later>,
    refuse: Refuse,
    farewell: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Gate<S> {
    pub(crate) fn new(
        stream: S,
        head_bytes_max: usize,
        (patience, later): (Patience, Arc<Later>),
        answers: Arc<Answers>,
        refuse: Refuse,
    ) -> Self {
        Self {
            stream: Some(stream),
            framer: Framer::new(head_bytes_max),
            held: Vec::new(),
            judged: 0,
            asked: 0,
            answered: 0,
            answers,
            refused: None,
            over: false,
            patience,
            timer: Timer::default(),
            pause: None,
            later,
            refuse,
            farewell: None,
        }
    }

    /// Whether the parser has written all that it owes.
    const fn is_quiet(&self) -> bool {
        self.asked == self.answered
    }

    /// Judges what begins where the last judged byte ended: how much of it may pass.
    fn judge(&mut self, bytes: &[u8]) -> usize {
        let mut passes = 0;
        loop {
            match self.framer.step(bytes.get(passes..).unwrap_or_default()) {
                Step::Head(length) => {
                    self.asked += 1;
                    self.timer.until = None;
                    passes += length;
                }
                Step::Body(length) => passes += length,
                Step::Refuse(malformed) => {
                    self.refused = Some(malformed);
                    if matches!(malformed, Malformed::Chunks(_)) {
                        // Told by whoever answers the request; here it is only recorded what was wrong.
                        let _untold = (self.refuse)(malformed);
                    }
                    return passes;
                }
                Step::Over => {
                    self.over = true;
                    return passes;
                }
                Step::More => {
                    // A head has begun: its time runs from its first byte.
                    if passes < bytes.len() && (self.held.is_empty() || passes > 0) {
                        self.timer.until = Some(Instant::now() + self.patience.head);
                    }
                    return passes;
                }
            }
        }
    }

    /// Reads straight into the parser's buffer, and takes back what may not pass yet. True if something passes.
    fn poll_straight(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(true)) };
        let before = buffer.filled().len();
        ready!(Pin::new(stream).poll_read(context, buffer))?;
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let passes = self.judge(fresh);
        if let Some(rest) = fresh.get(passes..).filter(|rest| !rest.is_empty()) {
            self.held.extend_from_slice(rest);
            buffer.set_filled(before + passes);
        }
        Poll::Ready(Ok(passes > 0))
    }

    /// Reads more of a head that came in pieces. False at the end of the stream.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(false)) };
        let had = self.held.len();
        self.held.resize(had + PIECE_BYTES, 0);
        let mut room = ReadBuf::new(self.held.get_mut(had..).unwrap_or_default());
        let read = Pin::new(stream).poll_read(context, &mut room);
        let bytes = room.filled().len();
        self.held.truncate(had + bytes);
        ready!(read)?;
        let held = std::mem::take(&mut self.held);
        let fresh = bytes > 0;
        if fresh {
            // Not empty while it is judged: its time runs already.
            self.held.push(0);
            self.judged = self.judge(&held);
        }
        self.held = held;
        Poll::Ready(Ok(fresh))
    }

    /// Nothing came. The connection ends if that took too long while nothing was owed to the client.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let unasked = self.held.is_empty() && self.framer.is_between_requests();
        if !self.is_quiet() || (self.held.is_empty() && !unasked) {
            return Poll::Pending;
        }
        if unasked && self.timer.until.is_none() {
            self.timer.until = Some(Instant::now() + self.patience.idle);
        }
        ready!(self.timer.poll_over(context));
        if !unasked {
            self.refused = Some(Malformed::HeadSlow);
        }
        Poll::Ready(Ok(()))
    }

    /// After the last request: the end of the stream is all that counts, as it says that the client is gone.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.held.is_empty()) else {
            return Poll::Pending;
        };
        let mut nowhere = [0];
        let mut room = ReadBuf::new(&mut nowhere);
        ready!(Pin::new(stream).poll_read(context, &mut room))?;
        if room.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        // It goes on all the same; nobody listens.
        self.held.push(0);
        Poll::Pending
    }

    /// The refusal that is still to be told: none where the parser answers the request itself, or said before
    /// that it answers nothing more.
    fn untold(&self) -> Option<Malformed> {
        let told = matches!(self.refused, Some(Malformed::Chunks(_)));
        let all = self.asked == self.answers.ended.load(Ordering::Relaxed);
        self.refused.filter(|_| all && !told && !self.answers.last.load(Ordering::Relaxed))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let gate = &mut *self;
        if let Some(pause) = &mut gate.pause {
            ready!(pause.as_mut().poll(context));
            gate.pause = None;
        }
        loop {
            if gate.judged > 0 {
                let bytes = gate.judged.min(buffer.remaining());
                buffer.put_slice(gate.held.get(..bytes).unwrap_or_default());
                gate.held.drain(..bytes);
                gate.judged -= bytes;
                return Poll::Ready(Ok(()));
            }
            match gate.refused {
                Some(malformed @ Malformed::Chunks(_)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, malformed)));
                }
                // The end, as soon as all that was asked before is answered.
                Some(_) if gate.is_quiet() => return Poll::Ready(Ok(())),
                Some(_) => return Poll::Pending,
                None if gate.over && gate.is_quiet() => return Poll::Ready(Ok(())),
                None if gate.over => return gate.poll_gone(context),
                None => {}
            }
            let read = if gate.held.is_empty() {
                gate.poll_straight(context, buffer).map_ok(|passes| !passes)
            } else {
                gate.poll_piece(context)
            };
            match read {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return gate.poll_patience(context),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncWrite for Gate<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Err(ended())) };
        Pin::new(stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Err(ended())) };
        Pin::new(stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    /// The parser flushes when it has written all that it has: whatever answers it has ended by then are out.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = &mut *self;
        let Some(stream) = &mut gate.stream else { return Poll::Ready(Err(ended())) };
        ready!(Pin::new(stream).poll_flush(context))?;
        let ended = gate.answers.ended.load(Ordering::Relaxed);
        if gate.answered != ended {
            gate.answered = ended;
            if gate.answers.pause.swap(false, Ordering::Relaxed) {
                gate.pause = gate.later.turn(Instant::now()).map(|at| Box::pin(sleep_until(at)));
            }
            // What waits for this is not asked again by itself.
            let waits = gate.refused.is_some() || gate.over;
            if gate.is_quiet() && (waits || gate.poll_patience(context).is_ready()) {
                context.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = &mut *self;
        if let Some(malformed) = gate.untold()
            && let Some(stream) = gate.stream.take()
        {
            let last = (gate.refuse)(malformed);
            gate.farewell = Some(Box::pin(farewell(stream, last)));
        }
        match (&mut gate.farewell, &mut gate.stream) {
            (Some(farewell), _) => farewell.as_mut().poll(context).map(Ok),
            (None, Some(stream)) => Pin::new(stream).poll_shutdown(context),
            (None, None) => Poll::Ready(Ok(())),
        }
    }
}

fn ended() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// One timer for all that a connection waits for. It is set anew when it went off too early, not whenever
/// something is to be waited for, so that a request that comes in time costs no more than a look at the clock.
#[derive(Default)]
struct Timer {
    until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready when the time is over. If not, the task is woken when it is.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() > until {
            sleep.as_mut().reset(until);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
        Poll::Pending
    }
}
