//! Changes that let somebody in: they stop, are accepted, or wait for a second person; permits that end by themselves;
//! who may do what; why something was refused.

use crate::support::{TestNode, guest};

const TENANT: &str = "[access]\nallow = \"tenant\"\n";
const NOBODY: &str = "[access]\nallow = \"nobody\"\n";

fn set(node: &TestNode, text: &str, more: &[&str]) -> crate::support::Ran {
    let file = node.home.path().join("tenant.cedar");
    std::fs::write(&file, text).unwrap();
    node.run(&[&["policy", "set", file.to_str().unwrap()], more].concat())
}

#[test]
fn what_lets_somebody_in_stops_until_it_is_accepted() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), NOBODY);
    let eve = node.token(&["--name", "eve", "--scope", "invoke"]);
    let forbids = "@id(\"no-deploys\") forbid (principal == User::\"default/eve\", action == Action::\"deploy\", resource);\n";
    set(&node, forbids, &[]).ok();

    let permits =
        "@id(\"eve\") permit (principal == User::\"default/eve\", action == Action::\"invoke\", resource);\n";
    let text = format!("{forbids}{permits}");
    let stopped = set(&node, &text, &[]).fails(1, "widens-access");
    assert!(stopped.err.contains("--accept-widening"), "{stopped:?}");
    assert_eq!(node.call("GET", "/hello", Some(&eve), b"").status, 403, "nothing was changed");
    set(&node, &text, &["--accept-widening"]).ok();
    assert_eq!(node.call("GET", "/hello", Some(&eve), b"").status, 200);
    let events = node.records(&["--limit", "1000"]);
    let said = |part: &str| events.iter().any(|e| e["detail"].as_str().is_some_and(|d| d.contains(part)));
    assert!(said("widens access, accepted by"), "{events:?}");
    assert!(events.iter().any(|e| e["code"] == "widens-access"), "what stopped is not in the record");
    assert!(events.iter().any(|e| e["action"] == "acceptWidening" && e["allowed"] == true));

    // The same for who may call a function, and for going back.
    set(&node, "", &[]).fails(1, "widens-access");
    let folder = node.home.function("hello", &guest("hello"), TENANT);
    let folder = folder.to_str().unwrap();
    node.run(&["deploy", folder, "--no-build"]).fails(1, "widens-access");
    node.run(&["deploy", folder, "--no-build", "--accept-widening"]).ok();
    node.deploy("hello", &guest("hello"), NOBODY);
    node.run(&["rollback", "hello"]).fails(1, "widens-access");
    node.run(&["rollback", "hello", "--accept-widening"]).ok();
    node.run(&["remove", "hello", "--yes"]).ok();
    node.run(&["deploy", folder, "--no-build"]).fails(1, "widens-access");
}

#[test]
fn four_eyes() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), NOBODY);
    set(&node, "@id(\"four-eyes\") forbid (principal, action == Action::\"acceptWidening\", resource);", &[])
        .ok();
    let wide = "permit (principal, action == Action::\"invoke\", resource);";
    set(&node, wide, &["--accept-widening"]).fails(5, "four-eyes");
    set(&node, wide, &["--propose"]).ok();
    let listed = node.run(&["policy", "pending", "--output", "json"]).ok().json();
    let id = listed["changes"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(listed["changes"][0]["what"]["text"], "", "a list shows no policy");
    node.run(&["policy", "approve", &id]).fails(5, "four-eyes");

    let second = node.token(&["--name", "second", "--role", "owner"]);
    let viewer = node.token(&["--name", "viewer", "--role", "viewer"]);
    let one = format!("/v1/tenants/default/changes/{id}");
    let approve = format!("{one}/approve");
    assert_eq!(node.api("GET", &one, Some(&viewer), b"").status, 403, "a viewer reads no policy");
    assert_eq!(node.api("POST", &approve, Some(&viewer), b"").status, 403);
    let done = node.api("POST", &approve, Some(&second), b"");
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(node.run(&["policy", "get"]).ok().out.trim(), wide);
    assert_eq!(node.api("POST", &approve, Some(&second), b"").status, 404, "once");
    let events = node.records(&["--limit", "1000"]);
    let said = |part: &str| events.iter().any(|e| e["detail"].as_str().is_some_and(|d| d.contains(part)));
    assert!(said(&format!("proposed `{id}`")) && said("proposed by `User::\"default/admin\"`"), "{events:?}");

    // What a change was compared with has changed: it is proposed again, or rejected.
    set(&node, "", &[]).ok();
    set(&node, wide, &["--propose"]).ok();
    let listed = node.run(&["policy", "pending", "--output", "json"]).ok().json();
    let id = listed["changes"][0]["id"].as_str().unwrap().to_owned();
    set(&node, "forbid (principal, action == Action::\"deploy\", resource);", &[]).ok();
    node.run(&["policy", "approve", &id]).fails(1, "propose it again");
    node.run(&["policy", "reject", &id]).ok();
    assert!(node.run(&["policy", "pending"]).ok().out.contains("nothing waits"));
}

#[test]
fn break_glass_is_loud_and_ends() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), NOBODY);
    let alice = node.token(&["--name", "alice", "--scope", "*"]);
    let logs = "/v1/tenants/default/functions/hello/logs";
    assert_eq!(node.api("GET", logs, Some(&alice), b"").status, 403);
    let give = ["policy", "break-glass", "--for", "alice", "--reason", "incident 12", "--output", "json"];
    let given =
        node.run(&[&give[..], &["--action", "readLogs", "--function", "hello", "--minutes", "30"]].concat());
    let given = given.ok().json();
    let id = given["id"].as_str().unwrap();
    assert_eq!(node.api("GET", logs, Some(&alice), b"").status, 200);
    assert_eq!(node.api("DELETE", "/v1/tenants/default/functions/hello", Some(&alice), b"").status, 403);
    assert!(node.log().contains("a break-glass permit was used"), "{}", node.log());
    let used = format!("glass/{id}");
    let events = node.records(&["--limit", "1000"]);
    let uses =
        |e: &&serde_json::Value| e["policies"].as_array().is_some_and(|p| p.contains(&used.as_str().into()));
    assert_eq!(events.iter().filter(uses).count(), 1, "{events:?}");
    assert!(events.iter().any(|e| e["detail"].as_str().is_some_and(|d| d.contains("incident 12"))));

    // It outlives a restart, stands below every forbid, and ends when it is ended.
    let node = TestNode::start_with(node.stop(), "");
    assert_eq!(node.api("GET", logs, Some(&alice), b"").status, 200);
    set(
        &node,
        "forbid (principal == User::\"default/alice\", action == Action::\"readLogs\", resource);",
        &[],
    )
    .ok();
    assert_eq!(node.api("GET", logs, Some(&alice), b"").status, 403, "a forbid stands above it");
    set(&node, "", &["--accept-widening"]).ok();
    assert_eq!(node.api("GET", logs, Some(&alice), b"").status, 200);
    node.run(&["policy", "end-glass", id]).ok();
    assert_eq!(node.api("GET", logs, Some(&alice), b"").status, 403);
    for action in ["managePolicy", "breakGlass", "listTenants"] {
        node.run(&[&give[..], &["--action", action, "--minutes", "1"]].concat()).fails(1, "break-glass");
    }
    node.run(&[&give[..], &["--action", "readLogs", "--minutes", "241"]].concat()).fails(2, "1..=240");
    let body = br#"{"kind":"User","name":"alice","action":"deploy","reason":"x","minutes":1}"#;
    assert_eq!(node.api("POST", "/v1/tenants/default/glass", Some(&alice), body).status, 403);
}

#[test]
fn who_can_what_can_and_why_not() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), TENANT);
    set(&node, "@id(\"no-deletes\") forbid (principal, action == Action::\"invoke\", resource) when { context.method == \"DELETE\" };", &[]).ok();
    let eve = node.token(&["--name", "eve", "--scope", "invoke"]);
    let found = node.run(&["policy", "who-can", "invoke", "hello", "--output", "json"]).ok().json();
    let of =
        |who: &str| found["reached"].as_array().unwrap().iter().find(|r| r["who"] == who).cloned().unwrap();
    let reached = of("User::\"default/eve\"");
    assert_eq!(reached["may"], "when", "{reached}");
    assert!(reached["forbidden_when"][0]["condition"].as_str().unwrap().contains("DELETE"), "{reached}");
    assert_eq!(of("Anonymous::\"anonymous\"")["may"], "never");
    let found = node.run(&["policy", "what-can", "eve", "--output", "json"]).ok().json();
    let may = |r: &&serde_json::Value| r["may"] != "never";
    let actions: Vec<_> =
        found["reached"].as_array().unwrap().iter().filter(may).map(|r| r["action"].clone()).collect();
    assert_eq!(actions, ["invoke"]);
    node.run(&["policy", "who-can", "invoke", "nothing"]).fails(1, "nothing");
    assert_eq!(node.api("GET", "/v1/tenants/default/who-can?action=invoke", Some(&eve), b"").status, 403);

    let refused = node.call("DELETE", "/hello", Some(&eve), b"");
    let id = refused.headers["x-request-id"].to_str().unwrap();
    let said = node.run(&["policy", "explain", id]).ok().out;
    for part in ["refused", "eve", "decided by `tenant/no-deletes`", "context.method == \"DELETE\""] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    let viewer = node.token(&["--name", "viewer", "--role", "viewer"]);
    let refused = node.api("DELETE", "/v1/tenants/default/functions/hello", Some(&viewer), b"");
    let id = refused.headers["x-request-id"].to_str().unwrap();
    let said = node.run(&["policy", "explain", id]).ok().out;
    assert!(said.contains("the nearest is") && said.contains("does not hold"), "{said}");
}
