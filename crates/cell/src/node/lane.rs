//! The workers of one lane: which of them gets a run, and how those that go are replaced. It never decides
//! which lane a run belongs to: `pool` does.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use model::{Fault, TrustLabel, Usage};
use parking_lot::{Mutex, RwLock};

use super::{
    StartError, WorkerView,
    birth::{self, Born},
    door::Door,
    drive::{End, drive},
    link::{Link, Submitted},
    live::{MOVES_MAX, Pending},
    pool::{Pool, Shared},
    spawn::Priority,
};
use crate::slice;

/// Between two vain attempts to start a worker: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// In the light lane a worn run counts for so many others as well: whoever comes next goes where nobody
/// computes, unless that worker has very much to do.
const WORN_WEIGHT: usize = 16;
/// Between two workers of the light lane that are relieved, at least: each wants another to be started.
const RELIEF_EVERY: Duration = Duration::from_millis(250);

pub(super) struct Lane {
    shared: Arc<Shared>,
    label: TrustLabel,
    /// Where runs of a heavy lane go as long as it has no worker. None for a light one.
    light: Option<Arc<Lane>>,
    /// Where workers of a light lane go that have worn runs. Nowhere for a heavy one.
    pool: Weak<Pool>,
    /// When a worker was relieved last.
    relieved: Mutex<Option<Instant>>,
    /// Workers have started.
    ready: AtomicBool,
    members: RwLock<Members>,
    /// Runs that came while there was no worker at all.
    waiting: Mutex<VecDeque<Box<Pending>>>,
    turn: AtomicUsize,
    pub(super) door: Door,
    /// No worker is to start any longer.
    over: AtomicBool,
}

#[derive(Default)]
struct Members {
    links: Vec<Arc<Link>>,
    /// Ready, with no run, to take the place of one that goes.
    spares: Vec<Arc<Link>>,
    /// They get no more runs, and end with those that they have.
    leaving: Vec<Arc<Link>>,
}

impl Members {
    fn all(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.iter().chain(&self.spares).chain(&self.leaving)
    }
}

impl Lane {
    /// For runs that wait more than they compute.
    pub(super) fn light(shared: Arc<Shared>, label: TrustLabel, pool: Weak<Pool>) -> Arc<Self> {
        Self::new(shared, label, None, pool)
    }

    /// For runs that compute, with workers that stand behind those of `light`.
    pub(super) fn heavy(shared: Arc<Shared>, label: TrustLabel, light: Arc<Self>) -> Arc<Self> {
        Self::new(shared, label, Some(light), Weak::new())
    }

    fn new(shared: Arc<Shared>, label: TrustLabel, light: Option<Arc<Self>>, pool: Weak<Pool>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            label,
            light,
            pool,
            relieved: Mutex::default(),
            ready: AtomicBool::new(false),
            members: RwLock::default(),
            waiting: Mutex::default(),
            turn: AtomicUsize::new(0),
            door: Door::open(),
            over: AtomicBool::new(false),
        })
    }

    /// Starts all workers at once.
    ///
    /// # Errors
    /// The first one's reason not to be ready.
    pub(super) async fn start(self: &Arc<Self>) -> Result<(), StartError> {
        let born = (0..self.shared.config.wanted()).map(|_| self.bear());
        // All are taken in before the first failure is told, so that stopping the lane ends them.
        let joined = |born: Result<Born, StartError>| born.map(|born| self.join(born));
        let all: Vec<_> = futures_util::future::join_all(born).await.into_iter().map(joined).collect();
        all.into_iter().collect()
    }

    /// The same, in the background and with patience, but for so many that are there already.
    pub(super) fn start_later(self: &Arc<Self>, there: usize) {
        for _ in there..self.shared.config.wanted() {
            tokio::spawn(Arc::clone(self).replace());
        }
    }

    async fn bear(&self) -> Result<Born, StartError> {
        let priority = if self.light.is_some() { Priority::Behind } else { Priority::Prompt };
        birth::bear(&self.shared.config, &self.shared.spawner, priority).await
    }

    /// Takes a run in, or gives it back where the lane has retired.
    pub(super) fn take(self: &Arc<Self>, pending: Box<Pending>) -> Result<(), Box<Pending>> {
        self.door.enter(pending, |pending| self.dispatch(pending))
    }

    /// Ends all workers for good, if they have been idle for so long and nothing `keeps` them.
    pub(super) fn retire(&self, idle: Duration, keeps: impl Fn() -> bool) -> bool {
        let retires = self.door.shut(idle, || keeps() || self.runs() > 0 || !self.waiting.lock().is_empty());
        if retires {
            tracing::info!(label = self.label.0, heavy = self.light.is_some(), "idle workers end");
            self.stop();
        }
        retires
    }

    fn is_over(&self) -> bool {
        self.shared.stopping.load(Ordering::Relaxed) || self.over.load(Ordering::SeqCst)
    }

    /// Gives a run to the worker with the fewest, the next in turn among equals.
    pub(super) fn dispatch(self: &Arc<Self>, mut pending: Box<Pending>) {
        if pending.moves > MOVES_MAX {
            return pending.fail(Fault::WorkerDied, "every worker that it was given to died");
        }
        if let Some(light) = self.light.as_ref().filter(|_| !self.ready.load(Ordering::Relaxed)) {
            return light.dispatch(pending);
        }
        loop {
            if self.shared.stopping.load(Ordering::Relaxed) {
                return pending.fail(Fault::Draining, "the node is stopping");
            }
            let members = self.members.read();
            let Some(link) = self.choose(&members.links) else {
                let most = self.shared.config.workers.max(1) * self.shared.config.runs_max();
                let mut waiting = self.waiting.lock();
                if waiting.len() < most {
                    waiting.push_back(pending);
                    return;
                }
                drop((waiting, members));
                return pending.fail(Fault::NodeBusy, "no worker is ready");
            };
            drop(members);
            if link.load() == usize::MAX {
                // All are closed, and about to be replaced: whoever closes them takes them off the list.
                self.forget(&link);
                continue;
            }
            match link.submit(pending) {
                Submitted::Taken => return,
                Submitted::Over(pending, fault) => return pending.fail(fault, fault.sentence()),
                Submitted::Back(back) if link.load() == usize::MAX => pending = back,
                Submitted::Back(back) => return back.fail(Fault::NodeBusy, "every worker is full"),
            }
        }
    }

    fn choose(&self, links: &[Arc<Link>]) -> Option<Arc<Link>> {
        let weight = if self.light.is_some() { 0 } else { WORN_WEIGHT };
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let inturn = (0..links.len()).filter_map(|at| links.get((first.wrapping_add(at)) % links.len()));
        // The first of the least.
        inturn.min_by_key(|link| link.fullness(weight)).cloned()
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.members.read().links.iter().map(|link| link.pid).collect()
    }

    pub(super) fn spare_pids(&self) -> Vec<u32> {
        self.members.read().spares.iter().map(|link| link.pid).collect()
    }

    pub(super) fn views(&self) -> Vec<WorkerView> {
        let heavy = self.light.is_some();
        let members = self.members.read();
        let open = members.links.iter().filter(|link| !link.is_closed());
        open.map(|link| WorkerView { pid: link.pid, heavy, runs: link.load(), given: link.given() }).collect()
    }

    pub(super) fn runs(&self) -> usize {
        self.members.read().all().filter(|link| !link.is_closed()).map(|link| link.load()).sum()
    }

    /// Ends all workers and everything that waits.
    pub(super) fn stop(&self) {
        self.over.store(true, Ordering::SeqCst);
        let members = std::mem::take(&mut *self.members.write());
        members.all().for_each(|link| link.close());
        self.fail_waiting(Fault::Draining, "the node is stopping");
    }

    fn fail_waiting(&self, fault: Fault, detail: &str) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for pending in waiting {
            pending.fail(fault, detail);
        }
    }

    /// Takes a ready worker in, and lets a task of its own work with it.
    fn join(self: &Arc<Self>, born: Born) {
        self.shared.walls.fetch_and(born.link.walls.0, Ordering::Relaxed);
        let link = Arc::clone(&born.link);
        let mut members = self.members.write();
        if members.links.len() < self.shared.config.workers.max(1) {
            members.links.push(link);
        } else if members.spares.len() < self.shared.config.spares {
            members.spares.push(link);
        } else {
            // Another came into its place meanwhile.
            link.leave();
            members.leaving.push(link);
        }
        drop(members);
        self.ready.store(true, Ordering::Relaxed);
        tokio::spawn(Arc::clone(self).work_with(born));
        self.dispatch_waiting();
        self.relieve();
    }

    /// Where a worker of the light lane has a worn run and a spare is ready, the spare takes its place, and it goes
    /// on behind the others: as one of the heavy lane's, or to its last run where that has enough.
    fn relieve(self: &Arc<Self>) {
        let Some(pool) = self.pool.upgrade().filter(|_| !self.is_over()) else { return };
        let mut members = self.members.write();
        let worn = members.links.iter().position(|link| link.worn() > 0 && !link.is_closed());
        let (Some(at), false) = (worn, members.spares.is_empty()) else { return };
        let mut relieved = self.relieved.lock();
        if relieved.is_some_and(|last| last.elapsed() < RELIEF_EVERY) {
            return;
        }
        let Some(link) = members.links.get(at).map(Arc::clone) else { return };
        if !pool.adopt(&link) {
            if members.leaving.len() >= self.shared.config.workers.max(1) {
                return;
            }
            link.leave();
            members.leaving.push(Arc::clone(&link));
        }
        *relieved = Some(Instant::now());
        if let (Some(spare), Some(place)) = (members.spares.pop(), members.links.get_mut(at)) {
            *place = spare;
        }
        drop((members, relieved));
        tracing::debug!(pid = link.pid, label = self.label.0, "a worker that computes stands behind");
        step_back(link.pid);
        tokio::spawn(Arc::clone(self).replace());
    }

    /// Takes in a worker of the light lane, if there is room.
    pub(super) fn adopt(&self, link: &Arc<Link>) -> bool {
        self.door.hold(|| {
            let mut members = self.members.write();
            let room = !self.is_over() && members.links.len() < self.shared.config.workers.max(1);
            if room {
                members.links.push(Arc::clone(link));
                self.ready.store(true, Ordering::Relaxed);
            }
            room
        })
    }

    pub(super) fn has(&self, link: &Arc<Link>) -> bool {
        self.members.read().all().any(|known| Arc::ptr_eq(known, link))
    }

    fn dispatch_waiting(self: &Arc<Self>) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for pending in waiting {
            self.dispatch(pending);
        }
    }

    async fn work_with(self: Arc<Self>, born: Born) {
        let Born { link, child, stream, input } = born;
        let (end, written) = drive(&link, stream, input, || self.relieve()).await;
        self.shared.spawner.end(child);
        let adopted = self.pool.upgrade().and_then(|pool| pool.who_adopted(&link));
        let lane = adopted.unwrap_or(self);
        lane.door.hold(|| lane.part_with(&link, &end, written));
    }

    /// Takes leave of a worker that ended, and gives what may still run to others.
    fn part_with(self: &Arc<Self>, link: &Arc<Link>, end: &End, written: u64) {
        let runs = link.shut();
        let asked = matches!(end, End::Asked) || self.shared.stopping.load(Ordering::Relaxed);
        let missed = self.forget(link);
        if !asked && missed {
            let (label, pid) = (&self.label.0, link.pid);
            tracing::warn!(pid, label, runs = runs.len(), %end, "a worker is replaced");
            self.shared.replaced.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(Arc::clone(self).replace());
            self.dispatch_waiting();
        }
        let died = matches!(end, End::Died);
        let suspects = runs.iter().filter(|(live, mapped)| live.is_suspect(written, *mapped)).count();
        let fault = if asked { Fault::Draining } else { end.fault() };
        for (live, mapped) in runs {
            let kept =
                if asked { Err(Box::new(live)) } else { live.moved((written, mapped), (died, suspects)) };
            match kept {
                Ok(pending) => self.dispatch(pending),
                Err(live) => {
                    let waker = live.end(Usage::default(), Some((fault, end.to_string())));
                    waker.into_iter().for_each(std::task::Waker::wake);
                }
            }
        }
    }

    /// No worker starts: what waits for one waits no longer.
    fn despair(&self) {
        let Some(light) = &self.light else {
            return self.fail_waiting(Fault::WorkerDied, "no worker starts");
        };
        self.ready.store(false, Ordering::Relaxed);
        self.door.hold(|| {
            let waiting = std::mem::take(&mut *self.waiting.lock());
            waiting.into_iter().for_each(|pending| light.dispatch(pending));
        });
    }

    /// Takes a link off the list, and a spare into its place. Says whether it is missed: it did not leave.
    fn forget(&self, link: &Arc<Link>) -> bool {
        let other = |l: &Arc<Link>| !Arc::ptr_eq(l, link);
        let mut members = self.members.write();
        let missed = members.leaving.iter().all(other);
        members.leaving.retain(other);
        members.spares.retain(other);
        if let Some(at) = members.links.iter().position(|l| Arc::ptr_eq(l, link)) {
            members.links.swap_remove(at);
            if let Some(spare) = members.spares.pop() {
                members.links.push(spare);
            }
        }
        missed
    }

    /// Starts one worker, until one starts or the node stops.
    async fn replace(self: Arc<Self>) {
        let (mut pause, longest) = RETRY;
        while !self.is_over() {
            match self.bear().await {
                Ok(born) => {
                    self.join(born);
                    // That may have changed between the look above and the joining.
                    if self.is_over() {
                        self.stop();
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(label = self.label.0, %error, "a worker did not start");
                    if self.members.read().links.is_empty() {
                        self.despair();
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }
}

/// Lets a worker's process, and the one around it where there is one, have what others leave it.
fn step_back(pid: u32) {
    let inner = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for pid in inner.split_whitespace().filter_map(|pid| pid.parse().ok()).chain([pid]) {
        if let Err(error) = slice::stand_behind(pid) {
            tracing::debug!(pid, %error, "a worker that computes does not stand behind");
        }
    }
}
