//! Access tokens: an issuer that is discovered, keys that change, what must fail, proofs of possession.

use serde_json::json;

use crate::{
    caller::{HERE, Issuer, Key, accept, ask, bearer, now_s, refused, until},
    support::{Home, TestNode, guest},
};

const CORP: &str = "[access]\naccept = [\"token\", \"corp\"]\npolicy = '''\n\
    permit (principal is User, action == Action::\"invoke\", resource)\n\
    when { principal.groups.contains(\"buyers\") && principal.hasTag(\"team\") &&\n\
           principal.getTag(\"team\").contains(\"red\") && context.token.kind == \"access-token\" };\n'''\n";
const TENANT: &str = "[access]\nallow = \"tenant\"\n";

#[test]
fn an_issuer_is_discovered_and_its_keys_change() {
    let issuer = Issuer::start();
    let node = TestNode::start_with(Home::new(), HERE);
    node.deploy("echo", &guest("echo"), CORP);
    node.deploy("plain", &guest("echo"), TENANT);
    let token = issuer.token(json!({}), json!({}));
    refused(&node, &bearer(&node, "/echo", &token), "credential-oversized");
    accept(&node, "default", &issuer.entry(""));
    for _ in 0..2 {
        let answer = bearer(&node, "/echo", &token);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains("default/corp:alice") && !answer.text().contains(&token));
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let events = node.records(&["--request", id]);
        assert!(
            events[0]["detail"].as_str().unwrap().contains("access-token of corp, key one"),
            "{events:?}"
        );
    }
    let elsewhere = bearer(&node, "/echo", &issuer.token(json!({}), json!({ "groups": ["sellers"] })));
    assert_eq!(elsewhere.status, 403, "who it is is known, and the policy says no");
    refused(&node, &bearer(&node, "/plain", &token), "credential-oversized");
    let own = node.token(&["--name", "caller", "--scope", "invoke"]);
    assert_eq!(bearer(&node, "/plain", &own).status, 200);
    assert_eq!(bearer(&node, "/echo", &own).status, 403, "an API token is taken, and has no groups");
    refused(&node, &ask(&node, "GET", "/echo", &[], b""), "forbidden");

    // Another tenant accepts nobody of this one's, and whom it accepts is nobody's but its own.
    node.run(&["tenant", "create", "acme"]).ok();
    let folder = node.home.function("there", &guest("echo"), CORP);
    let owner = ["--tenant", "acme", "--name", "owner", "--role", "owner", "--scope", "deploy"];
    let owner = node.token(&owner);
    let args = ["deploy", folder.to_str().unwrap(), "--no-build", "--tenant", "acme"];
    let done = node.home.command(&args).env("CASEMATE_TOKEN", &owner).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let port = node.functions().rsplit(':').next().unwrap();
    let there = format!("https://acme.localhost:{port}/there");
    assert_eq!(bearer(&node, &there, &token).status, 401);
    let other = Issuer::start();
    accept(&node, "acme", &other.entry(""));
    assert_eq!(bearer(&node, &there, &token).status, 401, "a token of another tenant's issuer");
    let answer = bearer(&node, &there, &other.token(json!({}), json!({})));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("acme/corp:alice"), "{}", answer.text());
    refused(&node, &bearer(&node, "/echo", &other.token(json!({}), json!({}))), "jwt-issuer");

    // The issuer has another key: unknown at first, then fetched; what the old one signed is good no more.
    let next = Key::new("two");
    let new = next.jws(&next.header(), &issuer.claims());
    issuer.publish(&[&next]);
    refused(&node, &bearer(&node, "/echo", &new), "jwt-key-unknown");
    until("the new key was never fetched", || bearer(&node, "/echo", &new).status == 200);
    refused(&node, &bearer(&node, "/echo", &token), "jwt-key-unknown");
    let keys = node.records(&["--limit", "500"]);
    assert!(keys.iter().any(|event| event["kind"] == "identity" && event["action"] == "fetch-keys"));

    // It is still so after a restart, and another configuration is seen by the next request.
    let node = TestNode::start_with(node.stop(), HERE);
    assert_eq!(bearer(&node, "/echo", &new).status, 200, "the first request waits for the keys");
    accept(&node, "default", "");
    refused(&node, &bearer(&node, "/echo", &new), "credential-not-accepted");
}

#[test]
fn tokens_that_must_fail() {
    let issuer = Issuer::start();
    let node = TestNode::start_with(Home::new(), HERE);
    node.deploy("echo", &guest("echo"), CORP);
    accept(&node, "default", &issuer.entry(""));
    let good = issuer.token(json!({}), json!({}));
    assert_eq!(bearer(&node, "/echo", &good).status, 200);
    let thief = Key::new("one");
    let stranger = json!({ "iss": "https://evil.example" });
    for (what, token, code) in [
        ("unsigned", issuer.token(json!({ "alg": "none" }), json!({})), "jwt-unsigned"),
        ("a shared secret", issuer.token(json!({ "alg": "HS256" }), json!({})), "jwt-algorithm"),
        ("a key's id that climbs", issuer.token(json!({ "kid": "../one" }), json!({})), "jwt-key-unknown"),
        ("a key's id that asks", issuer.token(json!({ "kid": "' or '1'='1" }), json!({})), "jwt-key-unknown"),
        (
            "its own key",
            thief.jws(&json!({ "alg": "ES256", "typ": "at+jwt", "jwk": thief.jwk() }), &issuer.claims()),
            "jwt-embedded-key",
        ),
        ("another's key", thief.jws(&thief.header(), &issuer.claims()), "jwt-signature"),
        (
            "expired",
            issuer.token(json!({}), json!({ "iat": now_s() - 900, "exp": now_s() - 300 })),
            "jwt-expired",
        ),
        ("not yet", issuer.token(json!({}), json!({ "nbf": now_s() + 300 })), "jwt-not-yet"),
        ("another issuer", issuer.token(json!({}), stranger), "jwt-issuer"),
        (
            "another audience",
            issuer.token(json!({}), json!({ "aud": "https://other.example" })),
            "jwt-audience",
        ),
        ("another type", issuer.token(json!({ "typ": "logout+jwt" }), json!({})), "jwt-type"),
        ("an ID token", issuer.token(json!({ "typ": "JWT" }), json!({ "nonce": "n" })), "jwt-id-token"),
        ("cut", good[..good.len() - 1].to_owned(), "jwt-encoding"),
        ("longer", format!("{good}AAAA"), "jwt-signature"),
        ("padded", format!("{good}="), "jwt-encoding"),
        ("oversized", issuer.token(json!({}), json!({ "more": "x".repeat(9_000) })), "jwt-oversized"),
        ("deep", issuer.token(json!({}), json!({ "a": [[[[[[[[[[[[1]]]]]]]]]]]] })), "jwt-bounds"),
        ("a look-alike", issuer.token(json!({}), json!({ "sub": "аlice" })), "jwt-subject"),
    ] {
        let answer = bearer(&node, "/echo", &token);
        assert_eq!(answer.status, 401, "{what}");
        refused(&node, &answer, code);
        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
        assert_eq!(challenge, "Bearer realm=\"casemate\", error=\"invalid_token\"", "{what}");
    }
    let several = [("authorization", &*format!("Bearer {good}")), ("authorization", "Bearer x")];
    refused(&node, &ask(&node, "GET", "/echo", &several, b""), "credential-several");
    let queried = ask(&node, "GET", &format!("/echo?access_token={good}"), &[], b"");
    refused(&node, &queried, "credential-in-query");
    assert_eq!(bearer(&node, "/echo", &good).status, 200, "and the good one is good all the while");
}

#[test]
fn proofs_of_possession() {
    let (issuer, client, thief) = (Issuer::start(), Key::new("client"), Key::new("thief"));
    let node = TestNode::start_with(Home::new(), HERE);
    node.deploy("echo", &guest("echo"), CORP);
    let secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";
    let dpop = format!("[dpop]\nnonce_secret = \"{secret}\"\n");
    accept(&node, "default", &format!("{}{dpop}", issuer.entry("require_bound = true")));
    let shown = node.run(&["identity", "show"]).ok().out;
    assert!(shown.contains("nonce_secret") && !shown.contains(secret), "{shown}");
    refused(&node, &bearer(&node, "/echo", &issuer.token(json!({}), json!({}))), "jwt-unbound");

    let token = issuer.token(json!({}), json!({ "cnf": { "jkt": client.thumbprint() } }));
    let url = format!("{}/echo", node.functions());
    let asked = |proof: &str| {
        let credential = format!("DPoP {token}");
        ask(&node, "GET", "/echo", &[("authorization", credential.as_str()), ("dpop", proof)], b"")
    };
    let first = asked(&client.proof("GET", &url, &token, json!({})));
    refused(&node, &first, "dpop-nonce");
    let challenge = first.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("DPoP ") && challenge.contains("use_dpop_nonce"), "{challenge}");
    let nonce = first.headers["dpop-nonce"].to_str().unwrap();
    let proof = client.proof("GET", &url, &token, json!({ "nonce": nonce }));
    let answer = asked(&proof);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.text().contains(&proof), "no function sees a proof");
    refused(&node, &asked(&proof), "dpop-replay");
    for (what, proof, code) in [
        ("another method", client.proof("POST", &url, &token, json!({ "nonce": nonce })), "dpop-method"),
        (
            "another place",
            client.proof("GET", &format!("{url}/x"), &token, json!({ "nonce": nonce })),
            "dpop-url",
        ),
        ("another key", thief.proof("GET", &url, &token, json!({ "nonce": nonce })), "dpop-thumbprint"),
        ("another token", client.proof("GET", &url, "x", json!({ "nonce": nonce })), "dpop-token"),
        (
            "old",
            client.proof("GET", &url, &token, json!({ "nonce": nonce, "iat": now_s() - 600 })),
            "dpop-stale",
        ),
    ] {
        let answer = asked(&proof);
        assert_eq!(answer.status, 401, "{what}");
        refused(&node, &answer, code);
    }
    refused(&node, &bearer(&node, "/echo", &token), "dpop-missing");
    // What was seen stays seen though the configuration is another.
    accept(
        &node,
        "default",
        &format!("{}{dpop}replays_per_tenant = 9\n", issuer.entry(""))
            .replace("replays_per_tenant = 9\n", ""),
    );
    refused(&node, &asked(&proof), "dpop-replay");
}
