//! Access tokens as JWTs (RFC 7519, RFC 9068), read as RFC 8725 asks. It never takes an algorithm that the
//! issuer's entry does not name, an ID token, or a date that is no whole number of seconds.

use std::{collections::BTreeMap, sync::Arc};

use model::Timestamp;
use parking_lot::RwLock;
use serde_json::{Map, Value};

use super::{
    jwk::{Algorithm, Choice, KeySet},
    jws::Jws,
};
use crate::{
    Reason,
    bounds::{DATE_S_MAX, GROUP_BYTES_MAX, GROUPS_MAX, SUBJECT_BYTES_MAX},
};

/// What an issuer's tokens must say. Made by the configuration, which proves it.
pub(crate) struct Rules {
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) types: Vec<String>,
    pub(crate) keys: Keys,
    pub(crate) skew_ms: u64,
    pub(crate) lifetime_s_max: Option<u64>,
    pub(crate) claims: Claims,
}

/// An issuer's keys, handed in anew where the issuer changed them, and how often they were.
pub(crate) struct Keys(RwLock<(Option<Arc<KeySet>>, u64)>);

impl Keys {
    pub(crate) fn new(keys: Option<KeySet>) -> Self {
        Self(RwLock::new((keys.map(Arc::new), 0)))
    }

    /// None: they are not there any more. What was proved by those before is proved no longer.
    pub(crate) fn replace(&self, keys: Option<KeySet>) {
        let mut now = self.0.write();
        *now = (keys.map(Arc::new), now.1 + 1);
    }

    /// The keys, and their number.
    pub(crate) fn now(&self) -> (Option<Arc<KeySet>>, u64) {
        self.0.read().clone()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.0.read().1
    }
}

/// Where a token says what; each a way of members from the outermost object inwards.
pub(crate) struct Claims {
    pub(crate) subject: Vec<String>,
    pub(crate) groups: Option<Vec<String>>,
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
}

/// What a token that holds says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) subject: String,
    pub(crate) groups: Vec<String>,
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) confirmation: Confirmation,
    pub(crate) kid: Option<String>,
}

/// What whoever presents the token must prove besides (RFC 7800).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Confirmation {
    /// The thumbprint of the key that signs its proofs (RFC 9449 §6.1).
    pub(crate) key: Option<[u8; 32]>,
    /// SHA-256 of the client's certificate (RFC 8705 §3.1).
    pub(crate) certificate: Option<[u8; 32]>,
}

/// What a token is presented as. Nothing is both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// To ask for something (RFC 9068).
    Access,
    /// To say to its client who logged in (OpenID Connect Core 1.0 §2).
    Id,
}

/// The issuer that a token names, which nothing has proved yet: only to find whose rules are asked.
pub(crate) fn claimed_issuer<'a>(token: &'a Jws<'_>) -> Result<&'a str, Reason> {
    text(&token.claims, "iss")
}

impl Rules {
    /// Proves `token` by these rules and keys at the time `now`.
    pub(crate) fn verify(
        &self,
        token: &Jws<'_>,
        used: Use,
        keys: Option<&KeySet>,
        now: Timestamp,
    ) -> Result<Token, Reason> {
        if claimed_issuer(token)? != self.issuer {
            return Err(Reason::JwtIssuer);
        }
        if !self.algorithms.contains(&token.algorithm) {
            return Err(Reason::JwtAlgorithm);
        }
        match used {
            Use::Access => self.check_type(token)?,
            Use::Id => check_id_type(token)?,
        }
        let keys = keys.ok_or(Reason::JwtKeysAbsent)?;
        let key = keys.choose(token.kid.as_deref(), token.algorithm).map_err(|choice| match choice {
            Choice::Unknown => Reason::JwtKeyUnknown,
            Choice::Unfit => Reason::JwtKeyUnfit,
            Choice::Ambiguous => Reason::JwtKeyAmbiguous,
        })?;
        if !key.verifies(token.algorithm, token.signed, &token.signature) {
            return Err(Reason::JwtSignature);
        }
        let claims = &token.claims;
        self.check_audience(claims)?;
        if used == Use::Id {
            self.check_party(claims)?;
        }
        let (issued_at, expires_at) = self.check_dates(claims, now)?;
        // It must be there and be a name, whatever else the subject is read from.
        name(text(claims, "sub")?)?;
        let subject = match find(claims, &self.claims.subject) {
            Some(Value::String(subject)) => name(subject)?.to_owned(),
            _ => return Err(Reason::JwtClaim),
        };
        let mut attributes = BTreeMap::new();
        for (attribute, way) in &self.claims.attributes {
            attributes.insert(attribute.clone(), list(find(claims, way))?);
        }
        Ok(Token {
            subject,
            groups: list(self.claims.groups.as_ref().and_then(|way| find(claims, way)))?,
            attributes,
            issued_at,
            expires_at,
            confirmation: confirmation(claims)?,
            kid: token.kid.clone(),
        })
    }

    //= RFC 9068 §4: the resource server must verify that `typ` is `at+jwt`, and refuse any other
    fn check_type(&self, token: &Jws<'_>) -> Result<(), Reason> {
        let plain = token.typ.is_none() || token.is_of_type("JWT");
        let says_id = ["nonce", "at_hash", "c_hash"].iter().any(|name| token.claims.contains_key(*name));
        if plain && says_id {
            return Err(Reason::JwtIdToken);
        }
        let taken = |wanted: &String| {
            if wanted.eq_ignore_ascii_case("JWT") { plain } else { token.is_of_type(wanted) }
        };
        if self.types.iter().any(taken) { Ok(()) } else { Err(Reason::JwtType) }
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Reason> {
        let ours = |said: &str| self.audiences.iter().any(|audience| audience == said);
        let found = match claims.get("aud") {
            Some(Value::String(said)) => ours(said),
            Some(Value::Array(list)) => {
                if list.is_empty() || !list.iter().all(Value::is_string) {
                    return Err(Reason::JwtClaim);
                }
                list.iter().filter_map(Value::as_str).any(ours)
            }
            Some(_) => return Err(Reason::JwtClaim),
            None => return Err(Reason::JwtClaimMissing),
        };
        if found { Ok(()) } else { Err(Reason::JwtAudience) }
    }

    //= OpenID Connect Core 1.0 §3.1.3.7: with several audiences there must be an `azp`; where it is, it is the client
    fn check_party(&self, claims: &Map<String, Value>) -> Result<(), Reason> {
        let several = claims.get("aud").and_then(Value::as_array).is_some_and(|list| list.len() > 1);
        match claims.get("azp") {
            None if several => Err(Reason::LoginParty),
            None => Ok(()),
            Some(said) => {
                let ours = said.as_str().is_some_and(|said| self.audiences.iter().any(|own| own == said));
                if ours { Ok(()) } else { Err(Reason::LoginParty) }
            }
        }
    }

    fn check_dates(
        &self,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<(Timestamp, Timestamp), Reason> {
        let issued_s = date(claims, "iat")?.ok_or(Reason::JwtClaimMissing)?;
        let expires_s = date(claims, "exp")?.ok_or(Reason::JwtClaimMissing)?;
        let (issued_at, expires_at) = (seconds(issued_s), seconds(expires_s));
        let later = now.plus_ms(self.skew_ms);
        if expires_at <= issued_at {
            return Err(Reason::JwtDate);
        }
        if issued_at > later {
            return Err(Reason::JwtIssuedAhead);
        }
        if date(claims, "nbf")?.is_some_and(|nbf| seconds(nbf) > later) {
            return Err(Reason::JwtNotYet);
        }
        //= RFC 7519 §4.1.4: "on or after which the JWT MUST NOT be accepted"
        if now >= expires_at.plus_ms(self.skew_ms) {
            return Err(Reason::JwtExpired);
        }
        if self.lifetime_s_max.is_some_and(|most| expires_s - issued_s > most) {
            return Err(Reason::JwtLifetime);
        }
        Ok((issued_at, expires_at))
    }
}

/// An ID token has no type of its own; what access tokens have, it has not.
fn check_id_type(token: &Jws<'_>) -> Result<(), Reason> {
    let plain = token.typ.is_none() || token.is_of_type("JWT");
    let says_access = ["scope", "scp"].iter().any(|name| token.claims.contains_key(*name))
        || token
            .claims
            .get("typ")
            .and_then(Value::as_str)
            .is_some_and(|typ| typ.eq_ignore_ascii_case("bearer"));
    if plain && !says_access { Ok(()) } else { Err(Reason::LoginType) }
}

const fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(seconds * 1000)
}

/// A date in whole seconds from 1970 to 9999. RFC 7519 §2 would let it have a fraction; no issuer wants one,
/// and readers differ on how to round it, so that none is taken.
pub(crate) fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Reason> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_u64().filter(|s| *s <= DATE_S_MAX).map(Some).ok_or(Reason::JwtDate),
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, Reason> {
    match claims.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Reason::JwtClaim),
        None => Err(Reason::JwtClaimMissing),
    }
}

/// A name that looks the same to everyone who reads it: visible ASCII, without what quotes.
fn name(text: &str) -> Result<&str, Reason> {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    let good = !text.is_empty() && text.len() <= SUBJECT_BYTES_MAX && text.bytes().all(plain);
    if good { Ok(text) } else { Err(Reason::JwtSubject) }
}

fn find<'a>(claims: &'a Map<String, Value>, way: &[String]) -> Option<&'a Value> {
    let (first, rest) = way.split_first()?;
    rest.iter().try_fold(claims.get(first)?, |value, step| value.as_object()?.get(step))
}

/// One text, or a list of texts; nothing is an empty list.
fn list(value: Option<&Value>) -> Result<Vec<String>, Reason> {
    let good = |value: &Value| match value {
        Value::String(text)
            if !text.is_empty() && text.len() <= GROUP_BYTES_MAX && !text.chars().any(char::is_control) =>
        {
            Ok(text.clone())
        }
        _ => Err(Reason::JwtClaim),
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() > GROUPS_MAX => Err(Reason::JwtBounds),
        Some(Value::Array(list)) => list.iter().map(good).collect(),
        Some(value) => Ok(vec![good(value)?]),
    }
}

/// Reads `cnf`. What it asks for and is not known here cannot be proved, and refuses the token.
fn confirmation(claims: &Map<String, Value>) -> Result<Confirmation, Reason> {
    let mut found = Confirmation::default();
    let members = match claims.get("cnf") {
        None => return Ok(found),
        Some(Value::Object(members)) if !members.is_empty() => members,
        Some(_) => return Err(Reason::JwtConfirmation),
    };
    for (name, value) in members {
        let hash = value.as_str().and_then(hash).ok_or(Reason::JwtConfirmation)?;
        match name.as_str() {
            "jkt" => found.key = Some(hash),
            "x5t#S256" => found.certificate = Some(hash),
            _ => return Err(Reason::JwtConfirmation),
        }
    }
    Ok(found)
}

/// 32 bytes in base64url.
pub(crate) fn hash(text: &str) -> Option<[u8; 32]> {
    let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    <[u8; 32]>::try_from(bytes).ok()
}
