//! Why somebody did not get what they asked for. It never says how that looks in HTTP: `gateway` does.

use model::{ManifestError, RequestId};
use policy::PolicyErrors;
use shield::Peer;
use store::{CommitError, StoreError};

use crate::widening::Widening;

/// A request was not let through, at any door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// No credential, or one that does not hold. Which, only the record tells.
    Unauthenticated {
        /// For the record.
        code: &'static str,
    },
    /// A credential that does not hold, or one that is not taken here. Which, only the record tells.
    Challenged {
        /// For the record.
        code: &'static str,
        /// For `WWW-Authenticate` (RFC 6750 §3, RFC 9449 §7.1).
        challenge: &'static str,
        /// For `DPoP-Nonce` (RFC 9449 §8).
        nonce: Option<String>,
    },
    /// A policy forbids it, or none permits it.
    Forbidden {
        /// For the record.
        code: &'static str,
        /// The policy and its clause: for the record, and for callers of the control API.
        reason: String,
    },
    /// Too often.
    TooMany {
        /// For the record.
        code: &'static str,
        /// When to try again, in seconds.
        retry_after_s: u64,
    },
    /// It could not be decided or recorded, which means no.
    Unavailable {
        /// For the record.
        code: &'static str,
    },
}

impl Refused {
    /// The stable code of the exact reason, for the record.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated { code }
            | Self::Challenged { code, .. }
            | Self::Forbidden { code, .. }
            | Self::TooMany { code, .. }
            | Self::Unavailable { code } => code,
        }
    }
}

/// Who asks the control API, from where, and under which id.
#[derive(Debug, Clone, Copy)]
pub struct Ctx<'a> {
    /// The request's id.
    pub id: RequestId,
    /// Who asks.
    pub caller: &'a identity::Caller,
    /// From where.
    pub peer: &'a Peer,
}

/// A control operation was not done. Its callers are authenticated people and machines of the tenant, so it
/// says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Not let through.
    #[error("{}", match .0 {
        Refused::Forbidden { reason, .. } => reason.as_str(),
        Refused::Unauthenticated { .. } | Refused::Challenged { .. } => "a valid token is needed",
        Refused::TooMany { .. } => "too many requests",
        Refused::Unavailable { .. } => "the node cannot record this now, so it does not do it",
    })]
    Refused(Refused),
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// What was sent is wrong.
    #[error("{message}")]
    Invalid {
        /// The stable code.
        code: &'static str,
        /// What is wrong, with its place where it is a text.
        message: String,
    },
    /// Somebody else changed it meanwhile, or it is there already.
    #[error("{0}")]
    Conflict(String),
    /// It would let in whom the policies refuse now, and nobody said that this is meant.
    #[error("{0}")]
    Widens(Box<Widening>),
    /// Larger than is allowed.
    #[error("{what} has {bytes} bytes, more than {max}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// The component does not compile within its bounds.
    #[error("the component does not compile: {0}")]
    Compile(String),
    /// The store failed.
    #[error("the node's store failed: {0}")]
    Store(#[from] StoreError),
    /// The platform failed.
    #[error("{0}")]
    Internal(String),
}

impl ControlError {
    /// The stable code, in kebab case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.code(),
            Self::NotFound(_) => "not-found",
            Self::Invalid { code, .. } => code,
            Self::Conflict(_) => "conflict",
            Self::Widens(_) => "widens-access",
            Self::TooLarge { .. } => "too-large",
            Self::Compile(_) => "compile-failed",
            Self::Store(_) => "store-failed",
            Self::Internal(_) => "internal",
        }
    }
}

impl From<Refused> for ControlError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<ManifestError> for ControlError {
    fn from(error: ManifestError) -> Self {
        Self::Invalid { code: "manifest-invalid", message: error.to_string() }
    }
}

impl From<PolicyErrors> for ControlError {
    fn from(errors: PolicyErrors) -> Self {
        Self::Invalid { code: "policy-invalid", message: errors.to_string() }
    }
}

impl From<CommitError> for ControlError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => {
                Self::Conflict("it was changed meanwhile; look, and try again".into())
            }
            CommitError::Failed(error) => Self::Store(error),
        }
    }
}
