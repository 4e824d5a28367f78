//! Tokens that are bound to a key (RFC 9449) or a certificate (RFC 8705), and the proofs that go with them.

use data_encoding::{BASE64, BASE64URL_NOPAD as B64};
use keyring::sha256;
use model::Timestamp;
use serde_json::{Value, json};

use crate::{
    Bound, Identity, Reason, TokenBook,
    jose::{
        dpop,
        jwk::{Algorithm, Jwk},
    },
    testing::*,
};

const DPOP: &str = "[dpop]\nage_s_max = 60\n";

fn node(more: &str) -> Identity {
    identity(&format!("{}{more}", issuer_toml("")))
}

fn thumbprint(key: &Key) -> String {
    B64.encode(&Jwk::read(key.jwk().as_object().unwrap()).unwrap().thumbprint)
}

fn bound_token() -> String {
    token(json!({}), json!({ "cnf": { "jkt": thumbprint(&ED) } }))
}

fn proof(token: &str, header: Value, claims: Value) -> String {
    let head = with(json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": ED.jwk() }), header);
    let said = json!({
        "jti": "one", "htm": "POST", "htu": "https://api.example/x", "iat": NOW_S,
        "ath": B64.encode(sha256(token.as_bytes()).as_bytes()),
    });
    jws(&ED, &head, &with(said, claims))
}

fn present(token: &str, proof: &str) -> Ask {
    Ask::new("POST", "/x?q=1").header("authorization", &format!("DPoP {token}")).header("dpop", proof)
}

/// Presents a bound token with a proof that is changed in this way.
#[track_caller]
fn check(header: Value, claims: Value, expect: &str) {
    let token = bound_token();
    let ask = present(&token, &proof(&token, header.clone(), claims.clone()));
    assert_eq!(said(&ask.ask(&node(DPOP), NOW)), expect, "{header} {claims}");
}

#[test]
fn a_proof_passes_once() {
    let (node, token) = (node(DPOP), bound_token());
    let ask = present(&token, &proof(&token, json!({}), json!({})));
    let proved = ask.ask(&node, NOW).unwrap();
    assert_eq!((proved.bound(), proved.principal().name.as_str()), (Bound::Dpop, "corp:alice"));
    assert_eq!(said(&ask.ask(&node, NOW)), "dpop-replay");
    assert_eq!(said(&ask.ask(&node, NOW.plus_ms(89_999))), "dpop-replay");
    assert_eq!(said(&ask.ask(&node, NOW.plus_ms(90_000))), "dpop-stale");
    let another = present(&token, &proof(&token, json!({}), json!({ "jti": "two" })));
    assert_eq!(said(&another.ask(&node, NOW)), "corp:alice");
}

#[test]
fn what_fails_leaves_no_trace() {
    let (node, token) = (node(DPOP), bound_token());
    let good = proof(&token, json!({}), json!({}));
    let mut wrong = present(&token, &good);
    wrong.method = "GET".into();
    assert_eq!(said(&wrong.ask(&node, NOW)), "dpop-method");
    assert_eq!(said(&present(&token, &good).ask(&node, NOW)), "corp:alice");
}

#[test]
fn a_proof_is_of_this_request() {
    check(json!({}), json!({ "htu": "HTTPS://API.EXAMPLE:443/%78?other#x" }), "corp:alice");
    for (name, value, code) in [
        ("htm", json!("GET"), "dpop-method"),
        ("htm", json!("post"), "dpop-method"),
        ("htm", json!(null), "dpop-claim"),
        ("htu", json!("https://api.example/y"), "dpop-url"),
        ("htu", json!("http://api.example/x"), "dpop-url"),
        ("htu", json!("https://api.example:8443/x"), "dpop-url"),
        ("htu", json!("https://evil.example/x"), "dpop-url"),
        ("htu", json!("https://api.example/a/../x"), "dpop-url"),
        ("htu", json!("/x"), "dpop-url"),
        ("htu", json!(["https://api.example/x"]), "dpop-claim"),
        ("iat", json!(NOW_S + 31), "dpop-stale"),
        ("iat", json!(NOW_S - 90), "dpop-stale"),
        ("iat", json!(NOW_S as f64), "dpop-claim"),
        ("iat", json!(null), "dpop-claim"),
        ("jti", json!(""), "dpop-claim"),
        ("jti", json!("j".repeat(257)), "dpop-claim"),
        ("jti", json!(null), "dpop-claim"),
        ("ath", json!(null), "dpop-claim"),
        ("ath", json!(B64.encode(sha256(b"another token").as_bytes())), "dpop-token"),
    ] {
        check(json!({}), json!({ name: value }), code);
    }
    for (name, value, code) in [
        ("typ", json!("JWT"), "dpop-type"),
        ("typ", json!(null), "dpop-type"),
        ("alg", json!("none"), "dpop-algorithm"),
        ("alg", json!("HS256"), "dpop-algorithm"),
        ("alg", json!("RS256"), "dpop-algorithm"),
        ("alg", json!("ES256"), "dpop-signature"),
        ("jwk", json!(null), "dpop-key"),
        ("jwk", json!("x"), "dpop-key"),
        ("jwk", json!({ "kty": "oct" }), "dpop-key"),
        ("jwk", json!({ "kty": "oct", "k": "AAAA" }), "dpop-private-key"),
        ("jwk", with(ED.jwk(), json!({ "d": "AAAA" })), "dpop-private-key"),
        ("jwk", P256.jwk(), "dpop-signature"),
        ("jku", json!("https://evil.example"), "dpop-header"),
        ("crit", json!(["x"]), "dpop-header"),
    ] {
        check(json!({ name: value }), json!({}), code);
    }
}

#[test]
fn the_key_is_the_tokens() {
    let token = token(json!({}), json!({ "cnf": { "jkt": thumbprint(&P256_OTHER) } }));
    let ask = present(&token, &proof(&token, json!({}), json!({})));
    assert_eq!(said(&ask.ask(&node(DPOP), NOW)), "dpop-thumbprint");
}

#[test]
fn neither_without_the_other() {
    let bound = bound_token();
    let node = node(DPOP);
    assert_eq!(said(&Ask::bearer(&bound).ask(&node, NOW)), "dpop-missing");
    let downgraded = Ask::bearer(&bound).header("dpop", &proof(&bound, json!({}), json!({})));
    assert_eq!(said(&downgraded.ask(&node, NOW)), "dpop-scheme");
    let unbound = token(json!({}), json!({}));
    let ask = present(&unbound, &proof(&unbound, json!({}), json!({})));
    assert_eq!(said(&ask.ask(&node, NOW)), "dpop-unbound");
    let bare = Ask::new("POST", "/x").header("authorization", &format!("DPoP {bound}"));
    assert_eq!(said(&bare.ask(&node, NOW)), "dpop-missing");
    let twice = present(&bound, &proof(&bound, json!({}), json!({}))).header("dpop", "x");
    assert_eq!(said(&twice.ask(&node, NOW)), "dpop-several");
    let stray = Ask::new("POST", "/x").header("dpop", "x");
    assert_eq!(said(&stray.ask(&node, NOW)), "dpop-scheme");
    let ask = present(&bound, &proof(&bound, json!({}), json!({})));
    assert_eq!(said(&ask.ask(&self::node(""), NOW)), "credential-not-accepted", "no `[dpop]`");
    assert_eq!(said(&present(&bound, &bound).ask(&node, NOW)), "dpop-type", "the token is no proof");
}

#[test]
fn nonces_are_this_servers_and_fresh() {
    let secret = BASE64.encode(&[7; 32]);
    let node = node(&format!("{DPOP}nonce_secret = \"{secret}\"\nnonce_s = 60\n"));
    let token = bound_token();
    let at = |nonce: Value, jti: &str, now: Timestamp| {
        let claims = json!({ "nonce": nonce, "jti": jti, "iat": now.unix_ms() / 1000 });
        let ask = present(&token, &proof(&token, json!({}), claims));
        node.prove(&ask.request(), &TokenBook::new(), now)
    };
    let nobody = at(json!(null), "a", NOW).unwrap_err();
    assert_eq!(nobody.reason, Reason::DpopNonce);
    assert_eq!(nobody.challenge(), "DPoP realm=\"casemate\", error=\"use_dpop_nonce\"");
    let nonce = nobody.nonce.unwrap();
    assert_eq!(at(json!(nonce), "b", NOW).unwrap().bound(), Bound::Dpop);
    assert_eq!(at(json!(nonce), "c", NOW.plus_ms(60_000)).unwrap().bound(), Bound::Dpop);
    assert_eq!(at(json!(nonce), "d", NOW.plus_ms(120_000)).unwrap_err().reason, Reason::DpopNonce);
    assert_eq!(at(json!("guessed"), "e", NOW).unwrap_err().reason, Reason::DpopNonce);
}

#[test]
fn room_for_so_many_proofs() {
    let toml = format!("replays_per_tenant = 2\n{}{DPOP}", issuer_toml(""));
    let (node, token) = (identity(&toml), bound_token());
    let at = |jti: &str, now: Timestamp| {
        let claims = json!({ "jti": jti, "iat": now.unix_ms() / 1000 });
        said(&present(&token, &proof(&token, json!({}), claims)).ask(&node, now))
    };
    assert_eq!([at("a", NOW), at("b", NOW)], ["corp:alice", "corp:alice"]);
    assert_eq!(at("c", NOW), "replays-full");
    assert_eq!(at("a", NOW), "dpop-replay");
    assert_eq!(at("c", NOW.plus_ms(90_000)), "corp:alice");
}

#[test]
fn certificates_bind_too() {
    let der = b"any bytes: the digest is compared, and TLS has read them";
    let cnf = json!({ "x5t#S256": B64.encode(sha256(der).as_bytes()) });
    let bound = token(json!({}), json!({ "cnf": cnf }));
    let node = node(DPOP);
    let proved = Ask::bearer(&bound).certificate(der).ask(&node, NOW).unwrap();
    assert_eq!(proved.bound(), Bound::Mtls);
    assert_eq!(said(&Ask::bearer(&bound).ask(&node, NOW)), "certificate-missing");
    assert_eq!(said(&Ask::bearer(&bound).certificate(b"another").ask(&node, NOW)), "certificate-other");
    let both = token(json!({}), json!({ "cnf": with(cnf, json!({ "jkt": thumbprint(&ED) })) }));
    assert_eq!(said(&Ask::bearer(&both).certificate(der).ask(&node, NOW)), "dpop-missing");
    let ask = present(&both, &proof(&both, json!({}), json!({}))).certificate(der);
    assert_eq!(ask.ask(&node, NOW).unwrap().bound(), Bound::DpopAndMtls);
}

/// The proof of RFC 9449 §7.1 (figures 12 and 13), with the key's thumbprint of §6.1.
#[test]
fn the_example_of_the_standard() {
    let text = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZ\
        OXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6\
        IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9\
        yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0N\
        BcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let jkt: [u8; 32] =
        B64.decode(b"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").unwrap().try_into().unwrap();
    let rules =
        dpop::Rules { algorithms: vec![Algorithm::ES256], age_ms_max: 60_000, skew_ms: 0, nonces: None };
    let verify = |method: &str, url: &str, token: &str, seconds: u64| {
        let about = dpop::About { method, url, token: Some((token, &jkt)), tenant: "default" };
        rules.verify(text, &about, Timestamp::from_unix_ms(seconds * 1000)).map(|_| ())
    };
    let (url, token) =
        ("https://resource.example.org/protectedresource", "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
    assert_eq!(verify("GET", url, token, 1_562_262_618), Ok(()));
    assert_eq!(verify("GET", url, "other", 1_562_262_618), Err(Reason::DpopToken));
    assert_eq!(verify("GET", url, token, 1_562_262_617), Err(Reason::DpopStale));
}
