//! The machine's clock steps about, and what has expired stays so.

use std::path::Path;

use crate::{
    stepping::SteppingClock,
    support::{Home, TestNode, guest},
};

const TENANT: &str = "[access]\nallow = \"tenant\"\n";
const DAY: i64 = 86_400;

fn up(home: &Home, clock: &SteppingClock) -> (Option<i32>, String) {
    let args = ["up", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--data"];
    let mut command = home.command(&args);
    clock.rule(&mut command);
    let output = command.arg(home.path().join("data")).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_has_expired_stays_so() {
    let clock = SteppingClock::new();
    let start = |home: Home| TestNode::start_as(home, "", |command| clock.rule(command));
    let node = start(Home::new());
    node.deploy("hello", &guest("hello"), TENANT);
    let day = node.token(&["--name", "day", "--scope", "invoke", "--days", "1"]);
    let week = node.token(&["--name", "week", "--scope", "invoke", "--days", "7"]);
    let status = |node: &TestNode, token: &str| node.call("GET", "/hello", Some(token), b"").status;
    assert_eq!((status(&node, &day), status(&node, &week)), (200, 200));
    clock.step(2 * DAY);
    assert_eq!((status(&node, &day), status(&node, &week)), (401, 200));
    for back in [0, -30 * DAY] {
        clock.step(back);
        assert_eq!((status(&node, &day), status(&node, &week)), (401, 200), "{back}");
    }
    // What is made now ends a day after the latest that was seen, and is good until then.
    let later = node.token(&["--name", "later", "--scope", "invoke", "--days", "1"]);
    clock.step(2 * DAY + DAY / 2);
    assert_eq!(status(&node, &later), 200);
    clock.step(4 * DAY);
    assert_eq!(status(&node, &later), 401);
    assert!(node.log().contains("stepped back"), "{}", node.log());

    // A restart does not forget; a node that has seen the future says so rather than begin before it.
    let home = node.kill();
    clock.step(4 * DAY - 600);
    let node = start(home);
    assert_eq!((status(&node, &later), status(&node, &week)), (401, 200));
    let home = node.stop();
    clock.step(0);
    let (code, said) = up(&home, &clock);
    assert_eq!(code, Some(8), "{said}");
    assert!(said.contains("this node has seen") && said.contains("--accept-clock"), "{said}");
    assert!(Path::new(&home.path().join("data/store")).exists());
    let node = TestNode::start_as(home, "", |command| {
        clock.rule(command);
        command.arg("--accept-clock");
    });
    assert_eq!((status(&node, &day), status(&node, &week)), (200, 200), "its operator says that it is right");
    clock.step(2 * DAY);
    assert_eq!(status(&node, &day), 401);
}

#[test]
fn a_break_glass_permit_ends_by_itself() {
    let clock = SteppingClock::new();
    let node = TestNode::start_as(Home::new(), "", |command| clock.rule(command));
    node.deploy("hello", &guest("hello"), TENANT);
    let alice = node.token(&["--name", "alice", "--scope", "*"]);
    let logs = || node.api("GET", "/v1/tenants/default/functions/hello/logs", Some(&alice), b"").status;
    assert_eq!(logs(), 403);
    let give = ["policy", "break-glass", "--for", "alice", "--action", "readLogs", "--minutes", "30"];
    let given = node.run(&[&give[..], &["--reason", "incident 12", "--output", "json"]].concat()).ok().json();
    let id = given["id"].as_str().unwrap();
    assert_eq!(logs(), 200);
    clock.step(29 * 60);
    assert_eq!(logs(), 200);
    clock.step(31 * 60);
    assert_eq!(logs(), 403, "whether it is forgotten already or not");
    let ended = format!("break-glass `{id}` ended by itself");
    let start = std::time::Instant::now();
    while !node.records(&["--limit", "100"]).iter().any(|e| e["detail"] == ended.as_str()) {
        assert!(start.elapsed() < std::time::Duration::from_secs(120), "nothing says that it ended");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert!(!node.run(&["policy", "glass"]).ok().out.contains(id), "it is listed no more");
    clock.step(0);
    assert_eq!(logs(), 403, "nor does it come back with the clock");
}
