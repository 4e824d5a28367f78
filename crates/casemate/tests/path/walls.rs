//! A machine that withholds a wall: the node does not start there, unless its configuration says that it may, and then
//! everybody is told.
//!
//! The system call that a wall is made of is taken away by a filter of the test's thread, which the node that it
//! starts inherits, as it would on a kernel or in a container without it.

use std::{collections::BTreeMap, fs};

use seccompiler::{SeccompAction, SeccompFilter};

use crate::support::{Home, Ran, TestNode, guest};

const LANDLOCK_CREATE_RULESET: i64 = 444;
#[cfg(target_arch = "x86_64")]
const UNSHARE: i64 = 272;
#[cfg(target_arch = "aarch64")]
const UNSHARE: i64 = 97;

/// Does something where the kernel has no such call (`ENOSYS`).
fn without<T: Send>(call: i64, act: impl FnOnce() -> T + Send) -> T {
    let act = || {
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let calls = BTreeMap::from([(call, Vec::new())]);
        let filter = SeccompFilter::new(calls, SeccompAction::Allow, SeccompAction::Errno(38), arch).unwrap();
        let program: seccompiler::BpfProgram = filter.try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        act()
    };
    std::thread::scope(|scope| scope.spawn(act).join().unwrap())
}

fn up(home: &Home, config: &str) -> Ran {
    fs::write(home.path().join("node.toml"), config).unwrap();
    let data = home.path().join("data");
    let any = "127.0.0.1:0";
    let args = ["up", "--config", "node.toml", "--listen", any, "--control", any, "--data"];
    home.run(&[&args[..], &[data.to_str().unwrap()]].concat())
}

#[test]
fn a_node_does_not_start_without_a_wall() {
    let home = Home::new();
    let refused = without(LANDLOCK_CREATE_RULESET, || up(&home, ""));
    let refused = refused.fails(8, "landlock");
    assert!(refused.err.contains("missing_walls = [\"landlock\"]"), "{refused:?}");
    assert!(refused.err.contains("casemate doctor"), "{refused:?}");
    let other = "[dangerous]\nmissing_walls = [\"seccomp\"]\n";
    without(LANDLOCK_CREATE_RULESET, || up(&home, other)).fails(8, "landlock");
    let doctor = without(LANDLOCK_CREATE_RULESET, || home.run(&["doctor", "--output", "json"]));
    assert_eq!(doctor.code, 1, "{doctor:?}");
    let checks = doctor.json()["machine"].clone();
    let wall = checks.as_array().unwrap().iter().find(|c| c["name"] == "wall:landlock").unwrap().clone();
    assert_eq!(wall["state"], "failed", "{wall}");
}

#[test]
fn with_leave_it_starts_and_says_so_everywhere() {
    let config = "[dangerous]\nmissing_walls = [\"landlock\"]\n";
    let node = without(LANDLOCK_CREATE_RULESET, || TestNode::start_with(Home::new(), config));
    node.deploy("hello", &guest("hello"), "[access]\nallow = \"tenant\"\n");
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").text(), "Hello, world!\n");

    let log = node.log();
    assert!(log.contains("dangerous.missing_walls: workers may run without the wall `landlock`"), "{log}");
    assert!(log.contains("missing: landlock"), "the banner does not name it:\n{log}");
    assert_eq!(node.info["walls_missing"], serde_json::json!(["landlock"]));
    let doctor = node.run(&["doctor"]).out;
    assert!(
        doctor.contains("not standing: landlock") && doctor.contains("dangerous.missing_walls"),
        "{doctor}"
    );
    let start = record_of_the_start(&node);
    assert!(start.contains("seccomp") && start.contains("missing: landlock"), "{start}");
}

/// What namespaces give stands in front of walls that must stand anyway: kernels and containers withhold them often.
#[test]
fn a_machine_without_namespaces_is_no_obstacle_but_is_named() {
    let node = without(UNSHARE, || TestNode::start_with(Home::new(), ""));
    let missing = node.info["walls_missing"].to_string();
    for wall in ["user-namespace", "network-namespace", "mount-namespace", "pid-namespace"] {
        assert!(missing.contains(wall), "`{wall}` is not in {missing}");
    }
    assert!(record_of_the_start(&node).contains("missing: user-namespace"));
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    node.deploy("hello", &guest("hello"), "[access]\nallow = \"tenant\"\n");
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").status, 200);
}

/// The record of the node is not a tenant's: it is told to whoever administers the node.
fn record_of_the_start(node: &TestNode) -> String {
    let events = node.records(&["--of-node", "--limit", "1000"]);
    let start = events.iter().find(|e| e["kind"] == "node" && e["action"] == "start");
    start.unwrap_or_else(|| panic!("{events:?}"))["detail"].as_str().unwrap().to_owned()
}
