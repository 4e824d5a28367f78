//! From a credential to a caller. It never says what the caller may do.

use std::{fmt, sync::Arc};

use model::{Principal, Timestamp, TokenId};

use crate::{Chain, Credentials, Proved, TokenBook};

/// Who asks, proved. Only [`identify`] and [`Identity::identify`](crate::Identity::identify) make one, and
/// [`crate::Functions`] of a run that calls.
///
/// ```compile_fail
/// let forged = identity::Caller { principal: model::Principal::anonymous().into() };
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    principal: Arc<Principal>,
    key: Arc<str>,
    /// Of a function that calls, and of nobody else.
    chain: Option<Arc<Chain>>,
    proof: Option<Arc<Proved>>,
}

impl Caller {
    /// The noun that policies and records speak of.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The same, shared.
    pub const fn principal_arc(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Whether no credential was presented.
    pub fn is_anonymous(&self) -> bool {
        self.principal.tenant.is_none()
    }

    /// The public id of the token that proved it, if one did.
    pub fn token(&self) -> Option<&TokenId> {
        self.principal.token.as_ref()
    }

    /// What proved it, where that was another credential than a token of this node's.
    pub fn proof(&self) -> Option<&Proved> {
        self.proof.as_deref()
    }

    /// Names the caller, not the credential (`User::"default/alice"`): what rates are counted by.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The chain of calls behind it, where it is a function.
    pub const fn chain(&self) -> Option<&Arc<Chain>> {
        self.chain.as_ref()
    }

    /// For whom it asks: the text of the principal that began its chain, or its own.
    pub fn on_behalf_of(&self) -> &str {
        self.chain.as_ref().map_or(&self.key, |chain| chain.origin())
    }

    pub(crate) fn through(self, chain: Chain) -> Self {
        Self { chain: Some(Arc::new(chain)), ..self }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({})", self.key)
    }
}

/// Why a credential proves nothing. The caller is told one sentence for all of them
/// ([`Refusal::SENTENCE`]); the record is told which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More than one `Authorization` header.
    #[error("more than one credential")]
    Several,
    /// A token, where the function does not take tokens.
    #[error("the function does not accept API tokens")]
    Elsewhere,
    /// Another scheme than `Bearer`.
    #[error("another scheme than `Bearer`")]
    Scheme,
    /// Longer than any token.
    #[error("the credential is longer than any token")]
    Oversized,
    /// No token of ours.
    #[error("the credential is no token")]
    Malformed,
    /// Mistyped or cut.
    #[error("the token's checksum does not fit")]
    Checksum,
    /// A token in the path or the query, where it must be taken for stolen.
    #[error("a token in the request's target")]
    InTarget,
    /// Well formed, but none that was given out (or one that was removed).
    #[error("the token is unknown")]
    Unknown,
    /// It has expired.
    #[error("token `{token}` expired at {at}")]
    Expired {
        /// Which.
        token: TokenId,
        /// When.
        at: Timestamp,
    },
    /// It was revoked.
    #[error("token `{token}` was revoked at {at}")]
    Revoked {
        /// Which.
        token: TokenId,
        /// When.
        at: Timestamp,
    },
}

impl Refusal {
    /// All that a caller is told, with status 401.
    pub const SENTENCE: &'static str = "a valid token is required";
    /// The HTTP status.
    pub const STATUS: u16 = 401;
    /// The challenge for `WWW-Authenticate` (RFC 6750 §3) where no credential was presented.
    pub const CHALLENGE: &'static str = "Bearer realm=\"casemate\"";
    /// The challenge where one was presented and proves nothing.
    pub const CHALLENGE_INVALID: &'static str = "Bearer realm=\"casemate\", error=\"invalid_token\"";

    /// The stable code, in kebab case, for the record.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Several => "credential-several",
            Self::Elsewhere => "credential-not-taken-here",
            Self::Scheme => "credential-scheme",
            Self::Oversized => "credential-oversized",
            Self::Malformed => "token-malformed",
            Self::Checksum => "token-checksum",
            Self::InTarget => "token-in-target",
            Self::Unknown => "token-unknown",
            Self::Expired { .. } => "token-expired",
            Self::Revoked { .. } => "token-revoked",
        }
    }

    /// The public id of the token, where one was recognised.
    pub const fn token(&self) -> Option<&TokenId> {
        match self {
            Self::Expired { token, .. } | Self::Revoked { token, .. } => Some(token),
            _ => None,
        }
    }
}

/// Turns a credential into a caller; no credential is an anonymous caller. Notes in the book that the token
/// was used.
///
/// The look-up goes by the secret's hash. What its time tells of the hashes in the book is of no use to
/// anyone who cannot choose a hash, and whoever can find a preimage needs no timing.
///
/// # Errors
/// Unknown, expired or revoked.
pub fn identify(credentials: &Credentials, book: &TokenBook, now: Timestamp) -> Result<Caller, Refusal> {
    let Some(secret) = &credentials.0 else { return Ok(book.anonymous().clone()) };
    let entry = book.find(&secret.hash()).ok_or(Refusal::Unknown)?;
    let record = &entry.record;
    if let Some(at) = record.revoked_at {
        return Err(Refusal::Revoked { token: record.id.clone(), at });
    }
    if record.expires_at <= now {
        return Err(Refusal::Expired { token: record.id.clone(), at: record.expires_at });
    }
    entry.note_used(now);
    Ok(entry.caller.clone())
}

pub(crate) fn caller(principal: Principal) -> Caller {
    let key = principal.to_string().into();
    Caller { principal: Arc::new(principal), key, chain: None, proof: None }
}

pub(crate) fn proved(proof: Arc<Proved>) -> Caller {
    let principal = Arc::clone(&proof.principal);
    Caller { key: principal.to_string().into(), principal, chain: None, proof: Some(proof) }
}

#[cfg(test)]
mod tests;
