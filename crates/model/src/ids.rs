//! Ids as types of their own, so that one cannot be taken for another. It never looks anything up.

use std::{fmt, str::FromStr, sync::Arc};

use data_encoding::Encoding;
use serde::{Deserialize, Serialize};

use crate::{Entropy, EntropyError, Timestamp};

/// A text that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: {rule}")]
pub struct IdError {
    /// The text, cut to 80 characters.
    pub text: String,
    /// What it was meant to be.
    pub kind: &'static str,
    /// What such an id looks like.
    pub rule: &'static str,
}

const LABEL_RULE: &str =
    "1 to 63 characters of a-z, 0-9 and `-`, starting with a letter, not ending with `-`";

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last() != Some(&b'-')
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
        #[serde(transparent)]
        #[schemars(transparent)]
        pub struct $name(#[schemars(regex(pattern = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"))] Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_label(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError { text: text.chars().take(80).collect(), kind: $kind, rule: LABEL_RULE })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

label!(
    /// A tenant: a DNS label (RFC 1035 §2.3.1), as it may stand in a host name.
    TenantId,
    "tenant id"
);
label!(
    /// A function's name, unique in its tenant: a DNS label.
    FunctionName,
    "function name"
);
label!(
    /// A token's public id, which names it without being it: a DNS label.
    TokenId,
    "token id"
);

/// Counts the deploys of one function, from 1. A number is never used twice, not even after a removal.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct RevisionNumber(pub u64);

impl fmt::Display for RevisionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl FromStr for RevisionNumber {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let digits = text.strip_prefix('r').unwrap_or(text);
        digits.parse().map(Self).map_err(|_| IdError {
            text: text.chars().take(80).collect(),
            kind: "revision",
            rule: "`r` and a number, such as `r3`",
        })
    }
}

/// One request's id: 48 bits of milliseconds and 80 random bits, in 26 characters of Crockford base 32
/// (the layout of ULID), so that ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u128);

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl RequestId {
    /// Makes an id of a time and ten random bytes.
    ///
    /// # Errors
    /// If the source of randomness fails.
    pub fn generate(now: Timestamp, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut random = [0_u8; 16];
        entropy.fill(&mut random)?;
        Ok(Self::from_parts(now, u128::from_le_bytes(random)))
    }

    /// When it was given.
    pub const fn time(self) -> Timestamp {
        Timestamp::from_unix_ms((self.0 >> 80) as u64)
    }

    /// Its text, as `Display` writes it: ASCII.
    pub fn digits(self) -> [u8; 26] {
        let mut text = [0_u8; 26];
        // Twelve digits at a time, from the last, which fit into one word.
        for (part, slots) in text.rchunks_mut(12).enumerate() {
            let mut word = (self.0 >> (60 * part)) as u64;
            for slot in slots.iter_mut().rev() {
                *slot = CROCKFORD.get((word & 31) as usize).copied().unwrap_or(b'0');
                word >>= 5;
            }
        }
        text
    }

    /// Makes an id of a time and the low 80 bits of `random`.
    pub const fn from_parts(now: Timestamp, random: u128) -> Self {
        Self(((now.unix_ms() as u128) << 80) | (random & ((1 << 80) - 1)))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RequestId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError {
            text: text.chars().take(80).collect(),
            kind: "request id",
            rule: "26 characters of Crockford base 32",
        };
        if text.len() != 26 || !text.starts_with(['0', '1', '2', '3', '4', '5', '6', '7']) {
            return Err(bad());
        }
        text.bytes()
            .try_fold(0_u128, |sum, b| {
                let digit = CROCKFORD.iter().position(|c| *c == b.to_ascii_lowercase())?;
                Some((sum << 5) | digit as u128)
            })
            .map(Self)
            .ok_or_else(bad)
    }
}

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for RequestId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RequestId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-7][0-9a-hjkmnp-tv-z]{25}$" })
    }
}

/// Crockford-like base 32 of bytes, lowercase, for ids that people read aloud.
///
/// # Errors
/// If the encoding's own table is wrong, which a test rules out.
pub(crate) fn base32(bytes: &[u8]) -> Option<String> {
    let mut spec = data_encoding::Specification::new();
    spec.symbols.push_str(std::str::from_utf8(CROCKFORD).ok()?);
    let encoding: Encoding = spec.encoding().ok()?;
    Some(encoding.encode(bytes))
}

impl TokenId {
    /// A fresh id: `t` and 13 characters of base 32 (64 random bits).
    ///
    /// # Errors
    /// If the source of randomness fails.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut random = [0_u8; 8];
        entropy.fill(&mut random)?;
        let text = base32(&random).ok_or(EntropyError)?;
        format!("t{text}").parse().map_err(|_| EntropyError)
    }
}
