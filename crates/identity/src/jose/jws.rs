//! One signed thing in compact form (RFC 7515 §7.1): its header, its payload and what is signed, each in one
//! reading or none. It never takes another form, and never a key from the header of a token.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::{
    json::{self, JsonError},
    jwk::Algorithm,
};
use crate::{
    Reason,
    bounds::{KID_BYTES_MAX, TOKEN_BYTES_MAX},
};

/// What carries it: a token and a proof are refused with reasons of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Token,
    Proof,
}

impl Carrier {
    const fn of(self, token: Reason, proof: Reason) -> Reason {
        match self {
            Self::Token => token,
            Self::Proof => proof,
        }
    }

    const fn malformed(self) -> Reason {
        self.of(Reason::JwtMalformed, Reason::DpopMalformed)
    }

    const fn header(self) -> Reason {
        self.of(Reason::JwtHeader, Reason::DpopHeader)
    }

    const fn json(self, error: JsonError) -> Reason {
        match error {
            JsonError::Malformed => self.malformed(),
            JsonError::Duplicate => self.of(Reason::JwtDuplicate, Reason::DpopDuplicate),
            JsonError::Bounds => self.of(Reason::JwtBounds, Reason::DpopBounds),
        }
    }
}

/// Taken apart, and proved in nothing yet.
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    /// Of a proof alone: the key that it names itself by.
    pub(crate) jwk: Option<Map<String, Value>>,
    pub(crate) claims: Map<String, Value>,
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes `text` apart. Strict throughout: base64url without padding, blanks or stray bits (RFC 7515 §2),
    /// no member twice, bounds on all of it.
    pub(crate) fn read(text: &'a str, carrier: Carrier) -> Result<Self, Reason> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(carrier.of(Reason::JwtOversized, Reason::DpopOversized));
        }
        if text.starts_with('{') {
            return Err(carrier.of(Reason::JwtSerialization, Reason::DpopMalformed));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(carrier.malformed());
        };
        match parts.count() {
            0 => {}
            //= RFC 7516 §7.1: an encrypted token has five parts
            2 => return Err(carrier.of(Reason::JwtEncrypted, Reason::DpopMalformed)),
            _ => return Err(carrier.malformed()),
        }
        let signed = text.get(..header.len() + 1 + payload.len()).unwrap_or_default().as_bytes();
        let decode = |part: &str| {
            BASE64URL_NOPAD
                .decode(part.as_bytes())
                .map_err(|_| carrier.of(Reason::JwtEncoding, Reason::DpopMalformed))
        };
        let mut header = json::object(&decode(header)?).map_err(|e| carrier.json(e))?;
        let algorithm = algorithm(&header, carrier)?;
        let (typ, kid) = (take_text(&mut header, "typ", carrier)?, take_text(&mut header, "kid", carrier)?);
        if kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > KID_BYTES_MAX) {
            return Err(carrier.header());
        }
        let jwk = refuse_members(&mut header, carrier)?;
        let claims = json::object(&decode(payload)?).map_err(|e| carrier.json(e))?;
        Ok(Self { algorithm, typ, kid, jwk, claims, signed, signature: decode(signature)? })
    }

    /// Whether `typ` is `wanted`: a media type, whose case does not count and whose `application/` may be
    /// left out (RFC 7515 §4.1.9).
    pub(crate) fn is_of_type(&self, wanted: &str) -> bool {
        self.typ.as_deref().is_some_and(|typ| bare(typ).eq_ignore_ascii_case(bare(wanted)))
    }
}

fn bare(typ: &str) -> &str {
    match typ.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") && !rest.contains('/') => rest,
        _ => typ,
    }
}

fn algorithm(header: &Map<String, Value>, carrier: Carrier) -> Result<Algorithm, Reason> {
    let Some(Value::String(name)) = header.get("alg") else { return Err(carrier.header()) };
    //= RFC 8725 §3.1, §3.2: libraries must let the caller pin algorithms, and `none` is none of them
    if name.eq_ignore_ascii_case("none") {
        return Err(carrier.of(Reason::JwtUnsigned, Reason::DpopAlgorithm));
    }
    Algorithm::named(name).ok_or(carrier.of(Reason::JwtAlgorithm, Reason::DpopAlgorithm))
}

fn take_text(
    header: &mut Map<String, Value>,
    name: &str,
    carrier: Carrier,
) -> Result<Option<String>, Reason> {
    match header.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(carrier.header()),
    }
}

/// Refuses what a header must not say here; of a proof, gives the key that it names itself by.
fn refuse_members(
    header: &mut Map<String, Value>,
    carrier: Carrier,
) -> Result<Option<Map<String, Value>>, Reason> {
    //= RFC 7515 §4.1.11: what is critical and not understood must be refused; nothing is understood here
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(carrier.of(Reason::JwtCritical, Reason::DpopHeader));
    }
    //= RFC 8725 §3.10: do not follow or trust keys that a token brings
    if ["jku", "x5u", "x5c"].iter().any(|name| header.contains_key(*name)) {
        return Err(carrier.of(Reason::JwtEmbeddedKey, Reason::DpopHeader));
    }
    if ["enc", "zip"].iter().any(|name| header.contains_key(*name)) {
        return Err(carrier.of(Reason::JwtEncrypted, Reason::DpopHeader));
    }
    // A token within a token (RFC 7519 §5.2).
    if header.contains_key("cty") {
        return Err(carrier.header());
    }
    match (header.remove("jwk"), carrier) {
        (None, _) => Ok(None),
        (Some(_), Carrier::Token) => Err(Reason::JwtEmbeddedKey),
        (Some(Value::Object(jwk)), Carrier::Proof) => Ok(Some(jwk)),
        (Some(_), Carrier::Proof) => Err(Reason::DpopKey),
    }
}
