//! One worker as the node sees it: what is under way in it, and the bytes that wait to be written. It never
//! touches the socket (`drive` does) and never drops under its lock what may be the last of its kind.

use std::{
    collections::{VecDeque, hash_map::Entry},
    fmt,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use model::Fault;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    RequestBody,
    calls::Asked,
    live::{Lie, Live, Pending},
    pump,
};
use crate::{
    BodyStream, Walls,
    protocol::{CodeId, Numbered, PART_BYTES_MAX, RunId, ToNode, ToWorker, TooLong, encode_start},
};

/// One worker.
pub(super) struct Link {
    /// Of the process that was spawned.
    pub(super) pid: u32,
    pub(super) walls: Walls,
    state: Mutex<State>,
    /// Rings when there is something to write, or when the link is to close.
    pub(super) wake: Notify,
    /// Runs in it; `usize::MAX` once it is closed.
    load: AtomicUsize,
    /// Worn runs in it.
    worn: AtomicUsize,
    /// It gets no run any more, and is to end with the last that it has.
    leaving: AtomicBool,
    runs_max: usize,
}

#[derive(Default)]
struct State {
    out: BytesMut,
    /// Descriptors, each to go with the frame that begins there.
    files: VecDeque<(u64, Arc<OwnedFd>)>,
    /// Bytes ever queued.
    queued: u64,
    last_run: u64,
    runs: Numbered<u64, Live>,
    /// Code that was sent, and whether it is mapped.
    codes: Numbered<CodeId, bool>,
    /// Code that was sent and not answered for.
    loading: u32,
    /// Runs whose body has to wait until they have begun.
    streams: Vec<u64>,
    closed: bool,
    asked_to_close: bool,
    ping: Option<(u64, Instant)>,
    last_ping: u64,
}

const NOT_ITS_OWN: Lie = Lie("something of a run that is not its own");

/// What became of a run that was handed to a link.
pub(super) enum Submitted {
    Taken,
    /// The link is full or closed.
    Back(Box<Pending>),
    /// It can run nowhere.
    Over(Box<Pending>, Fault),
}

/// What waits to be written, in the order in which it was queued.
#[derive(Default)]
pub(super) struct Outgoing {
    pub(super) bytes: BytesMut,
    pub(super) files: VecDeque<(u64, Arc<OwnedFd>)>,
    /// Bytes ever written.
    pub(super) written: u64,
}

impl Link {
    pub(super) fn new(pid: u32, walls: Walls, runs_max: usize) -> Self {
        let (state, wake) = (Mutex::default(), Notify::new());
        let (load, worn, leaving) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        Self { pid, walls, state, wake, load, worn, leaving, runs_max }
    }

    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// How full it is, each worn run counting for `weight` others as well. One that takes no run is fullest.
    pub(super) fn fullness(&self, weight: usize) -> (bool, usize) {
        let load = self.load();
        let worn = self.worn.load(Ordering::Relaxed);
        (load >= self.runs_max, load.saturating_add(worn.saturating_mul(weight)))
    }

    /// Worn runs in it.
    pub(super) fn worn(&self) -> usize {
        self.worn.load(Ordering::Relaxed)
    }

    /// Whether it takes no more frames.
    pub(super) fn is_closed(&self) -> bool {
        self.load() == usize::MAX
    }

    /// Lets it end with the last run that it has. Nobody may give it another.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Runs that it was ever given.
    pub(super) fn given(&self) -> u64 {
        self.state.lock().last_run
    }

    /// Queues a run for the worker, and its code before it if the worker has not got it.
    pub(super) fn submit(self: &Arc<Self>, pending: Box<Pending>) -> Submitted {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.closed || state.runs.len() >= self.runs_max {
            return Submitted::Back(pending);
        }
        state.last_run += 1;
        let run = state.last_run;
        if !pending.slot.place(self, run) {
            return Submitted::Over(pending, Fault::CallerGone);
        }
        let code = pending.code.id();
        if let Entry::Vacant(unknown) = state.codes.entry(code) {
            unknown.insert(false);
            state.loading += 1;
            state.files.push_back((state.queued, pending.code.file()));
            // INVARIANT: a frame without a head or body is never too long.
            let _fits = state.say(&ToWorker::Load { code, world: pending.code.world() });
            pending.code.loaded_by(self);
        }
        let none = Bytes::new();
        let (first, whole) = match &pending.body {
            RequestBody::Full(bytes) if bytes.len() <= PART_BYTES_MAX => (bytes, true),
            _ => (&none, false),
        };
        let before = state.out.len();
        let ids = (RunId(run), code);
        if encode_start(&mut state.out, ids, &pending.limits, &pending.head, (first, whole)).is_err() {
            return Submitted::Over(pending, Fault::RequestHeaderLimit);
        }
        state.queued += (state.out.len() - before) as u64;
        let sent = u32::try_from(first.len()).unwrap_or(u32::MAX);
        if !whole {
            state.streams.push(run);
        }
        let live = Live::new(*pending, sent, state.queued, Instant::now());
        state.runs.insert(run, live);
        self.load.store(state.runs.len(), Ordering::Relaxed);
        drop(guard);
        self.wake.notify_one();
        Submitted::Taken
    }

    /// The caller took so many bytes of a run's answer.
    pub(super) fn credit(&self, run: u64, bytes: u32) {
        let frame = ToWorker::Credit { run: RunId(run), bytes };
        self.say_of_run(run, |live| live.passed_on(bytes).then_some(&frame));
    }

    /// Ends a run by the node's own decision.
    pub(super) fn cancel(&self, run: u64, why: Fault) {
        let frame = ToWorker::Cancel { run: RunId(run) };
        let mut waker = None;
        self.say_of_run(run, |live| {
            waker = live.slot.fail(why);
            live.condemn(why).then_some(&frame)
        });
        waker.into_iter().for_each(Waker::wake);
    }

    /// No run will name this code again.
    pub(super) fn unload(&self, code: CodeId) {
        let mut state = self.state.lock();
        if !state.closed && state.codes.remove(&code).is_some() {
            let _fits = state.say(&ToWorker::Unload { code });
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Asks whoever drives the link to end it.
    pub(super) fn close(&self) {
        self.state.lock().asked_to_close = true;
        self.wake.notify_one();
    }

    /// Whether it is to end. Where it leaves, and has no run left, it gets none from here on.
    pub(super) fn is_asked_to_close(&self) -> bool {
        let mut state = self.state.lock();
        if state.runs.is_empty() && self.leaving.load(Ordering::Relaxed) {
            (state.closed, state.asked_to_close) = (true, true);
            self.load.store(usize::MAX, Ordering::Relaxed);
        }
        state.asked_to_close
    }

    pub(super) fn with_run<T>(&self, run: u64, act: impl FnOnce(&mut Live) -> T) -> Option<T> {
        self.state.lock().runs.get_mut(&run).map(act)
    }

    /// Queues what `frame` makes of a run that is under way; none if it is over or there is nothing to say.
    pub(super) fn say_of_run<'f>(
        &self,
        run: u64,
        frame: impl FnOnce(&mut Live) -> Option<&'f ToWorker>,
    ) -> Option<Result<(), TooLong>> {
        let mut state = self.state.lock();
        let frame = state.runs.get_mut(&run).and_then(frame)?;
        let said = state.say(frame);
        drop(state);
        self.wake.notify_one();
        Some(said)
    }

    /// Gives up what waits to be written, if `outgoing` has nothing left.
    pub(super) fn refill(&self, outgoing: &mut Outgoing) {
        if outgoing.bytes.is_empty() {
            let mut state = self.state.lock();
            std::mem::swap(&mut state.out, &mut outgoing.bytes);
            outgoing.files.append(&mut state.files);
        }
    }

    /// Begins to send the bodies of those runs that have begun.
    pub(super) fn start_streams(self: &Arc<Self>, written: u64) {
        let mut ready: Vec<(u64, BodyStream, u32, u64)> = Vec::new();
        let mut guard = self.state.lock();
        let State { streams, runs, codes, .. } = &mut *guard;
        streams.retain(|run| {
            let Some(live) = runs.get_mut(run) else { return false };
            let mapped = codes.get(&live.code.id()).is_some_and(|mapped| *mapped);
            if live.start_ends > written || !mapped {
                return true;
            }
            let body: BodyStream = match live.body.take() {
                Some(RequestBody::Stream(stream)) => stream,
                Some(RequestBody::Full(bytes)) => Box::pin(futures_util::stream::iter([Ok(bytes)])),
                None => futures_util::stream::empty().boxed(),
            };
            ready.push((*run, body, live.upload.unacked, live.limits.request_body_bytes));
            false
        });
        drop(guard);
        for (run, body, sent, most) in ready {
            pump::start(self, run, body, sent, most);
        }
    }

    /// One frame of the worker. Wakers are for after the batch.
    pub(super) fn hear(self: &Arc<Self>, frame: ToNode, wakers: &mut Vec<Waker>) -> Result<(), Lie> {
        let mut state = self.state.lock();
        match frame {
            ToNode::Ready { .. } => Err(Lie("that it is ready a second time")),
            ToNode::Loaded { code } => {
                state.answered_load()?;
                // Code that was forgotten in the meantime crossed its end on the way.
                if let Some(mapped) = state.codes.get_mut(&code) {
                    *mapped = true;
                }
                Ok(())
            }
            ToNode::LoadFailed { code, why } => {
                state.answered_load()?;
                // Its runs end with a fault each; a later one tries again.
                state.codes.remove(&code);
                drop(state);
                tracing::error!(pid = self.pid, code = code.0, why = ?why, "compiled code cannot be used");
                Ok(())
            }
            ToNode::Pong { number } => match state.ping.take() {
                Some((asked, _)) if asked == number => Ok(()),
                _ => Err(Lie("an answer that nobody asked for")),
            },
            ToNode::Head { run, head } => state.run(run)?.head(head).map(|w| wakers.extend(w)),
            ToNode::Body { run, bytes, ends } => state.run(run)?.body(bytes, ends).map(|w| wakers.extend(w)),
            ToNode::Credit { run, bytes } => state.run(run)?.taken(bytes),
            ToNode::Log { run, stream, bytes } => {
                let live = state.run(run)?;
                live.log(bytes.len())?;
                let broker = live.finish.broker();
                drop(state);
                broker.into_iter().for_each(|broker| broker.log(stream, bytes.clone()));
                Ok(())
            }
            ToNode::Call { run, call, head } => {
                let asked = Asked::note(state.run(run)?, run, call, head)?;
                drop(state);
                if let Some(asked) = asked {
                    asked.ask(self);
                }
                Ok(())
            }
            ToNode::CallsExhausted { run } => {
                let live = state.run(run)?;
                live.calls.exhausted(live.limits.outbound_calls)?;
                let broker = live.finish.broker();
                drop(state);
                broker.into_iter().for_each(|broker| broker.calls_exhausted());
                Ok(())
            }
            ToNode::CallBody { run, call, bytes, ends } => state.run(run)?.calls.body(call, bytes, ends),
            ToNode::CallDropped { run, call } => state.run(run)?.calls.dropped(call),
            ToNode::CallCredit { run, call, bytes } => state.run(run)?.calls.taken(call, bytes),
            ToNode::Heavy { run } => {
                // INVARIANT: the caller sees nothing of it, so that the run may still move.
                let live = state.runs.get_mut(&run.0).ok_or(NOT_ITS_OWN)?;
                live.wear()?;
                self.worn.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            ToNode::Done { run, usage, fault } => {
                state.run(run)?.may_end(fault.is_some())?;
                let live = self.remove(&mut state, run);
                drop(state);
                wakers.extend(live.and_then(|live| live.done(usage, fault)));
                Ok(())
            }
        }
    }

    fn remove(&self, state: &mut State, run: RunId) -> Option<Live> {
        let live = state.runs.remove(&run.0);
        self.load.store(state.runs.len(), Ordering::Relaxed);
        if live.as_ref().is_some_and(Live::is_worn) {
            self.worn.fetch_sub(1, Ordering::Relaxed);
        }
        live
    }

    /// Whether the worker stands still: a ping unanswered, or a run long over its time.
    pub(super) fn is_stalled(&self, now: Instant, patience: Duration) -> bool {
        let mut state = self.state.lock();
        let silent = state.ping.is_some_and(|(_, since)| now.saturating_duration_since(since) > patience);
        if state.ping.is_none() {
            state.last_ping += 1;
            let number = state.last_ping;
            state.ping = Some((number, now));
            let _fits = state.say(&ToWorker::Ping { number });
        }
        silent || state.runs.values().any(|live| live.is_overdue(now))
    }

    /// The node stood still so long, and heard no one.
    pub(super) fn forgive(&self, still: Duration) {
        let mut state = self.state.lock();
        if let Some((_, since)) = &mut state.ping {
            *since += still;
        }
        state.runs.values_mut().for_each(|live| live.forgive(still));
    }

    /// Takes all runs out: no more will come. With each, whether the worker had mapped its code.
    pub(super) fn shut(&self) -> Vec<(Live, bool)> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.closed = true;
        self.load.store(usize::MAX, Ordering::Relaxed);
        let runs = std::mem::take(&mut state.runs);
        let mapped = |live: &Live| state.codes.get(&live.code.id()).copied().unwrap_or(false);
        runs.into_values().map(|live| (mapped(&live), live)).map(|(mapped, live)| (live, mapped)).collect()
    }
}

impl State {
    fn answered_load(&mut self) -> Result<(), Lie> {
        self.loading = self.loading.checked_sub(1).ok_or(Lie("word of code that it was not sent"))?;
        Ok(())
    }

    fn say(&mut self, frame: &ToWorker) -> Result<(), TooLong> {
        let before = self.out.len();
        frame.encode(&mut self.out)?;
        self.queued += (self.out.len() - before) as u64;
        Ok(())
    }

    fn run(&mut self, run: RunId) -> Result<&mut Live, Lie> {
        let live = self.runs.get_mut(&run.0).ok_or(NOT_ITS_OWN)?;
        live.began = true;
        Ok(live)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("pid", &self.pid).field("load", &self.load()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
