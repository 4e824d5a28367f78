//! Functions of every language and both worlds answer, fresh each time and closed to the world.

use std::path::Path;

use serde_json::Value;

use crate::support::{TestNode, guest};

const TENANT: &str = "[access]\nallow = \"tenant\"\n";

#[test]
fn rust_of_both_worlds() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    for (name, world) in [("hello", "wasi-0.2"), ("hello-p3", "wasi-0.3")] {
        let deployed = node.deploy(name, &guest(name), TENANT);
        assert_eq!(deployed["world"], world);
        let answer = node.call("GET", &format!("/{name}"), Some(&token), b"");
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world!\n"), "{name}");
        assert_eq!(answer.headers["content-type"], "text/plain");
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let events = node.records(&["--request", id]);
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(
            (&events[0]["action"], &events[0]["allowed"]),
            (&Value::from("invoke"), &Value::from(true))
        );
    }
}

#[test]
fn other_languages_where_they_are_built() {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests");
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    for name in ["hello-js", "hello-py"] {
        let Ok(component) = std::fs::read(built.join(format!("{name}.wasm"))) else {
            println!("skipped: {name} is not built (`cargo xtask guests --js --py`)");
            continue;
        };
        node.deploy(name, &component, TENANT);
        for _ in 0..2 {
            let answer = node.call("GET", &format!("/{name}"), Some(&token), b"");
            assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world!\n"), "{name}");
        }
    }
}

#[test]
fn no_request_sees_what_another_left() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    for name in ["counter", "counter-p3"] {
        node.deploy(name, &guest(name), TENANT);
        for _ in 0..5 {
            let answer = node.call("GET", &format!("/{name}"), Some(&token), b"");
            assert_eq!(answer.text().trim(), "1", "{name}: the instance was used before");
        }
    }
}

#[test]
fn what_a_request_carries_arrives() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    for name in ["echo", "echo-p3"] {
        node.deploy(name, &guest(name), TENANT);
        let body: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let media = [("content-type", "application/octet-stream")];
        let answer = node.call_with(("POST", &format!("/{name}")), Some(&token), &media, &body);
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(answer.body.len(), body.len(), "{name}");
        assert!(answer.body == body, "{name}: the body came back changed");
        if name == "echo-p3" {
            continue;
        }
        let said = node.call("GET", &format!("/{name}/a/b?c=d"), Some(&token), b"").json();
        assert_eq!(
            (&said["path"], &said["query"]),
            (&Value::from(format!("/{name}/a/b")), &Value::from("c=d"))
        );
        let text = said["headers"].to_string();
        assert!(text.contains("casemate-caller") && text.contains("default/caller"), "{text}");
        assert!(
            !text.contains("authorization") && !text.contains(&token),
            "a credential reached a guest: {text}"
        );
    }
}

#[test]
fn a_guest_finds_every_door_closed() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    node.deploy("kitchen", &guest("kitchen"), TENANT);
    let found = node.call("GET", "/kitchen", Some(&token), b"").json();
    assert_eq!(found["environment"].as_array().map(Vec::len), Some(0), "{found}");
    assert_eq!(found["preopens"].as_array().map(Vec::len), Some(0), "{found}");
    let attempts = found["attempts"].as_object().unwrap();
    assert!(attempts.len() > 5, "{attempts:?}");
    for (what, got) in attempts {
        assert_eq!(got["ok"], false, "{what}: {got}");
    }
    let logs = node.run(&["logs", "kitchen"]).ok().out;
    assert!(!logs.trim().is_empty(), "what it printed is in its log");
}
