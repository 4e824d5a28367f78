//! Webhooks of four kinds: the published vectors, what is altered, old or repeated.

use data_encoding::{BASE64, HEXLOWER};
use keyring::SharedKey;

use crate::{Identity, ProofKind, testing::*};

const TEXT_SECRET: &str = "a-secret-of-twenty-some-characters";
/// The secret of Standard Webhooks' reference libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn node(scheme: &str, secrets: &[&str]) -> Identity {
    identity(&format!(
        "[[webhooks]]\nname = \"orders\"\nscheme = \"{scheme}\"\npaths = [\"/hook\"]\nsecrets = {secrets:?}\n\
         tenant = \"default\"\n"
    ))
}

fn hex(secret: &str, parts: &[&str]) -> String {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    HEXLOWER.encode(&SharedKey::new(secret.as_bytes()).code(&parts))
}

fn standard_code(secret: &str, content: &str) -> String {
    let key = BASE64.decode(secret.trim_start_matches("whsec_").as_bytes()).unwrap();
    format!("v1,{}", BASE64.encode(&SharedKey::new(&key).code(&[content.as_bytes()])))
}

fn standard(id: &str, time: &str, signature: &str, body: &str) -> Ask {
    Ask::new("POST", "/hook")
        .header("webhook-id", id)
        .header("webhook-timestamp", time)
        .header("webhook-signature", signature)
        .body(body)
}

/// The vector of Standard Webhooks' reference libraries.
#[test]
fn the_reference_vector() {
    let (id, time, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let at = |seconds: u64| model::Timestamp::from_unix_ms(seconds * 1000);
    let verify = |signature: &str, body: &str, seconds: u64| {
        said(&standard(id, time, signature, body).ask(&node("standard", &[SECRET]), at(seconds)))
    };
    assert_eq!(verify(signature, body, 1_614_265_330), "webhook:orders");
    assert_eq!(verify(signature, body, 1_614_265_629), "webhook:orders");
    assert_eq!(verify(signature, body, 1_614_265_630), "webhook-stale");
    assert_eq!(verify(signature, body, 1_614_265_029), "webhook-early");
    assert_eq!(verify(signature, r#"{"test": 2432232315}"#, 1_614_265_330), "webhook-signature");
    let several = format!("v1,{} v9,x {signature}", BASE64.encode(&[0; 32]));
    assert_eq!(verify(&several, body, 1_614_265_330), "webhook:orders");
}

#[test]
fn a_message_passes_once_and_a_second_try_is_another() {
    let node = node("standard", &[SECRET]);
    let send = |time: u64, now_ms: u64| {
        let code = standard_code(SECRET, &format!("m1.{time}.{{}}"));
        standard("m1", &time.to_string(), &code, "{}").ask(&node, model::Timestamp::from_unix_ms(now_ms))
    };
    let proved = send(NOW_S, NOW_S * 1000).unwrap();
    assert_eq!((proved.kind(), proved.entry()), (ProofKind::Webhook, "orders"));
    assert_eq!(proved.authenticated_at(), NOW);
    assert_eq!(said(&send(NOW_S, NOW_S * 1000)), "webhook-replay");
    assert_eq!(said(&send(NOW_S, NOW_S * 1000 + 299_999)), "webhook-replay");
    assert_eq!(said(&send(NOW_S, NOW_S * 1000 + 300_000)), "webhook-stale");
    assert_eq!(said(&send(NOW_S + 5, NOW_S * 1000 + 5000)), "webhook:orders");
}

#[test]
fn keys_are_changed_without_a_gap() {
    let new = format!("whsec_{}", BASE64.encode(&[9; 32]));
    let public = format!("whpk_{}", BASE64.encode(&ED.public_bytes()));
    let time = NOW_S.to_string();
    let content = format!("m1.{time}.body");
    let signed = format!("v1a,{}", BASE64.encode(&ED.sign("EdDSA", content.as_bytes())));
    for (secrets, signature, expect) in [
        (vec![SECRET, &new], standard_code(SECRET, &content), "webhook:orders"),
        (vec![SECRET, &new], standard_code(&new, &content), "webhook:orders"),
        (vec![&new], standard_code(SECRET, &content), "webhook-signature"),
        (vec![&public], signed.clone(), "webhook:orders"),
        (vec![SECRET], signed.clone(), "webhook-signature"),
        (vec![&public], standard_code(SECRET, &content), "webhook-signature"),
        (vec![SECRET, &public], format!("{} {signed}", standard_code(&new, &content)), "webhook:orders"),
    ] {
        let ask = standard("m1", &time, &signature, "body");
        assert_eq!(said(&ask.ask(&node("standard", &secrets), NOW)), expect, "{secrets:?}");
    }
}

#[test]
fn headers_that_do_not_hold() {
    let time = NOW_S.to_string();
    let code = |id: &str, time: &str| standard_code(SECRET, &format!("{id}.{time}."));
    let ask = |ask: Ask, expect: &str| assert_eq!(said(&ask.ask(&node("standard", &[SECRET]), NOW)), expect);
    // Parts that change places: what was signed reads the same, but the id must have no full stop.
    let moved = standard_code(SECRET, &format!("m1.{time}.7.x"));
    ask(standard(&format!("m1.{time}"), "7", &moved, "x"), "webhook-malformed");
    ask(standard("m2", &time, &code("m1", &time), ""), "webhook-signature");
    let later = (NOW_S + 1).to_string();
    ask(standard("m1", &later, &code("m1", &time), ""), "webhook-signature");
    for bad in [" 1", "+1", "01", "1.5", "1e9", "", "9999999999999", "253402300800", "-1"] {
        ask(standard("m1", bad, &code("m1", bad), ""), "webhook-malformed");
    }
    let good = code("m1", &time);
    for bad in
        ["", "v1", "v1,", "v1,AAAA", "v2,AAAA", &good[3..], &good[..good.len() - 1], &format!("{good} ")]
    {
        ask(standard("m1", &time, bad, ""), "webhook-malformed");
    }
    ask(standard("m1", &time, &[good.as_str(); 9].join(" "), ""), "webhook-malformed");
    ask(standard("m1", &time, &good, "").header("webhook-id", "m2"), "webhook-malformed");
    ask(standard("m1", &time, &good, "").header("webhook-signature", &good), "webhook-malformed");
    let mut elsewhere = standard("m1", &time, &good, "");
    elsewhere.target = "/other".into();
    ask(elsewhere, "credential-none");
    let other = Ask::new("POST", "/hook").header("x-hub-signature-256", "sha256=00");
    ask(other, "webhook-unknown");
    ask(standard("m1", &time, &good, "").header("x-hub-signature-256", "sha256=00"), "credential-several");
    ask(standard("m1", &time, &good, "").header("authorization", "Bearer x"), "credential-several");
}

/// The example of GitHub's documentation.
#[test]
fn github() {
    let secret = "It's a Secret to Everybody";
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let code = SharedKey::new(secret.as_bytes()).code(&[b"Hello, World!"]);
    assert_eq!(format!("sha256={}", HEXLOWER.encode(&code)), signature);
    let node = node("github", &[TEXT_SECRET]);
    let ask = |signature: &str| Ask::new("POST", "/hook").header("x-hub-signature-256", signature).body("{}");
    let good = format!("sha256={}", hex(TEXT_SECRET, &["{}"]));
    assert_eq!(said(&ask(&good).ask(&node, NOW)), "webhook:orders");
    assert_eq!(said(&ask(&good).ask(&node, NOW.plus_ms(86_399_999))), "webhook-replay");
    assert_eq!(said(&ask(&good).body("{ }").ask(&node, NOW)), "webhook-signature");
    for bad in [&good.to_uppercase(), &good[7..], &good[..good.len() - 2], "sha1=00", "sha256="] {
        assert_eq!(said(&ask(bad).ask(&node, NOW)), "webhook-malformed", "{bad}");
    }
}

#[test]
fn stripe() {
    let node = node("stripe", &[TEXT_SECRET]);
    let ask = |signature: &str| Ask::new("POST", "/hook").header("stripe-signature", signature).body("{}");
    let code = hex(TEXT_SECRET, &[&format!("{NOW_S}."), "{}"]);
    let good = format!("t={NOW_S},v1={},v1={code},v0={code}", "0".repeat(64));
    assert_eq!(said(&ask(&good).ask(&node, NOW)), "webhook:orders");
    assert_eq!(
        said(&ask(&format!("t={NOW_S},v1={code}")).ask(&node, NOW)),
        "webhook-replay",
        "the same message"
    );
    assert_eq!(said(&ask(&good).ask(&node, NOW.plus_ms(300_000))), "webhook-stale");
    assert_eq!(said(&ask(&good.replace("v1=", "v0=")).ask(&node, NOW)), "webhook-malformed", "a downgrade");
    assert_eq!(said(&ask(&format!("t={},v1={code}", NOW_S + 1)).ask(&node, NOW)), "webhook-signature");
    assert_eq!(said(&ask(&format!("t={NOW_S},{good}")).ask(&node, NOW)), "webhook-malformed");
    assert_eq!(said(&ask(&format!("v1={code}")).ask(&node, NOW)), "webhook-malformed");
}

#[test]
fn slack() {
    let node = node("slack", &[TEXT_SECRET]);
    let ask = |time: u64, signature: &str| {
        let ask = Ask::new("POST", "/hook").header("x-slack-request-timestamp", &time.to_string());
        ask.header("x-slack-signature", signature).body("token=x")
    };
    let good = format!("v0={}", hex(TEXT_SECRET, &[&format!("v0:{NOW_S}:"), "token=x"]));
    assert_eq!(said(&ask(NOW_S, &good).ask(&node, NOW)), "webhook:orders");
    assert_eq!(said(&ask(NOW_S, &good).ask(&node, NOW)), "webhook-replay");
    assert_eq!(said(&ask(NOW_S + 1, &good).ask(&node, NOW)), "webhook-signature");
    assert_eq!(said(&ask(NOW_S, &good[3..]).ask(&node, NOW)), "webhook-malformed");
}
