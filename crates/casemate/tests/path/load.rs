//! More at once than is allowed: of a function, of its queue, of a tenant. Each refusal has its own code, says when to
//! try again, and leaves a record; nobody else is refused.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Answer, Home, TestNode, guest};

/// A function that takes its time, under `/NAME/slow-first-byte?n=MS`.
fn slow(node: &TestNode, name: &str, limits: &str) {
    slow_of(node, &node.admin(), "default", name, limits);
}

fn slow_of(node: &TestNode, token: &str, tenant: &str, name: &str, limits: &str) {
    let manifest = format!("[access]\nallow = \"tenant\"\n[limits]\n{limits}\n");
    let folder = node.home.function(name, &guest("hostile"), &manifest);
    let args = ["deploy", folder.to_str().unwrap(), "--no-build", "--tenant", tenant];
    let deployed = node.home.command(&args).env("CASEMATE_TOKEN", token).output().unwrap();
    assert!(deployed.status.success(), "{deployed:?}");
}

/// Refused for the load, with everything that belongs to it; gives the record.
#[track_caller]
fn busy(node: &TestNode, answer: &Answer, code: &str) -> Value {
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some(code)), "{}", answer.text());
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let events = node.records(&["--request", id]);
    let run = events.iter().find(|e| e["kind"] == "run").unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!((&run["code"], &run["allowed"]), (&code.into(), &false.into()), "{run}");
    run.clone()
}

/// Long enough for a call that was started to be under way.
fn a_moment() {
    std::thread::sleep(Duration::from_millis(700));
}

#[test]
fn a_tenant_has_as_many_runs_as_it_was_given() {
    let node = TestNode::start_with(Home::new(), "[tenants]\nconcurrency = 3\n");
    let list = node.run(&["tenant", "list", "--output", "json"]).ok().json();
    assert_eq!(
        list["tenants"][0]["concurrency"], 3,
        "the node's ceiling, which is below the default: {list}"
    );
    node.run(&["tenant", "set", "default", "--concurrency", "4"]).fails(1, "must be from 1 to 3");
    node.run(&["tenant", "create", "acme", "--concurrency", "0"]).fails(1, "must be from 1 to 3");
    node.run(&["tenant", "create", "acme", "--concurrency", "2"]).ok();
    node.run(&["tenant", "set", "default", "--concurrency", "1"]).ok();

    slow(&node, "one", "");
    slow(&node, "two", "");
    let owner = node.token(&["--tenant", "acme", "--name", "owner", "--role", "owner"]);
    slow_of(&node, &owner, "acme", "one", "");
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let acme = node.token(&["--tenant", "acme", "--name", "caller", "--scope", "invoke"]);
    let other =
        format!("{}/one/slow-first-byte?n=10", node.functions().replace("127.0.0.1", "acme.localhost"));
    std::thread::scope(|scope| {
        let held = scope.spawn(|| node.call("GET", "/one/slow-first-byte?n=6000", Some(&token), b"").status);
        a_moment();
        let refused = node.call("GET", "/two/trap", Some(&token), b"");
        let run = busy(&node, &refused, "tenant-busy");
        assert_eq!(run["resource"], "Function::\"default/two\"");
        assert!(node.run(&["logs", "two"]).ok().out.contains("tenant-busy"), "its owner is not told");
        assert_eq!(
            node.request(&other, "GET", Some(&acme), b"").status,
            200,
            "another tenant waits for nobody"
        );

        node.run(&["tenant", "set", "default", "--concurrency", "2"]).ok();
        let answer = node.call("GET", "/two/slow-first-byte?n=10", Some(&token), b"");
        assert_eq!(answer.status, 200, "from the next request on: {}", answer.text());
        assert_eq!(held.join().unwrap(), 200);
    });
    let events = node.records(&["--limit", "1000"]);
    let set: Vec<&Value> = events.iter().filter(|e| e["kind"] == "tenant" && e["allowed"] == true).collect();
    let said = |part: &str| set.iter().any(|e| e["detail"].as_str().is_some_and(|d| d.contains(part)));
    assert!(said("1 runs at once, 3 before") && said("2 runs at once, 1 before"), "{set:?}");

    // What was set stays; a lower ceiling is above it all the same.
    let node = TestNode::start_with(node.stop(), "");
    let list = node.run(&["tenant", "list"]).ok().out;
    assert!(list.lines().any(|line| line.starts_with("default") && line.contains("  2  ")), "{list}");
    let operator = node.token(&["--name", "op", "--role", "operator"]);
    let path = "/v1/tenants/default/limits";
    let asked = node.api("PUT", path, Some(&operator), br#"{"concurrency":100}"#);
    assert_eq!(asked.status, 403, "a tenant's own people do not set it: {}", asked.text());
    let node = TestNode::start_with(node.stop(), "[tenants]\nconcurrency = 1\n");
    let list = node.run(&["tenant", "list"]).ok().out;
    assert!(list.lines().any(|line| line.starts_with("default") && line.contains("  1  ")), "{list}");
}

#[test]
fn a_function_has_a_queue_and_the_queue_an_end() {
    let node = TestNode::start();
    slow(&node, "one", "concurrency = 1\nqueue = 1\nqueue_ms = 9000");
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    std::thread::scope(|scope| {
        let call = || node.call("GET", "/one/slow-first-byte?n=3000", Some(&token), b"").status;
        let (held, queued) = (scope.spawn(call), scope.spawn(call));
        a_moment();
        let refused = node.call("GET", "/one/trap", Some(&token), b"");
        busy(&node, &refused, "function-busy");
        assert_eq!((held.join().unwrap(), queued.join().unwrap()), (200, 200), "who waits gets the place");
    });
}

#[test]
fn nobody_waits_longer_than_the_queue_says() {
    let node = TestNode::start();
    slow(&node, "one", "concurrency = 1\nqueue = 5\nqueue_ms = 500");
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| node.call("GET", "/one/slow-first-byte?n=8000", Some(&token), b"").status);
        a_moment();
        let start = Instant::now();
        let refused = node.call("GET", "/one/trap", Some(&token), b"");
        assert!(start.elapsed() >= Duration::from_millis(500), "it did not wait at all");
        busy(&node, &refused, "function-busy");
        assert!(!held.is_finished(), "it waited for the place, not for the queue's end");
        assert_eq!(held.join().unwrap(), 200);
    });
}

#[test]
fn a_node_has_as_many_runs_as_its_workers_hold() {
    let config = "workers = 1\n";
    let node = TestNode::start_with(Home::new(), config);
    slow(&node, "one", "concurrency = 1000\nqueue = 0");
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    std::thread::scope(|scope| {
        let call = || node.call("GET", "/one/slow-first-byte?n=9000", Some(&token), b"").status;
        let held: Vec<_> = (0..model::limits::WORKER_RUNS_MAX).map(|_| scope.spawn(call)).collect();
        std::thread::sleep(Duration::from_secs(3));
        let refused = node.call("GET", "/one/trap", Some(&token), b"");
        busy(&node, &refused, "node-busy");
        assert!(held.into_iter().all(|call| call.join().unwrap() == 200));
    });
}
