//! Signatures over parts of a request (RFC 9421), and digests of its body (RFC 9530). It never signs, and never
//! takes a component that it cannot compute exactly.

mod base;
pub(crate) mod fields;

use keyring::{PublicKey, SharedKey, SignatureAlgorithm, sha256, sha512};
use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Reason, Request,
    bounds::{COMPONENTS_MAX, DATE_S_MAX, ID_BYTES_MAX, SIGNATURE_HEADER_BYTES_MAX},
};
pub(crate) use base::decode;
use fields::{Bare, Member, Params};

/// How messages are signed (RFC 9421 §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageAlgorithm {
    /// Ed25519.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ECDSA over P-256 with SHA-256.
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
    /// HMAC with SHA-256, under a secret that both sides know.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
}

impl MessageAlgorithm {
    /// Its name in the registry of RFC 9421 §6.2.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::HmacSha256 => "hmac-sha256",
        }
    }
}

/// What one signer signs with.
pub(crate) enum SignerKey {
    Public(PublicKey, SignatureAlgorithm),
    Shared(SharedKey),
}

/// Who signs, and what its signatures must cover. Made by the configuration, which proves it.
pub(crate) struct Signer {
    pub(crate) algorithm: MessageAlgorithm,
    pub(crate) key: SignerKey,
    pub(crate) required: Vec<String>,
    pub(crate) window_ms: u64,
    pub(crate) skew_ms: u64,
    pub(crate) tag: Option<String>,
    pub(crate) nonce_required: bool,
}

/// What a request's signature says of itself, before it is proved.
pub(crate) struct Claimed {
    covered: Vec<base::Component>,
    /// `@signature-params` as its text.
    params_text: String,
    pub(crate) keyid: String,
    algorithm: Option<String>,
    created_s: u64,
    expires_s: Option<u64>,
    nonce: Option<String>,
    tag: Option<String>,
    signature: Vec<u8>,
}

/// A signature that holds, if its nonce was not seen before.
pub(crate) struct Signed {
    pub(crate) created_at: Timestamp,
    pub(crate) until: Timestamp,
    /// What to remember: the nonce, where there is one.
    pub(crate) seen_as: Option<[u8; 32]>,
}

/// Reads the one signature that a request carries.
pub(crate) fn read(request: &Request<'_>) -> Result<Claimed, Reason> {
    let (input, signatures) = (joined(request, "signature-input")?, joined(request, "signature")?);
    let inputs = fields::dictionary(&input).ok_or(Reason::SignatureMalformed)?;
    let signatures = fields::dictionary(&signatures).ok_or(Reason::SignatureMalformed)?;
    // Which of several is meant would be a guess; a proxy that adds its own keeps it to itself.
    let ([(label, input)], [(other, signature)]) = (inputs.as_slice(), signatures.as_slice()) else {
        return Err(Reason::SignatureSeveral);
    };
    let (Member::List(items, params), Member::Item(Bare::Bytes(signature), of_bytes)) = (input, signature)
    else {
        return Err(Reason::SignatureMalformed);
    };
    if label != other || !of_bytes.is_empty() || items.len() > COMPONENTS_MAX {
        return Err(Reason::SignatureMalformed);
    }
    let mut covered = Vec::with_capacity(items.len());
    for (item, params) in items {
        let component = base::Component::read(item, params)?;
        //= RFC 9421 §2.5: each covered component identifier must occur once
        if covered.contains(&component) {
            return Err(Reason::SignatureMalformed);
        }
        covered.push(component);
    }
    claimed(covered, params, fields::serialize_list(items, params), signature.clone())
}

fn joined(request: &Request<'_>, name: &str) -> Result<String, Reason> {
    let value = base::header(request, name).ok_or(Reason::SignatureMalformed)?;
    if value.len() > SIGNATURE_HEADER_BYTES_MAX { Err(Reason::SignatureMalformed) } else { Ok(value) }
}

fn claimed(
    covered: Vec<base::Component>,
    params: &Params,
    params_text: String,
    signature: Vec<u8>,
) -> Result<Claimed, Reason> {
    let text = |name: &str| match fields::param(params, name) {
        None => Ok(None),
        Some(Bare::Text(text)) if text.len() <= ID_BYTES_MAX => Ok(Some(text.clone())),
        Some(_) => Err(Reason::SignatureParameter),
    };
    let seconds = |name: &str| match fields::param(params, name) {
        None => Ok(None),
        Some(Bare::Integer(value)) => {
            let value = u64::try_from(*value).ok().filter(|s| *s <= DATE_S_MAX);
            value.map(Some).ok_or(Reason::SignatureParameter)
        }
        Some(_) => Err(Reason::SignatureParameter),
    };
    let known = ["created", "expires", "nonce", "alg", "keyid", "tag"];
    if params.iter().any(|(name, _)| !known.contains(&name.as_str())) {
        return Err(Reason::SignatureParameter);
    }
    Ok(Claimed {
        keyid: text("keyid")?.ok_or(Reason::SignatureParameter)?,
        algorithm: text("alg")?,
        created_s: seconds("created")?.ok_or(Reason::SignatureParameter)?,
        expires_s: seconds("expires")?,
        nonce: text("nonce")?,
        tag: text("tag")?,
        covered,
        params_text,
        signature,
    })
}

impl Signer {
    /// Proves a signature of this signer's.
    pub(crate) fn verify(
        &self,
        claimed: &Claimed,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Signed, Reason> {
        if !self.is_of(claimed) {
            return Err(Reason::SignatureAlgorithm);
        }
        self.check_covered(claimed, request)?;
        let base = base::build(&claimed.covered, &claimed.params_text, request)?;
        let good = match &self.key {
            SignerKey::Public(key, algorithm) => {
                key.verifies(*algorithm, base.as_bytes(), &claimed.signature)
            }
            SignerKey::Shared(key) => key.verifies(&[base.as_bytes()], &claimed.signature),
        };
        if !good {
            return Err(Reason::SignatureInvalid);
        }
        if claimed.covered.iter().any(|component| component.is("content-digest")) {
            check_digest(request)?;
        }
        if self.tag.is_some() && self.tag != claimed.tag {
            return Err(Reason::SignatureTag);
        }
        let (created_at, until) = self.check_dates(claimed, now)?;
        let seen_as = match &claimed.nonce {
            Some(nonce) => {
                Some(*sha256(&[claimed.keyid.as_bytes(), b"\0", nonce.as_bytes()].concat()).as_bytes())
            }
            None if self.nonce_required => return Err(Reason::SignatureNonce),
            None => None,
        };
        Ok(Signed { created_at, until, seen_as })
    }

    /// Whether all is covered that must be. `@target-uri` covers what it is made of.
    /// Whether this is the algorithm that the signature says, if it says one.
    pub(crate) fn is_of(&self, claimed: &Claimed) -> bool {
        claimed.algorithm.as_deref().is_none_or(|said| said == self.algorithm.as_str())
    }

    fn check_covered(&self, claimed: &Claimed, request: &Request<'_>) -> Result<(), Reason> {
        let has = |name: &str| claimed.covered.iter().any(|component| component.is(name));
        let covers = |name: &str| {
            let wider: &[&str] = match name {
                "@authority" | "@scheme" => &["@target-uri"],
                "@path" | "@query" => &["@target-uri", "@request-target"],
                _ => &[],
            };
            has(name) || wider.iter().any(|name| has(name))
        };
        let wanted = |name: &str| match name {
            "@query" => request.query().is_some(),
            "content-digest" => !request.body.is_empty(),
            _ => true,
        };
        let missing = |name: &String| wanted(name) && !covers(name);
        if self.required.iter().any(missing) { Err(Reason::SignatureComponents) } else { Ok(()) }
    }

    fn check_dates(&self, claimed: &Claimed, now: Timestamp) -> Result<(Timestamp, Timestamp), Reason> {
        let at = |seconds: u64| Timestamp::from_unix_ms(seconds * 1000);
        let created_at = at(claimed.created_s);
        let mut until = created_at.plus_ms(self.window_ms);
        if let Some(expires) = claimed.expires_s {
            if expires <= claimed.created_s {
                return Err(Reason::SignatureParameter);
            }
            until = until.min(at(expires));
        }
        if created_at > now.plus_ms(self.skew_ms) {
            return Err(Reason::SignatureEarly);
        }
        if now >= until { Err(Reason::SignatureStale) } else { Ok((created_at, until)) }
    }
}

/// Holds the body to every digest of it that is known here, and wants one at least (RFC 9530 §2).
fn check_digest(request: &Request<'_>) -> Result<(), Reason> {
    let value = base::header(request, "content-digest").ok_or(Reason::SignatureDigest)?;
    let digests = fields::dictionary(&value).ok_or(Reason::SignatureDigest)?;
    let mut known = false;
    for (name, member) in &digests {
        let Member::Item(Bare::Bytes(said), _) = member else { return Err(Reason::SignatureDigest) };
        let fits = match name.as_str() {
            "sha-256" => sha256(request.body).as_bytes().as_slice() == said.as_slice(),
            "sha-512" => sha512(request.body).as_slice() == said.as_slice(),
            _ => continue,
        };
        if !fits {
            return Err(Reason::SignatureDigest);
        }
        known = true;
    }
    if known { Ok(()) } else { Err(Reason::SignatureDigest) }
}

/// Whether a configuration may ask for this component.
pub(crate) fn is_component(name: &str) -> bool {
    base::Component::read(&Bare::Text(name.to_owned()), &Params::new()).is_ok()
}

#[cfg(test)]
mod tests;
