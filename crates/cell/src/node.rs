//! The node's half: it gives runs to workers, watches them, and believes nothing that they say. It never
//! runs a guest and never decides what a guest may have.

mod answer;
mod birth;
mod calls;
mod code;
mod door;
mod drive;
mod lane;
mod link;
mod live;
mod pool;
mod pump;
mod spawn;

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use model::{Fault, Limits, TrustLabel, limits};
use parking_lot::RwLock;

pub use answer::{AnswerBody, Running};
pub use code::Code;
pub(crate) use {birth::WORDS_BYTES_MAX, code::sealed, spawn::Held, spawn::Priority, spawn::Spawner};

use crate::{BodyStream, Broker, Walls};
use answer::Slot;
use live::{Finish, Pending};
use pool::{Pool, Shared};

/// How a node starts its children.
#[derive(Debug, Clone)]
pub struct CellConfig {
    /// The executable that holds both kinds of child.
    pub program: PathBuf,
    /// Arguments with which it calls [`crate::worker_main`] first of all.
    pub worker_args: Vec<OsString>,
    /// Arguments with which it calls [`crate::compile_main`] first of all; the world, `wasi-0.2` or
    /// `wasi-0.3`, comes after them.
    pub compile_args: Vec<OsString>,
    /// Workers for each trust label; one for each core is right. As many again for its heavy functions, while
    /// it has such.
    pub workers: usize,
    /// Workers for each trust label that are ready to take the place of one that goes.
    pub spares: usize,
    /// How long the workers of a trust label other than the usual stay without a run.
    pub label_idle: Duration,
    /// How long the compilation of one component may take; never more than `COMPILE_WALL_MS`.
    pub compile_wall: Duration,
    /// Runs in one worker at once; never more than `WORKER_RUNS_MAX`.
    pub runs_max_per_worker: usize,
    /// Walls without which no worker is worked with.
    pub required: Walls,
}

impl CellConfig {
    /// One worker for each core and no spare, all required walls, `worker` and `compile` as arguments.
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            worker_args: vec!["worker".into()],
            compile_args: vec!["compile".into()],
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            spares: 0,
            label_idle: Duration::from_millis(limits::WORKER_IDLE_MS),
            compile_wall: Duration::from_millis(limits::COMPILE_WALL_MS),
            runs_max_per_worker: limits::WORKER_RUNS_MAX as usize,
            required: Walls::REQUIRED,
        }
    }

    fn runs_max(&self) -> usize {
        self.runs_max_per_worker.clamp(1, limits::WORKER_RUNS_MAX as usize)
    }

    fn wanted(&self) -> usize {
        self.workers.max(1) + self.spares
    }
}

/// Why no worker started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process could not be started.
    #[error("a worker could not be started: {0}")]
    Spawn(#[from] std::io::Error),
    /// It ended or was silent; with what it wrote to its standard error.
    #[error("a worker did not become ready: {0}")]
    NotReady(String),
    /// It is of another build.
    #[error("a worker speaks version {worker} of the protocol, this node {node}")]
    Version {
        /// The worker's.
        worker: u16,
        /// This node's.
        node: u16,
    },
    /// The kernel does not have these walls.
    #[error("these walls do not stand around a worker: `{}`", .0.join("`, `"))]
    Walls(Vec<&'static str>),
}

/// The body of a request to a function.
pub enum RequestBody {
    /// All of it.
    Full(Bytes),
    /// Piece by piece, taken as fast as the guest takes it.
    Stream(BodyStream),
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("a stream"),
        }
    }
}

/// One run of a function.
pub struct Run {
    /// Its compiled code.
    pub code: Code,
    /// Whose workers it may share.
    pub trust: TrustLabel,
    /// Its bounds.
    pub limits: Limits,
    /// What it is to answer. A target without scheme counts as `https`, one without authority is sent to its
    /// `host`.
    pub request: http::Request<RequestBody>,
    /// What answers its wishes.
    pub broker: Arc<dyn Broker>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("code", &self.code).field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// One worker, as it is seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerView {
    /// Of the process that was spawned, as in [`Cells::worker_pids`].
    pub pid: u32,
    /// Whether it is one of those for heavy functions.
    pub heavy: bool,
    /// Runs under way in it.
    pub runs: usize,
    /// Runs that it was ever given.
    pub given: u64,
}

/// All workers of a node.
pub struct Cells {
    shared: Arc<Shared>,
    usual: (TrustLabel, Arc<Pool>),
    others: RwLock<HashMap<TrustLabel, Arc<Pool>>>,
    compiling: tokio::sync::Semaphore,
}

impl Cells {
    /// Starts the workers of the default trust label and waits until they are ready behind their walls.
    /// To be called within a runtime, which must live as long as the cells.
    ///
    /// # Errors
    /// [`StartError`], which names the walls that are missing. Nothing is left running then.
    pub async fn start(config: CellConfig) -> Result<Arc<Self>, StartError> {
        let shared = Arc::new(Shared {
            config,
            spawner: Spawner::start()?,
            stopping: AtomicBool::new(false),
            walls: AtomicU16::new(u16::MAX),
            replaced: std::sync::atomic::AtomicU64::new(0),
        });
        let label = TrustLabel::default();
        let pool = Pool::new(Arc::clone(&shared), label.clone());
        let cells = Arc::new(Self {
            shared,
            usual: (label, Arc::clone(&pool)),
            others: RwLock::default(),
            compiling: tokio::sync::Semaphore::new(COMPILATIONS_MAX),
        });
        pool.start().await?;
        tokio::spawn(retire_idle(Arc::downgrade(&cells), cells.shared.config.label_idle));
        Ok(cells)
    }

    /// The walls that stand around every worker started so far.
    pub fn walls(&self) -> Walls {
        Walls(self.shared.walls.load(Ordering::Relaxed))
    }

    /// Runs a function. Its broker hears of its end exactly once, whatever happens.
    pub fn run(&self, run: Run) -> Running {
        let Run { code, trust, limits, request, broker } = run;
        let slot = Arc::new(Slot::default());
        let running = Running::new(Arc::clone(&slot));
        let (head, body) = request.into_parts();
        let refused = refusal(&limits, &head, &body);
        let finish = Finish::new(broker);
        let pending = Box::new(Pending { slot, finish, code, limits, head, body, moves: 0 });
        match refused {
            Some(fault) => pending.fail(fault, fault.sentence()),
            None => self.dispatch(&trust, pending),
        }
        running
    }

    /// Process ids of the workers of a label, none if it was never used. Where workers have a process
    /// namespace, the worker itself is this process's only child.
    pub fn worker_pids(&self, label: &TrustLabel) -> Vec<u32> {
        self.known_pool(label).map(|pool| pool.pids()).unwrap_or_default()
    }

    /// Process ids of the spares of a label.
    pub fn spare_pids(&self, label: &TrustLabel) -> Vec<u32> {
        self.known_pool(label).map(|pool| pool.spare_pids()).unwrap_or_default()
    }

    /// The workers of a label that take runs, one by one.
    pub fn workers(&self, label: &TrustLabel) -> Vec<WorkerView> {
        self.known_pool(label).map(|pool| pool.views()).unwrap_or_default()
    }

    /// Runs under way, over all labels.
    pub fn runs(&self) -> usize {
        self.usual.1.runs() + self.others.read().values().map(|pool| pool.runs()).sum::<usize>()
    }

    /// Workers that were replaced since the start.
    pub fn replaced(&self) -> u64 {
        self.shared.replaced.load(Ordering::Relaxed)
    }

    /// Ends all workers. Runs still under way, and all that come later, get [`Fault::Draining`].
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.usual.1.stop();
        for pool in self.others.read().values() {
            pool.stop();
        }
    }

    pub(crate) fn spawner(&self) -> &Spawner {
        &self.shared.spawner
    }

    pub(crate) fn config(&self) -> &CellConfig {
        &self.shared.config
    }

    pub(crate) fn compiling(&self) -> &tokio::sync::Semaphore {
        &self.compiling
    }

    fn dispatch(&self, label: &TrustLabel, mut pending: Box<Pending>) {
        if *label == self.usual.0 {
            return self.usual.1.dispatch(pending);
        }
        // A pool that retires is taken off the list under the lock that the next look waits for.
        while let Err(back) = self.pool(label).take(pending) {
            pending = back;
        }
    }

    fn known_pool(&self, label: &TrustLabel) -> Option<Arc<Pool>> {
        if *label == self.usual.0 {
            return Some(Arc::clone(&self.usual.1));
        }
        self.others.read().get(label).map(Arc::clone)
    }

    fn pool(&self, label: &TrustLabel) -> Arc<Pool> {
        if let Some(known) = self.known_pool(label) {
            return known;
        }
        let mut others = self.others.write();
        let pool = others.entry(label.clone()).or_insert_with(|| {
            let pool = Pool::new(Arc::clone(&self.shared), label.clone());
            pool.start_later();
            pool
        });
        Arc::clone(pool)
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// Ends the workers that nobody uses any longer, of labels and of heavy functions, until the cells are gone.
async fn retire_idle(cells: Weak<Cells>, idle: Duration) {
    let heavy_idle = idle.min(Duration::from_millis(limits::HEAVY_IDLE_MS));
    loop {
        tokio::time::sleep((heavy_idle / 4).max(Duration::from_millis(10))).await;
        let Some(cells) = cells.upgrade() else { return };
        cells.usual.1.retire_heavy(heavy_idle);
        cells.others.read().values().for_each(|pool| pool.retire_heavy(heavy_idle));
        cells.others.write().retain(|_, pool| !pool.retire(idle));
    }
}

/// Compilations at once.
const COMPILATIONS_MAX: usize = 2;

/// What the worker would refuse too.
fn refusal(limits: &Limits, head: &http::request::Parts, body: &RequestBody) -> Option<Fault> {
    let headers: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let target = head.uri.path_and_query().map_or(1, |t| t.as_str().len());
    if (headers + target) as u64 > limits.request_header_bytes {
        return Some(Fault::RequestHeaderLimit);
    }
    match body {
        RequestBody::Full(bytes) if bytes.len() as u64 > limits.request_body_bytes => {
            Some(Fault::RequestBodyLimit)
        }
        _ => None,
    }
}
