//! Signatures of messages: what they must cover, and what is altered, old or repeated.

use data_encoding::BASE64;
use keyring::{SharedKey, sha256, sha512};

use crate::{Identity, ProofKind, TokenBook, testing::*};

const SECRET: [u8; 32] = [5; 32];
const BODY: &str = r#"{"n":1}"#;

fn node(more: &str) -> Identity {
    let keys = [("ed", "ed25519", ED.jwk()), ("ec", "ecdsa-p256-sha256", P256.jwk())];
    let mut toml = format!(
        "[[signatures]]\nname = \"mac\"\nkeyid = \"mac\"\nalgorithm = \"hmac-sha256\"\nsecret = \"{}\"\n\
         tenant = \"default\"\n",
        BASE64.encode(&SECRET)
    );
    for (id, algorithm, jwk) in keys {
        toml.push_str(&format!(
            "[[signatures]]\nname = \"{id}\"\nkeyid = \"{id}\"\nalgorithm = \"{algorithm}\"\nkey = '{jwk}'\n\
             tenant = \"default\"\n{more}\n"
        ));
    }
    identity(&toml)
}

fn digest() -> String {
    format!("sha-256=:{}:", BASE64.encode(sha256(BODY.as_bytes()).as_bytes()))
}

/// A request as it is sent, without its signature.
fn plain() -> Ask {
    Ask::new("POST", "/x?q=1")
        .header("content-digest", &digest())
        .header("x-many", "a")
        .header("x-many", " b ")
        .body(BODY)
}

const ALL: [(&str, &str); 4] =
    [("\"@method\"", "POST"), ("\"@authority\"", "api.example"), ("\"@path\"", "/x"), ("\"@query\"", "?q=1")];

fn covered() -> Vec<(&'static str, String)> {
    let mut all: Vec<_> = ALL.iter().map(|(id, value)| (*id, (*value).to_owned())).collect();
    all.push(("\"content-digest\"", digest()));
    all
}

/// Signs these lines, whether they are the request's or not.
fn sign(ask: Ask, key: &str, covered: &[(&str, String)], params: &str) -> Ask {
    let ids: Vec<&str> = covered.iter().map(|(id, _)| *id).collect();
    let input = format!("({}){params}", ids.join(" "));
    let mut base: String = covered.iter().map(|(id, value)| format!("{id}: {value}\n")).collect();
    base.push_str(&format!("\"@signature-params\": {input}"));
    let signature = match key {
        "mac" => SharedKey::new(&SECRET).code(&[base.as_bytes()]).to_vec(),
        "ed" => ED.sign("EdDSA", base.as_bytes()),
        _ => P256.sign("ES256", base.as_bytes()),
    };
    let signature = format!("s=:{}:", BASE64.encode(&signature));
    ask.header("signature-input", &format!("s={input}")).header("signature", &signature)
}

fn params(key: &str) -> String {
    format!(";created={NOW_S};keyid=\"{key}\"")
}

#[track_caller]
fn check(ask: Ask, expect: &str) {
    assert_eq!(said(&ask.ask(&node(""), NOW)), expect);
}

#[test]
fn every_algorithm_by_its_key() {
    for (key, algorithm) in [("mac", "hmac-sha256"), ("ed", "ed25519"), ("ec", "ecdsa-p256-sha256")] {
        check(sign(plain(), key, &covered(), &params(key)), &format!("signature:{key}"));
        let named = format!("{};alg=\"{algorithm}\"", params(key));
        check(sign(plain(), key, &covered(), &named), &format!("signature:{key}"));
        let other = format!("{};alg=\"rsa-v1_5-sha256\"", params(key));
        check(sign(plain(), key, &covered(), &other), "signature-algorithm");
    }
    let proved = sign(plain(), "ed", &covered(), &params("ed")).ask(&node(""), NOW).unwrap();
    assert_eq!((proved.kind(), proved.key_id()), (ProofKind::MessageSignature, Some("ed")));
    assert_eq!(proved.expires_at().unwrap(), NOW.plus_ms(300_000));
    check(sign(plain(), "ed", &covered(), &params("ec")), "signature-invalid");
    check(sign(plain(), "ed", &covered(), &params("nobody")), "signature-key-unknown");
}

/// What is told and counted of a name that is not there is what is told and counted of one that is.
#[test]
fn a_wrong_id_is_like_a_wrong_secret() {
    let cases =
        [("mac", "signature-invalid", "signature:mac"), ("nobody", "signature-key-unknown", "nobody")];
    for (id, code, counted_as) in cases {
        let ask = sign(plain(), "ed", &covered(), &params(id));
        let nobody = node("").prove(&ask.request(), &TokenBook::new(), NOW).unwrap_err();
        assert_eq!((nobody.reason.code(), nobody.claimed.as_deref()), (code, Some(counted_as)));
    }
}

#[test]
fn all_that_counts_is_covered() {
    for missing in 0..5 {
        let mut some = covered();
        some.remove(missing);
        check(sign(plain(), "ed", &some, &params("ed")), "signature-components");
    }
    let whole = [
        ("\"@method\"", "POST".to_owned()),
        ("\"@target-uri\"", "https://api.example/x?q=1".to_owned()),
        ("\"content-digest\"", digest()),
    ];
    check(sign(plain(), "ed", &whole, &params("ed")), "signature:ed");
    let bare = Ask::new("GET", "/x");
    let three = [
        ("\"@method\"", "GET".to_owned()),
        ("\"@authority\"", "api.example".into()),
        ("\"@path\"", "/x".into()),
    ];
    check(sign(bare, "ed", &three, &params("ed")), "signature:ed");
    // One member of the digest, or a covered header of another name, is not the header.
    let mut tricked = covered();
    tricked[4] = ("\"content-digest\";key=\"sha-256\"", digest()[8..].to_owned());
    check(sign(plain(), "ed", &tricked, &params("ed")), "signature-components");
}

#[test]
fn more_may_be_covered() {
    let mut more = covered();
    more.push(("\"x-many\"", "a, b".into()));
    more.push(("\"@scheme\"", "https".into()));
    more.push(("\"@request-target\"", "/x?q=1".into()));
    more.push(("\"content-digest\";key=\"sha-256\"", digest()[8..].to_owned()));
    more.push(("\"@query-param\";name=\"q\"", "1".into()));
    check(sign(plain(), "ed", &more, &params("ed")), "signature:ed");
    for (id, value, code) in [
        ("\"x-absent\"", "", "signature-component-absent"),
        ("\"@query-param\";name=\"z\"", "1", "signature-component-absent"),
        ("\"x-many\";sf", "a, b", "signature-component-unknown"),
        ("\"x-many\";bs", "a, b", "signature-component-unknown"),
        ("\"x-many\";tr", "a, b", "signature-component-unknown"),
        ("\"@method\";req", "POST", "signature-component-unknown"),
        ("\"@status\"", "200", "signature-component-unknown"),
        ("\"@other\"", "x", "signature-component-unknown"),
        ("\"X-Many\"", "a, b", "signature-component-unknown"),
        ("\"signature-input\"", "x", "signature-component-unknown"),
        ("\"@method\"", "POST", "signature-malformed"),
    ] {
        let mut more = covered();
        more.push((id, value.into()));
        check(sign(plain(), "ed", &more, &params("ed")), code);
    }
}

#[test]
fn query_parameters_in_one_form() {
    let one = |target: &str, id: &str, value: &str| {
        let query = format!("?{}", target.split_once('?').unwrap().1);
        let lines = [
            ("\"@method\"", "GET".to_owned()),
            ("\"@authority\"", "api.example".into()),
            ("\"@path\"", "/x".into()),
            ("\"@query\"", query),
            (id, value.to_owned()),
        ];
        said(&sign(Ask::new("GET", target), "ed", &lines, &params("ed")).ask(&node(""), NOW))
    };
    let var = "\"@query-param\";name=\"var\"";
    assert_eq!(one("/x?var=this%20is+a%0Abig*&a=1", var, "this%20is%20a%0Abig*"), "signature:ed");
    assert_eq!(one("/x?var=&a=1", var, ""), "signature:ed");
    assert_eq!(one("/x?var=1&var=2", var, "1"), "signature-component-absent");
    assert_eq!(one("/x?va%72=1", var, "1"), "signature:ed");
    assert_eq!(one("/x?var=%zz", var, "1"), "signature-component-absent");
}

#[test]
fn what_is_altered_does_not_pass() {
    let good = || sign(plain(), "ed", &covered(), &params("ed"));
    let altered = |change: fn(&mut Ask), expect: &str| {
        let mut ask = good();
        change(&mut ask);
        check(ask, expect);
    };
    altered(|ask| ask.method = "PUT".into(), "signature-invalid");
    altered(|ask| ask.target = "/x?q=2".into(), "signature-invalid");
    altered(|ask| ask.target = "/y?q=1".into(), "signature-invalid");
    altered(|ask| ask.authority = "evil.example".into(), "signature-invalid");
    altered(|ask| ask.authority = "API.example:443".into(), "signature:ed");
    altered(|ask| ask.body = b"{\"n\":2}".to_vec(), "signature-digest");
    altered(|ask| drop(ask.headers.remove("signature")), "signature-malformed");
    altered(|ask| drop(ask.headers.remove("signature-input")), "signature-malformed");
    check(good().header("content-digest", "sha-256=:AAAA:"), "signature-invalid");
    check(good().header("signature", "t=:AAAA:"), "signature-several");
    check(good().header("authorization", "Bearer x"), "credential-several");
}

#[test]
fn digests_that_are_covered_are_checked() {
    let with_digest = |value: &str| {
        let mut lines = covered();
        lines[4].1 = value.to_owned();
        let mut ask = plain();
        ask.headers.insert("content-digest", value.parse().unwrap());
        said(&sign(ask, "ed", &lines, &params("ed")).ask(&node(""), NOW))
    };
    let long = BASE64.encode(&sha512(BODY.as_bytes()));
    assert_eq!(with_digest(&format!("sha-512=:{long}:")), "signature:ed");
    assert_eq!(with_digest(&format!("md5=:AAAA:, {}", digest())), "signature:ed");
    assert_eq!(with_digest(&format!("{}, sha-512=:AAAA:", digest())), "signature-digest");
    assert_eq!(with_digest("md5=:AAAA:"), "signature-digest");
    assert_eq!(with_digest("sha-256=1"), "signature-digest");
    assert_eq!(with_digest("sha-256=:AAAA"), "signature-digest");
}

#[test]
fn times_parameters_and_nonces() {
    let at = |params: &str| said(&sign(plain(), "ed", &covered(), params).ask(&node(""), NOW));
    let made = |created: u64| format!(";created={created};keyid=\"ed\"");
    assert_eq!(at(&made(NOW_S - 299)), "signature:ed");
    assert_eq!(at(&made(NOW_S - 300)), "signature-stale");
    assert_eq!(at(&made(NOW_S + 30)), "signature:ed");
    assert_eq!(at(&made(NOW_S + 31)), "signature-early");
    assert_eq!(at(&format!("{};expires={}", made(NOW_S - 5), NOW_S + 1)), "signature:ed");
    assert_eq!(at(&format!("{};expires={NOW_S}", made(NOW_S - 5))), "signature-stale");
    assert_eq!(at(&format!("{};expires=1", made(NOW_S))), "signature-parameter");
    for bad in [
        ";keyid=\"ed\"",
        &format!(";created={NOW_S}"),
        ";created=\"1\";keyid=\"ed\"",
        ";created=-1;keyid=\"ed\"",
        ";created=1.5;keyid=\"ed\"",
        &format!("{};x=1", made(NOW_S)),
        &format!("{};nonce=1", made(NOW_S)),
        ";created=1;keyid=ed",
    ] {
        assert_eq!(at(bad), "signature-parameter", "{bad}");
    }
    assert_eq!(at(&format!("{};created=1", made(NOW_S))), "signature-malformed", "twice");
    let node = node("require_nonce = true\ntag = \"app\"");
    let at = |params: &str| said(&sign(plain(), "ed", &covered(), params).ask(&node, NOW));
    let named = |nonce: &str| format!("{};nonce=\"{nonce}\";tag=\"app\"", made(NOW_S));
    assert_eq!(
        [at(&named("a")), at(&named("a")), at(&named("b"))],
        ["signature:ed", "signature-replay", "signature:ed"]
    );
    assert_eq!(at(&format!("{};tag=\"app\"", made(NOW_S))), "signature-nonce");
    assert_eq!(at(&format!("{};nonce=\"c\";tag=\"other\"", made(NOW_S))), "signature-tag");
    assert_eq!(at(&format!("{};nonce=\"c\"", made(NOW_S))), "signature-tag");
}
