//! The one task that reads and writes a worker's socket. It believes no frame and decides nothing: `link`
//! and `live` do.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::AsFd,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use model::{Fault, limits};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::{io::Interest, net::UnixStream};

use super::{
    link::{Link, Outgoing},
    live::Lie,
};
use crate::protocol::{Malformed, ToNode};

const READ_BYTES: usize = 64 * 1024;
/// What is heard in one go before others have their turn, in bytes: a worker that talks without end, a flood of
/// log lines say, is no reason to keep a caller of another function waiting.
const HEARD_BYTES_MAX: usize = 16 * 1024;
const TICK: Duration = Duration::from_millis(250);
/// A tick that comes later than this says that the node itself stood still: its process was suspended, say.
const LATE: Duration = Duration::from_secs(1);

/// Why a worker is worked with no longer.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("it ended")]
    Died,
    #[error("it stood still")]
    Stalled,
    #[error("it sent {0}")]
    Malformed(#[from] Malformed),
    #[error("it sent {}", .0.0)]
    Lied(Lie),
    #[error("the node ended it")]
    Asked,
}

impl End {
    /// What a run that was in it gets.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Died => Fault::WorkerDied,
            Self::Stalled => Fault::WorkerStalled,
            Self::Malformed(_) | Self::Lied(_) => Fault::WorkerLied,
            Self::Asked => Fault::Draining,
        }
    }
}

/// Reads and writes until the worker ends or has to, and tells `worn` when a run of it is. Returns why it ended,
/// and how many bytes were ever written.
pub(super) async fn drive(
    link: &Arc<Link>,
    stream: UnixStream,
    input: BytesMut,
    worn: impl Fn(),
) -> (End, u64) {
    let outgoing = Outgoing::default();
    let mut driver = Driver { link, stream, input, outgoing, wakers: Vec::new(), worn: 0, suspect: false };
    let end = driver.run(worn).await;
    driver.wake();
    (end, driver.outgoing.written)
}

struct Driver<'l> {
    link: &'l Arc<Link>,
    stream: UnixStream,
    input: BytesMut,
    outgoing: Outgoing,
    wakers: Vec<Waker>,
    /// Worn runs in it when that was last looked at.
    worn: usize,
    /// It seemed to stand still at the last tick: what it sent may just not have been read.
    suspect: bool,
}

impl Driver<'_> {
    async fn run(&mut self, worn: impl Fn()) -> End {
        let mut next_tick = Instant::now() + TICK;
        let mut heard = 0;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What came with the worker's first frame.
        if let Err(end) = self.hear() {
            return end;
        }
        loop {
            self.link.refill(&mut self.outgoing);
            match self.outgoing.write(&self.stream) {
                Ok(()) => self.link.start_streams(self.outgoing.written),
                Err(_) => return End::Died,
            }
            if std::mem::replace(&mut self.worn, self.link.worn()) < self.link.worn() {
                worn();
            }
            let idle = self.outgoing.bytes.is_empty();
            tokio::select! {
                _ready = self.stream.readable() => {
                    match self.read() {
                        Ok(bytes) => heard += bytes,
                        Err(end) => return end,
                    }
                    if heard > HEARD_BYTES_MAX {
                        heard = 0;
                        tokio::task::yield_now().await;
                    }
                }
                _ready = self.stream.writable(), if !idle => {}
                () = self.link.wake.notified(), if idle => {
                    // What else is ready to run goes first: what it submits goes out in the same write.
                    tokio::task::yield_now().await;
                }
                _tick = ticks.tick() => {}
            }
            // Looked at by the clock rather than by the branch: a worker that never stops talking is no
            // excuse.
            let now = Instant::now();
            if now >= next_tick {
                let late = now.saturating_duration_since(next_tick);
                if late > LATE {
                    tracing::warn!(pid = self.link.pid, ?late, "the node stood still");
                    self.link.forgive(late);
                }
                next_tick = now + TICK;
                if let Some(end) = self.tick(now) {
                    return end;
                }
            }
        }
    }

    /// Reads once, and hears what came: so many bytes.
    fn read(&mut self) -> Result<usize, End> {
        self.input.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => Err(End::Died),
            Ok(bytes) => self.hear().map(|()| bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(_) => Err(End::Died),
        }
    }

    fn hear(&mut self) -> Result<(), End> {
        let heard = loop {
            match ToNode::decode(&mut self.input) {
                Ok(Some(frame)) => {
                    if let Err(lie) = self.link.hear(frame, &mut self.wakers) {
                        break Err(End::Lied(lie));
                    }
                }
                Ok(None) => break Ok(()),
                Err(malformed) => break Err(malformed.into()),
            }
        };
        self.wake();
        heard
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    fn tick(&mut self, now: Instant) -> Option<End> {
        if self.link.is_asked_to_close() {
            return Some(End::Asked);
        }
        let patience = Duration::from_millis(limits::WORKER_STALL_MS);
        let suspect = std::mem::replace(&mut self.suspect, self.link.is_stalled(now, patience));
        (suspect && self.suspect).then_some(End::Stalled)
    }
}

impl Outgoing {
    /// Writes what the socket takes.
    fn write(&mut self, stream: &UnixStream) -> io::Result<()> {
        while !self.bytes.is_empty() {
            let written = match self.write_once(stream) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            self.bytes.advance(written);
            self.written += written as u64;
        }
        Ok(())
    }

    fn write_once(&mut self, stream: &UnixStream) -> io::Result<usize> {
        let Some((at, file)) = self.files.front() else { return stream.try_write(&self.bytes) };
        let before = usize::try_from(at.saturating_sub(self.written)).unwrap_or(usize::MAX);
        if before > 0 {
            return stream.try_write(self.bytes.get(..before.min(self.bytes.len())).unwrap_or(&self.bytes));
        }
        // Only up to the next frame with a descriptor, which must not go along with this one's.
        let next = self.files.get(1).map_or(u64::MAX, |(next, _)| next - self.written);
        let until = usize::try_from(next).unwrap_or(usize::MAX).min(self.bytes.len());
        let part = self.bytes.get(..until).unwrap_or(&self.bytes);
        let sent = stream.try_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let files = [file.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&files));
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            Ok(sendmsg(stream, &[IoSlice::new(part)], &mut control, flags)?)
        })?;
        self.files.pop_front();
        Ok(sent)
    }
}
