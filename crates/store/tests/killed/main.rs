//! The store under `kill -9`: a process of its own runs a mixed load and tells what it begins and what was
//! acknowledged; it is killed at a random moment, and an oracle that knows what was told reads what is left.
//!
//! `CASEMATE_LONG=1` makes 500 rounds of it. `CASEMATE_SEED=N` repeats the choices of a failed run.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and its figures are printed"
)]

mod load;
mod oracle;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant, SystemTime},
};

use load::{Plan, Random};
use oracle::{Figures, Oracle};

/// Rounds, and rounds with `CASEMATE_LONG`.
const ROUNDS: [usize; 2] = [40, 500];
/// Rounds on one folder, one after the other.
const ROUNDS_OF_A_FOLDER: usize = 10;
/// A process is killed this long after its store was open, at the latest.
const LIFE_MS_MAX: u64 = 140;

#[test]
fn a_killed_store_keeps_what_it_acknowledged_and_nothing_else() {
    let seed = match std::env::var("CASEMATE_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    println!("CASEMATE_SEED={seed}");
    let rounds = ROUNDS[usize::from(std::env::var_os("CASEMATE_LONG").is_some())];
    let mut random = Random(seed);
    let (mut figures, start) = (Figures::default(), Instant::now());
    for first in (0..rounds).step_by(ROUNDS_OF_A_FOLDER) {
        let folder = tempfile::tempdir().unwrap();
        let sealed = (first / ROUNDS_OF_A_FOLDER) % 2 == 1;
        let mut oracle = Oracle::new(sealed);
        for round in first..rounds.min(first + ROUNDS_OF_A_FOLDER) {
            println!("round {round}, sealed: {sealed}");
            let plan = Plan { sealed, seed: random.next(), round };
            oracle.hear(&killed(folder.path(), &plan, Duration::from_millis(random.below(LIFE_MS_MAX))));
            oracle.judge(folder.path(), round, &mut figures);
        }
    }
    println!("{rounds} rounds in {:.1} s: {figures:?}", start.elapsed().as_secs_f64());
    assert!(figures.kept > rounds && figures.conflicts > 0 && figures.deletes > 0, "{figures:?}");
    assert!(figures.blobs_put > 0 && figures.blobs_deleted > 0 && figures.killed_within > 0, "{figures:?}");
}

/// Runs the load in a process of its own, kills it a while after its store was open (or, now and then, after
/// it was started), and gives what it told.
fn killed(folder: &Path, plan: &Plan, life: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["the_process_that_is_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(Plan::VARIABLE, plan.encode(folder))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stderr.take().unwrap());
    let (opened, is_open) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        // A line that the kill cut off was told by nobody.
        let mut lines = Vec::new();
        for line in told.lines().map_while(Result::ok) {
            if line == load::OPEN {
                // Who kills it sooner does not wait.
                let _ = opened.send(());
            }
            lines.push(line);
        }
        lines
    });
    if !plan.round.is_multiple_of(5) {
        is_open.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    std::thread::sleep(life);
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(is_open);
    let told = reader.join().unwrap();
    assert!(ended.is_none(), "the process ended by itself:\n{}", told.join("\n"));
    told
}

/// Not a test of its own: the process that is killed.
#[test]
fn the_process_that_is_killed() {
    if let Ok(text) = std::env::var(Plan::VARIABLE) {
        load::run(&Plan::decode(&text));
    }
}
