//! The workers of one trust label, in two lanes: which of them a run goes to, and how long the second one
//! stays. It never gives a run to a worker of another label.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU64},
    },
    time::Duration,
};

use model::TrustLabel;
use parking_lot::RwLock;

use super::{CellConfig, StartError, WorkerView, lane::Lane, link::Link, live::Pending, spawn::Spawner};

/// What all pools of a node share.
pub(super) struct Shared {
    pub(super) config: CellConfig,
    pub(super) spawner: Spawner,
    pub(super) stopping: AtomicBool,
    /// The walls that stand around every worker.
    pub(super) walls: AtomicU16,
    /// Workers that were replaced.
    pub(super) replaced: AtomicU64,
}

pub(super) struct Pool {
    shared: Arc<Shared>,
    label: TrustLabel,
    light: Arc<Lane>,
    /// For runs of code that computes for long: none until there is such, and none again when there was none
    /// for a while.
    heavy: RwLock<Option<Arc<Lane>>>,
}

impl Pool {
    pub(super) fn new(shared: Arc<Shared>, label: TrustLabel) -> Arc<Self> {
        Arc::new_cyclic(|pool| {
            let light = Lane::light(Arc::clone(&shared), label.clone(), pool.clone());
            Self { shared, label, light, heavy: RwLock::default() }
        })
    }

    /// Starts the light lane's workers at once.
    ///
    /// # Errors
    /// The first one's reason not to be ready.
    pub(super) async fn start(&self) -> Result<(), StartError> {
        self.light.start().await
    }

    /// The same, in the background and with patience.
    pub(super) fn start_later(&self) {
        self.light.start_later(0);
    }

    /// Takes a run in, or gives it back where the pool has retired.
    pub(super) fn take(&self, pending: Box<Pending>) -> Result<(), Box<Pending>> {
        self.light.door.enter(pending, |pending| self.dispatch(pending))
    }

    /// Gives a run to the lane that its code belongs to.
    pub(super) fn dispatch(&self, mut pending: Box<Pending>) {
        if !pending.code.is_heavy() {
            return self.light.dispatch(pending);
        }
        // A lane that retires is taken away under the lock that the next look waits for.
        while let Err(back) = self.heavy().take(pending) {
            pending = back;
        }
    }

    fn heavy(&self) -> Arc<Lane> {
        if let Some(known) = &*self.heavy.read() {
            return Arc::clone(known);
        }
        let mut heavy = self.heavy.write();
        let lane = heavy.get_or_insert_with(|| {
            let lane = self.new_heavy();
            lane.start_later(0);
            lane
        });
        Arc::clone(lane)
    }

    fn new_heavy(&self) -> Arc<Lane> {
        tracing::info!(label = self.label.0, "workers for heavy functions start");
        Lane::heavy(Arc::clone(&self.shared), self.label.clone(), Arc::clone(&self.light))
    }

    /// Lets a worker of the light lane go on in the heavy one. False where that has all that it may have.
    pub(super) fn adopt(&self, link: &Arc<Link>) -> bool {
        // INVARIANT: a lane that retires is taken away under the same lock.
        let mut heavy = self.heavy.write();
        if let Some(lane) = &*heavy {
            return lane.adopt(link);
        }
        let lane = self.new_heavy();
        let adopted = lane.adopt(link);
        lane.start_later(usize::from(adopted));
        *heavy = Some(lane);
        adopted
    }

    /// The heavy lane, if it has this worker.
    pub(super) fn who_adopted(&self, link: &Arc<Link>) -> Option<Arc<Lane>> {
        self.heavy.read().as_ref().filter(|lane| lane.has(link)).map(Arc::clone)
    }

    /// Ends the heavy lane, if nobody has used it for so long.
    pub(super) fn retire_heavy(&self, idle: Duration) {
        let mut heavy = self.heavy.write();
        if heavy.as_ref().is_some_and(|lane| lane.retire(idle, || false)) {
            *heavy = None;
        }
    }

    /// Ends all workers for good, if they have been idle for so long.
    pub(super) fn retire(&self, idle: Duration) -> bool {
        self.light.retire(idle, || self.heavy.read().is_some())
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.lanes().flat_map(|lane| lane.pids()).collect()
    }

    pub(super) fn spare_pids(&self) -> Vec<u32> {
        self.lanes().flat_map(|lane| lane.spare_pids()).collect()
    }

    pub(super) fn views(&self) -> Vec<WorkerView> {
        self.lanes().flat_map(|lane| lane.views()).collect()
    }

    pub(super) fn runs(&self) -> usize {
        self.lanes().map(|lane| lane.runs()).sum()
    }

    /// Ends all workers and everything that waits.
    pub(super) fn stop(&self) {
        self.lanes().for_each(|lane| lane.stop());
    }

    fn lanes(&self) -> impl Iterator<Item = Arc<Lane>> + use<> {
        [Some(Arc::clone(&self.light)), self.heavy.read().clone()].into_iter().flatten()
    }
}
