//! Access tokens: what passes, and the longer list of what does not.

use data_encoding::BASE64URL_NOPAD as B64;
use keyring::SharedKey;
use serde_json::{Value, json};

use crate::{KeySet, testing::*};

/// Presents a token to the tests' issuer, and compares the principal's name or the code.
#[track_caller]
fn check(token: &str, expect: &str) {
    check_with("", token, expect);
}

#[track_caller]
fn check_with(more: &str, token: &str, expect: &str) {
    assert_eq!(said(&Ask::bearer(token).ask(&identity(&issuer_toml(more)), NOW)), expect, "{token}");
}

#[test]
fn every_algorithm_by_its_key() {
    check(&token(json!({}), json!({})), "corp:alice");
    for (key, alg, kid) in [
        (&*P384, "ES384", "ec384"),
        (&*ED, "EdDSA", "ed"),
        (&*ED, "Ed25519", "ed"),
        (&*RSA, "RS256", "rsa"),
        (&*RSA, "PS256", "rsa"),
    ] {
        let head = with(header(), json!({ "alg": alg, "kid": kid }));
        check(&jws(key, &head, &claims()), "corp:alice");
    }
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        check(&token(json!({ "typ": typ }), json!({})), "corp:alice");
    }
}

#[test]
fn what_a_token_says_is_known() {
    let proved =
        Ask::bearer(&token(json!({}), json!({ "nbf": NOW_S }))).ask(&identity(&issuer_toml("")), NOW);
    let proved = proved.unwrap();
    assert_eq!(proved.principal().to_string(), "User::\"default/corp:alice\"");
    assert_eq!((proved.entry(), proved.key_id()), ("corp", Some("ec")));
    assert_eq!(proved.groups(), ["dev", "ops"]);
    assert_eq!(proved.attributes()["mail"], ["a@example"]);
    assert_eq!(proved.principal().scopes, ["invoke"]);
    assert!(proved.principal().roles.is_empty() && proved.principal().token.is_none());
    assert_eq!(proved.authenticated_at().unix_ms(), (NOW_S - 10) * 1000);
    assert_eq!(proved.expires_at().unwrap().unix_ms(), (NOW_S + 300) * 1000);
    let one = Ask::bearer(&token(json!({}), json!({ "realm_access": { "roles": "dev" } })));
    assert_eq!(one.ask(&identity(&issuer_toml("")), NOW).unwrap().groups(), ["dev"]);
    let none = Ask::bearer(&token(json!({}), json!({ "realm_access": null })));
    assert!(none.ask(&identity(&issuer_toml("")), NOW).unwrap().groups().is_empty());
}

#[test]
fn algorithms_are_pinned() {
    let unsigned = |alg: &str| {
        let head = with(header(), json!({ "alg": alg })).to_string();
        format!("{}.{}.", B64.encode(head.as_bytes()), B64.encode(claims().to_string().as_bytes()))
    };
    for alg in ["none", "None", "NONE", "nOnE"] {
        check(&unsigned(alg), "jwt-unsigned");
        check(&jws(&P256, &with(header(), json!({ "alg": alg })), &claims()), "jwt-unsigned");
    }
    for alg in ["HS256", "HS512", "ES512", "ES256K", "PS512", "RS1", "es256", "EdDSA ", "RSA-OAEP", ""] {
        check(&unsigned(alg), "jwt-algorithm");
    }
    // The public key as the secret of an HMAC: the oldest of confusions.
    let secret = SharedKey::new(&RSA.public_bytes());
    let head = json!({ "alg": "HS256", "typ": "at+jwt", "kid": "rsa" }).to_string();
    let signed = format!("{}.{}", B64.encode(head.as_bytes()), B64.encode(claims().to_string().as_bytes()));
    let code = secret.code(&[signed.as_bytes()]);
    check(&format!("{signed}.{}", B64.encode(&code)), "jwt-algorithm");
    let pinned = issuer_toml("").replace("\"ES256\", \"ES384\", \"EdDSA\", ", "");
    let answer = Ask::bearer(&token(json!({}), json!({}))).ask(&identity(&pinned), NOW);
    assert_eq!(said(&answer), "jwt-algorithm", "good elsewhere, and not named here");
    for (key, alg) in [(&*RSA, json!("RS256")), (&*RSA, json!("ES256")), (&*ED, json!("EdDSA"))] {
        let head = with(header(), json!({ "alg": alg }));
        let expect = if alg == "ES256" { "jwt-signature" } else { "jwt-key-unfit" };
        check(&jws(key, &head, &claims()), expect);
    }
    check(&token(json!({ "alg": null }), json!({})), "jwt-header");
    check(&token(json!({ "alg": 7 }), json!({})), "jwt-header");
}

#[test]
fn keys_are_the_issuers_own() {
    for kid in
        ["nobody", "EC", "../../dev/null", "ec\u{0}", "' OR 1=1 --", "ec.json", "https://evil.example/k"]
    {
        check(&token(json!({ "kid": kid }), json!({})), "jwt-key-unknown");
    }
    check(&token(json!({ "kid": "" }), json!({})), "jwt-header");
    check(&token(json!({ "kid": ["ec"] }), json!({})), "jwt-header");
    check(&token(json!({ "kid": "k".repeat(257) }), json!({})), "jwt-header");
    // Without an id the one fitting key is taken; the one for encryption does not fit.
    check(&token(json!({ "kid": null }), json!({})), "corp:alice");
    check(&jws(&P256_OTHER, &with(header(), json!({ "kid": "enc" })), &claims()), "jwt-key-unfit");
    check(&jws(&P256_OTHER, &header(), &claims()), "jwt-signature");
    for (name, value) in [
        ("jwk", P256_OTHER.jwk()),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
    ] {
        let head = with(header(), json!({ name: value }));
        check(&jws(&P256_OTHER, &head, &claims()), "jwt-embedded-key");
        check(&jws(&P256, &head, &claims()), "jwt-embedded-key");
    }
    check(&token(json!({ "crit": ["exp"], "exp": 1 }), json!({})), "jwt-critical");
    check(&token(json!({ "b64": false }), json!({})), "jwt-critical");
    check(&token(json!({ "zip": "DEF" }), json!({})), "jwt-encrypted");
    check(&token(json!({ "cty": "JWT" }), json!({})), "jwt-header");
}

#[test]
fn keys_that_change() {
    let identity = identity(&issuer_toml(""));
    let old = token(json!({}), json!({}));
    for _ in 0..2 {
        assert_eq!(said(&Ask::bearer(&old).ask(&identity, NOW)), "corp:alice");
    }
    let new = jws(&P256_OTHER, &with(header(), json!({ "kid": "next" })), &claims());
    let nobody = identity.prove(&Ask::bearer(&new).request(), &crate::TokenBook::new(), NOW).unwrap_err();
    assert_eq!((nobody.code(), nobody.entry.as_deref()), ("jwt-key-unknown", Some("corp")));
    let set = json!({ "keys": [with(P256_OTHER.jwk(), json!({ "kid": "next" }))] }).to_string();
    assert!(identity.replace_keys("corp", Some(KeySet::parse(set.as_bytes()).unwrap())));
    assert!(!identity.replace_keys("nobody", Some(KeySet::parse(set.as_bytes()).unwrap())));
    assert_eq!(said(&Ask::bearer(&new).ask(&identity, NOW)), "corp:alice");
    assert_eq!(
        said(&Ask::bearer(&old).ask(&identity, NOW)),
        "jwt-key-unknown",
        "though it was proved before"
    );
    assert!(identity.replace_keys("corp", None));
    assert_eq!(said(&Ask::bearer(&new).ask(&identity, NOW)), "jwt-keys-absent");
}

#[test]
fn a_token_that_was_proved_before_ends_with_its_time() {
    let (identity, text) = (identity(&issuer_toml("")), token(json!({}), json!({})));
    for (after_s, expect) in [(0, "corp:alice"), (1, "corp:alice"), (329, "corp:alice"), (330, "jwt-expired")]
    {
        assert_eq!(
            said(&Ask::bearer(&text).ask(&identity, NOW.plus_ms(after_s * 1000))),
            expect,
            "{after_s}"
        );
    }
    let ask = Ask::bearer(&text);
    let asked = |accept: &[&str]| {
        let names: Vec<String> = accept.iter().map(|name| (*name).into()).collect();
        let (book, accept) = (crate::TokenBook::new(), crate::Accept::named(&names));
        identity.identify(&ask.request(), &book, &accept, NOW).map_err(|nobody| nobody.code())
    };
    assert_eq!(asked(&["corp"]).unwrap().principal().name, "corp:alice");
    let nobody = asked(&["token", "other"]).unwrap_err();
    assert_eq!(nobody, "credential-not-taken-here", "a token that was proved, where it is not taken");
}

#[test]
fn keys_that_are_still_to_be_fetched() {
    let toml = "[[issuers]]\nname = \"corp\"\nissuer = \"https://id.example\"\nkind = \"User\"\n\
                audiences = [\"https://api.example\"]\nalgorithms = [\"ES256\"]\ntenant = \"default\"\n";
    let identity = identity(toml);
    let remote: Vec<_> = identity.remote_issuers().map(|(name, issuer)| (name.to_string(), issuer)).collect();
    assert_eq!(remote, [("corp".to_owned(), "https://id.example")]);
    let text = token(json!({}), json!({}));
    assert_eq!(said(&Ask::bearer(&text).ask(&identity, NOW)), "jwt-keys-absent");
    assert!(identity.replace_keys("corp", Some(KeySet::parse(jwks().as_bytes()).unwrap())));
    assert_eq!(said(&Ask::bearer(&text).ask(&identity, NOW)), "corp:alice");
}

#[test]
fn claims_are_there_and_typed() {
    let refuse = |claims: Value, code: &str| check(&token(json!({}), claims), code);
    for name in ["iss", "aud", "sub", "iat", "exp"] {
        refuse(json!({ name: null }), "jwt-claim-missing");
    }
    for (name, value, code) in [
        ("iss", json!(["https://id.example"]), "jwt-claim"),
        ("iss", json!("https://id.example/"), "jwt-issuer"),
        ("iss", json!("https://evil.example"), "jwt-issuer"),
        ("aud", json!("https://api.example.evil"), "jwt-audience"),
        ("aud", json!(["other", "HTTPS://API.EXAMPLE"]), "jwt-audience"),
        ("aud", json!([]), "jwt-claim"),
        ("aud", json!(["https://api.example", 7]), "jwt-claim"),
        ("aud", json!({ "https://api.example": 1 }), "jwt-claim"),
        ("sub", json!(7), "jwt-claim"),
        ("sub", json!(""), "jwt-subject"),
        ("sub", json!("alice bob"), "jwt-subject"),
        ("sub", json!("alice\"/admin"), "jwt-subject"),
        ("sub", json!("al\u{0131}ce"), "jwt-subject"),
        ("sub", json!("a".repeat(256)), "jwt-subject"),
        ("exp", json!((NOW_S + 300).to_string()), "jwt-date"),
        ("exp", json!(1.9e9), "jwt-date"),
        ("exp", json!(-1), "jwt-date"),
        ("exp", json!(253_402_300_800_u64), "jwt-date"),
        ("exp", json!(u64::MAX), "jwt-date"),
        ("iat", json!(true), "jwt-date"),
        ("nbf", json!("now"), "jwt-date"),
        ("iat", json!(NOW_S + 400), "jwt-date"),
        ("realm_access", json!({ "roles": [7] }), "jwt-claim"),
        ("realm_access", json!({ "roles": { "dev": true } }), "jwt-claim"),
        ("mail", json!(["a", "b\n"]), "jwt-claim"),
        ("cnf", json!({}), "jwt-confirmation"),
        ("cnf", json!({ "kid": "x" }), "jwt-confirmation"),
        ("cnf", json!({ "jkt": "short" }), "jwt-confirmation"),
        ("cnf", json!("x"), "jwt-confirmation"),
    ] {
        refuse(json!({ name: value }), code);
    }
    check(&token(json!({}), json!({ "aud": ["other", "https://api.example"] })), "corp:alice");
}

#[test]
fn dates_hold_to_the_second() {
    let at = |claims: Value, expect: &str| check(&token(json!({}), claims), expect);
    at(json!({ "exp": NOW_S - 29 }), "jwt-date");
    let old = |exp: u64| json!({ "iat": NOW_S - 3600, "exp": exp });
    at(old(NOW_S - 29), "corp:alice");
    at(old(NOW_S - 30), "jwt-expired");
    at(json!({ "nbf": NOW_S + 30 }), "corp:alice");
    at(json!({ "nbf": NOW_S + 31 }), "jwt-not-yet");
    at(json!({ "iat": NOW_S + 30 }), "corp:alice");
    at(json!({ "iat": NOW_S + 31 }), "jwt-issued-ahead");
    let lived = |seconds: u64| token(json!({}), json!({ "iat": NOW_S, "exp": NOW_S + seconds }));
    check_with("lifetime_s_max = 600", &lived(600), "corp:alice");
    check_with("lifetime_s_max = 600", &lived(601), "jwt-lifetime");
    check_with("skew_s = 0", &token(json!({}), json!({ "nbf": NOW_S + 1 })), "jwt-not-yet");
}

#[test]
fn only_access_tokens() {
    let plain = "types = [\"at+jwt\", \"JWT\"]";
    for (typ, expect) in
        [(json!("JWT"), "corp:alice"), (json!(null), "corp:alice"), (json!("dpop+jwt"), "jwt-type")]
    {
        check_with(plain, &token(json!({ "typ": typ }), json!({})), expect);
    }
    for typ in
        ["JWT", "jwt", "id_token+jwt", "dpop+jwt", "application/x/at+jwt", "at+jwt;x", "logout+jwt", ""]
    {
        check(&token(json!({ "typ": typ }), json!({})), "jwt-type");
    }
    check(&token(json!({ "typ": null }), json!({})), "jwt-type");
    for claim in ["nonce", "at_hash", "c_hash"] {
        for typ in [json!("JWT"), json!(null)] {
            check_with(plain, &token(json!({ "typ": typ }), json!({ claim: "x" })), "jwt-id-token");
        }
    }
}

#[test]
fn one_reading_of_the_text() {
    let good = token(json!({}), json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    check(&format!("{head}.{body}"), "jwt-malformed");
    check(&format!("{head}.{body}."), "jwt-signature");
    check(&format!("{good}."), "jwt-malformed");
    check(&format!("{good}.a"), "jwt-malformed");
    check(&format!("{good}.a.b"), "jwt-encrypted");
    check(&format!("{head}..{signature}"), "jwt-malformed");
    check(&format!(".{body}.{signature}"), "jwt-malformed");
    check(&format!("{good}="), "jwt-encoding");
    check(&format!("{good}=="), "jwt-encoding");
    check(&good[..good.len() - 1], "jwt-encoding");
    check(&good[..good.len() - 2], "jwt-signature");
    // 64 bytes leave four bits of the last character, which must be zero.
    let last = good.as_bytes()[good.len() - 1];
    let stray = B64.specification().symbols.bytes().find(|b| *b > last && !b"AQgw".contains(b)).unwrap();
    check(&format!("{}{}", &good[..good.len() - 1], char::from(stray)), "jwt-encoding");
    check(&good.replace('.', ".+"), "jwt-encoding");
    check(&format!("{{\"payload\":\"{body}\"}}"), "jwt-serialization");
    check("x", "jwt-malformed");
    check(&"a".repeat(8 * 1024 + 1), "jwt-oversized");
    let long = token(json!({}), json!({ "pad": "x".repeat(8 * 1024) }));
    check(&long, "jwt-oversized");
    let deep = format!("{}1{}", "[".repeat(9), "]".repeat(9));
    let text = claims().to_string();
    let add = |more: &str| format!("{{{more},{}", &text[1..]);
    check(&compact(&P256, "ES256", &header().to_string(), &add(&format!("\"d\":{deep}"))), "jwt-bounds");
    let wide = format!("\"w\":[{}1]", "1,".repeat(600));
    check(&compact(&P256, "ES256", &header().to_string(), &add(&wide)), "jwt-bounds");
    for twice in ["\"sub\":\"admin\"", "\"\\u0073ub\":\"admin\"", "\"x\":{\"a\":1,\"a\":2}"] {
        check(&compact(&P256, "ES256", &header().to_string(), &add(twice)), "jwt-duplicate");
    }
    let head_twice = r#"{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"ec"}"#;
    check(&compact(&P256, "ES256", head_twice, &text), "jwt-duplicate");
    check(&compact(&P256, "ES256", &header().to_string(), "[1]"), "jwt-malformed");
    check(&compact(&P256, "ES256", "{}", &text), "jwt-header");
}

#[test]
fn an_altered_token_is_nobodys() {
    let good = token(json!({}), json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let forged = B64.encode(with(claims(), json!({ "sub": "admin" })).to_string().as_bytes());
    check(&format!("{}.{forged}.{}", parts[0], parts[2]), "jwt-signature");
    let zeros = B64.encode(&[0; 64]);
    check(&format!("{}.{}.{zeros}", parts[0], parts[1]), "jwt-signature");
    let longer = B64.encode(&[B64.decode(parts[2].as_bytes()).unwrap(), vec![0]].concat());
    check(&format!("{}.{}.{longer}", parts[0], parts[1]), "jwt-signature");
}

#[test]
fn no_issuer_no_token() {
    let answer = Ask::bearer(&token(json!({}), json!({}))).ask(&identity(""), NOW);
    assert_eq!(said(&answer), "credential-not-accepted");
    check_with("require_bound = true", &token(json!({}), json!({})), "jwt-unbound");
}
