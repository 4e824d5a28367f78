use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use keyring::SystemEntropy;
use model::{PrincipalKind, Role};

use super::*;
use crate::{Issue, Issuer, TokenRecord, TokenSecret};

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
const DAY_MS: u64 = 86_400_000;

fn token(book: &TokenBook, name: &str) -> (String, TokenRecord) {
    let secret = TokenSecret::generate(&SystemEntropy).unwrap();
    let issue = Issue {
        kind: PrincipalKind::User,
        tenant: "default".parse().unwrap(),
        name: name.into(),
        roles: vec![Role::Developer],
        scopes: vec!["*".into()],
        expires_at: NOW.plus_ms(DAY_MS),
    };
    let id = TokenId::generate(&SystemEntropy).unwrap();
    let record = TokenRecord::issue(id, secret.hash(), issue, Issuer::FirstStart, NOW).unwrap();
    book.put(record.clone());
    (secret.reveal().to_string(), record)
}

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// Presents headers and a target, and compares the caller's text or the refusal's code.
fn check(book: &TokenBook, values: &[&str], target: &str, now: Timestamp, expect: &str) {
    let got = Credentials::from_head(&headers(values), &target.parse().unwrap())
        .and_then(|credentials| identify(&credentials, book, now));
    let text = match &got {
        Ok(caller) => caller.key(),
        Err(refusal) => refusal.code(),
    };
    assert_eq!(text, expect, "{values:?} {target}");
}

#[test]
fn who_is_who() {
    let book = TokenBook::new();
    let (alice, _) = token(&book, "alice");
    check(&book, &[], "/", NOW, "Anonymous::\"anonymous\"");
    check(&book, &[], "/?access_token=theirs", NOW, "Anonymous::\"anonymous\"");
    check(&book, &[], "/casemate_docs", NOW, "Anonymous::\"anonymous\"");
    for scheme in ["Bearer", "bearer", "BEARER"] {
        check(&book, &[&format!("{scheme} {alice}")], "/", NOW, "User::\"default/alice\"");
    }
}

#[test]
fn who_is_nobody() {
    let book = TokenBook::new();
    let (alice, _) = token(&book, "alice");
    let (bob, _) = token(&book, "bob");
    let (alice, bob) = (format!("Bearer {alice}"), format!("Bearer {bob}"));
    let refuse = |values: &[&str], code: &str| check(&book, values, "/", NOW, code);
    refuse(&[&alice, &bob], "credential-several");
    refuse(&[&alice, &alice], "credential-several");
    refuse(&["Basic YWxpY2U6c2VjcmV0"], "credential-scheme");
    refuse(&[alice.trim_start_matches("Bearer ")], "credential-scheme");
    refuse(&[""], "credential-scheme");
    refuse(&["Bearer"], "token-malformed");
    refuse(&["Bearer "], "token-malformed");
    refuse(&[&alice.replace("Bearer ", "Bearer  ")], "token-malformed");
    refuse(&[&format!("{alice} ")], "token-malformed");
    refuse(&[&format!("{alice},{bob}")], "token-malformed");
    refuse(&["Bearer eyJhbGciOiJub25lIn0.e30."], "token-malformed");
    refuse(&[&format!("Bearer {}", "a".repeat(300))], "credential-oversized");
    let mistyped = format!("{}0", &alice[..alice.len() - 1]);
    let mistyped = if mistyped == alice { format!("{}1", &alice[..alice.len() - 1]) } else { mistyped };
    refuse(&[&mistyped], "token-checksum");
    let stranger = TokenSecret::generate(&SystemEntropy).unwrap().reveal();
    refuse(&[&format!("Bearer {}", *stranger)], "token-unknown");
    let bare = alice.trim_start_matches("Bearer ");
    for target in [format!("/?access_token={bare}"), format!("/{bare}/x"), format!("/?a=casemate_{bare}")] {
        check(&book, &[], &target, NOW, "token-in-target");
        check(&book, &[&bob], &target, NOW, "token-in-target");
    }
}

#[test]
fn a_value_that_is_no_text() {
    let mut headers = HeaderMap::new();
    headers.append(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").unwrap());
    assert_eq!(Credentials::from_headers(&headers).err(), Some(Refusal::Malformed));
}

#[test]
fn an_end_is_an_end() {
    let book = TokenBook::new();
    let (text, mut record) = token(&book, "alice");
    let value = format!("Bearer {text}");
    let at = |now, expect| check(&book, &[&value], "/", now, expect);
    at(NOW.plus_ms(DAY_MS - 1), "User::\"default/alice\"");
    at(NOW.plus_ms(DAY_MS), "token-expired");
    record.revoked_at = Some(NOW);
    book.put(record.clone());
    at(NOW, "token-revoked");
    at(NOW.plus_ms(DAY_MS), "token-revoked");
    assert!(book.remove(&record.id));
    at(NOW, "token-unknown");
    assert!(book.is_empty() && !book.remove(&record.id));
}

#[test]
fn the_last_use_is_noted() {
    let book = TokenBook::new();
    let (text, record) = token(&book, "alice");
    token(&book, "bob");
    assert_eq!(book.token(&record.id).unwrap().last_used_at, None);
    check(&book, &[&format!("Bearer {text}")], "/", NOW.plus_ms(5), "User::\"default/alice\"");
    let used = book.take_used();
    assert_eq!(used.len(), 1);
    assert_eq!(used[0].last_used_at, Some(NOW.plus_ms(5)));
    assert!(book.take_used().is_empty());
    // A record that is put again from the store, older than what is known, loses nothing.
    book.put(record.clone());
    assert_eq!(book.token(&record.id).unwrap().last_used_at, Some(NOW.plus_ms(5)));
    assert_eq!(book.tokens(&record.tenant).len(), 2);
    assert!(book.tokens(&"other".parse().unwrap()).is_empty());
}

#[test]
fn a_refused_token_is_not_used() {
    let book = TokenBook::new();
    let (text, record) = token(&book, "alice");
    check(&book, &[&format!("Bearer {text}")], "/", NOW.plus_ms(DAY_MS), "token-expired");
    assert_eq!(book.token(&record.id).unwrap().last_used_at, None);
}

#[test]
fn a_record_keeps_no_secret() {
    let book = TokenBook::new();
    let (text, record) = token(&book, "alice");
    let json = serde_json::to_string(&record).unwrap();
    assert!(!json.contains(&text) && !format!("{record:?}").contains(&text));
    assert_eq!(serde_json::from_str::<TokenRecord>(&json).unwrap(), record);
}
