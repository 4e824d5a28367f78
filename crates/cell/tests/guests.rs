//! Every guest that comes built, friendly or hostile, in a real worker behind all its walls: whatever it
//! does ends that run alone, and no wall strikes a worker that does its duty.
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

use std::time::Duration;

use bytes::Bytes;
use cell::{Cells, Code, RequestBody};
use house::{answer, run_within};
use model::{Fault, Limits, TrustLabel, World};

const FRIENDLY: &[(&str, &str)] = &[
    ("hello", "/"),
    ("hello-p3", "/"),
    ("echo", "/"),
    ("echo-p3", "/"),
    ("counter", "/"),
    ("counter-p3", "/"),
    ("kitchen", "/"),
    ("outbound", "/?url=https://example.org/a"),
    ("outbound-p3", "/?url=https://example.org/a"),
];

const ATTACKS: &[&str] = &[
    "loop",
    "loop-after-answer",
    "hostcall-loop",
    "memory-bomb",
    "memory-grab",
    "recursion",
    "random-huge",
    "fields-bomb",
    "resource-bomb",
    "pollable-bomb",
    "task-bomb",
    "stream-bomb",
    "future-bomb",
    "spin-yield",
    "log-flood",
    "log-line",
    "outbound-flood",
    "sleep",
    "trap",
    "panic",
    "exit",
    "no-answer",
    "error-code",
    "endless-answer",
    "gigabyte",
    "drip",
    "headers-10000",
    "headers-10000?n=2000",
    "header-big",
    "header-split",
    "header-hop",
    "header-trusted",
    "length-lie",
    "status-odd",
    "status-odd?n=99",
    "status-odd?n=600",
    "status-odd?n=1000",
    "slow-first-byte",
    "idle-after-head",
    "trap-after-head",
    "broken-off",
    "no-trailers",
    "error-trailers",
    "ignore-body",
    "drop-body",
];

async fn load(cells: &Cells, name: &str) -> Code {
    let world = if name.ends_with("-p3") { World::P3 } else { World::P2 };
    let compiled = cells.compile(&house::guest(&format!("{name}.wasm")), world).await.expect(name);
    Code::new(&compiled, world).unwrap()
}

fn tight() -> Limits {
    Limits { cpu_ms: 300, wall_ms: 2_000, first_byte_ms: 1_000, idle_ms: 500, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn friendly_guests_answer() {
    let cells = Cells::start(house::real()).await.unwrap();
    let pids = cells.worker_pids(&TrustLabel::default());
    for (name, target) in FRIENDLY {
        let code = load(&cells, name).await;
        let body = RequestBody::Full(Bytes::from(vec![b'x'; 200_000]));
        let (running, broker) = run_within(&cells, &code, target, body, Limits::default());
        let (status, _) = answer(running).await.unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        assert!(status < 400, "{name}: {status}");
        broker.end().await;
    }
    assert_eq!(cells.worker_pids(&TrustLabel::default()), pids, "a worker was replaced");
}

/// Whether these workers are there still, and none of any lane was replaced. Those that compute get more.
fn lives(cells: &Cells, pids: &[u32]) -> bool {
    let now = cells.worker_pids(&TrustLabel::default());
    cells.replaced() == 0 && pids.iter().all(|pid| now.contains(pid))
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_guests_end_alone() {
    let cells = Cells::start(house::real()).await.unwrap();
    let pids = cells.worker_pids(&TrustLabel::default());
    for name in ["hostile", "hostile-p3"] {
        let code = load(&cells, name).await;
        for attack in ATTACKS {
            let more = if attack.contains('?') { '&' } else { '?' };
            let target = format!("/{attack}{more}url=https://example.org/");
            let (running, broker) = run_within(&cells, &code, &target, house::empty(), tight());
            let answered = tokio::time::timeout(Duration::from_secs(10), answer(running)).await;
            let answered = answered.unwrap_or_else(|_| panic!("{name} {attack} goes on"));
            if let Err(fault) = &answered {
                let ours = [Fault::WorkerDied, Fault::WorkerStalled, Fault::WorkerLied];
                assert!(!ours.contains(fault), "{name} {attack}: {fault:?}");
            }
            broker.end().await;
            assert!(lives(&cells, &pids), "{name} {attack} took its worker along");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hostile_below_any_language_ends_alone_or_is_never_compiled() {
    let cells = Cells::start(house::real()).await.unwrap();
    let pids = cells.worker_pids(&TrustLabel::default());
    for name in [
        "compile-bomb",
        "core-module",
        "import-ungranted",
        "instance-bomb",
        "loop",
        "memory-bomb",
        "memory-huge",
        "no-handler",
        "not-wasm",
        "recursion",
        "shared-memory",
        "start-loop",
        "table-bomb",
        "table-huge",
        "wrong-handler",
    ] {
        let component = house::guest(&format!("{name}.wasm"));
        match cells.compile(&component, World::P2).await {
            Err(error) => println!("{name}: not compiled: {error}"),
            Ok(compiled) => {
                let code = Code::new(&compiled, World::P2).unwrap();
                let (running, broker) = run_within(&cells, &code, "/", house::empty(), tight());
                let fault = answer(running).await.expect_err(name);
                println!("{name}: {fault:?}");
                broker.end().await;
            }
        }
        assert!(lives(&cells, &pids), "{name} took its worker along");
    }
}
