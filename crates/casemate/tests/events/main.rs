//! Events of a real node at real receivers: in order, as OCSF, all of them however long a receiver is away, and no
//! request waits for one that takes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod file;
mod http;
mod receiver;
mod schema;
#[path = "../support/mod.rs"]
mod support;
mod syslog;

use std::time::{Duration, Instant};

use serde_json::Value;

/// How long an event may take to arrive on a busy machine.
const WAIT: Duration = Duration::from_secs(60);

/// Waits until something is so, and fails the test where it never is.
#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < WAIT, "{what} did not come to pass");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Lines of JSON.
#[track_caller]
fn parsed(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The numbers of events in the record, each once, in the order in which they came first.
fn sequences(events: &[Value]) -> Vec<u64> {
    let mut seen = Vec::new();
    for event in events {
        let number = event["metadata"]["sequence"].as_u64().unwrap();
        if !seen.contains(&number) {
            seen.push(number);
        }
    }
    seen
}

/// Whether an event tells of a request.
fn tells_of(event: &Value, request: &str) -> bool {
    event["metadata"]["correlation_uid"] == request
}

/// A node with a function that nobody may call without a credential.
fn node(home: support::Home, config: &str) -> support::TestNode {
    let node = support::TestNode::start_with(home, config);
    node.deploy("hello", &support::guest("hello"), "[access]\nallow = \"tenant\"\n");
    node
}

/// A request that policy denies, which is an event by itself each time, and its id.
#[track_caller]
fn refused(node: &support::TestNode) -> String {
    let answer = node.call("GET", "/hello", None, b"");
    assert_eq!(answer.status, 401, "{}", answer.text());
    answer.headers["x-request-id"].to_str().unwrap().to_owned()
}

/// What the node reports of a sink.
#[track_caller]
fn report(node: &support::TestNode, sink: &str) -> String {
    let report = node.api("GET", "/v1/node", Some(&node.admin()), b"").json();
    let name = format!("sink-{sink}");
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name.as_str());
    check.unwrap_or_else(|| panic!("{report}"))["detail"].as_str().unwrap().to_owned()
}
