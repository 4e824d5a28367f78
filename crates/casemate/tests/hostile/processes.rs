//! The node's processes from outside: tenants that must not share one do not, and one that stands still is
//! replaced, or, where it is the node, held against nobody.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    support::guest,
    town::{TENANT, Town},
};

const HOSTILE: &str = "[[route]]\npath = \"/hostile/...\"\n[limits]\ncpu_ms = 200\n";

/// The workers of a node, where each has a process of its own around it and where not: those that burn.
fn workers(node: u32) -> Vec<u32> {
    let children = |pid: u32| -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
        tasks
            .map(of)
            .flat_map(|l| l.split(' ').filter_map(|p| p.trim().parse().ok()).collect::<Vec<_>>())
            .collect()
    };
    let inner = |pid: u32| children(pid).first().copied().unwrap_or(pid);
    children(node).into_iter().map(inner).collect()
}

/// CPU time of a process, in clock ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |at: usize| fields.get(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    field(11) + field(12)
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

fn pid(town: &Town) -> u32 {
    u32::try_from(town.node.info["pid"].as_u64().unwrap()).unwrap()
}

#[test]
fn tenants_of_different_trust_never_share_a_worker() {
    let town = Town::with("workers = 2\n");
    let node = &town.node;
    let mut tokens = Vec::new();
    for tenant in ["red", "blue"] {
        node.run(&["tenant", "create", tenant, "--trust", tenant]).ok();
        let scope = ["--role", "owner", "--scope", "*"];
        let token = node.token(&[&["--tenant", tenant, "--name", "owner"], &scope[..]].concat());
        let component = guest("hostile");
        let digest = keyring::sha256(&component);
        let place = format!("/v1/tenants/{tenant}/components/{digest}");
        assert_eq!(node.api("PUT", &place, Some(&token), &component).status, 201);
        let manifest = format!("name = \"hostile\"\ncomponent = \"hostile.wasm\"\n{TENANT}{HOSTILE}");
        let body = serde_json::json!({ "manifest": manifest, "component": digest }).to_string();
        let place = format!("/v1/tenants/{tenant}/functions/hostile/revisions");
        let answer = node.api("POST", &place, Some(&token), body.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        tokens.push((tenant, token));
    }
    tokens.push(("default", node.admin()));
    node.deploy("hostile", &guest("hostile"), &format!("{TENANT}{HOSTILE}"));

    // Each tenant's function burns its CPU time a few times over: who burned it?
    let mut burned: Vec<Vec<u32>> = Vec::new();
    for (tenant, token) in &tokens {
        let path = format!("/v1/tenants/{tenant}/functions/hostile/invoke");
        let call = || {
            let answer = node.api("POST", &path, Some(token), br#"{"path":"/hostile/loop"}"#);
            assert_eq!(answer.json()["fault"], "cpu-limit", "{tenant}: {}", answer.text());
        };
        // The first starts them, and the next those for what computes.
        call();
        let before: HashMap<u32, u64> = workers(pid(&town)).into_iter().map(|p| (p, ticks(p))).collect();
        for _ in 0..4 {
            call();
        }
        let much = |pid: &u32| ticks(*pid) >= before.get(pid).unwrap_or(&0) + 20;
        burned.push(workers(pid(&town)).into_iter().filter(much).collect());
    }
    for (at, one) in burned.iter().enumerate() {
        assert!(!one.is_empty(), "nobody ran {}: {burned:?}", tokens[at].0);
        for other in &burned[at + 1..] {
            assert!(one.iter().all(|pid| !other.contains(pid)), "shared: {burned:?}");
        }
    }
    town.is_well("other tenants");
}

#[test]
fn a_suspended_worker_is_replaced() {
    let town = Town::with("workers = 1\n");
    town.is_well("its start");
    // The one that works, and the one that waits to take its place.
    let before = workers(pid(&town));
    before.iter().for_each(|worker| signal(*worker, Signal::STOP));
    let answer = town.call("GET", "/friendly", b"");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (504, Some("worker-stalled")));
    town.has_record(answer.headers["x-request-id"].to_str().unwrap(), "run", "worker-stalled");
    all_replaced(&town, &before);
    town.is_well("a worker that stood still");
    assert!(town.node.log().contains("it stood still"), "{}", town.node.log());
}

#[test]
fn a_suspended_node_holds_it_against_nobody() {
    let town = Town::with("workers = 2\n");
    let manifest = format!("{TENANT}[[route]]\npath = \"/hostile/...\"\n");
    town.node.deploy("hostile", &guest("hostile"), &manifest);
    let before = workers(pid(&town));
    let all = [&before[..], &[pid(&town)]].concat();
    std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..6).map(|_| scope.spawn(|| town.call("GET", "/hostile/sleep?n=6000", b""))).collect();
        std::thread::sleep(Duration::from_millis(700));
        // The node alone, then everything at once, as a machine that is paused; each for longer than a worker
        // may be silent.
        signal(pid(&town), Signal::STOP);
        std::thread::sleep(Duration::from_millis(3_800));
        signal(pid(&town), Signal::CONT);
        town.is_well("its own sleep");
        all.iter().for_each(|pid| signal(*pid, Signal::STOP));
        std::thread::sleep(Duration::from_millis(3_800));
        all.iter().rev().for_each(|pid| signal(*pid, Signal::CONT));
        town.is_well("everybody's sleep");
        for call in calls {
            let answer = call.join().unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "slept\n"));
        }
    });
    let after = workers(pid(&town));
    assert!(before.iter().all(|worker| after.contains(worker)), "none was replaced: {}", town.node.log());
    // And it still knows what standing still is.
    before.iter().for_each(|worker| signal(*worker, Signal::STOP));
    all_replaced(&town, &before);
    town.is_well("workers that stood still");
}

fn all_replaced(town: &Town, before: &[u32]) {
    let started = Instant::now();
    while workers(pid(town)).is_empty() || workers(pid(town)).iter().any(|worker| before.contains(worker)) {
        assert!(started.elapsed() < Duration::from_secs(20), "{}", town.node.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}
