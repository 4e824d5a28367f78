//! One run in one worker, as the node keeps it: what the worker may still say about it, and what the caller
//! is still owed. It never touches the socket.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use model::{Fault, Limits, Outcome, Usage, limits};
use tokio::{sync::Semaphore, task::AbortHandle};

use super::{RequestBody, answer::Slot, calls::Calls, code::Code};
use crate::{
    Broker,
    protocol::{HeaderLine, ResponseHead},
};

/// How long after its wall limit a run may go without an end before its worker counts as standing still.
const GRACE: Duration = Duration::from_secs(2);

/// A worker said what it may not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lie(pub(super) &'static str);

/// Tells a broker of the end of its run, exactly once, whatever becomes of the run.
pub(super) struct Finish(Option<Arc<dyn Broker>>);

impl Finish {
    pub(super) fn new(broker: Arc<dyn Broker>) -> Self {
        Self(Some(broker))
    }

    pub(super) fn broker(&self) -> Option<Arc<dyn Broker>> {
        self.0.clone()
    }

    pub(super) fn tell(mut self, usage: Usage, outcome: Outcome) {
        if let Some(broker) = self.0.take() {
            broker.finished(usage, outcome);
        }
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        if let Some(broker) = self.0.take() {
            broker.finished(Usage::default(), Outcome::Failed(Fault::WorkerDied, String::new()));
        }
    }
}

/// A run that no worker has.
pub(super) struct Pending {
    pub(super) slot: Arc<Slot>,
    pub(super) finish: Finish,
    pub(super) code: Code,
    pub(super) limits: Limits,
    pub(super) head: http::request::Parts,
    pub(super) body: RequestBody,
    /// What counts against another move: [`MOVE`], or a share of [`SUSPICION`].
    pub(super) moves: u8,
}

/// A worker died before it can have read the run.
const MOVE: u8 = 1;
/// A worker died that may have begun it, and it may be what it died of: all such runs share this. One that
/// kills its workers is soon alone, and then given up; those that are struck by the deaths of others are not.
const SUSPICION: u8 = 20;
/// More than this, and a run is given up.
pub(super) const MOVES_MAX: u8 = 3 * SUSPICION;

impl Pending {
    /// Ends it without its having run.
    pub(super) fn fail(self, fault: Fault, detail: &str) {
        let waker = self.slot.fail(fault);
        self.finish.tell(Usage::default(), Outcome::Failed(fault, detail.to_owned()));
        waker.into_iter().for_each(std::task::Waker::wake);
    }
}

/// A run that a worker has, or will have once its frames are written.
pub(super) struct Live {
    pub(super) slot: Arc<Slot>,
    pub(super) finish: Finish,
    pub(super) code: Code,
    pub(super) limits: Limits,
    pub(super) head: http::request::Parts,
    /// A streamed body stays here until the run has begun.
    pub(super) body: Option<RequestBody>,
    pub(super) moves: u8,
    /// Where its first frame ends in all that was ever queued for the worker.
    pub(super) start_ends: u64,
    /// The worker said something about it.
    pub(super) began: bool,
    pub(super) calls: Calls,
    pub(super) upload: Upload,
    started: Instant,
    /// Time in which the node itself stood still.
    forgiven: Duration,
    /// 0 until the head of the answer came.
    status: u16,
    ended: bool,
    worn: bool,
    window: u32,
    answer_bytes: u64,
    log_bytes: u64,
    /// The node ended it, for this reason; the worker may go on about it until it knows.
    verdict: Option<Fault>,
}

/// The request's body on its way to the worker.
#[derive(Default)]
pub(super) struct Upload {
    /// Bytes that may be sent.
    pub(super) credit: Option<Arc<Semaphore>>,
    /// Bytes sent that the worker has not taken.
    pub(super) unacked: u32,
    pub(super) task: Option<AbortHandle>,
}

impl Live {
    pub(super) fn new(pending: Pending, sent: u32, start_ends: u64, now: Instant) -> Self {
        let Pending { slot, finish, code, limits, head, body, moves } = pending;
        Self {
            slot,
            finish,
            code,
            limits,
            head,
            body: Some(body),
            moves,
            start_ends,
            began: false,
            calls: Calls::default(),
            upload: Upload { unacked: sent, ..Upload::default() },
            started: now,
            forgiven: Duration::ZERO,
            status: 0,
            ended: false,
            worn: false,
            window: limits::STREAM_WINDOW_BYTES,
            answer_bytes: 0,
            log_bytes: 0,
            verdict: None,
        }
    }

    /// The head of the answer.
    pub(super) fn head(&mut self, head: ResponseHead) -> Result<Option<std::task::Waker>, Lie> {
        if self.status != 0 {
            return Err(Lie("a second head"));
        }
        let bytes: usize = head.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes as u64 > self.limits.response_header_bytes {
            return Err(Lie("more header bytes than the run may answer"));
        }
        let status = http::StatusCode::from_u16(head.status).map_err(|_| Lie("a status that is none"))?;
        if status.is_informational() {
            return Err(Lie("a status that is no answer's"));
        }
        let headers = header_map(head.headers).ok_or(Lie("a header that is none"))?;
        self.status = head.status;
        let (mut parts, ()) = http::Response::new(()).into_parts();
        (parts.status, parts.headers) = (status, headers);
        Ok(self.slot.head(parts))
    }

    /// Part of the answer's body.
    pub(super) fn body(&mut self, bytes: Bytes, ends: bool) -> Result<Option<std::task::Waker>, Lie> {
        if self.status == 0 {
            return Err(Lie("a body before its head"));
        }
        if self.ended {
            return Err(Lie("a body beyond its end"));
        }
        if bytes.is_empty() && !ends {
            return Err(Lie("an empty part"));
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.window = self.window.checked_sub(length).ok_or(Lie("a body beyond its window"))?;
        self.answer_bytes += u64::from(length);
        if self.answer_bytes > self.limits.response_body_bytes {
            return Err(Lie("a larger body than the run may answer"));
        }
        self.ended = ends;
        Ok(self.slot.chunk(bytes, ends))
    }

    /// Room that the caller made in the answer's window. False if nothing more will come.
    pub(super) fn passed_on(&mut self, bytes: u32) -> bool {
        self.window = self.window.saturating_add(bytes).min(limits::STREAM_WINDOW_BYTES);
        !self.ended && self.verdict.is_none()
    }

    /// The worker took so much of the request's body.
    pub(super) fn taken(&mut self, bytes: u32) -> Result<(), Lie> {
        if bytes == 0 {
            return Err(Lie("credit for nothing"));
        }
        let left = self.upload.unacked.checked_sub(bytes);
        self.upload.unacked = left.ok_or(Lie("credit for bytes that were not sent"))?;
        if let Some(credit) = &self.upload.credit {
            credit.add_permits(bytes as usize);
        }
        Ok(())
    }

    /// Part of the run's log.
    pub(super) fn log(&mut self, length: usize) -> Result<(), Lie> {
        self.log_bytes += length as u64;
        match length {
            0 => Err(Lie("an empty line")),
            _ if self.log_bytes > self.limits.log_bytes => Err(Lie("a longer log than the run may write")),
            _ => Ok(()),
        }
    }

    /// It used so much CPU time that its code is heavy.
    pub(super) fn wear(&mut self) -> Result<(), Lie> {
        if std::mem::replace(&mut self.worn, true) {
            return Err(Lie("that a run is heavy for the second time"));
        }
        self.code.wore();
        Ok(())
    }

    pub(super) const fn is_worn(&self) -> bool {
        self.worn
    }

    /// Ends it by the node's own decision, the first of which counts. False if it is at its end already.
    pub(super) fn condemn(&mut self, fault: Fault) -> bool {
        let first = self.verdict.is_none();
        self.verdict.get_or_insert(fault);
        first
    }

    pub(super) fn is_condemned(&self) -> bool {
        self.verdict.is_some()
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let limit = Duration::from_millis(self.limits.wall_ms) + GRACE + self.forgiven;
        now.saturating_duration_since(self.started) > limit
    }

    /// The node stood still so long: what it did not hear meanwhile is not the worker's fault.
    pub(super) fn forgive(&mut self, still: Duration) {
        self.forgiven += still;
    }

    /// Whether its worker may say that it is done, with or without a fault.
    pub(super) fn may_end(&self, fault: bool) -> Result<(), Lie> {
        if fault || self.verdict.is_some() || self.ended {
            Ok(())
        } else {
            Err(Lie("an end without an answer"))
        }
    }

    /// Its worker says that it is done with it. Must not be called under the link's lock.
    pub(super) fn done(self, usage: Usage, fault: Option<(Fault, String)>) -> Option<std::task::Waker> {
        let usage = self.corrected(usage);
        self.code.spent(usage.cpu_us);
        self.end(usage, fault)
    }

    /// It is over. Must not be called under the link's lock.
    pub(super) fn end(mut self, usage: Usage, fault: Option<(Fault, String)>) -> Option<std::task::Waker> {
        self.stop_tasks();
        let usage = self.corrected(usage);
        let failed = match (self.verdict, fault) {
            (Some(verdict), detail) => Some((verdict, detail.map(|(_, d)| d).unwrap_or_default())),
            (None, fault) => fault,
        };
        let waker = failed.as_ref().and_then(|(fault, _)| self.slot.fail(*fault));
        self.finish.tell(
            usage,
            match failed {
                Some((fault, detail)) => Outcome::Failed(fault, detail),
                None => Outcome::Answered(self.status),
            },
        );
        waker
    }

    /// What may run elsewhere, since nobody can have seen it begin.
    ///
    /// A worker has no outlet but its socket: as long as no frame of a run came (but that it is heavy, which
    /// leaves the node no more than its CPU time does), nothing that it did has left the worker, and a worker
    /// that `died` can say no more. One that stood still or lied pays for what it had (the run may be why), but
    /// for what it cannot have read: the first frame was not all written, or the code not even mapped.
    ///
    /// `suspects` is how many runs of the worker may have begun unseen.
    pub(super) fn moved(
        mut self,
        (written, mapped): (u64, bool),
        (died, suspects): (bool, usize),
    ) -> Result<Box<Pending>, Box<Self>> {
        let unread = self.is_unread(written, mapped);
        let unseen = !self.began && !self.is_condemned() && (unread || died);
        let (true, Some(body)) = (unseen, self.body.take()) else { return Err(Box::new(self)) };
        let Self { slot, finish, code, limits, head, moves, .. } = self;
        let share = u8::try_from(usize::from(SUSPICION) / suspects.max(1)).unwrap_or(SUSPICION);
        let moves = moves.saturating_add(if unread { MOVE } else { share.max(MOVE) });
        Ok(Box::new(Pending { slot, finish, code, limits, head, body, moves }))
    }

    /// Whether its worker may have begun it, without a word about it.
    pub(super) fn is_suspect(&self, written: u64, mapped: bool) -> bool {
        !self.began && !self.is_unread(written, mapped)
    }

    fn is_unread(&self, written: u64, mapped: bool) -> bool {
        self.start_ends > written || !mapped
    }

    fn stop_tasks(&mut self) {
        if let Some(task) = self.upload.task.take() {
            task.abort();
        }
        self.calls.stop();
    }

    /// What the node saw itself counts more than what the worker says.
    fn corrected(&self, mut usage: Usage) -> Usage {
        let passed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        usage.wall_us = usage.wall_us.min(passed);
        usage.cpu_us = usage.cpu_us.min(passed);
        usage.response_bytes = self.answer_bytes;
        usage.log_bytes = self.log_bytes;
        usage
    }
}

fn header_map(lines: Vec<HeaderLine>) -> Option<http::HeaderMap> {
    let mut headers = http::HeaderMap::with_capacity(lines.len());
    for (name, value) in lines {
        let name = http::HeaderName::from_bytes(&name).ok()?;
        headers.try_append(name, http::HeaderValue::from_maybe_shared(value).ok()?).ok()?;
    }
    Some(headers)
}
