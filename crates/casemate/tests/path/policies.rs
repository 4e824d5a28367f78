//! Changes that let somebody in: they stop, are accepted, or wait for a second person; permits that end by themselves;
//! who may do what; why something was refused.

use crate::support::{Home, TestNode, guest, solver};

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
    let forbids = "@id(\"no-deploys\") forbid (principal == User::\"default/eve\", action == Action::\"deploy\", \
                   resource);\n";
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
    node.home.function("hello", &guest("hello"), TENANT);
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

/// The same with a solver: what lets nobody in is done, what lets somebody in stops with a request that shows it,
/// and both ways on are open.
#[test]
fn with_a_solver_a_change_is_proved_or_shown() {
    let Some(solver) = solver() else { return };
    let node = TestNode::start_as(Home::new(), "", |command| {
        command.env("CVC5", &solver);
    });
    node.deploy("hello", &guest("hello"), NOBODY);
    let eve = node.token(&["--name", "eve", "--scope", "invoke"]);
    let call = || node.call("GET", "/hello", Some(&eve), b"").status;
    let permit = |when: &str| {
        format!("permit (principal is User, action == Action::\"invoke\", resource) when {{ {when} }};")
    };
    let short = "context.tls && context.method == \"GET\"";
    let stopped = set(&node, &permit(short), &[]).fails(1, "widens-access");
    assert!(
        stopped.err.contains("method") && stopped.err.contains("GET"),
        "no request is shown: {stopped:?}"
    );
    assert_eq!(call(), 403);
    set(&node, &permit(short), &["--accept-widening"]).ok();
    assert_eq!(call(), 200);
    // In other words, and a part of it: nothing to accept.
    set(&node, &permit(&format!("!(context.method != \"GET\" || !context.tls) && {short}")), &[]).ok();
    set(&node, &permit(&format!("{short} && context.path like \"/hello*\"")), &[]).ok();
    set(&node, &permit(&format!("{short} || context.path like \"/hello*\"")), &[]).fails(1, "widens-access");

    // Four eyes: who makes a change may not accept it, and somebody else may.
    let eyes = "@id(\"four-eyes\") forbid (principal, action == Action::\"acceptWidening\", resource);\n";
    set(&node, &format!("{eyes}{}", permit(short)), &["--accept-widening"]).ok();
    let wide = format!("{eyes}{}", permit("context.tls"));
    set(&node, &wide, &["--accept-widening"]).fails(5, "four-eyes");
    set(&node, &wide, &["--propose"]).ok();
    let listed = node.run(&["policy", "pending", "--output", "json"]).ok().json();
    let change = &listed["changes"][0];
    let shown = change["request"]["context"]["method"].as_str();
    assert!(shown.is_some_and(|method| method != "GET"), "{change}");
    let id = change["id"].as_str().unwrap();
    node.run(&["policy", "approve", id]).fails(5, "four-eyes");
    let second = node.token(&["--name", "second", "--role", "owner"]);
    let done = node.api("POST", &format!("/v1/tenants/default/changes/{id}/approve"), Some(&second), b"");
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(node.call("POST", "/hello", Some(&eve), b"").status, 200);
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
    let text = "@id(\"no-deletes\") forbid (principal, action == Action::\"invoke\", resource) \
                when { context.method == \"DELETE\" };";
    set(&node, text, &[]).ok();
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
    for part in ["refused", "eve", "decided by forbid `tenant/no-deletes`", "context.method == \"DELETE\""] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    let viewer = node.token(&["--name", "viewer", "--role", "viewer"]);
    let refused = node.api("DELETE", "/v1/tenants/default/functions/hello", Some(&viewer), b"");
    let id = refused.headers["x-request-id"].to_str().unwrap();
    let said = node.run(&["policy", "explain", id]).ok().out;
    assert!(said.contains("does not apply: permit `role/operator`"), "{said}");
    assert!(said.contains("no  principal in Role::\"operator\""), "{said}");
}

/// What each endpoint is sent, by its `operationId`; those that are not here take nothing.
fn body(operation: &str, digest: &str) -> String {
    let cedar = "permit (principal, action, resource);";
    match operation {
        "CreateTenant" => r#"{"id":"x"}"#.to_owned(),
        "LimitTenant" => r#"{"concurrency":1}"#.to_owned(),
        "Deploy" => format!(r#"{{"manifest":"","component":"{digest}"}}"#),
        "Rollback" | "RotateToken" => "{}".to_owned(),
        "Invoke" => r#"{"path":"/"}"#.to_owned(),
        "CreateToken" => r#"{"name":"x","days":1}"#.to_owned(),
        "SetPolicy" => format!(r#"{{"text":"{cedar}"}}"#),
        "SetIdentity" => r#"{"text":""}"#.to_owned(),
        "Propose" => format!(r#"{{"kind":"policy","text":"{cedar}"}}"#),
        "BreakGlass" => {
            r#"{"kind":"User","name":"x","action":"readLogs","reason":"x","minutes":1}"#.to_owned()
        }
        "NodeAct" | "ShieldAct" => r#"{"source":"192.0.2.7","seconds":60,"reason":"x"}"#.to_owned(),
        "LayBait" => r#"{"route":"/bait"}"#.to_owned(),
        "PutComponent" => "not a component".to_owned(),
        _ => String::new(),
    }
}

/// Answers whom it takes the caller for, and no more; ends the caller's own session, and no other.
const FOR_EVERYONE: &[&str] = &["WhoAmI", "LogOut"];

#[test]
fn every_endpoint_refuses_who_may_not() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), NOBODY);
    node.run(&["tenant", "create", "acme"]).ok();
    let nobody = node.token(&["--name", "nobody", "--scope", "*"]);
    let other = node.token(&["--tenant", "acme", "--name", "other", "--role", "owner"]);
    let digest = node.run(&["inspect", "hello", "--output", "json"]).ok().json();
    let digest = digest["function"]["active"]["component"].as_str().unwrap().to_owned();
    let token = node.run(&["token", "list", "--output", "json"]).ok().json();
    let token = token["tokens"][0]["id"].as_str().unwrap().to_owned();
    let document = node.api("GET", "/openapi.json", None, b"").json();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, endpoint) in methods.as_object().unwrap() {
            let operation = endpoint["operationId"].as_str().unwrap();
            if endpoint["security"].is_array() || FOR_EVERYONE.contains(&operation) {
                continue;
            }
            let names =
                [("tenant", "default"), ("function", "hello"), ("digest", &*digest), ("token", &*token)];
            let filled = names
                .iter()
                .fold(path.clone(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
            let filled = filled.replace("{change}", "cnone").replace("{glass}", "gnone");
            let filled = filled.replace("{session}", "tnone").replace("{id}", "snone");
            let query = match operation {
                "WhoCan" => "?action=list",
                "Explain" => "?request=01m7q5cqg0000000000000001a",
                "NodeUndo" | "ShieldUndo" | "TakeBait" => "?which=anone",
                _ => "",
            };
            let (url, method) = (format!("{filled}{query}"), method.to_ascii_uppercase());
            let body = body(operation, &digest);
            for (who, token, status) in [
                ("no token", None, 401),
                ("no role", Some(&*nobody), 403),
                ("another tenant", Some(&*other), 403),
            ] {
                let answer = node.api(&method, &url, token, body.as_bytes());
                assert_eq!(answer.status, status, "{operation}, {who}: {}", answer.text());
                // Of those without a token the first is recorded by itself, and the others are counted.
                if token.is_some() {
                    let id = answer.headers["x-request-id"].to_str().unwrap();
                    let of_node = node.records(&["--of-node", "--request", id]);
                    let recorded = !of_node.is_empty() || !node.records(&["--request", id]).is_empty();
                    assert!(recorded, "{operation}, {who}");
                }
            }
            asked += 1;
        }
    }
    assert!(asked >= 30, "only {asked} endpoints");
}

#[test]
fn policies_that_reach_for_more_come_to_nothing() {
    let node = TestNode::start();
    node.run(&["tenant", "create", "acme"]).ok();
    let acme = node.token(&["--tenant", "acme", "--name", "eve", "--role", "owner"]);
    node.deploy("hello", &guest("hello"), NOBODY);
    // Another tenant's functions, its own policies, the node: taken as text, and worth nothing.
    let text = "permit (principal, action == Action::\"invoke\", resource == Function::\"default/hello\");\
                permit (principal == User::\"acme/eve\", action == Action::\"inspect\", resource);";
    let body = serde_json::json!({ "text": text, "accept_widening": true }).to_string();
    let set = node.api("PUT", "/v1/tenants/acme/policy", Some(&acme), body.as_bytes());
    assert_eq!(set.status, 200, "{}", set.text());
    assert_eq!(node.call("GET", "/hello", Some(&acme), b"").status, 403);
    let inspect = node.api("GET", "/v1/tenants/default/functions/hello", Some(&acme), b"");
    assert_eq!(inspect.status, 403, "{}", inspect.text());
    let body =
        serde_json::json!({ "text": "permit (principal, action == Action::\"managePolicy\", resource);" });
    let own = node.api("PUT", "/v1/tenants/acme/policy", Some(&acme), body.to_string().as_bytes());
    assert_eq!(own.status, 422, "{}", own.text());

    // A function's policy cannot lift a guard rail, nor speak of another function.
    for (name, policy, says) in [
        (
            "other",
            "permit (principal, action == Action::\"invoke\", resource == Function::\"default/hello\");",
            "alone",
        ),
        ("more", "permit (principal, action, resource);", "`invoke` alone"),
    ] {
        let manifest = format!("[access]\npolicy = '''\n{policy}\n'''\n");
        let folder = node.home.function(name, &guest("hello"), &manifest);
        node.run(&["deploy", folder.to_str().unwrap(), "--no-build"]).fails(1, says);
    }
    let all = "[access]\npolicy = '''\npermit (principal, action == Action::\"invoke\", resource);\n'''\n";
    node.deploy("open", &guest("hello"), all);
    assert_eq!(node.call("GET", "/open", None, b"").status, 401, "no credential and no waiver");
    assert_eq!(node.call("GET", "/open", Some(&acme), b"").status, 403, "another tenant's");

    // What looks like another name is none: a Cyrillic а in `admin`.
    let like =
        "permit (principal == User::\"default/\u{430}dmin\", action == Action::\"readLogs\", resource);";
    let file = node.home.path().join("like.cedar");
    std::fs::write(&file, like).unwrap();
    let set = ["policy", "set", file.to_str().unwrap(), "--accept-widening"];
    node.run(&set).fails(1, "mixed scripts");
    let made = node.run(&["token", "create", "--name", "\u{430}dmin", "--scope", "*"]);
    assert_ne!(made.code, 0, "a token has a name of plain letters: {made:?}");
    let text = "permit (principal, action == Action::\"inv\u{43e}ke\", resource);";
    std::fs::write(&file, text).unwrap();
    node.run(&["policy", "set", file.to_str().unwrap()]).fails(1, "policy-invalid");
}
