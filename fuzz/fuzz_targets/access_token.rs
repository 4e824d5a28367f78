//! Text that claims to be an access token: nobody's, whatever it is, because the issuer signed none. It never
//! panics on a header, a claim or a key.
#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue};
use identity::{Identity, KeySet, Request, TokenBook};
use libfuzzer_sys::fuzz_target;
use model::Timestamp;

const CONFIG: &str = r#"{
    "issuers": [{
        "name": "corp", "issuer": "i", "audiences": ["a"], "algorithms": ["ES256", "EdDSA"], "types": ["at+jwt", "JWT"],
        "tenant": "default", "kind": "User",
        "jwks": "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"
    }],
    "dpop": {}
}"#;

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let config = serde_json::from_str(CONFIG).expect("a configuration");
    Identity::new(config, &|_| Err("no file".to_owned())).expect("a configuration that holds")
});

fuzz_target!(|text: &str| {
    let _ = KeySet::parse(text.as_bytes());
    let Ok(value) = HeaderValue::from_str(&format!("Bearer {text}")) else { return };
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
    let request = Request {
        method: "GET",
        scheme: "https",
        authority: "a.example",
        target: "/",
        headers: &headers,
        body: b"",
        certificate: None,
    };
    let answer = IDENTITY.prove(&request, &TokenBook::new(), Timestamp::from_unix_ms(1_800_000_000_000));
    assert!(answer.is_err(), "nobody signed it");
});
