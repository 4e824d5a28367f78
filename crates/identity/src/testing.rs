//! What others would do, for tests: keys that sign, tokens, proofs, requests. It is in no build but the tests'.

pub(crate) mod certificates;

use std::sync::LazyLock;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use data_encoding::BASE64URL_NOPAD as B64;
use http::{HeaderMap, HeaderName, HeaderValue};
use model::Timestamp;
use serde_json::{Value, json};

use crate::{Identity, IdentityConfig, Proved, Reason, Request, TokenBook};

pub(crate) const NOW_S: u64 = 1_800_000_000;
pub(crate) const NOW: Timestamp = Timestamp::from_unix_ms(NOW_S * 1000);

/// A private key of somebody else's.
pub(crate) enum Key {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

pub(crate) static P256: LazyLock<Key> =
    LazyLock::new(|| Key::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()));
pub(crate) static P256_OTHER: LazyLock<Key> =
    LazyLock::new(|| Key::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()));
pub(crate) static P384: LazyLock<Key> =
    LazyLock::new(|| Key::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()));
pub(crate) static ED: LazyLock<Key> = LazyLock::new(|| Key::Ed(Ed25519KeyPair::generate().unwrap()));
pub(crate) static RSA: LazyLock<Key> =
    LazyLock::new(|| Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));

impl Key {
    pub(crate) fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(key) | Self::P384(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let padding: &dyn aws_lc_rs::signature::RsaEncoding =
                    if algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut out).unwrap();
                out
            }
        }
    }

    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match self {
            Self::P256(key) | Self::P384(key) => key.public_key().as_ref().to_vec(),
            Self::Ed(key) => key.public_key().as_ref().to_vec(),
            Self::Rsa(key) => key.public_key().as_ref().to_vec(),
        }
    }

    /// The public key as JSON, without an id.
    pub(crate) fn jwk(&self) -> Value {
        let point = |crv: &str, bytes: &[u8]| {
            let (x, y) = bytes[1..].split_at((bytes.len() - 1) / 2);
            json!({ "kty": "EC", "crv": crv, "x": B64.encode(x), "y": B64.encode(y) })
        };
        match self {
            Self::P256(key) => point("P-256", key.public_key().as_ref()),
            Self::P384(key) => point("P-384", key.public_key().as_ref()),
            Self::Ed(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": B64.encode(key.public_key().as_ref()) })
            }
            Self::Rsa(key) => {
                // PKCS #1: a sequence of two integers, of which the first has 256 bytes after its zero.
                let der = key.public_key().as_ref();
                json!({ "kty": "RSA", "n": B64.encode(&der[9..265]), "e": B64.encode(&der[267..]) })
            }
        }
    }
}

/// `value` with members replaced or, where they are null, taken out.
pub(crate) fn with(mut value: Value, changes: Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        if change.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            value[name] = change.clone();
        }
    }
    value
}

/// A JWS of these texts, whatever they are.
pub(crate) fn compact(key: &Key, algorithm: &str, header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", B64.encode(header.as_bytes()), B64.encode(payload.as_bytes()));
    let signature = key.sign(algorithm, signed.as_bytes());
    format!("{signed}.{}", B64.encode(&signature))
}

/// A JWS of these objects.
pub(crate) fn jws(key: &Key, header: &Value, payload: &Value) -> String {
    compact(key, header["alg"].as_str().unwrap_or_default(), &header.to_string(), &payload.to_string())
}

/// What the tests' issuer says in a header.
pub(crate) fn header() -> Value {
    json!({ "alg": "ES256", "typ": "at+jwt", "kid": "ec" })
}

/// What the tests' issuer says of alice.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "https://api.example", "sub": "alice",
        "iat": NOW_S - 10, "exp": NOW_S + 300, "realm_access": { "roles": ["dev", "ops"] }, "mail": "a@example",
    })
}

/// A good token with changes to header and claims.
pub(crate) fn token(header_changes: Value, claim_changes: Value) -> String {
    jws(&P256, &with(header(), header_changes), &with(claims(), claim_changes))
}

/// All of the issuer's keys.
pub(crate) fn jwks() -> String {
    let keys = json!([
        with(P256.jwk(), json!({ "kid": "ec", "use": "sig", "alg": "ES256" })),
        with(P384.jwk(), json!({ "kid": "ec384", "key_ops": ["verify"] })),
        with(ED.jwk(), json!({ "kid": "ed" })),
        with(RSA.jwk(), json!({ "kid": "rsa" })),
        with(P256_OTHER.jwk(), json!({ "kid": "enc", "use": "enc" })),
        { "kty": "oct-of-tomorrow", "kid": "unknown" },
    ]);
    json!({ "keys": keys }).to_string()
}

/// The issuer's entry, with the keys' document as its last line but for `more`.
pub(crate) fn issuer_toml(more: &str) -> String {
    format!(
        "[[issuers]]\nname = \"corp\"\nissuer = \"https://id.example\"\naudiences = [\"https://api.example\"]\n\
         algorithms = [\"ES256\", \"ES384\", \"EdDSA\", \"RS256\", \"PS256\"]\ntenant = \"default\"\n\
         kind = \"User\"\njwks = '''{}'''\n{more}\n[issuers.claims]\ngroups = \"realm_access.roles\"\n\
         attributes = {{ mail = \"mail\" }}\n",
        jwks()
    )
}

/// An identity of a configuration's text.
pub(crate) fn identity(toml: &str) -> Identity {
    let config: IdentityConfig = toml::from_str(toml).unwrap_or_else(|e| panic!("{e}"));
    Identity::new(config, &|_| Err("no file".into())).unwrap_or_else(|e| panic!("{e}"))
}

/// A request that tests change before it is asked about.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) certificate: Option<Vec<u8>>,
}

impl Ask {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            authority: "api.example".into(),
            target: target.into(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            certificate: None,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers.append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self
    }

    pub(crate) fn certificate(mut self, der: &[u8]) -> Self {
        self.certificate = Some(der.to_vec());
        self
    }

    pub(crate) fn bearer(token: &str) -> Self {
        Self::new("GET", "/x").header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            scheme: "https",
            authority: &self.authority,
            target: &self.target,
            headers: &self.headers,
            body: &self.body,
            certificate: self.certificate.as_deref(),
            vouched: None,
        }
    }

    pub(crate) fn ask(&self, identity: &Identity, now: Timestamp) -> Result<Proved, Reason> {
        identity.prove(&self.request(), &TokenBook::new(), now).map_err(|nobody| nobody.reason)
    }
}

/// The principal's name, or the code of the reason.
pub(crate) fn said(answer: &Result<Proved, Reason>) -> String {
    match answer {
        Ok(proved) => proved.principal().name.clone(),
        Err(reason) => reason.code().to_owned(),
    }
}
