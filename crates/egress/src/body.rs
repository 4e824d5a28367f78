//! Bodies under way, counted and timed. It never holds more of one than the piece that passes.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use cell::{BodyBroken, BodyStream};
use futures_util::{Stream, StreamExt};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::connection::Lease;

/// How far the request's body has come, seen from beside it.
#[derive(Debug)]
pub(crate) struct Progress {
    begun: Instant,
    last_ms: AtomicU64,
    too_large: AtomicBool,
    broken: AtomicBool,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        let (too_large, broken) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { begun: Instant::now(), last_ms: AtomicU64::new(0), too_large, broken })
    }

    /// When a piece was last taken, or the start.
    pub(crate) fn last(&self) -> Instant {
        self.begun + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn too_large(&self) -> bool {
        self.too_large.load(Ordering::Relaxed)
    }

    pub(crate) fn broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    fn note(&self) {
        let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Relaxed);
    }
}

/// The body of a request on its way out.
pub(crate) struct Outgoing {
    stream: Option<BodyStream>,
    left: u64,
    progress: Arc<Progress>,
}

impl Outgoing {
    /// None of a stream stands for no body at all.
    pub(crate) fn new(stream: Option<BodyStream>, bytes_max: u64, progress: Arc<Progress>) -> Self {
        Self { stream, left: bytes_max, progress }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyBroken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyBroken>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let piece = ready!(stream.poll_next_unpin(cx));
        self.progress.note();
        match piece {
            None => {
                self.stream = None;
                Poll::Ready(None)
            }
            Some(Err(broken)) => {
                self.progress.broken.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(broken)))
            }
            Some(Ok(bytes)) => match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                None => {
                    self.progress.too_large.store(true, Ordering::Relaxed);
                    Poll::Ready(Some(Err(BodyBroken::Off)))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.stream.is_none() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

/// The body of an answer on its way in. At its end its connection may serve again; before, it ends with it.
pub(crate) struct Arriving {
    body: Incoming,
    lease: Option<Lease>,
    left: u64,
    idle: Option<Idle>,
}

/// How long a body may stand still while somebody waits for it.
struct Idle {
    patience: Duration,
    sleep: Pin<Box<Sleep>>,
    armed: bool,
}

impl Arriving {
    pub(crate) fn new(body: Incoming, lease: Lease, bytes_max: u64, idle_ms: Option<u64>) -> Self {
        let idle = idle_ms.map(|ms| {
            let patience = Duration::from_millis(ms);
            Idle { patience, sleep: Box::pin(tokio::time::sleep(patience)), armed: false }
        });
        Self { body, lease: Some(lease), left: bytes_max, idle }
    }

    fn stood_still(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(idle) = &mut self.idle else { return false };
        if !idle.armed {
            idle.sleep.as_mut().reset(Instant::now() + idle.patience);
            idle.armed = true;
        }
        idle.sleep.as_mut().poll(cx).is_ready()
    }
}

impl Stream for Arriving {
    type Item = Result<Bytes, BodyBroken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.lease.is_none() {
            return Poll::Ready(None);
        }
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending if self.stood_still(cx) => return self.fail(),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(frame) => frame,
            };
            if let Some(idle) = &mut self.idle {
                idle.armed = false;
            }
            match frame {
                None => {
                    if let Some(lease) = self.lease.take() {
                        lease.give_back();
                    }
                    return Poll::Ready(None);
                }
                Some(Err(_)) => return self.fail(),
                // Trailers are not handed on.
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    match self.left.checked_sub(bytes.len() as u64) {
                        Some(left) => self.left = left,
                        None => return self.fail(),
                    }
                    return Poll::Ready(Some(Ok(bytes)));
                }
            }
        }
    }
}

impl Arriving {
    /// Ends the body and its connection: nobody knows where on it the next answer would begin.
    fn fail(&mut self) -> Poll<Option<Result<Bytes, BodyBroken>>> {
        self.lease = None;
        Poll::Ready(Some(Err(BodyBroken::Off)))
    }
}
