//! What is known of one run while it goes on: its limits, what it used, what it has in flight. It never
//! polls the guest.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use model::{Fault, Limits, Usage};
use parking_lot::Mutex;

use super::{
    calls::Call,
    flow::{Credit, Inflow},
    hub::Hub,
};
use crate::protocol::{CallId, LogStream, PART_BYTES_MAX, RunId, ToNode, TooLong};

/// How far the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// There is none yet.
    Waiting,
    /// Its head was sent.
    Head,
    /// All of it was sent.
    Ended,
}

/// Why a run ends without an answer, with a detail for its owner.
pub(super) type Failure = (Fault, String);

/// One run, shared by all that works for it.
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) limits: Limits,
    pub(super) hub: Arc<Hub>,
    /// The request's body.
    pub(super) body: Inflow,
    /// For the answer's body.
    pub(super) credit: Credit,
    pub(super) calls: Mutex<BTreeMap<CallId, Arc<Call>>>,
    started_ms: u64,
    moved_ms: AtomicU64,
    over: AtomicBool,
    /// A limit was met: the run ends, whatever the guest makes of it.
    broken: Mutex<Option<Failure>>,
    stage: Mutex<Stage>,
    received: AtomicU64,
    memory: AtomicU64,
    host_calls: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    response_header_bytes: AtomicU64,
    log_bytes: AtomicU64,
    log_bytes_dropped: AtomicU64,
    outbound_calls: AtomicU64,
    /// The node was told that there was one too many.
    calls_exhausted: AtomicBool,
}

impl Run {
    pub(super) fn new(id: RunId, limits: Limits, hub: Arc<Hub>) -> Self {
        let now = hub.now_ms();
        Self {
            id,
            limits,
            hub,
            body: Inflow::default(),
            credit: Credit::default(),
            calls: Mutex::default(),
            started_ms: now,
            moved_ms: AtomicU64::new(now),
            over: AtomicBool::new(false),
            broken: Mutex::new(None),
            stage: Mutex::new(Stage::Waiting),
            received: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            host_calls: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            response_header_bytes: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
            log_bytes_dropped: AtomicU64::new(0),
            outbound_calls: AtomicU64::new(0),
            calls_exhausted: AtomicBool::new(false),
        }
    }

    /// Queues a frame of this run, unless the run is over.
    pub(super) fn send(&self, frame: &ToNode) -> Result<(), TooLong> {
        if self.over.load(Relaxed) { Ok(()) } else { self.hub.send(frame) }
    }

    /// A limit was met. The first one met counts.
    pub(super) fn fail(&self, fault: Fault, detail: impl Into<String>) {
        self.broken.lock().get_or_insert_with(|| (fault, detail.into()));
    }

    /// The limit that was met, if one was.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.broken.lock().clone()
    }

    pub(super) fn stage(&self) -> Stage {
        *self.stage.lock()
    }

    /// The answer went on.
    pub(super) fn reached(&self, stage: Stage) {
        *self.stage.lock() = stage;
        self.moved();
    }

    /// Some body moved, one way or the other.
    pub(super) fn moved(&self) {
        self.moved_ms.store(self.hub.now_ms(), Relaxed);
    }

    /// When this run will have taken too long, in milliseconds since the worker's start, and for what.
    pub(super) fn due(&self) -> (u64, Fault) {
        let wall = (self.started_ms.saturating_add(self.limits.wall_ms), Fault::WallLimit);
        let other = match self.stage() {
            Stage::Waiting => {
                (self.started_ms.saturating_add(self.limits.first_byte_ms), Fault::FirstByteLimit)
            }
            Stage::Head => {
                (self.moved_ms.load(Relaxed).saturating_add(self.limits.idle_ms), Fault::IdleLimit)
            }
            Stage::Ended => wall,
        };
        if other.0 < wall.0 { other } else { wall }
    }

    /// Takes a piece of the request's body from the node. `false` if it is more than the function takes.
    pub(super) fn receive(&self, bytes: Bytes, ends: bool) -> bool {
        let length = count(bytes.len());
        let all = self.received.fetch_add(length, Relaxed) + length;
        if all > self.limits.request_body_bytes {
            return false;
        }
        self.moved();
        self.body.push(bytes, ends);
        true
    }

    /// The guest took a piece of the request's body.
    pub(super) fn took(&self, bytes: usize) {
        self.request_bytes.fetch_add(count(bytes), Relaxed);
        self.moved();
    }

    /// The guest calls the host. `true` once, with the call that is too many.
    pub(super) fn host_call(&self) -> bool {
        let before = self.host_calls.fetch_add(1, Relaxed);
        if before != self.limits.host_calls {
            return false;
        }
        self.fail(Fault::HostCallLimit, format!("more than {} host calls", self.limits.host_calls));
        true
    }

    /// The instance wants so much more linear memory. `false` if it may not have it.
    pub(super) fn grow(&self, bytes: u64) -> bool {
        let now = self.memory.load(Relaxed).saturating_add(bytes);
        if now > self.limits.memory_bytes {
            let limit = self.limits.memory_bytes;
            self.fail(Fault::MemoryLimit, format!("{now} bytes of memory where {limit} are allowed"));
            return false;
        }
        self.memory.store(now, Relaxed);
        true
    }

    /// Counts header bytes of the answer. `false` if they are too many.
    pub(super) fn answer_headers(&self, headers: &http::HeaderMap) -> bool {
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let all = self.response_header_bytes.fetch_add(count(bytes), Relaxed) + count(bytes);
        all <= self.limits.response_header_bytes
    }

    /// Counts body bytes of the answer. `false` if they are too many.
    pub(super) fn answer_body(&self, bytes: usize) -> bool {
        let all = self.response_bytes.fetch_add(count(bytes), Relaxed) + count(bytes);
        all <= self.limits.response_body_bytes
    }

    /// The number of a new outbound call, or nothing if there were as many as are allowed.
    pub(super) fn next_call(&self) -> Option<CallId> {
        let before = self.outbound_calls.load(Relaxed);
        if before >= self.limits.outbound_calls {
            if !self.calls_exhausted.swap(true, Relaxed) {
                // INVARIANT: a frame without a payload always fits.
                let _fits = self.send(&ToNode::CallsExhausted { run: self.id });
            }
            return None;
        }
        self.outbound_calls.store(before + 1, Relaxed);
        CallId::try_from(before + 1).ok()
    }

    /// It used so much CPU time that others go first. To be called once.
    pub(super) fn worn(&self) {
        // INVARIANT: a frame without a payload always fits.
        let _fits = self.send(&ToNode::Heavy { run: self.id });
    }

    /// Sends to the log what still fits, and counts the rest.
    pub(super) fn log(&self, stream: LogStream, bytes: &[u8]) {
        let room = self.limits.log_bytes.saturating_sub(self.log_bytes.load(Relaxed));
        let kept = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let (kept, dropped) = bytes.split_at(kept);
        self.log_bytes.fetch_add(count(kept.len()), Relaxed);
        self.log_bytes_dropped.fetch_add(count(dropped.len()), Relaxed);
        for part in kept.chunks(PART_BYTES_MAX) {
            let bytes = Bytes::copy_from_slice(part);
            // INVARIANT: a part of this size always fits a frame.
            let _fits = self.send(&ToNode::Log { run: self.id, stream, bytes });
        }
    }

    /// The run is over: its last frame. Whatever still works for it is not heard any more.
    pub(super) fn finish(&self, cpu: Duration, wall: Duration, failure: Option<Failure>) {
        let usage = Usage {
            cpu_us: micros(cpu),
            wall_us: micros(wall),
            memory_bytes_peak: self.memory.load(Relaxed),
            host_calls: self.host_calls.load(Relaxed),
            request_bytes: self.request_bytes.load(Relaxed),
            response_bytes: self.response_bytes.load(Relaxed),
            log_bytes: self.log_bytes.load(Relaxed),
            log_bytes_dropped: self.log_bytes_dropped.load(Relaxed),
            outbound_calls: u32::try_from(self.outbound_calls.load(Relaxed)).unwrap_or(u32::MAX),
        };
        let fault = failure.map(|(fault, detail)| (fault, shortened(detail)));
        let _fits = self.send(&ToNode::Done { run: self.id, usage, fault });
        self.over.store(true, Relaxed);
        self.calls.lock().clear();
    }
}

/// A detail goes into a log: long enough for a trap's trace.
const DETAIL_BYTES_MAX: usize = 4096;

fn shortened(mut detail: String) -> String {
    let mut end = detail.len().min(DETAIL_BYTES_MAX);
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    detail.truncate(end);
    detail
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
