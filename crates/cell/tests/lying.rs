//! Workers that lie, stall or die cost their own requests a clear fault, and are replaced. One line is one
//! play of the probe's.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test says so by panicking"
)]

mod house;

use std::time::{Duration, Instant};

use bytes::Bytes;
use cell::{CellConfig, Cells, Code};
use house::{answer, any_code, empty, playing, run, run_within};
use http_body_util::BodyExt;
use model::{Fault, Limits, Outcome, TrustLabel, World};

fn limits() -> Limits {
    // Less than the window, so that the one is met before the other.
    Limits { outbound_calls: 10, response_body_bytes: 100 << 10, ..Limits::default() }
}

async fn pids_after(cells: &Cells, before: &[u32]) -> Vec<u32> {
    for _ in 0..1_000 {
        let pids = cells.worker_pids(&TrustLabel::default());
        if !pids.is_empty() && pids != before {
            return pids;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("no other worker came");
}

/// Their answer is whole before the lie.
const WHOLE_BEFORE: [&str; 3] = ["done-twice", "body-after-end", "heavy-after-end"];

/// One run in a worker that plays `script` gets `expect`; its broker hears so once; another worker comes.
async fn check_with(script: &str, limits: Limits, expect: Fault) {
    let cells = Cells::start(playing(script)).await.unwrap();
    let before = cells.worker_pids(&TrustLabel::default());
    let (running, broker) = run_within(&cells, &any_code(), "/", empty(), limits);
    let answered = tokio::time::timeout(Duration::from_secs(15), answer(running)).await.expect(script);
    let (_, outcome) = broker.end().await;
    // What crossed the wall before the lie was no lie: an answer that was whole stays whole.
    match answered {
        Ok(_) => assert!(WHOLE_BEFORE.contains(&script), "{script} answered"),
        Err(fault) => assert_eq!(fault, expect, "{script}"),
    }
    match outcome {
        Outcome::Failed(fault, _) => assert_eq!(fault, expect, "{script}"),
        Outcome::Answered(_) => assert!(["done-twice", "heavy-after-end"].contains(&script), "{script}"),
    }
    let after = pids_after(&cells, &before).await;
    assert_eq!(after.len(), 1, "{script}");
    assert_eq!(cells.runs(), 0, "{script}");
    assert_eq!(broker.ends.lock().len(), 1, "{script}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_is_the_last() {
    for script in [
        "garbage",
        "oversized",
        "foreign-run",
        "ready-twice",
        "pong-unasked",
        "head-twice",
        "done-twice",
        "body-before-head",
        "body-after-end",
        "body-beyond-limit",
        "end-without-answer",
        "end-within-answer",
        "bad-status",
        "bad-header",
        "split-header",
        "headers-beyond-limit",
        "log-beyond-limit",
        "loaded-unasked",
        "load-failed-unasked",
        "credit-nothing",
        "length-too-low",
        "credit-unearned",
        "call-unmade",
        "call-twice",
        "calls-beyond-limit",
        "calls-exhausted-early",
        "calls-exhausted-twice",
        "call-beyond-window",
        "heavy-twice",
        "heavy-foreign",
        "heavy-after-end",
    ] {
        check_with(script, limits(), Fault::WorkerLied).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_its_window_is_a_lie_though_it_is_within_its_limit() {
    let cells = Cells::start(playing("body-beyond-window")).await.unwrap();
    let (running, broker) = run(&cells, &any_code(), "/", empty());
    // Nothing of the body is taken, so no room is made for more.
    let response = running.await;
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::WorkerLied, _)));
    if let Ok(response) = response {
        assert_eq!(response.into_body().collect().await.unwrap_err(), Fault::WorkerLied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn death_is_told() {
    check_with("dies", limits(), Fault::WorkerDied).await;
    check_with("killed-by-wall", limits(), Fault::WorkerDied).await;
    check_with("forks", limits(), Fault::WorkerDied).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standing_still_is_noticed() {
    let quick = Limits { wall_ms: 200, ..limits() };
    // It answers pings, but its run never ends.
    let silent = check_with("silent", quick, Fault::WorkerStalled);
    // Its run might take longer, but it does not answer pings.
    let unread = check_with("never-reads", limits(), Fault::WorkerStalled);
    // Its next frame never ends: what comes after it is never heard.
    let unended = check_with("length-too-high", limits(), Fault::WorkerStalled);
    let unheard = check_with("writes-without-end", limits(), Fault::WorkerStalled);
    tokio::join!(silent, unread, unended, unheard);
}

/// A run's number means something on one socket alone, and once.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_hurts_nobody_else() {
    let cells = Cells::start(CellConfig { workers: 2, ..playing("replays") }).await.unwrap();
    let code = any_code();
    // The first run of the one worker is under way, that of the other is over.
    let (held, _) = run(&cells, &code, "/hold", empty());
    let (live, _) = run(&cells, &code, "/live", empty());
    assert_eq!(answer(live).await.unwrap().1, "hello");
    let (lie, broker) = run(&cells, &code, "/lie", empty());
    assert_eq!(answer(lie).await.unwrap_err(), Fault::WorkerLied);
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::WorkerLied, _)));
    assert_eq!(answer(held).await.unwrap(), (200, Bytes::from("held")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_worker_is_replaced() {
    let cells = Cells::start(house::real()).await.unwrap();
    let compiled = cells.compile(&house::guest("hello.wasm"), World::P2).await.unwrap();
    let code = Code::new(&compiled, World::P2).unwrap();
    let (running, _) = run(&cells, &code, "/", empty());
    answer(running).await.unwrap();
    let before = cells.worker_pids(&TrustLabel::default());
    signal(house::inner(before[0]), rustix::process::Signal::STOP);
    let (running, broker) = run(&cells, &code, "/", empty());
    assert_eq!(answer(running).await.unwrap_err(), Fault::WorkerStalled);
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::WorkerStalled, _)));
    pids_after(&cells, &before).await;
    let (running, _) = run(&cells, &code, "/", empty());
    assert_eq!(answer(running).await.unwrap().0, 200);
}

/// However many workers die, only what somebody can have seen begin is lost: 50 of them, 1,000 with `CASEMATE_LONG`.
#[tokio::test(flavor = "multi_thread")]
async fn deaths_under_load_lose_nothing_that_had_not_begun() {
    let deaths = if std::env::var_os("CASEMATE_LONG").is_some() { 1_000 } else { 50 };
    let cells = Cells::start(CellConfig { workers: 2, spares: 2, ..house::real() }).await.unwrap();
    let compiled = cells.compile(&house::guest("hello.wasm"), World::P2).await.unwrap();
    let code = Code::new(&compiled, World::P2).unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let caller = async || {
        let (mut answered, mut cut) = (0_u64, 0_u64);
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            let (running, broker) = run(&cells, &code, "/", empty());
            // Nothing of it came: it must have been given to another worker.
            let Ok(response) = running.await else { panic!("lost: {:?}", broker.end().await) };
            match response.into_body().collect().await {
                Ok(body) => {
                    assert_eq!(
                        body.to_bytes(),
                        "Hello, world!
"
                    );
                    answered += 1;
                }
                // It broke off between its head and its end.
                Err(fault) => {
                    assert_eq!(fault, Fault::WorkerDied);
                    cut += 1;
                }
            }
            broker.end().await;
        }
        (answered, cut)
    };
    let killer = async {
        for death in 0..deaths {
            let pids = loop {
                tokio::time::sleep(Duration::from_millis(3 + 7 * (death as u64 % 5))).await;
                let pids = cells.worker_pids(&TrustLabel::default());
                if !pids.is_empty() {
                    break pids;
                }
            };
            signal(pids[death % pids.len()], rustix::process::Signal::KILL);
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let callers = futures_util::future::join_all((0..16).map(|_| caller()));
    let (counts, ()) = tokio::join!(callers, killer);
    let (answered, cut) = counts.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{deaths} deaths: {answered} answered, {cut} cut off, {} workers replaced", cells.replaced());
    assert!(cells.replaced() as usize >= deaths / 2 && answered > 0);
    assert_eq!(cells.runs(), 0);
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may be gone already.
    let _gone = rustix::process::kill_process(pid, signal);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_deaf_to_pings_is_replaced_though_it_works() {
    let cells = Cells::start(playing("deaf")).await.unwrap();
    let before = cells.worker_pids(&TrustLabel::default());
    let started = Instant::now();
    while cells.worker_pids(&TrustLabel::default()) == before {
        assert!(started.elapsed() < Duration::from_secs(10), "it goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_cannot_be_used_is_a_fault_of_its_runs_alone() {
    let cells = Cells::start(playing("refuses-code")).await.unwrap();
    let pids = cells.worker_pids(&TrustLabel::default());
    for _ in 0..3 {
        let (running, broker) = run(&cells, &any_code(), "/", empty());
        assert_eq!(answer(running).await.unwrap_err(), Fault::WorkerDied);
        assert_eq!(
            broker.end().await.1,
            Outcome::Failed(Fault::WorkerDied, "its code is not loaded here".into())
        );
    }
    assert_eq!(cells.worker_pids(&TrustLabel::default()), pids);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_began_moves_and_does_not_move_for_ever() {
    // Every worker dies before it has mapped the code: the run is moved a few times, then given up.
    let cells = Cells::start(playing("dies-loading")).await.unwrap();
    let (running, broker) = run(&cells, &any_code(), "/", empty());
    assert_eq!(answer(running).await.unwrap_err(), Fault::WorkerDied);
    let Outcome::Failed(Fault::WorkerDied, why) = broker.end().await.1 else { panic!("it ran") };
    assert_eq!(why, "every worker that it was given to died");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_requests_pay() {
    let config = CellConfig { workers: 2, ..playing("dies-every-other") };
    let cells = Cells::start(config).await.unwrap();
    let code = any_code();
    let mut failed = 0;
    for round in 0..200 {
        let target = if round % 20 == 0 { "/die" } else { "/live" };
        let (running, broker) = run(&cells, &code, target, empty());
        let answered = answer(running).await;
        match target {
            "/die" => {
                assert_eq!(answered.unwrap_err(), Fault::WorkerDied);
                failed += 1;
            }
            _ => assert_eq!(answered.unwrap(), (200, Bytes::from("hello"))),
        }
        broker.end().await;
    }
    assert_eq!(failed, 10);
}

/// A worker that goes is replaced within 50 ms: at once by a spare, and by a new one not much later.
#[tokio::test(flavor = "multi_thread")]
async fn replaced_in_time() {
    for (spares, most_ms) in [(0, 1_000), (1, 50)] {
        let cells = Cells::start(CellConfig { spares, ..house::real() }).await.unwrap();
        let mut took = Vec::new();
        for _ in 0..10 {
            while cells.spare_pids(&TrustLabel::default()).len() < spares {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let before = cells.worker_pids(&TrustLabel::default());
            let pid = rustix::process::Pid::from_raw(i32::try_from(before[0]).unwrap()).unwrap();
            let started = Instant::now();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            loop {
                let pids = cells.worker_pids(&TrustLabel::default());
                if !pids.is_empty() && pids != before {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            took.push(started.elapsed());
        }
        took.sort();
        let median = took[took.len() / 2];
        println!("replaced with {spares} spares: median {median:?}, longest {:?}", took[took.len() - 1]);
        assert!(median < Duration::from_millis(most_ms), "{median:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_is_not_read_for_ever() {
    let cells = Cells::start(playing("noisy")).await.unwrap();
    for _ in 0..3 {
        let (running, _) = run(&cells, &any_code(), "/", empty());
        assert_eq!(answer(running).await.unwrap(), (200, Bytes::from("hello")));
    }
}
