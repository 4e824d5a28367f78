//! Events held to the schema itself, as its project publishes it: those of a node that did a little of everything, and one
//! of each kind.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{node, parsed, tells_of, wait_for};
use crate::support::Home;

/// The program of `cargo xtask test`; none where it could not be had.
fn checker() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/ocsf/bin/ocsf-check");
    if !path.exists() {
        eprintln!("skipped: `cargo xtask test` fetches the schema, and did not here");
    }
    Some(path).filter(|path| path.exists())
}

/// Fails with what the schema has against any of them.
#[track_caller]
fn hold(checker: &Path, events: &[Value]) {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    let mut command = Command::new(checker);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_kind_is_as_the_schema_has_it() {
    let Some(checker) = checker() else { return };
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ledger/src/ocsf/tests/snapshots.txt");
    let text = fs::read_to_string(snapshots).unwrap();
    let objects = text.split("## ").skip(1).map(|one| one.split_once('\n').unwrap().1);
    let events: Vec<Value> = objects.map(|json| serde_json::from_str(json).unwrap()).collect();
    assert!(events.len() > 20);
    hold(&checker, &events);
    let mut wrong = events;
    wrong[0]["class_uid"] = 6002.into();
    assert!(std::panic::catch_unwind(|| hold(&checker, &wrong)).is_err(), "it takes anything");
}

#[test]
fn what_a_node_tells_is_as_the_schema_has_it() {
    let Some(checker) = checker() else { return };
    let config = "[[events.sink]]\nkind = \"file\"\npath = \"events.ndjson\"\nwhat = [\"all\"]\n";
    let node = node(Home::new(), config);
    let path = node.home.path().join("events.ndjson");
    for args in [
        &["invoke", "hello"][..],
        &["token", "create", "--name", "ci", "--scope", "invoke"],
        &["tenant", "create", "acme"],
        &["shield", "honey", "route", "/backup.zip"],
        &["shield", "block", "192.0.2.0/24", "--for", "1h", "--reason", "scans us"],
        &["shield", "quarantine", "hello", "--for", "1h", "--reason", "strange"],
        &["shield", "unblock", "192.0.2.0/24"],
    ] {
        node.run(args).ok();
    }
    for path in ["/backup.zip", "/hello?id=1%27%20or%201=1--%20", "/nothing"] {
        node.call("GET", path, Some("not-a-token"), b"");
    }
    node.deploy("hello", &crate::support::guest("echo"), "[access]\nallow = \"tenant\"\n");
    node.run(&["rollback", "hello", "--to", "r1"]).ok();
    node.run(&["remove", "hello", "--yes"]).ok();
    node.deploy("hello", &crate::support::guest("hello"), "[access]\nallow = \"tenant\"\n");
    // Strangers of this address are blocked by now.
    let last = node.call("GET", "/hello", None, b"").headers["x-request-id"].to_str().unwrap().to_owned();
    let read = || parsed(&fs::read_to_string(&path).unwrap_or_default());
    let events = wait_for("the last", || Some(read()).filter(|all| all.iter().any(|e| tells_of(e, &last))));
    let classes: std::collections::BTreeSet<_> =
        events.iter().map(|event| event["class_uid"].as_u64().unwrap()).collect();
    assert!(classes.is_superset(&[2004, 3004, 4002, 6002, 6003, 7001].into()), "{classes:?}");
    hold(&checker, &events);
}
