//! What passes between a connection and the parser of HTTP/2: counts what costs a client nothing and the node
//! something, and tells of what the parser refuses by itself. It never changes a byte.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use shield::frames::{Frame, Frames, kind};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Frames that carry nothing (pings, settings, windows, resets, empty data) that a client may send at once,
/// and how many more it may send each second.
const IDLE_FRAMES_MAX: u64 = 2_000;
const IDLE_FRAMES_PER_SECOND: u64 = 100;
/// How many more each request, and each so many bytes of a body in either direction, is worth.
const REQUEST_WORTH: u64 = 16;
const BYTES_WORTH: u64 = 1024;
/// A block of headers of the parser's own making is this short, in bytes: the status alone, of a request whose
/// headers were too large. Every answer of ours has an id of its own.
const BARE_BYTES: u32 = 8;

/// RFC 9113 §7.
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Sees to the record of a refusal: its code, and a sentence.
pub(crate) type Note = Box<dyn Fn(&'static str, &str) + Send>;

/// A connection that is watched.
pub(crate) struct Watched<S> {
    stream: S,
    from_client: Frames,
    from_server: Frames,
    budget: Budget,
    note: Note,
}

/// What a client may still send for nothing.
struct Budget {
    left: u64,
    since: Instant,
    bytes: u64,
}

impl Budget {
    /// False if it is used up.
    fn spend(&mut self, frame: Frame) -> bool {
        match frame.kind {
            kind::HEADERS => self.earn(REQUEST_WORTH),
            kind::DATA if frame.length > 0 || frame.flags & kind::END_STREAM > 0 => {
                self.carry(u64::from(frame.length));
            }
            // The rest of a head, which the parser bounds.
            kind::CONTINUATION => {}
            _ => {
                if self.left == 0 {
                    let seconds = self.since.elapsed().as_secs();
                    if seconds == 0 {
                        return false;
                    }
                    self.since = Instant::now();
                    self.earn(seconds.saturating_mul(IDLE_FRAMES_PER_SECOND));
                }
                self.left -= 1;
            }
        }
        true
    }

    fn earn(&mut self, frames: u64) {
        self.left = self.left.saturating_add(frames).min(IDLE_FRAMES_MAX);
    }

    fn carry(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.earn(self.bytes / BYTES_WORTH);
        self.bytes %= BYTES_WORTH;
    }
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, note: Note) -> Self {
        let budget = Budget { left: IDLE_FRAMES_MAX, since: Instant::now(), bytes: 0 };
        Self { stream, from_client: Frames::of_client(), from_server: Frames::of_server(), budget, note }
    }

    fn written(&mut self, bytes: &[u8]) {
        let note = &self.note;
        self.from_server.pass(bytes, |frame| {
            if let Some((code, detail)) = refusal(frame) {
                note(code, detail);
            }
        });
    }
}

/// What a frame of the server says that it refused, if it does.
fn refusal(frame: Frame) -> Option<(&'static str, &'static str)> {
    let ends = frame.kind == kind::HEADERS && frame.flags & kind::END_STREAM > 0;
    match (frame.kind, frame.error()) {
        _ if ends && frame.length <= BARE_BYTES => {
            Some(("headers-too-large", "the request's headers are too large"))
        }
        (_, Some(NO_ERROR | INTERNAL_ERROR | CANCEL)) | (_, None) => None,
        (_, Some(ENHANCE_YOUR_CALM)) => {
            Some(("h2-flood", "the connection sends more than it may of what costs it nothing"))
        }
        (_, Some(REFUSED_STREAM)) => {
            Some(("h2-too-many-streams", "the connection has more requests at once than it may"))
        }
        (kind::GOAWAY, _) => Some(("h2-malformed", "the connection breaks the rules of HTTP/2")),
        _ => Some(("h2-malformed", "a request breaks the rules of HTTP/2")),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let watched = &mut *self;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut watched.stream).poll_read(context, buffer))?;
        let (mut well, budget) = (true, &mut watched.budget);
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        watched.from_client.pass(fresh, |frame| well &= budget.spend(frame));
        if well {
            return Poll::Ready(Ok(()));
        }
        (watched.note)("h2-flood", "the connection sends frames that carry nothing");
        Poll::Ready(Err(io::Error::other("a flood of frames that carry nothing")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.budget.carry(written as u64);
        self.written(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, parts))?;
        self.budget.carry(written as u64);
        let mut left = written;
        for part in parts {
            let here = part.get(..left.min(part.len())).unwrap_or_default();
            self.written(here);
            left -= here.len();
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
