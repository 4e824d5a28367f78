//! More often than is allowed: of a source, of a caller, of wrong credentials. Each refusal has its own code, says
//! when to try again, and leaves a record.

use crate::support::{Answer, Home, TestNode, altered, guest};

const MANIFEST: &str = "[access]\nallow = \"tenant\"\n";

fn node(rates: &str) -> (TestNode, String) {
    let node = TestNode::start_with(Home::new(), &format!("[rates]\n{rates}\n"));
    node.deploy("hello", &guest("hello"), MANIFEST);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    (node, token)
}

/// Calls until it is refused, which must come to pass within `most` calls.
#[track_caller]
fn until_refused(most: usize, mut call: impl FnMut() -> Answer, before: u16) -> Answer {
    for _ in 0..most {
        let answer = call();
        if answer.status == 429 {
            return answer;
        }
        assert_eq!(answer.status, before, "{}", answer.text());
    }
    panic!("{most} calls, and none was refused");
}

#[track_caller]
fn check(node: &TestNode, answer: &Answer, code: &str) {
    assert_eq!((answer.status, answer.json()["code"].as_str()), (429, Some(code)), "{}", answer.text());
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let events = node.records(&["--request", id]);
    let refused = events.iter().find(|e| e["kind"] == "refusal" && e["code"] == code);
    assert_eq!(refused.map(|e| &e["allowed"]), Some(&false.into()), "{events:?}");
}

#[test]
fn a_source_asks_as_often_as_it_may() {
    let (node, token) = node("source_per_second = 5\nsource_at_once = 10");
    let refused = until_refused(50, || node.call("GET", "/hello", Some(&token), b""), 200);
    // Who reads the record comes from the same address.
    std::thread::sleep(std::time::Duration::from_secs(2));
    check(&node, &refused, "source-rate");
}

#[test]
fn a_caller_asks_as_often_as_it_may_and_nobody_else_is_refused() {
    let (node, token) = node("caller_per_second = 1\ncaller_at_once = 5");
    let refused = until_refused(50, || node.call("GET", "/hello", Some(&token), b""), 200);
    check(&node, &refused, "caller-rate");
    let other = node.token(&["--name", "other", "--scope", "invoke"]);
    assert_eq!(node.call("GET", "/hello", Some(&other), b"").status, 200);
}

#[test]
fn wrong_credentials_are_slowed_and_right_ones_are_not() {
    let (node, token) = node("failed_proofs_per_minute = 3");
    let wrong = altered(&token);
    let refused = until_refused(50, || node.call("GET", "/hello", Some(&wrong), b""), 401);
    check(&node, &refused, "too-many-failed-proofs");
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").status, 200);
}

#[test]
fn rates_only_go_down() {
    let home = Home::new();
    std::fs::write(home.path().join("node.toml"), "[rates]\nsource_per_second = 50001\n").unwrap();
    let ran =
        home.run(&["up", "--config", "node.toml", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
    ran.fails(7, "must be from 1 to 50000");
}
