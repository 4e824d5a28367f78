//! Who may call and who may change what: no credential, wrong ones, policies, scopes, roles, tenants, waivers.

use crate::support::{TestNode, guest};

const TENANT: &str = "[access]\nallow = \"tenant\"\n";

#[test]
fn credentials() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), TENANT);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").status, 200);
    let mut forged = token.clone();
    forged.replace_range(20..21, if &token[20..21] == "a" { "b" } else { "a" });
    let unknown = "casemate_0000000000000000000000000000000000000000000000000";
    for (what, credential) in [
        ("none", None),
        ("one character changed", Some(forged.as_str())),
        ("made up", Some(unknown)),
        ("another kind", Some("eyJhbGciOiJub25lIn0.e30.")),
    ] {
        let answer = node.call("GET", "/hello", credential, b"");
        assert_eq!(answer.status, 401, "{what}");
        assert_eq!(answer.json()["code"], "unauthenticated", "{what}: all refusals look the same");
        assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert!(!node.records(&["--request", id]).is_empty(), "{what} left no record");
    }
    let answer = node.call("GET", &format!("/hello?token={token}"), None, b"");
    assert_eq!(answer.status, 401, "a token in a query is none");
}

#[test]
fn a_revoked_token_is_refused_at_once_and_after_a_restart() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), TENANT);
    let made =
        node.run(&["token", "create", "--name", "ci", "--scope", "invoke", "--output", "json"]).ok().json();
    let (id, token) = (made["token"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap().to_owned());
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").status, 200);
    let listed = node.run(&["token", "list", "--output", "json"]).ok().out;
    assert!(listed.contains(id) && !listed.contains(&token), "a list shows ids, never secrets");
    node.run(&["token", "revoke", id]).ok();
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").status, 401);
    let node = TestNode::start_with(node.stop(), "");
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").status, 401);
}

#[test]
fn scopes_and_roles() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), TENANT);
    let list = "/v1/tenants/default/functions";
    let tokens = "/v1/tenants/default/tokens";
    let caller = node.token(&["--name", "caller", "--scope", "invoke"]);
    let viewer = node.token(&["--name", "viewer", "--role", "viewer", "--scope", "*"]);
    let narrow = node.token(&["--name", "narrow", "--role", "viewer", "--scope", "inspect"]);
    for (who, token, path, status) in [
        ("a caller lists", &caller, list, 403),
        ("a viewer lists", &viewer, list, 200),
        ("a viewer without the scope lists", &narrow, list, 403),
        ("a viewer reads tokens", &viewer, tokens, 403),
    ] {
        let answer = node.api("GET", path, Some(token), b"");
        assert_eq!(answer.status, status, "{who}: {}", answer.text());
    }
    assert_eq!(node.api("GET", list, None, b"").status, 401);
    assert_eq!(node.api("GET", "/metrics", Some(&viewer), b"").status, 403);
    assert_eq!(node.api("GET", "/healthz", None, b"").status, 200);
}

#[test]
fn nobody_gives_away_more_than_they_have() {
    let node = TestNode::start();
    let operator = node.token(&["--name", "op", "--role", "operator", "--scope", "*"]);
    let path = "/v1/tenants/default/tokens";
    let ask = |role: &str| {
        let body = format!(r#"{{"name":"x","roles":["{role}"],"scopes":["*"],"days":1}}"#);
        node.api("POST", path, Some(&operator), body.as_bytes()).status
    };
    assert_eq!(ask("developer"), 201);
    assert_eq!(ask("owner"), 403);
    assert_eq!(ask("admin"), 403);
}

#[test]
fn a_policy_of_the_function_and_one_of_the_tenant() {
    let node = TestNode::start();
    let policy = "[access]\npolicy = '''\n@id(\"only-ci\")\npermit (principal == Service::\"default/ci\", \
                  action == Action::\"invoke\", resource);\n'''\n";
    node.deploy("hello", &guest("hello"), policy);
    let ci = node.token(&["--name", "ci", "--kind", "service", "--scope", "invoke"]);
    let eve = node.token(&["--name", "eve", "--scope", "invoke"]);
    assert_eq!(node.call("GET", "/hello", Some(&ci), b"").status, 200);
    let refused = node.call("GET", "/hello", Some(&eve), b"");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("forbidden")));

    let text = "@id(\"no-deletes\")\nforbid (principal, action == Action::\"invoke\", resource)\n\
                when { context.method == \"DELETE\" };\n";
    let file = node.home.path().join("tenant.cedar");
    std::fs::write(&file, text).unwrap();
    node.run(&["policy", "set", file.to_str().unwrap()]).ok();
    assert_eq!(
        node.call("GET", "/hello", Some(&ci), b"").status,
        200,
        "the next request sees the new policy"
    );
    let refused = node.call("DELETE", "/hello", Some(&ci), b"");
    assert_eq!(refused.status, 403, "a function cannot widen what its tenant forbids");
    let id = refused.headers["x-request-id"].to_str().unwrap();
    let events = node.records(&["--request", id]);
    assert!(events[0].to_string().contains("no-deletes"), "the record has the policy: {events:?}");
    assert!(events[0].to_string().contains("context.method"), "and its clause: {events:?}");

    std::fs::write(&file, "permit (principal, action, resource) when { context.nothing };").unwrap();
    let wrong = node.run(&["policy", "set", file.to_str().unwrap()]);
    assert_ne!(wrong.code, 0, "a policy that does not fit the schema is refused");
    assert_eq!(node.call("DELETE", "/hello", Some(&ci), b"").status, 403, "and the old one stays");
}

#[test]
fn public_wants_a_waiver_that_has_not_ended() {
    let node = TestNode::start();
    let public = |until: &str| {
        format!(
            "[access]\nallow = \"public\"\nwaiver = {{ reason = \"the landing page\", until = \"{until}\" }}\n"
        )
    };
    let year = |days: i64| {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        model::Timestamp::from_unix_ms((now + days * 86_400_000) as u64).to_string()
    };
    node.deploy("open", &guest("hello"), &public(&year(30)));
    assert_eq!(node.call("GET", "/open", None, b"").status, 200);
    for (name, manifest) in [
        ("ended", public(&year(-1))),
        ("endless", public(&year(4_000))),
        ("unsaid", "[access]\nallow = \"public\"\n".to_owned()),
    ] {
        let folder = node.home.function(name, &guest("hello"), &manifest);
        let refused = node.run(&["deploy", folder.to_str().unwrap(), "--no-build"]);
        assert_ne!(refused.code, 0, "{name}");
        assert!(refused.err.contains("waiver"), "{name}: {}", refused.err);
    }
}

#[test]
fn tenants_are_apart() {
    let node = TestNode::start();
    node.run(&["tenant", "create", "acme"]).ok();
    let acme = node.token(&["--tenant", "acme", "--name", "owner", "--role", "owner", "--scope", "list"]);
    node.deploy("hello", &guest("hello"), TENANT);
    let own = node.api("GET", "/v1/tenants/acme/functions", Some(&acme), b"");
    assert_eq!(own.status, 200, "{}", own.text());
    assert_eq!(node.api("GET", "/v1/tenants/default/functions", Some(&acme), b"").status, 403);
    assert_eq!(node.call("GET", "/hello", Some(&acme), b"").status, 403, "another tenant's token");
}

#[test]
fn nobody_takes_a_name_or_a_token_from_above() {
    let node = TestNode::start();
    let operator = node.token(&["--name", "op", "--role", "operator", "--scope", "*"]);
    node.token(&["--name", "alice", "--scope", "invoke"]);
    let path = "/v1/tenants/default/tokens";
    let make = |name: &str| {
        let body = format!(r#"{{"name":"{name}","scopes":["invoke"],"days":1}}"#);
        node.api("POST", path, Some(&operator), body.as_bytes()).status
    };
    assert_eq!(make("fresh"), 201);
    assert_eq!(make("fresh"), 201, "one that it made itself");
    assert_eq!(make("alice"), 403, "somebody whom an administrator made");
    assert_eq!(make("admin"), 403);
    let listed = node.run(&["token", "list", "--output", "json"]).ok().json();
    let tokens = listed["tokens"].as_array().unwrap();
    let admin = tokens.iter().find(|token| token["name"] == "admin").unwrap()["id"].as_str().unwrap();
    let one = format!("{path}/{admin}");
    assert_eq!(node.api("DELETE", &one, Some(&operator), b"").status, 403, "a token from above");
    let last = node.api("DELETE", &one, Some(&node.admin()), b"");
    assert_eq!((last.status, last.json()["code"].as_str()), (409, Some("conflict")), "the last of its kind");
    node.run(&["whoami"]).ok();
}

#[test]
fn the_control_api_calls_by_the_routes() {
    let node = TestNode::start();
    node.deploy(
        "api",
        &guest("echo"),
        "[[route]]\npath = \"/api/x/...\"\nmethods = [\"GET\"]\n[access]\nallow = \"tenant\"\n",
    );
    let caller = node.token(&["--name", "caller", "--scope", "invoke"]);
    let path = "/v1/tenants/default/functions/api/invoke";
    for (body, status) in [
        (r#"{"path":"/api/x/y"}"#, 200),
        (r#"{"path":"/"}"#, 200),
        (r#"{"path":"/internal"}"#, 404),
        (r#"{"path":"/api/x","method":"DELETE"}"#, 405),
    ] {
        let answer = node.api("POST", path, Some(&caller), body.as_bytes());
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
}

#[test]
fn a_waiver_that_ends_while_the_function_is_deployed() {
    let node = TestNode::start();
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_millis() as u64
    };
    // Policies count whole seconds.
    let until = (now() / 1_000 + 6) * 1_000;
    let shown = model::Timestamp::from_unix_ms(until).to_string();
    let waiver = format!("waiver = {{ reason = \"the landing page\", until = \"{shown}\" }}");
    node.deploy("open", &guest("hello"), &format!("[access]\nallow = \"public\"\n{waiver}\n"));
    assert_eq!(node.call("GET", "/open", None, b"").status, 200);
    assert!(now() < until - 1_000, "the machine was too slow to see the function open");
    std::thread::sleep(std::time::Duration::from_millis(until - now()));

    let refused = node.call("GET", "/open?q=s3cret", None, b"");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("waiver-ended")));
    let id = refused.headers["x-request-id"].to_str().unwrap();
    let events = node.records(&["--request", id]);
    let decision = events.iter().find(|e| e["kind"] == "decision").unwrap();
    assert_eq!(
        (&decision["code"], &decision["allowed"]),
        (&"waiver-ended".into(), &false.into()),
        "{decision}"
    );
    let log = node.run(&["logs", "open"]).ok().out;
    assert!(log.contains("waiver-ended: refused GET /open by Anonymous") && !log.contains("s3cret"), "{log}");
    assert!(node.run(&["inspect", "open"]).ok().out.contains(&shown), "nobody can see why");
    assert_eq!(node.deploy("open", &guest("hello"), TENANT)["revision"], 2);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    assert_eq!(node.call("GET", "/open", Some(&token), b"").status, 200);
}

#[test]
fn a_token_takes_the_place_of_another() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), TENANT);
    let status = |token: &str| node.call("GET", "/hello", Some(token), b"").status;
    let first = node.token(&["--name", "ci", "--scope", "invoke", "--days", "7"]);
    let made = node.run(&["token", "rotate", "ci", "--overlap", "3s", "--output", "json"]).ok().json();
    let second = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(
        (&made["token"]["name"], &made["token"]["scopes"]),
        (&"ci".into(), &serde_json::json!(["invoke"]))
    );
    assert_eq!((status(&first), status(&second)), (200, 200), "both are good meanwhile");
    let ended = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        status(&first) == 401
    });
    assert!(ended, "the old one goes on for ever");
    assert_eq!(status(&second), 200);

    let third = node.run(&["token", "rotate", "ci", "--overlap", "0", "--output", "json"]).ok().json();
    assert_eq!(status(&second), 401, "without an overlap it ends at once");
    let third = third["secret"].as_str().unwrap();
    let node = TestNode::start_with(node.stop(), "");
    let status = |token: &str| node.call("GET", "/hello", Some(token), b"").status;
    assert_eq!((status(&first), status(&second), status(third)), (401, 401, 200), "a restart revives none");
    let events = node.records(&["--limit", "1000"]);
    let said = |e: &serde_json::Value| e["detail"].as_str().is_some_and(|d| d.contains("takes the place of"));
    assert_eq!(events.iter().filter(|e| e["kind"] == "token" && said(e)).count(), 2, "{events:?}");

    node.run(&["token", "rotate", "nobody"]).fails(1, "casemate token list");
    node.run(&["token", "rotate", "ci", "--overlap", "1y"]).fails(2, "such as `1h`");
    node.run(&["token", "rotate", "ci", "--overlap", "31d"]).fails(2, "30d");
    node.token(&["--name", "ci", "--scope", "invoke"]);
    node.run(&["token", "rotate", "ci"]).fails(1, "name one by its id");
}

#[test]
fn rotating_ones_own_token_keeps_one_logged_in() {
    let node = TestNode::start();
    let before = node.admin();
    let said = node.run(&["token", "rotate", "admin", "--overlap", "0"]).ok();
    assert!(said.err.contains("your login has the new one"), "{said:?}");
    assert_ne!(node.admin(), before);
    assert_eq!(node.run(&["whoami", "--output", "json"]).ok().json()["principal"]["name"], "admin");
    let node_path = "/v1/tenants/default/functions";
    assert_eq!(node.api("GET", node_path, Some(&before), b"").status, 401);
}

#[test]
fn nobody_rotates_a_token_into_their_own_hands() {
    let node = TestNode::start();
    let operator = node.token(&["--name", "op", "--role", "operator", "--scope", "*"]);
    node.token(&["--name", "alice", "--scope", "invoke"]);
    let listed = node.run(&["token", "list", "--output", "json"]).ok().json();
    let tokens = listed["tokens"].as_array().unwrap();
    for (name, status) in [("alice", 403), ("admin", 403), ("op", 201)] {
        let id = tokens.iter().find(|token| token["name"] == name).unwrap()["id"].as_str().unwrap();
        let path = format!("/v1/tenants/default/tokens/{id}/rotate");
        let answer = node.api("POST", &path, Some(&operator), br#"{"overlap_s":60}"#);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
    }
}
