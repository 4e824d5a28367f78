//! A file: what stands in it, how it turns, and that it may be moved away or be impossible.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;

use super::{node, parsed, refused, report, sequences, tells_of, wait_for};
use crate::support::{Home, TestNode};

#[test]
fn a_file_has_what_is_wanted_in_order_and_goes_on_after_a_restart() {
    let config = "[[events.sink]]\nkind = \"file\"\npath = \"events.ndjson\"\n";
    let node = node(Home::new(), config);
    let path = node.home.path().join("events.ndjson");
    let read = || parsed(&fs::read_to_string(&path).unwrap_or_default());
    node.run(&["invoke", "hello"]).ok();
    // Of no function, and so of no tenant that it could be.
    let nobody = node.call("GET", "/nobody-is-here", Some("not-a-token"), b"");
    let nobody = nobody.headers["x-request-id"].to_str().unwrap().to_owned();
    let first = refused(&node);
    let events =
        wait_for("the refusal", || Some(read()).filter(|all| all.iter().any(|e| tells_of(e, &first))));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let numbers = sequences(&events);
    assert!(numbers.is_sorted() && numbers.len() == events.len(), "in order, and each once: {numbers:?}");
    let of = |code: &str| events.iter().filter(|e| e["metadata"]["event_code"] == code).count();
    assert!(of("node") >= 1 && of("deploy") >= 1, "{events:#?}");
    let permitted = |e: &&Value| e["class_uid"] == 6003 && e["disposition_id"] == 1;
    assert_eq!(events.iter().find(permitted), None, "what was permitted is not asked for");
    for (id, class) in [(&nobody, 4002), (&first, 6003)] {
        let told = events.iter().find(|e| tells_of(e, id)).unwrap();
        assert_eq!((&told["class_uid"], &told["disposition_id"]), (&class.into(), &2.into()));
        assert_eq!(told["src_endpoint"]["ip"], "127.0.0.1");
    }
    let told = serde_json::to_string(&events).unwrap();
    assert!(!told.contains("not-a-token"), "a credential is told");

    // It is moved away; the next event begins it anew.
    let moved = node.home.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    let second = refused(&node);
    wait_for("the next", || read().iter().any(|e| tells_of(e, &second)).then_some(()));
    assert!(!read().iter().any(|e| tells_of(e, &first)));

    // The stop is told by the node that stops, and nothing is told twice by the one that starts.
    let home = node.stop();
    let stopped = read();
    assert_eq!(stopped.last().unwrap()["type_uid"], 600_204, "{stopped:#?}");
    let node = TestNode::start_with(home, config);
    wait_for("the start", || read().iter().filter(|e| e["type_uid"] == 600_203).count().eq(&1).then_some(()));
    let third = refused(&node);
    wait_for("the third", || read().iter().any(|e| tells_of(e, &third)).then_some(()));
    let all: Vec<_> = parsed(&fs::read_to_string(&moved).unwrap()).into_iter().chain(read()).collect();
    assert_eq!(sequences(&all).len(), all.len(), "each once");
    let report = report(&node, "file");
    assert!(report.starts_with("file, ") && report.contains(" 0 passed over, 0 refused"), "{report}");
    let metrics = node.api("GET", "/metrics", Some(&node.admin()), b"").text();
    assert!(metrics.contains("casemate_sink_delivered_total{sink=\"file\"}"), "{metrics}");
    assert!(metrics.contains("casemate_sink_failing{sink=\"file\"} 0"), "{metrics}");
}

#[test]
fn a_file_that_cannot_be_written_is_told_and_nothing_is_lost() {
    let config =
        "[[events.sink]]\nkind = \"file\"\nname = \"audit\"\npath = \"not-yet/events\"\nwhat = [\"all\"]\n";
    let node = node(Home::new(), config);
    let id = refused(&node);
    let said =
        wait_for("the failure", || Some(report(&node, "audit")).filter(|said| said.contains("not-yet")));
    assert!(said.contains(" 0 delivered"), "{said}");
    fs::create_dir(node.home.path().join("not-yet")).unwrap();
    let path = node.home.path().join("not-yet/events");
    let events = wait_for("what waited", || {
        let events = parsed(&fs::read_to_string(&path).unwrap_or_default());
        events.iter().any(|e| tells_of(e, &id)).then_some(events)
    });
    let numbers = sequences(&events);
    let (first, last) = (numbers[0], *numbers.last().unwrap());
    assert_eq!(numbers, (first..=last).collect::<Vec<_>>(), "all of the record, without a gap");
    assert!(events.iter().any(|e| e["class_uid"] == 6003), "decisions are asked for");
}

#[test]
fn a_pipe_is_no_file_for_events() {
    let home = Home::new();
    let pipe = home.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let config = format!("[[events.sink]]\nkind = \"file\"\npath = \"{}\"\n", pipe.display());
    fs::write(home.path().join("node.toml"), config).unwrap();
    let ran = home.run(&["config", "check", "node.toml"]);
    assert!(ran.code != 0 && ran.err.contains("is no regular file"), "{ran:?}");
    let data = home.path().join("data");
    let args = ["up", "--config", "node.toml", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let ran = home.run(&[&args[..], &["--control", "127.0.0.1:0"]].concat());
    assert!(ran.code != 0 && ran.err.contains("is no regular file"), "{ran:?}");
}

#[test]
fn a_sink_of_one_tenant_gets_nothing_of_another() {
    let config =
        "[[events.sink]]\nkind = \"file\"\npath = \"theirs\"\nwhat = [\"all\"]\ntenants = [\"acme\"]\n";
    let node = node(Home::new(), config);
    refused(&node);
    node.run(&["tenant", "create", "acme"]).ok();
    let path = node.home.path().join("theirs");
    let events = wait_for("their event", || {
        Some(parsed(&fs::read_to_string(&path).unwrap_or_default())).filter(|events| !events.is_empty())
    });
    assert!(events.iter().all(|e| e["metadata"]["tenant_uid"] == "acme"), "{events:#?}");
}
