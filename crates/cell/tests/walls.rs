//! The walls around a real worker, seen from outside; and that they stand and fall with the node.
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

use house::inner;

use std::{collections::BTreeMap, fs, time::Duration};

use cell::{CellConfig, Cells, StartError, Walls};
use model::TrustLabel;

fn status(pid: u32) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = |line: &str| line.split_once(":\t").map(|(k, v)| (k.to_owned(), v.trim().to_owned()));
    text.lines().filter_map(line).collect()
}

fn is_alive(pid: u32) -> bool {
    // A zombie is gone, but for its parent's asking.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_are_required_stand() {
    let cells = Cells::start(house::real()).await.unwrap();
    println!("walls that stand: {:?}", cells.walls().names());
    assert_eq!(cells.walls().missing(Walls::REQUIRED), Vec::<&str>::new());

    let outer = cells.worker_pids(&TrustLabel::default())[0];
    let worker = inner(outer);
    let said = status(worker);
    let check = |key: &str, expect: &str| assert_eq!(said[key], expect, "{key}");
    check("NoNewPrivs", "1");
    check("Seccomp", "2");
    check("Threads", "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        check(set, "0000000000000000");
    }
    assert!(!said["Uid"].starts_with("0\t"), "a worker is not root");
    let limits = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    for zero in ["Max core file size", "Max processes", "Max locked memory", "Max msgqueue size"] {
        let line = limits.lines().find(|line| line.starts_with(zero)).unwrap();
        assert_eq!(line.split_whitespace().rev().nth(1), Some("0"), "{line}");
    }
    assert_eq!(fs::read(format!("/proc/{worker}/environ")).unwrap_or_default(), b"");
    for (wall, kind) in
        [(Walls::USER_NS, "user"), (Walls::NET_NS, "net"), (Walls::MOUNT_NS, "mnt"), (Walls::PID_NS, "pid")]
    {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_eq!(cells.walls().has(wall), of(&worker.to_string()) != of("self"), "{kind}");
    }
    if cells.walls().has(Walls::MOUNT_NS) {
        assert_eq!(fs::read_dir(format!("/proc/{worker}/root/")).unwrap().count(), 0);
    }
    if cells.walls().has(Walls::NET_NS) {
        let addresses = fs::read_to_string(format!("/proc/{worker}/net/fib_trie")).unwrap_or_default();
        assert!(!addresses.contains("LOCAL"), "{addresses}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_wall_is_a_refusal_by_name() {
    let start = |script: &str| Cells::start(house::playing(script));
    let Err(StartError::Walls(missing)) = start("no-walls").await else { panic!("it started") };
    assert_eq!(missing, Walls::default().missing(Walls::REQUIRED));
    let error = start("no-seccomp").await.unwrap_err();
    assert_eq!(error.to_string(), "these walls do not stand around a worker: `seccomp`");
    // Unless the operator says so.
    let config = CellConfig { required: Walls::default(), ..house::playing("no-walls") };
    assert_eq!(Cells::start(config).await.unwrap().walls(), Walls(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_worker_is_a_refusal() {
    let check = async |config: CellConfig, expect: &str| {
        let error = Cells::start(config).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(house::playing("dies-first"), "did not become ready").await;
    check(house::playing("garbage-first"), "did not become ready").await;
    check(house::playing("other-version"), "speaks version").await;
    check(CellConfig { worker_args: vec!["what".into()], ..house::real() }, "is nothing that it plays").await;
    check(CellConfig { program: "/nowhere".into(), ..house::real() }, "could not be started").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_go_with_their_cells() {
    let cells = Cells::start(house::real()).await.unwrap();
    let outer = cells.worker_pids(&TrustLabel::default())[0];
    let worker = inner(outer);
    assert!(is_alive(worker));
    drop(cells);
    for _ in 0..100 {
        if !is_alive(worker) && !is_alive(outer) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a worker outlived its cells");
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_what_was_spawned_kills_the_worker() {
    let cells = Cells::start(house::real()).await.unwrap();
    let outer = cells.worker_pids(&TrustLabel::default())[0];
    let worker = inner(outer);
    let pid = rustix::process::Pid::from_raw(i32::try_from(outer).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    for _ in 0..100 {
        if !is_alive(worker) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the worker outlived what was spawned");
}

/// A worker that reads nothing, and so does not even see its socket close.
#[test]
fn killing_the_node_kills_the_worker() {
    use std::io::BufRead;
    let mut node = std::process::Command::new(house::probe())
        .arg("node")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(node.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let outer: u32 = line.trim().parse().unwrap();
    let worker = inner(outer);
    assert!(is_alive(worker));
    node.kill().unwrap();
    node.wait().unwrap();
    for _ in 0..100 {
        if !is_alive(worker) && !is_alive(outer) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the worker outlived its node");
}
