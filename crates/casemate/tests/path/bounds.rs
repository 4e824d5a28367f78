//! Bounds of what an instance is made of, and of its way out: each with its own code, for the caller, in the record and
//! in the function's log.

use crate::support::{TestNode, guest};

#[test]
fn tables_instances_and_outbound_calls() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let check = |name: &str, component: &str, limits: &str, path: &str, code: &str| {
        let route = format!("[[route]]\npath = \"/{name}/...\"\n");
        let manifest = format!("{route}[access]\nallow = \"tenant\"\n[limits]\n{limits}\n");
        node.deploy(name, &guest(component), &manifest);
        let answer = node.call("GET", &format!("/{name}{path}"), Some(&token), b"");
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let events = node.records(&["--request", id]);
        assert!(events.iter().any(|e| e["kind"] == "run" && e["code"] == code), "{name}: {events:?}");
        assert!(node.run(&["logs", name]).ok().out.contains(code), "{name}: `{code}` is not in the log");
        answer
    };
    for (name, component, limits, code) in [
        ("tables", "table-bomb", "table_elements = 1000", "table-limit"),
        ("instances", "hello", "instances = 1", "instance-limit"),
    ] {
        let answer = check(name, component, limits, "", code);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (502, Some(code)), "{name}");
    }
    // A call too many is refused to the guest, which may go on without.
    check("calls", "hostile", "outbound_calls = 2", "/outbound-flood?n=5", "outbound-limit");
}

#[test]
fn what_no_manifest_may_ask_for() {
    let node = TestNode::start_with(crate::support::Home::new(), "[limits]\ncpu_ms = 500\nqueue_ms = 100\n");
    let plain = node.deploy("plain", &guest("hello"), "[access]\nallow = \"tenant\"\n");
    assert_eq!(plain["limits"]["cpu_ms"], 500, "what nobody names is no reason to refuse: {plain}");
    let deploy = |name: &str, component: &str, limits: &str, says: &str| {
        let manifest = format!("[access]\nallow = \"tenant\"\n[limits]\n{limits}\n");
        let folder = node.home.function(name, &guest(component), &manifest);
        node.run(&["deploy", folder.to_str().unwrap(), "--no-build"]).fails(1, says);
        let events = node.records(&["--function", name]);
        let refused = events.iter().any(|e| e["kind"] == "deploy" && e["allowed"] == false);
        assert!(refused, "{name}: {events:?}");
    };
    deploy("cpu", "hello", "cpu_ms = 501\nqueue_ms = 100", "must be from 1 to 500");
    deploy("wait", "hello", "cpu_ms = 1\nqueue_ms = 101", "must be from 0 to 100");
    let fits = "cpu_ms = 1\nqueue_ms = 1";
    deploy("memories", "instance-bomb", fits, "memories");
    deploy("tables", "table-huge", fits, "table elements");
    deploy("memory", "memory-huge", fits, "bytes of memory");
}
