//! What lets people in, and what ends it.

use std::time::{Duration, Instant};

use crate::{
    person::{HERE, Person, configure, recorded, refused},
    provider::{Browser, Provider},
    support::{Home, TestNode, guest},
};

#[test]
fn a_person_logs_in_by_a_browser_works_and_logs_out() {
    let Some(provider) = Provider::start() else { return };
    let node = TestNode::start_with(Home::new(), HERE);
    configure(&node, "default", &provider.toml("")).ok();
    let alice = Person::new(&node);
    let ran = alice.log_in("alice").ok();
    assert_eq!(ran.json()["who"]["entity"], "User::\"default/staff:alice\"", "{ran:?}");
    let me = alice.run(&["whoami", "--output", "json"]).ok().json();
    assert_eq!(me["principal"]["roles"], serde_json::json!(["operator"]));
    let credential = &me["credential"];
    assert_eq!(
        (&credential["kind"], &credential["issuer"]),
        (&"session".into(), &provider.issuer.as_str().into())
    );
    let said = alice.run(&["whoami"]).ok().out;
    assert!(said.contains("session t") && said.contains("until"), "{said}");

    // The roles are those of the group: an operator deploys, and sets no policies.
    let folder = alice.home.function(
        "hello",
        &guest("hello"),
        "[access]\nallow = \"tenant\"\naccept = [\"token\", \"session\"]\n",
    );
    alice.run(&["deploy", folder.to_str().unwrap(), "--no-build"]).ok();
    alice.run(&["invoke", "hello"]).ok();
    alice.run(&["policy", "get"]).fails(5, "readPolicy");
    let closed = alice.home.function("closed", &guest("hello"), "[access]\nallow = \"tenant\"\n");
    alice.run(&["deploy", closed.to_str().unwrap(), "--no-build"]).ok();
    alice.run(&["invoke", "closed"]).fails(5, "the function accepts: token");

    let dave = Person::new(&node);
    dave.log_in("dave").ok();
    dave.run(&["remove", "hello", "--yes"]).fails(5, "remove");
    alice.run(&["session", "list"]).ok();

    let holder = alice.holder();
    assert_eq!(holder.ask(&node, "GET", "/v1/whoami").status, 200);
    alice.run(&["logout"]).ok();
    refused(&node, &holder.ask(&node, "GET", "/v1/whoami"), "session-revoked");
    assert!(!alice.home.path().join("config/casemate/login.key").exists(), "the key is gone");
    alice.run(&["whoami"]).fails(4, "a valid token is required");
    dave.run(&["whoami"]).ok();
    let events = node.records(&["--limit", "200"]);
    let session = |detail: &str| {
        let is = |event: &&serde_json::Value| {
            event["kind"] == "session" && event["detail"].as_str().unwrap_or_default().contains(detail)
        };
        assert!(events.iter().any(|event| is(&event)), "{detail}: {events:?}");
    };
    session("roles operator");
    session("logged out of");
    let by = events.iter().filter_map(|event| event["detail"].as_str());
    assert!(by.into_iter().any(|detail| detail.contains("by session of staff, dpop")), "{events:?}");
}

#[test]
fn a_person_logs_in_by_a_device_and_another_ends_it() {
    let Some(provider) = Provider::start() else { return };
    let node = TestNode::start_with(Home::new(), HERE);
    configure(&node, "default", &provider.toml("")).ok();
    let dave = Person::new(&node);
    // This provider does not repeat a device's nonce, which must be said.
    let waiting = dave.begin(&["--device"]);
    Browser::default().type_code(&waiting.text("verification_uri_complete"), Some("dave"));
    waiting.end().fails(4, "a valid token is required");
    recorded(&node, "login-nonce");
    configure(&node, "default", &provider.toml("device_nonce = false")).ok();
    let waiting = dave.begin(&["--device"]);
    assert!(
        !waiting.text("user_code").is_empty()
            && waiting.text("verification_uri").starts_with(&provider.issuer)
    );
    let page = Browser::default().type_code(&waiting.text("verification_uri_complete"), Some("dave"));
    assert_eq!(page.status, 200, "{}", page.body);
    waiting.end().ok();
    let me = dave.run(&["whoami", "--output", "json"]).ok().json();
    assert_eq!(me["principal"]["roles"], serde_json::json!(["developer"]));
    dave.run(&["session", "list"]).fails(5, "listTokens");

    let found = node.run(&["session", "list", "--output", "json"]).ok().json();
    let session = &found["sessions"][0];
    assert_eq!(session["name"], "staff:dave");
    assert!(!found.to_string().contains(&dave.holder().secret), "no secret is shown again");
    node.run(&["session", "revoke", session["id"].as_str().unwrap()]).ok();
    dave.run(&["whoami"]).fails(4, "casemate login --oidc");
    refused(&node, &dave.holder().ask(&node, "GET", "/v1/whoami"), "session-revoked");

    // What is revoked stays so over a restart, and what is not is still good.
    let alice = Person::new(&node);
    alice.log_in("alice").ok();
    let (old, good) = (dave.holder(), alice.holder());
    let node = TestNode::start_with(node.stop(), HERE);
    refused(&node, &old.ask(&node, "GET", "/v1/whoami"), "session-revoked");
    let answer = good.ask(&node, "GET", "/v1/whoami");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_session_ends_by_itself_and_with_the_rule_that_gave_it() {
    let Some(provider) = Provider::start() else { return };
    let node = TestNode::start_with(Home::new(), HERE);
    configure(&node, "default", &provider.toml("session_s = 10")).ok();
    let alice = Person::new(&node);
    alice.log_in("alice").ok();
    let holder = alice.holder();
    assert_eq!(holder.ask(&node, "GET", "/v1/whoami").status, 200);
    let start = Instant::now();
    let last = loop {
        let answer = holder.ask(&node, "GET", "/v1/whoami");
        if answer.status != 200 {
            break answer;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "it does not end");
        std::thread::sleep(Duration::from_millis(500));
    };
    refused(&node, &last, "session-expired");
    alice.run(&["whoami"]).fails(4, "your session has ended");

    let base = provider.toml("");
    configure(&node, "default", &base).ok();
    alice.log_in("alice").ok();
    let dave = Person::new(&node);
    dave.log_in("dave").ok();
    configure(&node, "default", &base.replace("\"operator\"", "\"viewer\"")).ok();
    refused(&node, &alice.holder().ask(&node, "GET", "/v1/whoami"), "session-revoked");
    assert_eq!(dave.holder().ask(&node, "GET", "/v1/whoami").status, 200, "another rule's stays");
    // Back to what it was: what ended stays ended.
    configure(&node, "default", &base).ok();
    refused(&node, &alice.holder().ask(&node, "GET", "/v1/whoami"), "session-revoked");
    let told = node.records(&["--limit", "50"]);
    let told = told.iter().filter_map(|event| event["detail"].as_str());
    assert!(told.into_iter().any(|detail| detail.contains("it ends 1 sessions")));

    // A tenant that takes tokens alone takes no session, and one that takes sessions alone no token.
    configure(&node, "default", &format!("{base}[control]\naccept = [\"token\"]\n")).ok();
    refused(&node, &dave.holder().ask(&node, "GET", "/v1/whoami"), "credential-not-taken-here");
    recorded(&node, "credential-not-taken-here");
}

#[test]
fn a_tenant_takes_sessions_alone_and_a_recovered_token_all_the_same() {
    let Some(provider) = Provider::start() else { return };
    let node = TestNode::start_with(Home::new(), HERE);
    let owners = "[[login.grants]]\ngroups = [\"owners\"]\nroles = [\"owner\"]\n";
    let both = format!("{}{owners}", provider.toml(""));
    let sessions = format!("{both}[control]\naccept = [\"session\"]\n");
    configure(&node, "default", &sessions).fails(1, "does not take the credential that sets it");
    configure(&node, "default", &both).ok();
    let olga = Person::new(&node);
    olga.log_in("olga").ok();
    let file = olga.home.path().join("identity.toml");
    std::fs::write(&file, &sessions).unwrap();
    olga.run(&["identity", "set", file.to_str().unwrap()]).ok();
    node.run(&["whoami"]).fails(4, "a valid token is required");
    let found = olga.run(&["records", "--limit", "100", "--output", "json"]).ok().out;
    assert!(found.contains("credential-not-taken-here"), "{found}");
    let own =
        olga.run(&["token", "create", "--name", "ci", "--role", "viewer", "--output", "json"]).ok().json();
    assert_eq!(node.api("GET", "/v1/whoami", own["secret"].as_str(), b"").status, 401, "nor a new one");

    let home = node.stop();
    let data = home.path().join("data");
    let ran = home.run(&["token", "recover", "--data", data.to_str().unwrap(), "--output", "json"]).ok();
    let node = TestNode::start_with(home, HERE);
    let secret = ran.json()["secret"].as_str().unwrap_or_else(|| panic!("{ran:?}")).to_owned();
    let answer = node.api("GET", "/v1/whoami", Some(&secret), b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(olga.holder().ask(&node, "GET", "/v1/whoami").status, 200);
}
