//! What operators do against somebody: it works, ends by itself, is undone, outlives a restart, and is theirs alone.

use std::time::Duration;

use crate::{
    sources::{Client, TENANT, detail, node, node_in, status},
    support::guest,
};

const OPEN: &str = "[access]\nallow = \"public\"\n[access.waiver]\nreason = \"a greeting for everybody\"\n\
                    until = \"2027-06-30\"\n";

#[test]
fn a_source_is_blocked_and_unblocked() {
    let node = node("");
    node.deploy("hello", &guest("hello"), OPEN);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let (client, other) = (Client::at(&node, [127, 5, 5, 5]), Client::at(&node, [127, 5, 6, 5]));
    let block = |args: &[&str]| {
        let all = [&["shield", "block", "--reason", "scans us", "--output", "json"], args].concat();
        node.run(&all)
    };
    let made = block(&["127.5.5.0/24", "--for", "1h"]).ok().json();
    let refused = client.get("/hello", Some(&token));
    assert_eq!((refused.status, other.get("/hello", None).status), (403, 200), "{refused:?}");
    assert!(!refused.text.contains("blocked"), "it is told no more than anybody whom policies refuse");
    let events = node.records(&["--request", &refused.id()]);
    assert!(events.iter().any(|event| event["code"] == "source-blocked"), "{events:?}");

    let node = node_in(node.stop(), "");
    let client = Client::at(&node, [127, 5, 5, 5]);
    assert_eq!(client.get("/hello", None).status, 403, "after a restart too");
    let shown = node.run(&["shield", "status"]).ok().out;
    assert!(shown.contains("127.5.5.0/24") && shown.contains("scans us"), "{shown}");
    node.run(&["shield", "unblock", made["id"].as_str().unwrap()]).ok();
    assert_eq!(client.get("/hello", None).status, 200);
    node.run(&["shield", "unblock", "127.5.5.5"]).fails(1, "127.5.5.5");
    let events = node.records(&["--limit", "1000"]);
    let acts: Vec<_> = events
        .iter()
        .filter(|event| event["kind"] == "action")
        .map(|event| event["action"].clone())
        .collect();
    assert_eq!(acts, ["undo", "block-source"], "{events:?}");
    assert!(events.iter().any(|event| detail(event).contains("scans us")));
    assert_eq!(status(&node)["past"][0]["ended_by"], "User::\"default/admin\"");

    // Strangers alone, and at the control API.
    let block = |args: &[&str]| node.run(&[&["shield", "block", "--reason", "scans us"], args].concat());
    block(&["127.5.5.5", "--strangers"]).ok();
    assert_eq!((client.get("/hello", None).status, client.get("/hello", Some(&token)).status), (403, 200));
    node.run(&["shield", "unblock", "127.5.5.5"]).ok();
    block(&["127.0.0.1", "--of-node", "--control"]).fails(1, "your own address");
    block(&["127.0.0.1", "--control"]).fails(2, "--of-node");
    block(&["127.0.0.1", "--of-node"]).ok();
    assert_eq!(Client::at(&node, [127, 0, 0, 1]).get("/hello", None).status, 403);
    assert_eq!(client.get("/hello", None).status, 200);
    node.run(&["whoami"]).ok();
    assert_eq!(status(&node)["actions"], serde_json::json!([]), "what is the node's is no tenant's");
    node.run(&["shield", "unblock", "127.0.0.1"]).fails(1, "127.0.0.1");
    node.run(&["shield", "unblock", "127.0.0.1", "--of-node"]).ok();
    assert_eq!(Client::at(&node, [127, 0, 0, 1]).get("/hello", None).status, 200);
    for (wrong, code, says) in [
        (&["127.0.0.300"][..], 1, "no range"),
        (&["10.0.0.1/8"], 1, "no range"),
        (&["127.5.5.5", "--for", "31d"], 2, "30d"),
        (&["127.5.5.5", "--for", "0"], 1, "ends by itself"),
        (&["127.5.5.5", "--slow", "--strangers"], 2, "cannot be used with"),
    ] {
        block(wrong).fails(code, says);
    }
}

#[test]
fn everything_ends_by_itself() {
    let node = node("");
    node.deploy("hello", &guest("hello"), OPEN);
    let client = Client::at(&node, [127, 5, 5, 5]);
    node.run(&["shield", "block", "127.5.5.5", "--for", "2s", "--reason", "for a moment"]).ok();
    assert_eq!(client.get("/hello", None).status, 403);
    std::thread::sleep(Duration::from_millis(2_100));
    assert_eq!(client.get("/hello", None).status, 200);
    let found = status(&node);
    assert_eq!(found["actions"], serde_json::json!([]), "{found}");
    assert_eq!(found["past"][0]["subject"], "127.5.5.5/32");
    let events = node.records(&["--limit", "1000"]);
    assert!(
        events.iter().any(|event| event["action"] == "undo" && detail(event).contains("ended by itself"))
    );

    // Also while the node is not there.
    node.run(&["shield", "block", "127.5.5.5", "--for", "1s", "--reason", "for a moment"]).ok();
    let home = node.kill();
    std::thread::sleep(Duration::from_millis(1_100));
    let node = node_in(home, "");
    assert_eq!(Client::at(&node, [127, 5, 5, 5]).get("/hello", None).status, 200);
    assert_eq!(status(&node)["past"].as_array().unwrap().len(), 2);
}

#[test]
fn a_token_is_suspended_and_a_revision_put_into_quarantine() {
    let node = node("");
    node.deploy("hello", &guest("hello"), TENANT);
    let made =
        node.run(&["token", "create", "--name", "ci", "--scope", "invoke", "--output", "json"]).ok().json();
    let (id, token) = (made["token"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap().to_owned());
    let other = node.token(&["--name", "other", "--scope", "invoke"]);
    let call = |token: &str| node.call("GET", "/hello", Some(token), b"");
    node.run(&["shield", "suspend", id, "--reason", "seen in a paste"]).ok();
    assert_eq!((call(&token).status, call(&other).status), (401, 200));
    assert_eq!(call(&token).json()["code"], "unauthenticated", "as any token that does not hold");
    node.run(&["shield", "suspend", "t000000000000", "--reason", "x"]).fails(1, "t000000000000");
    let own = node.run(&["whoami", "--output", "json"]).ok().json()["principal"]["token"].clone();
    node.run(&["shield", "suspend", own.as_str().unwrap(), "--reason", "x"]).fails(1, "you ask with");
    node.run(&["shield", "quarantine", "hello", "--for", "1h", "--reason", "calls strange hosts"]).ok();
    node.run(&["shield", "quarantine", "nothing", "--reason", "x"]).fails(1, "nothing");
    let refused = call(&other);
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("quarantined")));
    assert_eq!(refused.headers["retry-after"], "60");
    let id_of = refused.headers["x-request-id"].to_str().unwrap();
    assert!(node.records(&["--request", id_of]).iter().any(|event| event["code"] == "quarantined"));

    let node = node_in(node.kill(), "");
    let call = |token: &str| node.call("GET", "/hello", Some(token), b"").status;
    assert_eq!((call(&token), call(&other)), (401, 503), "after a restart too");
    // Nothing is lost, and another revision answers.
    node.run(&["inspect", "hello"]).ok();
    node.deploy("hello", &guest("hello"), TENANT);
    assert_eq!(call(&other), 200);
    node.run(&["rollback", "hello", "--to", "r1"]).ok();
    assert_eq!(call(&other), 503);
    for action in status(&node)["actions"].as_array().unwrap() {
        node.run(&["shield", "undo", action["id"].as_str().unwrap()]).ok();
    }
    assert_eq!((call(&token), call(&other)), (200, 200));
}

#[test]
fn a_shorter_action_hides_no_longer_one() {
    let node = node("");
    node.deploy("hello", &guest("hello"), TENANT);
    let made =
        node.run(&["token", "create", "--name", "ci", "--scope", "invoke", "--output", "json"]).ok().json();
    let (id, token) = (made["token"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap().to_owned());
    let other = node.token(&["--name", "other", "--scope", "invoke"]);
    for time in ["1h", "1s"] {
        node.run(&["shield", "suspend", id, "--for", time, "--reason", "x"]).ok();
        node.run(&["shield", "quarantine", "hello", "--for", time, "--reason", "x"]).ok();
    }
    let end = std::time::Instant::now() + Duration::from_secs(3);
    while std::time::Instant::now() < end {
        let call = |token: &str| node.call("GET", "/hello", Some(token), b"").status;
        assert_eq!((call(&token), call(&other)), (401, 503));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn many_are_undone_at_once_and_each_has_one_name() {
    let node = node("");
    node.deploy("hello", &guest("hello"), OPEN);
    let undone = |args: &[&str]| {
        let ran = node.run(&[&["shield", "unblock", "--output", "json"], args].concat()).ok();
        ran.json()["undone"].as_array().unwrap().len()
    };
    let block = |args: &[&str]| node.run(&[&["shield", "block", "--reason", "scans us"], args].concat());
    let said = block(&["::ffff:127.5.5.5", "--of-node"]).ok().out;
    assert!(said.contains("127.5.5.5/32") && said.contains(" --of-node`"), "{said}");
    assert_eq!(Client::at(&node, [127, 5, 5, 5]).get("/hello", None).status, 403);
    assert_eq!(undone(&["::ffff:127.5.5.5", "--of-node"]), 1);
    block(&["::/0"]).ok();
    assert_eq!(Client::at(&node, [127, 5, 5, 5]).get("/hello", None).status, 200, "it is of IPv6 alone");

    block(&["127.5.5.6"]).ok();
    node.run(&["shield", "honey", "route", "/backup.zip"]).ok();
    Client::at(&node, [127, 5, 5, 7]).get("/backup.zip", None);
    assert_eq!(undone(&["--all", "--automatic"]), 1);
    assert_eq!(status(&node)["actions"].as_array().unwrap().len(), 2, "what operators did is left");
    node.run(&["shield", "unblock"]).fails(2, "--all");
    node.run(&["shield", "unblock", "127.5.5.6", "--all"]).fails(2, "cannot be used with");
    node.run(&["shield", "unblock", "127.5.5.6", "--automatic"]).fails(2, "cannot be used with");
    assert_eq!((undone(&["--all"]), undone(&["--all"])), (2, 0));
    assert_eq!(Client::at(&node, [127, 5, 5, 6]).get("/hello", None).status, 200);
    let events = node.records(&["--limit", "1000"]);
    assert_eq!(events.iter().filter(|event| event["action"] == "undo").count(), 3, "{events:?}");
    node.run(&["shield", "unblock", "127.9.9.9"]).fails(1, "casemate shield status");
    node.run(&["shield", "why", "s000000000000"]).fails(1, "casemate shield status");
}

#[test]
fn who_touches_bait_from_very_many_addresses_leaves_operators_room() {
    let node = node("");
    node.deploy("hello", &guest("hello"), OPEN);
    node.run(&["shield", "honey", "route", "/backup.zip"]).ok();
    for n in 0..300_u16 {
        let [high, low] = n.to_be_bytes();
        assert_eq!(Client::at(&node, [127, 50, high, low]).get("/backup.zip", None).status, 404);
    }
    let found = status(&node);
    let count = |what: &str| found[what].as_array().unwrap().len();
    assert_eq!((count("actions"), count("past"), count("signals")), (256, 44, 256));
    let events = node.records(&["--limit", "1000"]);
    let of = |action: &str| events.iter().filter(|event| event["action"] == action).count();
    assert_eq!((of("block-source"), of("undo")), (300, 44), "each that is told of was made");
    node.run(&["shield", "block", "127.60.0.1", "--reason", "scans us"]).ok();
    assert_eq!(Client::at(&node, [127, 60, 0, 1]).get("/hello", None).status, 403);
}

#[test]
fn nobody_does_it_who_may_not() {
    let node = node("");
    node.deploy("hello", &guest("hello"), TENANT);
    let role = |role: &str| node.token(&["--name", role, "--role", role]);
    let (viewer, developer, auditor, operator) =
        (role("viewer"), role("developer"), role("auditor"), role("operator"));
    let base = "/v1/tenants/default/shield";
    let actions = format!("{base}/actions");
    let block = br#"{"source":"127.5.5.5","seconds":60,"reason":"a test"}"#;
    let bait = br#"{"route":"/bait"}"#;
    let all: &[(&str, String, &[u8])] = &[
        ("POST", actions.clone(), block),
        ("DELETE", format!("{actions}?which=127.5.5.5"), b""),
        ("DELETE", format!("{actions}?all=any"), b""),
        ("POST", format!("{base}/profiles/hello/approve"), b""),
        ("DELETE", format!("{base}/profiles/hello"), b""),
        ("POST", format!("{base}/bait"), bait),
        ("DELETE", format!("{base}/bait?which=/bait"), b""),
    ];
    let reads =
        [base.to_owned(), format!("{base}/why/s1"), format!("{base}/profiles/hello"), format!("{base}/bait")];
    for (who, token) in [("viewer", &viewer), ("developer", &developer), ("auditor", &auditor)] {
        for (method, path, body) in all {
            assert_eq!(node.api(method, path, Some(token), body).status, 403, "{who}: {method} {path}");
        }
    }
    for path in &reads {
        assert_eq!(node.api("GET", path, Some(&viewer), b"").status, 403, "{path}");
        assert_eq!(node.api("GET", path, None, b"").status, 401, "{path}");
        assert!(matches!(node.api("GET", path, Some(&auditor), b"").status, 200 | 404), "{path}");
    }
    // An operator does it in the tenant, and not on the node nor to those above.
    assert_eq!(node.api("POST", &actions, Some(&operator), block).status, 201);
    assert_eq!(node.api("DELETE", &all[1].1, Some(&operator), b"").status, 200);
    assert_eq!(node.api("POST", "/v1/node/shield/actions", Some(&operator), block).status, 403);
    assert_eq!(node.api("GET", "/v1/node/shield", Some(&operator), b"").status, 403);
    let listed = node.run(&["token", "list", "--output", "json"]).ok().json();
    let tokens = listed["tokens"].as_array().unwrap();
    let admin = tokens.iter().find(|token| token["name"] == "admin").unwrap()["id"].as_str().unwrap();
    let above = format!(r#"{{"token":"{admin}","seconds":60,"reason":"a test"}}"#);
    assert_eq!(node.api("POST", &actions, Some(&operator), above.as_bytes()).status, 403);

    // What is one tenant's is no other's.
    node.run(&["tenant", "create", "acme"]).ok();
    let made = node.api("POST", &actions, Some(&operator), block).json();
    let path = format!("/v1/tenants/acme/shield/actions?which={}", made["id"].as_str().unwrap());
    assert_eq!(node.api("DELETE", &path, Some(&operator), b"").status, 403);
    assert_eq!(node.api("DELETE", &path, Some(&node.admin()), b"").status, 404, "it is not there");
    for wrong in [
        &br#"{"seconds":60,"reason":"x"}"#[..],
        br#"{"source":"127.5.5.5","token":"t4x8k2m9q1r7z","seconds":60,"reason":"x"}"#,
        br#"{"source":"127.5.5.5","seconds":60,"reason":"x","forever":true}"#,
    ] {
        assert_eq!(node.api("POST", &actions, Some(&operator), wrong).status, 400);
    }
    for wrong in [
        &br#"{"source":"127.5.5.5","seconds":0,"reason":"x"}"#[..],
        br#"{"source":"127.5.5.5","seconds":60,"reason":" "}"#,
        br#"{"source":"127.5.5.5","control":true,"seconds":60,"reason":"x"}"#,
    ] {
        assert_eq!(node.api("POST", &actions, Some(&operator), wrong).status, 422);
    }
}
