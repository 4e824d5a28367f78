//! The vectors of RFC 9421, appendix B.2, with the keys of B.1.

use data_encoding::BASE64;
use serde_json::json;

use super::*;
use crate::{jose::jwk::Jwk, testing::Ask};

/// The request of B.2.
fn message() -> Ask {
    let digest =
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    let mut ask = Ask::new("POST", "/foo?param=Value&Pet=dog")
        .header("host", "example.com")
        .header("date", "Tue, 20 Apr 2021 02:07:55 GMT")
        .header("content-type", "application/json")
        .header("content-digest", digest)
        .header("content-length", "18")
        .body("{\"hello\": \"world\"}");
    ask.authority = "example.com".into();
    ask
}

fn signer(algorithm: MessageAlgorithm, key: SignerKey, required: &[&str]) -> Signer {
    Signer {
        algorithm,
        key,
        required: required.iter().map(|name| (*name).to_owned()).collect(),
        window_ms: 300_000,
        skew_ms: 0,
        tag: None,
        nonce_required: false,
    }
}

const CREATED: Timestamp = Timestamp::from_unix_ms(1_618_884_473_000);

fn verify(signer: &Signer, ask: &Ask) -> Result<(), Reason> {
    let request = ask.request();
    read(&request).and_then(|claimed| signer.verify(&claimed, &request, CREATED)).map(|_| ())
}

/// B.2.5: hmac-sha256.
#[test]
fn hmac_sha256() {
    let secret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let key = SignerKey::Shared(SharedKey::new(&BASE64.decode(secret.as_bytes()).unwrap()));
    let signer = signer(MessageAlgorithm::HmacSha256, key, &["date", "@authority", "content-type"]);
    let input =
        "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
    let signed = message()
        .header("signature-input", input)
        .header("signature", "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:");
    assert_eq!(verify(&signer, &signed), Ok(()));
    let mut moved = signed.clone();
    moved.authority = "example.org".into();
    assert_eq!(verify(&signer, &moved), Err(Reason::SignatureInvalid));
}

/// B.2.6: ed25519.
#[test]
fn ed25519() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs" });
    let key = Jwk::read(jwk.as_object().unwrap()).unwrap().key;
    let signer = signer(
        MessageAlgorithm::Ed25519,
        SignerKey::Public(key, SignatureAlgorithm::Ed25519),
        &["@method", "@path", "@authority"],
    );
    let signed = message()
        .header(
            "signature-input",
            "sig-b26=(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")\
             ;created=1618884473;keyid=\"test-key-ed25519\"",
        )
        .header(
            "signature",
            "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
        );
    assert_eq!(verify(&signer, &signed), Ok(()));
    let mut moved = signed.clone();
    moved.method = "PUT".into();
    assert_eq!(verify(&signer, &moved), Err(Reason::SignatureInvalid));
    assert_eq!(check_digest(&signed.request()), Ok(()));
    assert_eq!(check_digest(&signed.clone().body("{}").request()), Err(Reason::SignatureDigest));
}

/// B.2.4: ecdsa-p256-sha256. It signs an answer, which nobody reads here, so that its base is written out.
#[test]
fn ecdsa_p256_sha256() {
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA",
        "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0" });
    let key = Jwk::read(jwk.as_object().unwrap()).unwrap().key;
    let base = "\"@status\": 200\n\"content-type\": application/json\n\
        \"content-digest\": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:\n\
        \"content-length\": 23\n\"@signature-params\": (\"@status\" \"content-type\" \"content-digest\" \
        \"content-length\");created=1618884473;keyid=\"test-key-ecc-p256\"";
    let signature =
        "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==";
    let signature = BASE64.decode(signature.as_bytes()).unwrap();
    assert!(key.verifies(SignatureAlgorithm::EcdsaP256Sha256, base.as_bytes(), &signature));
    assert!(!key.verifies(SignatureAlgorithm::Ed25519, base.as_bytes(), &signature));
}
