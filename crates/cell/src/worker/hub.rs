//! What the parts of a worker share: the bytes on their way to the node, the runs that may go on, the time
//! of this turn. It never polls a run and never touches the socket.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Wake, Waker},
};

use bytes::BytesMut;
use parking_lot::Mutex;

use crate::protocol::{RunId, ToNode, TooLong};

/// One for each worker.
#[derive(Default)]
pub(super) struct Hub {
    out: Mutex<BytesMut>,
    ready: Mutex<Ready>,
    /// The worker is within a turn and will look at both by itself.
    turning: AtomicBool,
    worker: Mutex<Option<Waker>>,
    now_ms: AtomicU64,
    /// The run that goes on right now; 0 is none.
    current: AtomicU64,
}

/// Runs that may go on, in the order in which they were woken.
#[derive(Default)]
struct Ready {
    fresh: VecDeque<RunId>,
    /// Those that used so much CPU time that others go first.
    worn: VecDeque<RunId>,
}

impl Hub {
    /// Queues a frame; all frames of a turn leave in one write.
    ///
    /// # Errors
    /// [`TooLong`], for heads that no frame can hold. Nothing is queued then.
    pub(super) fn send(&self, frame: &ToNode) -> Result<(), TooLong> {
        frame.encode(&mut self.out.lock())?;
        self.wake();
        Ok(())
    }

    /// Does something with the bytes that wait to be written.
    pub(super) fn with_out<R>(&self, act: impl FnOnce(&mut BytesMut) -> R) -> R {
        act(&mut self.out.lock())
    }

    /// A turn begins: wakes are only noted from here on.
    pub(super) fn begin(&self, worker: &Waker, now_ms: u64) {
        self.now_ms.store(now_ms, Relaxed);
        self.turning.store(true, Relaxed);
        let mut known = self.worker.lock();
        if !known.as_ref().is_some_and(|known| known.will_wake(worker)) {
            *known = Some(worker.clone());
        }
    }

    /// The turn ends: from here on, wakes wake the worker.
    pub(super) fn end(&self) {
        self.turning.store(false, Relaxed);
    }

    /// The next run that may go on, of those that are not worn.
    pub(super) fn next_fresh(&self) -> Option<RunId> {
        self.ready.lock().fresh.pop_front()
    }

    /// The next worn run that may go on.
    pub(super) fn next_worn(&self) -> Option<RunId> {
        self.ready.lock().worn.pop_front()
    }

    /// Whether some run may go on.
    pub(super) fn has_ready(&self) -> bool {
        let ready = self.ready.lock();
        !ready.fresh.is_empty() || !ready.worn.is_empty()
    }

    /// The run that went on waits again, or ended.
    pub(super) fn paused(&self) {
        self.current.store(0, Relaxed);
    }

    /// Milliseconds from the worker's start to the start of this turn.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }

    /// A waker for one run, and the flag to lower before the run is polled.
    pub(super) fn waker(self: &Arc<Self>, run: RunId) -> Arc<RunWaker> {
        Arc::new(RunWaker {
            hub: Arc::clone(self),
            run,
            queued: AtomicBool::new(false),
            worn: AtomicBool::new(false),
        })
    }

    fn wake(&self) {
        if !self.turning.load(Relaxed)
            && let Some(worker) = &*self.worker.lock()
        {
            worker.wake_by_ref();
        }
    }
}

/// Puts its run among those that may go on.
pub(super) struct RunWaker {
    hub: Arc<Hub>,
    run: RunId,
    queued: AtomicBool,
    worn: AtomicBool,
}

impl RunWaker {
    /// The run lets others go first from now on. True if it did not before.
    pub(super) fn wear(&self) -> bool {
        if self.worn.swap(true, Relaxed) {
            return false;
        }
        // It may have been woken already.
        let mut ready = self.hub.ready.lock();
        if let Some(at) = ready.fresh.iter().position(|run| *run == self.run) {
            ready.fresh.remove(at);
            ready.worn.push_back(self.run);
        }
        true
    }

    /// To be called before the run is polled, so that a wake from within counts.
    pub(super) fn lower(&self) {
        self.queued.store(false, Relaxed);
        self.hub.current.store(self.run.0, Relaxed);
    }
}

impl Wake for RunWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Relaxed) {
            let mut ready = self.hub.ready.lock();
            if self.worn.load(Relaxed) {
                ready.worn.push_back(self.run);
            } else if self.hub.current.load(Relaxed) == self.run.0 {
                // It woke itself, and goes on before the next begins: most end then, while what they touch is still
                // in the processor's cache, and a hundred at once cost no more than one after the other.
                ready.fresh.push_front(self.run);
            } else {
                ready.fresh.push_back(self.run);
            }
            drop(ready);
            self.hub.wake();
        }
    }
}

#[cfg(test)]
mod tests;
