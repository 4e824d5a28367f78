//! What somebody could try instead: each is refused, in the same words, and leaves a record that says which it was.

use data_encoding::BASE64URL_NOPAD as B64;
use serde_json::json;

use crate::{
    person::{HERE, Holder, Key, Person, configure, control, recorded, refused, refused_in, sha256},
    provider::{Browser, Provider},
    support::{Answer, Home, TestNode},
};

const SEED: [u8; 32] = [3; 32];

/// What `docs/identity.md` says that a nonce is.
fn nonce(key: &Key) -> String {
    B64.encode(&sha256(&[b"casemate login nonce v1\0".as_slice(), &key.thumbprint(), &SEED].concat()))
}

fn open(node: &TestNode, tenant: &str, key: &Key, token: &str, seed: &[u8]) -> Answer {
    let path = format!("/v1/tenants/{tenant}/login");
    let proof = key.proof("POST", &format!("{}{path}", node.control()), None);
    let body = json!({ "id_token": token, "nonce_seed": B64.encode(seed) }).to_string();
    control(node, "POST", &path, &[("dpop", &proof)], body.as_bytes())
}

#[test]
fn a_session_without_its_key_is_nothing() {
    let Some(provider) = Provider::start() else { return };
    let node = TestNode::start_with(Home::new(), HERE);
    configure(&node, "default", &provider.toml("")).ok();
    let alice = Person::new(&node);
    alice.log_in("alice").ok();
    let holder = alice.holder();
    let (path, url) = ("/v1/whoami", format!("{}/v1/whoami", node.control()));
    let bearer = format!("Bearer {}", holder.secret);
    refused(&node, &control(&node, "GET", path, &[("authorization", &bearer)], b""), "session-unproved");
    let dpop = format!("DPoP {}", holder.secret);
    refused(&node, &control(&node, "GET", path, &[("authorization", &dpop)], b""), "session-unproved");
    let thief = Holder { secret: holder.secret.clone(), key: Key::new() };
    refused(&node, &thief.ask(&node, "GET", path), "dpop-thumbprint");
    let proof = holder.key.proof("GET", &url, Some(&holder.secret));
    assert_eq!(holder.ask_with(&node, "GET", path, &proof).status, 200);
    refused(&node, &holder.ask_with(&node, "GET", path, &proof), "dpop-replay");
    let other = holder.key.proof("GET", &format!("{}/v1/node", node.control()), Some(&holder.secret));
    refused(&node, &holder.ask_with(&node, "GET", path, &other), "dpop-url");
    let method = holder.key.proof("DELETE", &url, Some(&holder.secret));
    refused(&node, &holder.ask_with(&node, "GET", path, &method), "dpop-method");
    let token = holder.key.proof("GET", &url, Some("another"));
    refused(&node, &holder.ask_with(&node, "GET", path, &token), "dpop-token");
    let own = node.token(&["--name", "ci", "--role", "viewer"]);
    let swapped = Holder { secret: own, key: Key::new() };
    refused(&node, &swapped.ask(&node, "GET", path), "session-unknown");
    assert_eq!(holder.ask(&node, "GET", path).status, 200, "whose it is goes on");
    for code in ["session-unproved", "dpop-thumbprint", "dpop-replay"] {
        recorded(&node, code);
    }
}

#[test]
fn what_is_no_id_token_of_this_login_opens_nothing() {
    let (Some(provider), Some(foreign)) = (Provider::start(), Provider::start()) else { return };
    let node = TestNode::start_with(Home::new(), HERE);
    configure(&node, "default", &provider.toml("")).ok();
    node.run(&["tenant", "create", "acme"]).ok();
    configure(&node, "acme", &foreign.toml("")).ok();
    node.run(&["tenant", "create", "empty"]).ok();
    let key = Key::new();
    let (id, access) = provider.tokens("casemate", "alice", &nonce(&key));
    let (others, _) = provider.tokens("other", "alice", &nonce(&key));
    let (guests, _) = provider.tokens("casemate", "mallory", &nonce(&key));
    let (elsewhere, _) = foreign.tokens("casemate", "alice", &nonce(&key));
    let default = |key: &Key, token: &str, seed: &[u8]| open(&node, "default", key, token, seed);
    refused(&node, &default(&key, &access, &SEED), "login-type");
    refused(&node, &default(&key, &others, &SEED), "jwt-audience");
    refused(&node, &default(&key, &elsewhere, &SEED), "jwt-issuer");
    refused(&node, &default(&key, &guests, &SEED), "login-unmapped");
    refused(&node, &default(&key, &id, &[4; 32]), "login-nonce");
    refused(&node, &default(&Key::new(), &id, &SEED), "login-nonce");
    refused(&node, &default(&key, "opaque", &SEED), "jwt-malformed");
    refused_in(&node, "empty", &open(&node, "empty", &key, &id, &SEED), "login-absent");
    refused(&node, &open(&node, "nowhere", &key, &id, &SEED), "login-absent");
    let opened = default(&key, &id, &SEED);
    assert_eq!(opened.status, 201, "{}", opened.text());
    refused(&node, &default(&key, &id, &SEED), "login-replay");
    // Nobody learns which tenants there are.
    let told = |tenant: &str| {
        let answer = control(&node, "GET", &format!("/v1/tenants/{tenant}/login"), &[], b"");
        let mut said = answer.json();
        said["request_id"] = json!(null);
        (answer.status, said)
    };
    assert_eq!(told("empty"), told("nowhere"));
    assert_eq!(told("empty").0, 404);
    assert_eq!(told("default").1["issuer"], provider.issuer.as_str());
}

#[test]
fn an_answer_that_was_not_asked_for_ends_a_login() {
    let Some(provider) = Provider::start() else { return };
    let node = TestNode::start_with(Home::new(), HERE);
    configure(&node, "default", &provider.toml("")).ok();
    let person = Person::new(&node);
    let redirect = |open: &str| {
        let pair =
            open.split(['?', '&']).find_map(|pair| pair.strip_prefix("redirect_uri=")).unwrap().to_owned();
        pair.replace("%3A", ":").replace("%2F", "/")
    };
    let changed = |from: &str, name: &str, to: &str| {
        let (place, query) = from.split_once('?').unwrap();
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((known, _)) if known == name => format!("{name}={to}"),
            _ => pair.to_owned(),
        });
        format!("{place}?{}", pairs.collect::<Vec<_>>().join("&"))
    };

    let waiting = person.begin(&[]);
    let mut browser = Browser::default();
    assert_eq!(
        browser.send("GET", &redirect(&waiting.text("open")).replace("callback", "x"), "").status,
        404
    );
    let back = browser.log_in(&waiting.text("open"), "alice");
    browser.send("GET", &changed(&back, "state", "another"), "");
    waiting.end().fails(4, "another question");
    recorded(&node, "login-state");

    let waiting = person.begin(&[]);
    let back = browser.log_in(&waiting.text("open"), "alice");
    browser.send("GET", &changed(&back, "iss", "https%3A%2F%2Fevil.example"), "");
    waiting.end().fails(4, "another provider's");
    recorded(&node, "login-issuer");

    // A code that was used, in the answer to another question.
    let waiting = person.begin(&[]);
    let used = browser.log_in(&waiting.text("open"), "alice");
    browser.send("GET", &used, "");
    waiting.end().ok();
    let code = used.split(['?', '&']).find_map(|pair| pair.strip_prefix("code=")).unwrap();
    let waiting = person.begin(&[]);
    let back = browser.log_in(&waiting.text("open"), "alice");
    browser.send("GET", &changed(&back, "code", code), "");
    waiting.end().fails(4, "invalid_grant");
    recorded(&node, "login-denied");

    let guest = Person::new(&node);
    guest.log_in("mallory").fails(4, "casemate records");
    recorded(&node, "login-unmapped");
    assert!(!guest.home.path().join("config/casemate").exists(), "nothing is saved of a login that failed");
}

#[test]
fn a_device_that_nobody_lets_in_gets_nothing() {
    let Some(provider) = Provider::start() else { return };
    let node = TestNode::start_with(Home::new(), HERE);
    configure(&node, "default", &provider.toml("")).ok();
    let person = Person::new(&node);
    let waiting = person.begin(&["--device"]);
    Browser::default().type_code(&waiting.text("verification_uri_complete"), None);
    waiting.end().fails(4, "said no");
    recorded(&node, "login-denied");
    configure(&node, "default", &provider.toml("").replace("\"casemate\"", "\"brief\"")).ok();
    person.begin(&["--device"]).end().fails(4, "in time");
    recorded(&node, "login-expired");
    configure(&node, "default", &provider.toml("flows = [\"code\"]")).ok();
    person.run(&["login", "--oidc", "--device"]).fails(2, "takes no `--device`");
}
