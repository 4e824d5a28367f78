//! Proofs that this command holds the key of its session (RFC 9449 §4.2). It never sends one.

use data_encoding::BASE64URL_NOPAD;
use keyring::{ProofKey, SystemEntropy, sha256};
use model::{Entropy, Timestamp, TokenId};
use serde_json::json;

use crate::{
    clock,
    exit::{Exit, Failure},
    session::Secret,
};

/// A session that is good with its key alone.
pub(crate) struct BoundSession {
    /// Its public id.
    pub(crate) id: TokenId,
    /// What is presented.
    pub(crate) secret: Secret,
    /// What proves that it may be.
    pub(crate) key: ProofKey,
    /// When it ends.
    pub(crate) until: Timestamp,
}

/// Random bytes.
///
/// # Errors
/// If the system has none.
pub(crate) fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0_u8; 32];
    SystemEntropy.fill(&mut bytes).map_err(|e| Failure::new(Exit::Failed, e))?;
    Ok(bytes)
}

/// The thumbprint of the key (RFC 7638, RFC 8037 §2).
pub(crate) fn thumbprint(key: &ProofKey) -> [u8; 32] {
    let x = BASE64URL_NOPAD.encode(key.public());
    *sha256(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes()).as_bytes()
}

/// A proof for one request, with a token or without.
///
/// # Errors
/// If the system has no randomness.
pub(crate) fn proof(key: &ProofKey, method: &str, url: &str, token: Option<&str>) -> Result<String, Failure> {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64URL_NOPAD.encode(key.public()) });
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk });
    let mut claims = json!({
        "jti": BASE64URL_NOPAD.encode(&random()?), "htm": method, "htu": bare,
        "iat": clock::now().unix_ms() / 1_000,
    });
    if let (Some(token), Some(claims)) = (token, claims.as_object_mut()) {
        claims.insert("ath".into(), BASE64URL_NOPAD.encode(sha256(token.as_bytes()).as_bytes()).into());
    }
    let encode = |value: &serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = BASE64URL_NOPAD.encode(&key.sign(signed.as_bytes()));
    Ok(format!("{signed}.{signature}"))
}
