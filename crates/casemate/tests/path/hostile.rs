//! Each limit ends a run with its own code, for the caller, in the record and in the function's log, and the
//! node goes on.

use serde_json::{Value, json};

use crate::support::{TestNode, guest};

const LIMITS: &str = r#"
[[route]]
path = "/hostile/..."
[access]
allow = "tenant"
[limits]
cpu_ms = 300
wall_ms = 4000
memory_bytes = 67108864
first_byte_ms = 1500
idle_ms = 2000
host_calls = 20000
log_bytes = 4096
response_body_bytes = 1048576
response_header_bytes = 4096
request_body_bytes = 65536
request_header_bytes = 2048
"#;

/// Calls a behaviour over TLS and looks the code up in the answer, the record and the log.
fn check(node: &TestNode, token: &str, function: &str, what: &str, status: u16, code: &str) {
    let answer = node.call("GET", &format!("/hostile/{what}"), Some(token), b"");
    assert_eq!(answer.status, status, "{function} {what}: {}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{function} {what}");
    assert_eq!(problem["request_id"], answer.headers["x-request-id"].to_str().unwrap());
    assert!(problem.get("detail").is_none(), "{what}: a stranger is told nothing more");
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let events = node.records(&["--request", id]);
    let run = events.iter().find(|e| e["kind"] == "run").unwrap_or_else(|| panic!("{what}: {events:?}"));
    assert_eq!(run["code"], code, "{what}");
    let log = node.run(&["logs", function]).ok().out;
    assert!(log.contains(code), "{what}: `{code}` is not in the log");
}

/// Calls a behaviour through the control API, which tells how the run ended even after the head of an answer.
fn fault(node: &TestNode, function: &str, what: &str) -> Value {
    let path = format!("/v1/tenants/default/functions/{function}/invoke");
    let body = json!({ "path": format!("/hostile/{what}") }).to_string();
    let answer = node.api("POST", &path, Some(&node.admin()), body.as_bytes());
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    answer.json()
}

#[test]
fn before_the_answer() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    node.deploy("hostile", &guest("hostile"), LIMITS);
    for (what, status, code) in [
        ("loop", 504, "cpu-limit"),
        ("hostcall-loop", 502, "host-call-limit"),
        ("memory-bomb", 502, "memory-limit"),
        ("recursion", 502, "stack-limit"),
        ("sleep", 504, "first-byte-limit"),
        ("slow-first-byte", 504, "first-byte-limit"),
        ("trap", 502, "trap"),
        ("panic", 502, "trap"),
        ("exit", 502, "exit"),
        ("no-answer", 502, "no-answer"),
        ("error-code", 502, "guest-error"),
        ("headers-10000", 502, "response-header-limit"),
        ("header-big", 502, "response-header-limit"),
    ] {
        check(&node, &token, "hostile", what, status, code);
    }
    let answer = node.call("GET", "/hostile/error-code", Some(&token), b"");
    assert!(!answer.text().contains("s3cret"), "{}", answer.text());
}

#[test]
fn after_the_head_of_the_answer() {
    let node = TestNode::start();
    node.deploy("hostile", &guest("hostile"), LIMITS);
    for (what, code) in [
        ("endless-answer", "response-body-limit"),
        ("gigabyte", "response-body-limit"),
        ("drip", "wall-limit"),
        ("idle-after-head", "idle-limit"),
        ("trap-after-head", "trap"),
    ] {
        let ended = fault(&node, "hostile", what);
        assert_eq!(ended["fault"], code, "{what}: {ended}");
        let id = ended["request_id"].as_str().unwrap();
        let events = node.records(&["--request", id]);
        assert!(events.iter().any(|e| e["kind"] == "run" && e["code"] == code), "{what}: {events:?}");
    }
    let flood = fault(&node, "hostile", "log-flood?n=40960");
    assert!(flood["fault"].is_null(), "a log that is cut ends no run: {flood}");
    let cut = node.records(&["--function", "hostile"]);
    assert!(cut.iter().any(|e| e["code"] == "log-limit"), "{cut:?}");
}

#[test]
fn the_same_of_the_newer_world() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    node.deploy("hostile-p3", &guest("hostile-p3"), LIMITS);
    for (what, status, code) in [
        ("loop", 504, "cpu-limit"),
        ("memory-bomb", 502, "memory-limit"),
        ("recursion", 502, "stack-limit"),
        ("trap", 502, "trap"),
        ("sleep", 504, "first-byte-limit"),
    ] {
        check(&node, &token, "hostile-p3", what, status, code);
    }
}

#[test]
fn requests_that_are_too_large() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    node.deploy("hostile", &guest("hostile"), LIMITS);
    for bytes in [65_537, 300_000, 3_000_000] {
        let answer = node.call("POST", "/hostile/trap", Some(&token), &vec![b'x'; bytes]);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("request-body-limit")));
    }
    let long = "q".repeat(3_000);
    let answer = node.call("GET", &format!("/hostile/trap?{long}"), Some(&token), b"");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (431, Some("request-header-limit")));
    let events = node.records(&["--function", "hostile"]);
    for code in ["request-body-limit", "request-header-limit"] {
        assert!(events.iter().any(|e| e["code"] == code), "{code}: {events:?}");
    }
}

#[test]
fn more_at_once_than_it_takes() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let manifest = format!("{LIMITS}concurrency = 1\nqueue = 0\n");
    node.deploy("hostile", &guest("hostile"), &manifest);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| node.call("GET", "/hostile/sleep", Some(&token), b"").status);
        std::thread::sleep(std::time::Duration::from_millis(500));
        let answer = node.call("GET", "/hostile/trap", Some(&token), b"");
        assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("function-busy")));
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!(slow.join().unwrap(), 504);
    });
    let answer = node.call("GET", "/hostile/trap", Some(&token), b"");
    assert_eq!(answer.status, 502, "the place is free again");
}

#[test]
fn outbound_calls_are_refused_by_grant_and_by_address() {
    let node = TestNode::start();
    let tenant = "[access]\nallow = \"tenant\"\n[[shield.exclude]]\ntags = [\"attack-ssrf\"]\n\
        variables = [\"ARGS:url\"]\nreason = \"the test says whom it calls\"\n";
    let grant = format!("{tenant}[[capabilities.http]]\nurl = \"http://127.0.0.1:9/...\"\n");
    node.deploy("outbound", &guest("outbound"), tenant);
    node.deploy("granted", &guest("outbound"), &grant);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    for (function, url, code) in [
        ("outbound", "http://127.0.0.1:9/", "outbound-denied"),
        ("granted", "http://127.0.0.1:10/", "outbound-denied"),
        ("granted", "http://127.0.0.1:9/", "outbound-address-refused"),
    ] {
        let answer = node.call("GET", &format!("/{function}?url={url}"), Some(&token), b"");
        assert_eq!(answer.status, 502, "{function} {url}: {}", answer.text());
        assert!(answer.text().contains("HTTP-request-denied"), "{}", answer.text());
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let events = node.records(&["--request", id]);
        let refused = events.iter().find(|e| e["code"] == code);
        assert!(refused.is_some_and(|e| e["allowed"] == false), "{function} {url}: {events:?}");
    }
}
