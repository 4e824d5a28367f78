//! Runs, bodies both ways, calls, cancelling, pools: what the node's half does where workers are honest.
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

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use cell::{BodyBroken, BodyStream, Broker, CellConfig, Cells, Code, CompileError, RequestBody, Run, Walls};
use futures_util::{StreamExt, stream};
use house::{Memory, answer, any_code, empty, playing, run, run_within};
use http_body_util::BodyExt;
use model::{Fault, Limits, Outcome, TrustLabel, World, limits};

fn pieces(count: usize, bytes: usize) -> RequestBody {
    let piece = move |at: usize| Ok(Bytes::from(vec![u8::try_from(at % 251).unwrap(); bytes]));
    RequestBody::Stream(Box::pin(stream::iter((0..count).map(piece))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_comes_whole() {
    let cells = Cells::start(playing("honest")).await.unwrap();
    let (running, broker) = run(&cells, &any_code(), "/", empty());
    let response = running.await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert_eq!(response.body().whole(), Some(&Bytes::from("hello")));
    let (usage, outcome) = broker.end().await;
    assert_eq!((usage.response_bytes, outcome), (5, Outcome::Answered(200)));
    assert_eq!(cells.runs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_flow_both_ways_beyond_the_window() {
    let cells = Cells::start(playing("echo")).await.unwrap();
    let code = any_code();
    let wide = Limits { request_body_bytes: 64 << 20, response_body_bytes: 64 << 20, ..Limits::default() };
    let whole = Bytes::from(vec![7; 3 << 20]);
    for (body, expect) in [
        (empty(), 0),
        (RequestBody::Full(Bytes::from("a")), 1),
        (RequestBody::Full(whole.clone()), whole.len()),
        (pieces(1, 1), 1),
        (pieces(100, 100_000), 10_000_000),
        (pieces(5_000, 7), 35_000),
        (pieces(0, 0), 0),
    ] {
        let (running, broker) = run_within(&cells, &code, "/path?query", body, wide);
        let (status, got) = answer(running).await.unwrap();
        assert_eq!((status, got.len()), (200, expect));
        assert_eq!(broker.end().await.1, Outcome::Answered(200));
        assert_eq!(&broker.log.lock()[..], b"/path?query");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_take_holds_the_sender_back() {
    let cells = Cells::start(playing("echo")).await.unwrap();
    let wide = Limits { request_body_bytes: 64 << 20, response_body_bytes: 64 << 20, ..Limits::default() };
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let source = stream::iter(0..1_000).map(move |_| {
        counted.fetch_add(10_000, Ordering::Relaxed);
        Ok(Bytes::from(vec![1; 10_000]))
    });
    let body = RequestBody::Stream(Box::pin(source));
    let (running, _broker) = run_within(&cells, &any_code(), "/", body, wide);
    let response = running.await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let held = taken.load(Ordering::Relaxed);
    // One window in each direction, and a piece in the hand.
    assert!(held <= 2 * limits::STREAM_WINDOW_BYTES as usize + 20_000, "{held} bytes under way");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 10_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_looked_at_before_a_worker_is() {
    let cells = Cells::start(playing("echo")).await.unwrap();
    let tight = Limits { request_body_bytes: 10, request_header_bytes: 300, ..Limits::default() };
    let check = async |target: &str, body: RequestBody, expect: Fault| {
        let (running, broker) = run_within(&cells, &any_code(), target, body, tight);
        assert_eq!(answer(running).await.unwrap_err(), expect);
        assert!(matches!(broker.end().await.1, Outcome::Failed(fault, _) if fault == expect));
    };
    check("/", RequestBody::Full(Bytes::from("12345678901")), Fault::RequestBodyLimit).await;
    check("/", pieces(3, 4), Fault::RequestBodyLimit).await;
    check(&format!("/{}", "a".repeat(300)), empty(), Fault::RequestHeaderLimit).await;
    assert_eq!(cells.runs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_the_callers_doing() {
    let cells = Cells::start(playing("echo")).await.unwrap();
    for (why, expect) in [(BodyBroken::Off, Fault::CallerGone), (BodyBroken::Malformed, Fault::RequestBroken)]
    {
        let parts: Vec<Result<Bytes, BodyBroken>> = vec![Ok("a".into()), Err(why)];
        let body = RequestBody::Stream(Box::pin(stream::iter(parts)));
        let (running, broker) = run(&cells, &any_code(), "/", body);
        assert_eq!(answer(running).await.unwrap_err(), expect);
        assert_eq!(broker.end().await.1, Outcome::Failed(expect, String::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_answer_cancels_the_run() {
    let cells = Cells::start(playing("echo")).await.unwrap();
    let endless = || RequestBody::Stream(Box::pin(stream::pending()) as BodyStream);
    // Before the head, after the head, and without ever being looked at.
    let (running, broker) = run(&cells, &any_code(), "/", endless());
    drop(running);
    assert_eq!(broker.end().await.1, Outcome::Failed(Fault::CallerGone, String::new()));
    let (running, broker) = run(&cells, &any_code(), "/", endless());
    let response = running.await.unwrap();
    assert!(broker.ends.lock().is_empty());
    drop(response);
    assert_eq!(broker.end().await.1, Outcome::Failed(Fault::CallerGone, String::new()));
    assert_eq!(cells.runs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_to_the_broker_and_back() {
    let cells = Cells::start(playing("calls")).await.unwrap();
    let (running, broker) = run(&cells, &any_code(), "/", empty());
    assert_eq!(answer(running).await.unwrap(), (200, Bytes::from("203:answer to question")));
    assert_eq!(*broker.calls.lock(), ["POST https://example.org/there?a=b"]);
    broker.end().await;

    let broker = Arc::new(Memory { refuse: true, ..Memory::default() });
    let heard: Arc<dyn Broker> = Arc::<Memory>::clone(&broker);
    let (code, trust, limits) = (any_code(), TrustLabel::default(), Limits::default());
    let request = house::request("/", empty());
    let running = cells.run(Run { code, trust, limits, request, broker: heard });
    assert_eq!(answer(running).await.unwrap(), (200, Bytes::from("Denied")));
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_never_share_a_worker() {
    let cells = Cells::start(playing("honest")).await.unwrap();
    let other = TrustLabel("hostile".into());
    assert!(cells.worker_pids(&other).is_empty());
    let broker: Arc<dyn Broker> = Arc::new(Memory::default());
    let (code, limits, request) = (any_code(), Limits::default(), house::request("/", empty()));
    let running = cells.run(Run { code, trust: other.clone(), limits, request, broker });
    assert_eq!(answer(running).await.unwrap().0, 200);
    let (ours, theirs) = (cells.worker_pids(&TrustLabel::default()), cells.worker_pids(&other));
    assert_eq!(theirs.len(), 1);
    assert!(!ours.contains(&theirs[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_a_label_that_nobody_uses_end() {
    let config = CellConfig { label_idle: Duration::from_millis(300), ..playing("honest") };
    let cells = Cells::start(config).await.unwrap();
    let other = TrustLabel("other".into());
    let call = async || {
        let broker: Arc<dyn Broker> = Arc::new(Memory::default());
        let (code, limits, request) = (any_code(), Limits::default(), house::request("/", empty()));
        let running = cells.run(Run { code, trust: other.clone(), limits, request, broker });
        assert_eq!(answer(running).await.unwrap().0, 200);
    };
    for _ in 0..2 {
        call().await;
        assert_eq!(cells.worker_pids(&other).len(), 1);
        let mut patience = 200;
        while !cells.worker_pids(&other).is_empty() {
            patience -= 1;
            assert!(patience > 0, "they stay");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // Those of the usual label stay.
    assert_eq!(cells.worker_pids(&TrustLabel::default()).len(), 1);
    // Whatever comes while they end is answered.
    let ended = Instant::now() + Duration::from_secs(2);
    while Instant::now() < ended {
        call().await;
        tokio::time::sleep(Duration::from_millis(299)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_all_workers_hold_is_busy() {
    let config = CellConfig { workers: 2, runs_max_per_worker: 3, ..playing("silent") };
    let cells = Cells::start(config).await.unwrap();
    let code = any_code();
    let held: Vec<_> = (0..6).map(|_| run(&cells, &code, "/", empty())).collect();
    assert_eq!(cells.runs(), 6);
    let (running, broker) = run(&cells, &code, "/", empty());
    assert_eq!(answer(running).await.unwrap_err(), Fault::NodeBusy);
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::NodeBusy, _)));
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_what_goes_on_and_what_comes() {
    let cells = Cells::start(playing("silent")).await.unwrap();
    let code = any_code();
    let (running, broker) = run(&cells, &code, "/", empty());
    tokio::time::sleep(Duration::from_millis(50)).await;
    cells.stop();
    assert_eq!(answer(running).await.unwrap_err(), Fault::Draining);
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::Draining, _)));
    let (running, _) = run(&cells, &code, "/", empty());
    assert_eq!(answer(running).await.unwrap_err(), Fault::Draining);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_guests_are_compiled_and_answer() {
    let cells = Cells::start(house::real()).await.unwrap();
    for (name, world) in [("hello.wasm", World::P2), ("hello-p3.wasm", World::P3)] {
        let started = Instant::now();
        let compiled = cells.compile(&house::guest(name), world).await.unwrap();
        println!("{name}: compiled to {} bytes in {:?}", compiled.len(), started.elapsed());
        let code = Code::new(&compiled, world).unwrap();
        for _ in 0..3 {
            let (running, broker) = run(&cells, &code, "/", empty());
            let (status, body) = answer(running).await.unwrap();
            assert_eq!(status, 200, "{name}");
            assert!(!body.is_empty(), "{name}");
            let (usage, outcome) = broker.end().await;
            assert_eq!(outcome, Outcome::Answered(200), "{name}");
            assert!(usage.cpu_us > 0 && usage.memory_bytes_peak > 0, "{usage:?}");
        }
    }
    assert!(cells.walls().has(Walls::REQUIRED));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_loop_is_stopped_and_its_worker_lives() {
    let cells = Cells::start(house::real()).await.unwrap();
    let pids = cells.worker_pids(&TrustLabel::default());
    let compiled = cells.compile(&house::guest("loop.wasm"), World::P2).await.unwrap();
    let code = Code::new(&compiled, World::P2).unwrap();
    let tight = Limits { cpu_ms: 100, ..Limits::default() };
    let (running, broker) = run_within(&cells, &code, "/", empty(), tight);
    assert_eq!(answer(running).await.unwrap_err(), Fault::CpuLimit);
    assert!(matches!(broker.end().await.1, Outcome::Failed(Fault::CpuLimit, _)));
    assert_eq!(cells.worker_pids(&TrustLabel::default()), pids);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_compiled_says_why() {
    let cells = Cells::start(playing("honest")).await.unwrap();
    let check = async |component: &[u8], world: World, expect: &str| {
        let error = cells.compile(component, world).await.unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
        error
    };
    check(b"", World::P2, "not WebAssembly").await;
    check(&house::guest("not-wasm.wasm"), World::P2, "not WebAssembly").await;
    check(&house::guest("core-module.wasm"), World::P2, "core module").await;
    check(&house::guest("import-ungranted.wasm"), World::P2, "import").await;
    check(&vec![0; 65 << 20], World::P2, "bytes, 67108864 are allowed").await;

    let playing = |name: &str| CellConfig { compile_args: vec![name.into()], ..playing("honest") };
    let cells = Cells::start(playing("compile-eat")).await.unwrap();
    let error = cells.compile(b"x", World::P2).await.unwrap_err();
    assert!(matches!(error, CompileError::Memory), "{error}");
    let cells = Cells::start(playing("compile-die")).await.unwrap();
    let error = cells.compile(b"x", World::P2).await.unwrap_err();
    assert!(matches!(error, CompileError::Crashed(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compilation_that_nobody_waits_for_is_killed() {
    let config = CellConfig { compile_args: vec!["compile-hang".into()], ..playing("honest") };
    let cells = Cells::start(config).await.unwrap();
    let children = || {
        let own = std::process::id();
        let tasks = std::fs::read_dir(format!("/proc/{own}/task")).unwrap();
        let of = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children"));
        let all = tasks.filter_map(|task| of(task.unwrap()).ok()).collect::<String>();
        let hangs = |pid: &&str| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.contains("compile-hang"))
        };
        all.split_whitespace().filter(hangs).count()
    };
    let waited = tokio::time::timeout(Duration::from_millis(200), cells.compile(b"x", World::P2)).await;
    assert!(waited.is_err());
    for _ in 0..100 {
        if children() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it goes on");
}
