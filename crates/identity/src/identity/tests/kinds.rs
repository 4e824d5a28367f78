//! Which credential it is, and that there is one: API tokens, several at once, and those in the wrong place.

use keyring::SystemEntropy;
use model::{PrincipalKind, Role, TokenId};
use serde_json::json;

use crate::{Issue, Issuer, Nobody, ProofKind, TokenBook, TokenRecord, TokenSecret, testing::*};

fn book() -> (TokenBook, String, TokenRecord) {
    let (book, secret) = (TokenBook::new(), TokenSecret::generate(&SystemEntropy).unwrap());
    let issue = Issue {
        kind: PrincipalKind::Service,
        tenant: "default".parse().unwrap(),
        name: "ci".into(),
        roles: vec![Role::Developer],
        scopes: vec!["*".into()],
        expires_at: NOW.plus_ms(1000),
    };
    let id = TokenId::generate(&SystemEntropy).unwrap();
    let record = TokenRecord::issue(id, secret.hash(), issue, Issuer::FirstStart, NOW).unwrap();
    book.put(record.clone());
    (book, secret.reveal().to_string(), record)
}

#[test]
fn api_tokens_are_what_they_were() {
    let (book, text, mut record) = book();
    let node = identity("tokens.accept = true");
    let ask = |text: &str, now| {
        let answer = node.prove(&Ask::bearer(text).request(), &book, now);
        answer.map(|proved| (proved.kind(), proved.caller().key().to_owned())).map_err(|nobody| nobody.code())
    };
    assert_eq!(ask(&text, NOW), Ok((ProofKind::ApiToken, "Service::\"default/ci\"".to_owned())));
    assert!(book.token(&record.id).unwrap().last_used_at.is_some());
    assert_eq!(ask(&text, NOW.plus_ms(1000)), Err("token-expired"));
    assert_eq!(ask(&text[..text.len() - 1], NOW), Err("token-malformed"));
    let mistyped = format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' });
    assert_eq!(ask(&mistyped, NOW), Err("token-checksum"));
    let stranger = TokenSecret::generate(&SystemEntropy).unwrap().reveal();
    assert_eq!(ask(&stranger, NOW), Err("token-unknown"));
    record.revoked_at = Some(NOW);
    book.put(record);
    assert_eq!(ask(&text, NOW), Err("token-revoked"));
    let closed = identity("").prove(&Ask::bearer(&text).request(), &book, NOW).unwrap_err();
    assert_eq!(closed.code(), "credential-not-accepted");
    let dpop = Ask::new("GET", "/x").header("authorization", &format!("DPoP {text}")).header("dpop", "x");
    assert_eq!(said(&dpop.ask(&node, NOW)), "credential-not-accepted");
}

#[test]
fn one_credential_or_none() {
    let node = identity(&issuer_toml(""));
    let (good, bearer) = (token(json!({}), json!({})), |text: &str| format!("Bearer {text}"));
    let none = node.prove(&Ask::new("GET", "/x").request(), &TokenBook::new(), NOW).unwrap_err();
    assert!(none.is_anonymous() && none.challenge() == "Bearer realm=\"casemate\"");
    let twice = Ask::bearer(&good).header("authorization", &bearer(&good));
    assert_eq!(said(&twice.ask(&node, NOW)), "credential-several");
    for (value, code) in [
        ("Basic YWxpY2U6c2VjcmV0", "credential-scheme"),
        ("Bearer", "credential-malformed"),
        ("Bearer ", "credential-malformed"),
        ("Bearer a b", "credential-malformed"),
        ("Bearer  a", "credential-malformed"),
        ("Bearer a,Bearer b", "credential-malformed"),
        ("Bearer \"a\"", "credential-malformed"),
        ("", "credential-scheme"),
    ] {
        let ask = Ask::new("GET", "/x").header("authorization", value);
        let nobody = node.prove(&ask.request(), &TokenBook::new(), NOW).unwrap_err();
        assert_eq!((nobody.code(), nobody.is_anonymous()), (code, false), "{value}");
        assert_eq!(nobody.challenge(), "Bearer realm=\"casemate\", error=\"invalid_token\"");
    }
    assert_eq!(
        said(&Ask::new("GET", "/x").header("authorization", &format!("bEARER {good}")).ask(&node, NOW)),
        "corp:alice"
    );
    assert_eq!((Nobody::STATUS, Nobody::SENTENCE), (401, "a valid credential is required"));
}

#[test]
fn nothing_secret_in_the_target() {
    let node = identity("");
    let at = |target: &str| said(&Ask::new("GET", target).ask(&node, NOW));
    for target in [
        "/x?access_token=abc",
        "/x?a=1&token=abc",
        "/x?TOKEN=abc",
        "/x?token",
        "/x?a;id_token=x",
        "/x?%74oken=x",
        "/x?acce%73s_token=x",
        "/x?refresh_token=",
    ] {
        assert_eq!(at(target), "credential-in-query", "{target}");
    }
    assert_eq!(at("/x?tokens=1&my_token=2&q=token"), "credential-none");
    assert_eq!(at("/x?100%"), "credential-none", "how a query is encoded is the function's affair");
    assert_eq!(
        said(&Ask::new("GET", "/x?token=1").ask(&identity("query_refused = [\"access_token\"]"), NOW)),
        "credential-none"
    );
    let (_, text, _) = book();
    assert_eq!(at(&format!("/{text}/x")), "token-in-target");
    assert_eq!(at("x"), "request-malformed");
}
