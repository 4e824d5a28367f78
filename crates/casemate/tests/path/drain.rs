//! The end of a node with calls under way: they finish, new ones are turned away, and nobody waits for ever.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Home, TestNode, guest};

const SLOW: &str = "[access]\nallow = \"tenant\"\n";

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_under_way_ends_and_what_is_new_is_turned_away() {
    let node = TestNode::start();
    node.deploy("one", &guest("hostile"), SLOW);
    let (token, admin) = (node.token(&["--name", "caller", "--scope", "invoke"]), node.admin());
    assert_eq!(node.api("GET", "/readyz", None, b"").status, 200);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| node.call("GET", "/one/slow-first-byte?n=5000", Some(&token), b""));
        std::thread::sleep(Duration::from_millis(700));
        node.terminate();
        until("the node still says that it is ready", || {
            let ready = node.api("GET", "/readyz", None, b"");
            ready.status == 503 && ready.json()["status"] == "draining"
        });
        until("functions can still be called", || node.try_call("/one/trap", Some(&token)).is_err());
        // The control plane still answers; it runs nothing any more either.
        let path = "/v1/tenants/default/functions/one/invoke";
        let body = json!({ "path": "/one/slow-first-byte?n=1" }).to_string();
        let asked = node.api("POST", path, Some(&admin), body.as_bytes()).json();
        assert_eq!(asked["fault"], "draining", "{asked}");
        let id = asked["request_id"].as_str().unwrap();
        let events = node.records(&["--request", id]);
        assert!(events.iter().any(|e| e["kind"] == "run" && e["code"] == "draining"), "{events:?}");
        assert!(!held.is_finished(), "the call was over before the node was looked at");
        let answer = held.join().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    });
    let log = node.log();
    assert!(log.contains("draining"), "{log}");
    let home = node.ended();
    let log = std::fs::read_to_string(home.path().join("node.log")).unwrap();
    assert!(log.contains("stopped") && !log.contains("cut off"), "{log}");
}

#[test]
fn nobody_is_waited_for_longer_than_the_drain() {
    let node = TestNode::start_with(Home::new(), "drain_ms = 800\n");
    node.deploy("one", &guest("hostile"), SLOW);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let start = std::thread::scope(|scope| {
        let held = scope.spawn(|| node.try_call("/one/slow-first-byte?n=14000", Some(&token)));
        std::thread::sleep(Duration::from_millis(700));
        let start = Instant::now();
        node.terminate();
        let answer = held.join().unwrap();
        assert!(!answer.is_ok_and(|answer| answer.status == 200), "the call ended as if nothing had been");
        start
    });
    assert!(start.elapsed() < Duration::from_secs(12), "it was waited for");
    let home = node.ended();
    let log = std::fs::read_to_string(home.path().join("node.log")).unwrap();
    assert!(log.contains("connections were cut off"), "{log}");
    TestNode::start_with(home, "").run(&["list"]).ok();
}
