//! Proofs that whoever presents a token holds its key (RFC 9449 §4.3). It never remembers a proof: it says
//! under which name to remember it, and until when.

use data_encoding::BASE64URL_NOPAD;
use keyring::sha256;
use model::Timestamp;
use serde_json::Value;

use super::{
    jwk::{Algorithm, Jwk, KeyError},
    jws::{Carrier, Jws},
    jwt,
    nonce::Nonces,
};
use crate::{Reason, bounds::ID_BYTES_MAX, uri};

/// What proofs must say. Made by the configuration, which proves it.
pub(crate) struct Rules {
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) age_ms_max: u64,
    pub(crate) skew_ms: u64,
    pub(crate) nonces: Option<Nonces>,
}

/// What a proof is about.
pub(crate) struct About<'a> {
    pub(crate) method: &'a str,
    /// The request's own address as [`uri::normalise`] has it.
    pub(crate) url: &'a str,
    /// The text of the token that it comes with, and the thumbprint that this is bound to; none where it asks for
    /// one that is to be bound (RFC 9449 §5).
    pub(crate) token: Option<(&'a str, &'a [u8; 32])>,
    /// Whose nonces are good.
    pub(crate) tenant: &'a str,
}

/// A proof that holds, if it was not seen before.
pub(crate) struct Proof {
    /// The thumbprint of the key that made it.
    pub(crate) key: [u8; 32],
    /// What to remember it by: its key and its id.
    pub(crate) seen_as: [u8; 32],
    /// Until when; from then on its age alone refuses it.
    pub(crate) until: Timestamp,
}

impl Rules {
    /// Proves one proof.
    pub(crate) fn verify(&self, text: &str, about: &About<'_>, now: Timestamp) -> Result<Proof, Reason> {
        let proof = Jws::read(text, Carrier::Proof)?;
        if !proof.is_of_type("dpop+jwt") {
            return Err(Reason::DpopType);
        }
        if !self.algorithms.contains(&proof.algorithm) {
            return Err(Reason::DpopAlgorithm);
        }
        let key = match Jwk::read(proof.jwk.as_ref().ok_or(Reason::DpopKey)?) {
            Ok(key) => key,
            Err(KeyError::Private) => return Err(Reason::DpopPrivateKey),
            Err(KeyError::Unknown | KeyError::Broken(_)) => return Err(Reason::DpopKey),
        };
        if !key.verifies(proof.algorithm, proof.signed, &proof.signature) {
            return Err(Reason::DpopSignature);
        }
        let claim = |name: &str, bytes_max: usize| match proof.claims.get(name) {
            Some(Value::String(text)) if !text.is_empty() && text.len() <= bytes_max => Ok(text.as_str()),
            _ => Err(Reason::DpopClaim),
        };
        if claim("htm", 64)? != about.method {
            return Err(Reason::DpopMethod);
        }
        if uri::normalise(claim("htu", 4096)?).as_deref() != Some(about.url) {
            return Err(Reason::DpopUrl);
        }
        let id = claim("jti", ID_BYTES_MAX)?;
        let made_s = jwt::date(&proof.claims, "iat").ok().flatten().ok_or(Reason::DpopClaim)?;
        let until = self.check_age(made_s, now)?;
        if let Some((token, bound)) = about.token {
            if claim("ath", ID_BYTES_MAX)? != access_token_hash(token) {
                return Err(Reason::DpopToken);
            }
            if key.thumbprint != *bound {
                return Err(Reason::DpopThumbprint);
            }
        }
        if let Some(nonces) = &self.nonces {
            let nonce = claim("nonce", ID_BYTES_MAX).map_err(|_| Reason::DpopNonce)?;
            if !nonces.is_good(about.tenant, nonce, now) {
                return Err(Reason::DpopNonce);
            }
        }
        let seen_as = *sha256(&[&key.thumbprint, id.as_bytes()].concat()).as_bytes();
        Ok(Proof { key: key.thumbprint, seen_as, until })
    }

    fn check_age(&self, made_s: u64, now: Timestamp) -> Result<Timestamp, Reason> {
        let made_at = Timestamp::from_unix_ms(made_s * 1000);
        let until = made_at.plus_ms(self.age_ms_max.saturating_add(self.skew_ms));
        if made_at > now.plus_ms(self.skew_ms) || now >= until {
            return Err(Reason::DpopStale);
        }
        Ok(until)
    }
}

/// What `ath` must say of a token (RFC 9449 §4.2).
fn access_token_hash(token: &str) -> String {
    BASE64URL_NOPAD.encode(sha256(token.as_bytes()).as_bytes())
}
