//! Public keys as JSON (RFC 7517, RFC 7518 §6, RFC 8037 §2), and their thumbprints (RFC 7638). It never takes
//! a private key, and never fetches one.

use data_encoding::BASE64URL_NOPAD;
use keyring::{PublicKey, SignatureAlgorithm, sha256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::json::{self, JsonError};
use crate::bounds::{JWKS_BYTES_MAX, JWKS_KEYS_MAX, JWKS_VALUES_MAX, KID_BYTES_MAX};

/// How tokens and proofs are signed (RFC 7518 §3.1, RFC 8037 §3.1). There is none without a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    ES256,
    /// ECDSA over P-384 with SHA-384.
    ES384,
    /// Ed25519; `Ed25519` in RFC 9864's names.
    #[serde(alias = "Ed25519")]
    EdDSA,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PSS with SHA-256.
    PS256,
}

impl Algorithm {
    /// The algorithm of that name in a header or a key. `EdDSA` of any other curve has no key here.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::ES256),
            "ES384" => Some(Self::ES384),
            "EdDSA" | "Ed25519" => Some(Self::EdDSA),
            "RS256" => Some(Self::RS256),
            "PS256" => Some(Self::PS256),
            _ => None,
        }
    }

    pub(crate) const fn signature(self) -> SignatureAlgorithm {
        match self {
            Self::ES256 => SignatureAlgorithm::EcdsaP256Sha256,
            Self::ES384 => SignatureAlgorithm::EcdsaP384Sha384,
            Self::EdDSA => SignatureAlgorithm::Ed25519,
            Self::RS256 => SignatureAlgorithm::RsaPkcs1Sha256,
            Self::PS256 => SignatureAlgorithm::RsaPssSha256,
        }
    }
}

/// Why a key or a document of keys is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// No JSON, or another shape.
    #[error("this is no JSON document of keys (RFC 7517)")]
    Malformed,
    /// A member twice.
    #[error("a member stands twice in one object")]
    Duplicate,
    /// Larger, deeper or with more keys than is read.
    #[error("the document is larger than any that is read")]
    Bounds,
    /// A private or a shared key among public ones: it has leaked to whoever can read the document.
    #[error("key {0} holds its private part; publish public keys alone, and replace this one")]
    Private(usize),
    /// A key of a known kind that does not hold.
    #[error("key {0} does not hold: {1}")]
    Key(usize, &'static str),
    /// No key that could verify anything.
    #[error("the document has no key that can verify a signature")]
    Empty,
}

/// One public key.
#[derive(Clone)]
pub(crate) struct Jwk {
    pub(crate) key: PublicKey,
    pub(crate) kid: Option<String>,
    alg: Option<Algorithm>,
    verifies: bool,
    /// SHA-256 over the canonical members (RFC 7638 §3).
    pub(crate) thumbprint: [u8; 32],
}

/// Why one object is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// Another kind of key or curve, which is to be passed over (RFC 7517 §5).
    Unknown,
    /// It has private members.
    Private,
    /// It does not hold.
    Broken(&'static str),
}

const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl Jwk {
    /// Reads one key.
    pub(crate) fn read(members: &Map<String, Value>) -> Result<Self, KeyError> {
        if PRIVATE.iter().any(|name| members.contains_key(*name)) {
            return Err(KeyError::Private);
        }
        let text = |name: &'static str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(KeyError::Broken("a member that is no text")),
        };
        let part = |name: &'static str| {
            let text = text(name)?.ok_or(KeyError::Broken("a member is missing"))?;
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes());
            bytes.map(|bytes| (text, bytes)).map_err(|_| KeyError::Broken("a member is no base64url"))
        };
        let kty = text("kty")?.ok_or(KeyError::Broken("`kty` is missing"))?;
        // The members in the order of their names, as RFC 7638 §3.2 and RFC 8037 §2 have them.
        let (key, canonical) = match (kty, text("crv")?) {
            ("EC", Some(crv @ ("P-256" | "P-384"))) => {
                let ((x_text, x), (y_text, y)) = (part("x")?, part("y")?);
                let key = if crv == "P-256" { PublicKey::p256(&x, &y) } else { PublicKey::p384(&x, &y) };
                let canonical = format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x_text}","y":"{y_text}"}}"#);
                (key, canonical)
            }
            ("OKP", Some("Ed25519")) => {
                let (x_text, x) = part("x")?;
                (PublicKey::ed25519(&x), format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x_text}"}}"#))
            }
            ("RSA", None) => {
                let ((n_text, n), (e_text, e)) = (part("n")?, part("e")?);
                (PublicKey::rsa(&n, &e), format!(r#"{{"e":"{e_text}","kty":"RSA","n":"{n_text}"}}"#))
            }
            _ => return Err(KeyError::Unknown),
        };
        let key = key.map_err(|_| KeyError::Broken("the key is too weak, or none"))?;
        let kid = text("kid")?.map(str::to_owned);
        if kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > KID_BYTES_MAX) {
            return Err(KeyError::Broken("`kid` is empty or too long"));
        }
        let (alg, known) = match text("alg")? {
            None => (None, true),
            Some(name) => (Algorithm::named(name), Algorithm::named(name).is_some()),
        };
        let used = text("use")?.is_none_or(|used| used == "sig") && operations(members)?;
        let thumbprint = *sha256(canonical.as_bytes()).as_bytes();
        Ok(Self { key, kid, alg, verifies: used && known, thumbprint })
    }

    /// Whether it may verify a signature made in this way: its kind, `alg`, `use` and `key_ops` all say so.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifies && self.alg.is_none_or(|alg| alg == algorithm) && self.key.fits(algorithm.signature())
    }

    /// Whether `signature` is this key's, made in this way.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.fits(algorithm) && self.key.verifies(algorithm.signature(), message, signature)
    }
}

/// Whether `key_ops` lets it verify (RFC 7517 §4.3): absent, or a list with `verify`.
fn operations(members: &Map<String, Value>) -> Result<bool, KeyError> {
    match members.get("key_ops") {
        None => Ok(true),
        Some(Value::Array(list)) => Ok(list.iter().any(|operation| operation == "verify")),
        Some(_) => Err(KeyError::Broken("`key_ops` is no list")),
    }
}

/// The keys of one issuer.
#[derive(Clone)]
pub struct KeySet(Vec<Jwk>);

/// Why no key of a set is the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// No key of that id: the document may be old.
    Unknown,
    /// There is one of that id, but it is not for this algorithm.
    Unfit,
    /// More than one would do.
    Ambiguous,
}

impl KeySet {
    /// Reads a document of keys. Keys of kinds that are not known here are passed over (RFC 7517 §5).
    ///
    /// # Errors
    /// [`JwkError`]. One private key among them refuses the whole document.
    pub fn parse(text: &[u8]) -> Result<Self, JwkError> {
        if text.len() > JWKS_BYTES_MAX {
            return Err(JwkError::Bounds);
        }
        let document = json::object_within(text, JWKS_VALUES_MAX).map_err(|e| match e {
            JsonError::Malformed => JwkError::Malformed,
            JsonError::Duplicate => JwkError::Duplicate,
            JsonError::Bounds => JwkError::Bounds,
        })?;
        let Some(Value::Array(list)) = document.get("keys") else { return Err(JwkError::Malformed) };
        if list.len() > JWKS_KEYS_MAX {
            return Err(JwkError::Bounds);
        }
        let mut keys = Vec::new();
        for (at, entry) in list.iter().enumerate() {
            let Value::Object(members) = entry else { return Err(JwkError::Malformed) };
            match Jwk::read(members) {
                Ok(key) => keys.push(key),
                Err(KeyError::Unknown) => {}
                Err(KeyError::Private) => return Err(JwkError::Private(at + 1)),
                Err(KeyError::Broken(why)) => return Err(JwkError::Key(at + 1, why)),
            }
        }
        if keys.iter().any(|key| key.verifies) { Ok(Self(keys)) } else { Err(JwkError::Empty) }
    }

    /// Whether some key could verify a signature made in this way.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.0.iter().any(|key| key.fits(algorithm))
    }

    /// The one key for a header. The id is compared and nothing else: it is no path and no query.
    pub(crate) fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Jwk, Choice> {
        let named = |key: &&Jwk| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid));
        let mut fitting = self.0.iter().filter(named).filter(|key| key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(Choice::Ambiguous),
            (None, _) if kid.is_some() && !self.0.iter().any(|key| named(&key)) => Err(Choice::Unknown),
            (None, _) => Err(Choice::Unfit),
        }
    }
}
