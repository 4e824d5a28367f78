//! A request as it is sent, from its first byte: credentials of every kind in it are read, none holds. It never
//! panics on a proof, a signature's components or a webhook.
#![no_main]

use std::sync::LazyLock;

use identity::{Identity, RawRequest, TokenBook};
use libfuzzer_sys::fuzz_target;
use model::Timestamp;

const CONFIG: &str = r#"{
    "webhooks": [
        {"name": "s", "scheme": "standard", "paths": ["/"], "tenant": "default",
         "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]},
        {"name": "t", "scheme": "stripe", "paths": ["/"], "tenant": "default", "secrets": ["0123456789abcdef0123"]}
    ],
    "signatures": [{
        "name": "p", "keyid": "p", "algorithm": "ed25519", "tenant": "default",
        "key": "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
    }]
}"#;

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let config = serde_json::from_str(CONFIG).expect("a configuration");
    Identity::new(config, &|_| Err("no file".to_owned())).expect("a configuration that holds")
});

fuzz_target!(|data: &[u8]| {
    let Ok(request) = RawRequest::parse(data) else { return };
    let now = Timestamp::from_unix_ms(1_800_000_000_000);
    let answer = IDENTITY.prove(&request.request(Some(data)), &TokenBook::new(), now);
    assert!(answer.is_err(), "nobody signed it");
});
