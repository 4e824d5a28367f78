//! Functions that compute get workers of their own, behind those of all others, and nobody else waits for
//! them. No test measures time: what is said is which worker had a run, and what ended before what.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says so by panicking"
)]

mod house;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cell::{CellConfig, Cells, Code, WorkerView};
use house::{answer, empty, run, run_within};
use model::{Fault, Limits, Outcome, TrustLabel, World};
use rustix::process::{Pid, Signal, kill_process};

/// A node, a function that does what its path says, and one that is friendly.
struct Stage {
    cells: Arc<Cells>,
    hostile: Vec<u8>,
    loops: Code,
    friendly: Code,
}

impl Stage {
    async fn set(config: CellConfig) -> Self {
        let cells = Cells::start(config).await.unwrap();
        let hostile = cells.compile(&house::guest("hostile.wasm"), World::P2).await.unwrap();
        let friendly = cells.compile(&house::guest("hello.wasm"), World::P2).await.unwrap();
        let (loops, friendly) =
            (Code::new(&hostile, World::P2).unwrap(), Code::new(&friendly, World::P2).unwrap());
        Self { cells, hostile, loops, friendly }
    }

    fn workers(&self) -> Vec<WorkerView> {
        self.cells.workers(&TrustLabel::default())
    }

    fn heavy(&self) -> Option<WorkerView> {
        self.workers().into_iter().find(|worker| worker.heavy)
    }

    fn light(&self) -> WorkerView {
        self.workers().into_iter().find(|worker| !worker.heavy).unwrap()
    }

    /// Computes until its limit, and nothing else.
    async fn compute(&self, cpu_ms: u64) {
        let limits = Limits { cpu_ms, ..patient() };
        let (running, broker) = run_within(&self.cells, &self.loops, "/loop", empty(), limits);
        assert_eq!(answer(running).await.unwrap_err(), Fault::CpuLimit);
        let (usage, outcome) = broker.end().await;
        assert!(matches!(outcome, Outcome::Failed(Fault::CpuLimit, _)), "{outcome:?}");
        assert!(usage.cpu_us > cpu_ms * 1_000, "{usage:?}");
    }

    async fn greet(&self) {
        let (running, _broker) = run(&self.cells, &self.friendly, "/", empty());
        assert_eq!(answer(running).await.unwrap().0, 200);
    }

    /// Computes until workers for it stand ready, and says which is the first of them.
    async fn provoke(&self) -> WorkerView {
        let started = Instant::now();
        loop {
            self.compute(30).await;
            if let Some(heavy) = self.heavy() {
                return heavy;
            }
            assert!(started.elapsed() < GUARD, "no worker for heavy functions");
        }
    }
}

/// After so long a test hangs.
const GUARD: Duration = Duration::from_secs(120);

/// Nothing but CPU time ends a run.
fn patient() -> Limits {
    Limits { cpu_ms: 60_000, wall_ms: 900_000, first_byte_ms: 900_000, ..Limits::default() }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < GUARD, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_computes_gets_workers_of_its_own() {
    let stage = Stage::set(house::real()).await;
    stage.greet().await;
    assert!(!stage.loops.is_heavy() && !stage.friendly.is_heavy());
    assert_eq!(stage.workers().len(), 1);
    // The first goes where all go, and starts nothing.
    let before = stage.light().given;
    stage.compute(30).await;
    assert!(stage.loops.is_heavy());
    assert_eq!((stage.light().given, stage.workers().len()), (before + 1, 1));

    stage.provoke().await;
    let (light, heavy) = (stage.light(), stage.heavy().unwrap());
    assert_ne!(light.pid, heavy.pid);
    assert_eq!(stage.cells.worker_pids(&TrustLabel::default()), [light.pid, heavy.pid]);
    for _ in 0..3 {
        stage.compute(30).await;
        stage.greet().await;
    }
    assert_eq!((stage.light().given, stage.heavy().unwrap().given), (light.given + 3, heavy.given + 3));
    assert!(!stage.friendly.is_heavy());
    assert_eq!((stage.cells.runs(), stage.cells.replaced()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_friendly_run_ends_before_a_worn_one_of_its_worker() {
    let stage = Stage::set(house::real()).await;
    let (computing, broker) = run_within(&stage.cells, &stage.loops, "/loop", empty(), patient());
    until("it wears out", || stage.loops.is_heavy()).await;
    for _ in 0..20 {
        stage.greet().await;
    }
    assert!(broker.ends.lock().is_empty(), "it ended first");
    assert_eq!((stage.light().runs, stage.workers().len()), (1, 1));
    drop(computing);
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::CallerGone, _)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worn_run_is_not_starved() {
    let stage = Arc::new(Stage::set(house::real()).await);
    let over = Arc::new(AtomicBool::new(false));
    let callers = (0..32).map(|_| {
        let (stage, over) = (Arc::clone(&stage), Arc::clone(&over));
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                stage.greet().await;
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    tokio::time::timeout(GUARD, stage.compute(200)).await.expect("it never goes on");
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(stage.workers().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_runs_end_by_their_own_limits() {
    let stage = Stage::set(house::real()).await;
    let heavy = stage.provoke().await;
    let all = [20, 40, 80, 160, 320].map(|cpu_ms| stage.compute(cpu_ms));
    futures_util::future::join_all(all).await;
    assert_eq!(stage.heavy().unwrap().given, heavy.given + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_heavy_worker_had_not_begun_moves_when_it_dies() {
    let stage = Stage::set(house::real()).await;
    let heavy = stage.provoke().await;
    let light = stage.light();
    signal(house::inner(heavy.pid), Signal::STOP);
    let killed = async {
        until("all are in it", || stage.heavy().is_some_and(|heavy| heavy.runs == 4)).await;
        signal(heavy.pid, Signal::KILL);
    };
    let all = futures_util::future::join_all([20, 40, 60, 80].map(|cpu_ms| stage.compute(cpu_ms)));
    tokio::join!(all, killed);
    assert_eq!(stage.cells.replaced(), 1);
    let after = stage.heavy().unwrap();
    assert_ne!(after.pid, heavy.pid);
    assert_eq!((after.given, stage.light()), (4, light));
}

/// That a run computes is nothing that its caller can have seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_worn_run_moves_too_as_long_as_nothing_came_of_it() {
    let stage = Stage::set(house::real()).await;
    let (computing, broker) = run_within(&stage.cells, &stage.loops, "/loop", empty(), patient());
    until("it wears out", || stage.loops.is_heavy()).await;
    let before = stage.light().pid;
    signal(before, Signal::KILL);
    until("another has it", || stage.workers().iter().any(|w| w.pid != before && w.runs == 1)).await;
    assert!(broker.ends.lock().is_empty());
    drop(computing);
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::CallerGone, _)));
}

#[tokio::test(flavor = "multi_thread")]
async fn cheap_runs_make_a_function_light_again() {
    let stage = Stage::set(house::real()).await;
    let heavy = stage.provoke().await;
    let light = stage.light();
    let mut cheap = 0;
    while stage.loops.is_heavy() {
        let (running, broker) = run(&stage.cells, &stage.loops, "/", empty());
        assert_eq!(answer(running).await.unwrap().0, 200);
        broker.end().await;
        cheap += 1;
        assert!(cheap < 100, "it stays heavy");
    }
    assert_eq!((stage.heavy().unwrap().given, stage.light().given), (heavy.given + cheap, light.given));
    let (running, _broker) = run(&stage.cells, &stage.loops, "/", empty());
    assert_eq!(answer(running).await.unwrap().0, 200);
    assert_eq!((stage.heavy().unwrap().given, stage.light().given), (heavy.given + cheap, light.given + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_a_worn_run_counts_as_fuller() {
    let stage = Stage::set(CellConfig { workers: 2, ..house::real() }).await;
    let (_computing, _broker) = run_within(&stage.cells, &stage.loops, "/loop", empty(), patient());
    until("it wears out", || stage.loops.is_heavy()).await;
    let worn = stage.workers().into_iter().find(|worker| worker.runs == 1).unwrap();
    let sleeps = Code::new(&stage.hostile, World::P2).unwrap();
    let asleep = (0..12).map(|_| run_within(&stage.cells, &sleeps, "/sleep?n=600000", empty(), patient()));
    let _asleep: Vec<_> = asleep.collect();
    let other = |worker: &WorkerView| worker.pid != worn.pid;
    assert_eq!(stage.workers().into_iter().filter(other).map(|w| w.runs).sum::<usize>(), 12);
    assert!(stage.workers().contains(&worn));
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_workers_that_nobody_uses_end_without_losing_a_run() {
    let config = CellConfig { label_idle: Duration::from_millis(300), ..house::real() };
    let stage = Stage::set(config).await;
    let light = stage.light().pid;
    for _ in 0..2 {
        stage.provoke().await;
        until("they stay", || stage.heavy().is_none()).await;
    }
    // Whatever comes while they end is answered.
    for _ in 0..8 {
        stage.compute(10).await;
        tokio::time::sleep(Duration::from_millis(299)).await;
    }
    assert_eq!((stage.light().pid, stage.cells.replaced()), (light, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_lanes_of_a_label_end_with_it() {
    let config = CellConfig { spares: 1, ..house::real() };
    let stage = Stage::set(config).await;
    stage.provoke().await;
    let label = TrustLabel::default();
    until("no spare of both", || stage.cells.spare_pids(&label).len() == 2).await;
    let (computing, broker) = run_within(&stage.cells, &stage.loops, "/loop", empty(), patient());
    assert_eq!((stage.heavy().unwrap().runs, stage.cells.runs()), (1, 1));
    stage.cells.stop();
    assert_eq!(answer(computing).await.unwrap_err(), Fault::Draining);
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::Draining, _)));
    assert!(stage.cells.worker_pids(&label).is_empty() && stage.cells.spare_pids(&label).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_a_lane_holds() {
    let stage = Stage::set(CellConfig { runs_max_per_worker: 3, ..house::real() }).await;
    stage.provoke().await;
    let begin = || run_within(&stage.cells, &stage.loops, "/loop", empty(), patient());
    let held: Vec<_> = (0..3).map(|_| begin()).collect();
    assert_eq!(stage.heavy().unwrap().runs, 3);
    let (one_more, broker) = begin();
    assert_eq!(answer(one_more).await.unwrap_err(), Fault::NodeBusy);
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::NodeBusy, _)));
    // The other lane has room.
    stage.greet().await;
    drop(held);
}

/// With a spare, whoever else calls is not kept by the first run that computes, nor by those beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_spare_takes_the_place_of_a_worker_that_computes() {
    let stage = Stage::set(CellConfig { spares: 1, ..house::real() }).await;
    let label = TrustLabel::default();
    let (before, spare) = (stage.light().pid, stage.cells.spare_pids(&label));
    let begin = || run_within(&stage.cells, &stage.loops, "/loop", empty(), patient());
    let computing: Vec<_> = (0..4).map(|_| begin()).collect();
    until("it goes behind", || stage.heavy().is_some_and(|heavy| heavy.pid == before)).await;
    assert_eq!(spare, [stage.light().pid]);
    assert_eq!((stage.heavy().unwrap().runs, stage.light().runs), (4, 0));
    let (behind, prompt) = (house::inner(before), house::inner(stage.light().pid));
    let own = nice(std::process::id());
    until("it has stepped back", || nice(behind) == (own + 10).min(19)).await;
    assert_eq!(nice(prompt), own);
    stage.greet().await;
    assert_eq!(stage.light().given, 1);
    // The next that computes goes to it at once.
    let (_one_more, _broker) = begin();
    assert_eq!((stage.heavy().unwrap().runs, stage.light().runs), (5, 0));
    until("another spare", || stage.cells.spare_pids(&label).len() == 2).await;
    assert_eq!((stage.cells.replaced(), stage.cells.runs()), (0, 5));
    for (running, broker) in computing {
        drop(running);
        assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::CallerGone, _)));
    }
    assert_eq!(stage.heavy().unwrap().pid, before, "it stays");
}

/// What nobody has heard of moves on, and the heavy lane is as large as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_went_behind_may_die_there() {
    let stage = Stage::set(CellConfig { spares: 1, ..house::real() }).await;
    let before = stage.light().pid;
    let (computing, broker) = run_within(&stage.cells, &stage.loops, "/loop", empty(), patient());
    until("it goes behind", || stage.heavy().is_some_and(|heavy| heavy.pid == before)).await;
    let light = stage.light();
    signal(before, Signal::KILL);
    let moved = |worker: &WorkerView| worker.heavy && worker.pid != before && worker.runs == 1;
    until("another has it", || stage.workers().iter().any(moved)).await;
    assert_eq!((stage.light(), stage.cells.replaced()), (light, 1));
    assert!(broker.ends.lock().is_empty());
    drop(computing);
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::CallerGone, _)));
}

/// Where the heavy lane has all that it may have, the worker goes with its last run.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_that_computes_leaves_with_its_last_run() {
    let stage = Stage::set(CellConfig { spares: 1, ..house::real() }).await;
    let label = TrustLabel::default();
    stage.provoke().await;
    until("a spare of both", || stage.cells.spare_pids(&label).len() == 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (before, heavy) = (stage.light().pid, stage.heavy().unwrap());
    let other = Code::new(&stage.hostile, World::P2).unwrap();
    let (computing, broker) = run_within(&stage.cells, &other, "/loop", empty(), patient());
    until("another takes its place", || stage.light().pid != before).await;
    assert_eq!((stage.heavy().unwrap(), stage.cells.runs()), (heavy, 1));
    stage.greet().await;
    drop(computing);
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::CallerGone, _)));
    until("it is gone", || !std::path::Path::new(&format!("/proc/{before}")).exists()).await;
    until("a spare of both", || stage.cells.spare_pids(&label).len() == 2).await;
    assert_eq!((stage.cells.replaced(), stage.cells.worker_pids(&label).len()), (0, 2));
}

/// The nice value of a process.
fn nice(pid: u32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Names may hold anything, so fields are counted from behind them.
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
}

/// Its slice, where the kernel tells it.
fn slice_ns(of: &str) -> Option<u64> {
    let told = std::fs::read_to_string(format!("/proc/{of}/sched")).ok()?;
    told.lines().find(|line| line.starts_with("se.slice"))?.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_workers_and_compilers_stand_behind() {
    let config = CellConfig { compile_args: vec!["compile-hang".into()], ..house::real() };
    let hanging = Cells::start(config).await.unwrap();
    let stage = Stage::set(house::real()).await;
    let heavy = stage.provoke().await;
    let (light, heavy) = (house::inner(stage.light().pid), house::inner(heavy.pid));
    let own = nice(std::process::id());
    let behind = (own + 10).min(19);
    assert_eq!((nice(light), nice(heavy)), (own, behind));

    let compiler = tokio::spawn(async move { hanging.compile(b"x", World::P2).await });
    let mut found = None;
    until("no compiler", || {
        found = compilers().first().copied();
        found.is_some()
    })
    .await;
    let compiler_pid = found.unwrap();
    assert_eq!(nice(compiler_pid), behind);

    // Slices, where the kernel knows of them: the light worker's alone is short.
    let slices = std::thread::spawn(|| {
        let usual = slice_ns("thread-self");
        cell::answer_promptly();
        (usual, slice_ns("thread-self"))
    });
    let (usual, short) = slices.join().unwrap();
    let all = [light, heavy, compiler_pid].map(|pid| slice_ns(&pid.to_string()));
    assert_eq!(all, [short, usual, usual]);
    compiler.abort();
}

/// Children of this process that are compilers.
fn compilers() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children"));
    let all = tasks.filter_map(|task| of(task.unwrap()).ok()).collect::<String>();
    let compiles = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.contains("compile-hang"))
    };
    all.split_whitespace().map(|pid| pid.parse().unwrap()).filter(compiles).collect()
}
