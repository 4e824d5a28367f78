//! Why a request was not let through. It never decides so.

use crate::own::Quota;

/// Why a request was refused before anyone asked who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// The peer's address is on the firewall's list, or not on the list of those allowed.
    #[error("the address is not allowed here")]
    Firewall,
    /// The source is on the list of the function or its tenant, or not on the one of those allowed.
    #[error("the function is not for this source")]
    SourceDenied,
    /// `CONNECT`, `TRACE` and `TRACK`, which no function answers.
    #[error("method `{0}` is not taken")]
    Method(String),
    /// A method that is no token of uppercase letters.
    #[error("the method is not a word of uppercase letters")]
    MethodToken,
    /// The target is longer than `REQUEST_TARGET_BYTES_MAX`.
    #[error("the target has {bytes} bytes, more than {max}")]
    TargetTooLong {
        /// Its bytes.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The target can be read in two ways.
    #[error("the target is ambiguous: {0}")]
    TargetAmbiguous(&'static str),
    /// More header lines than `REQUEST_HEADERS_MAX`.
    #[error("{count} header lines, more than {max}")]
    TooManyHeaders {
        /// How many there are.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// More header bytes (names and values) than any function may take.
    #[error("{bytes} header bytes, more than {max}")]
    HeadersTooLarge {
        /// Their bytes.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// No host, two hosts, or one that is no host.
    #[error("the host is ambiguous: {0}")]
    Host(&'static str),
    /// More than one `Content-Type` (RFC 9110 §8.3).
    #[error("more than one media type is named for the body")]
    MediaTypes,
    /// The body's length can be read in two ways (RFC 9112 §6.3): a smuggled request.
    #[error("the body's length is ambiguous: {0}")]
    Framing(&'static str),
    /// The source address opens more connections than it may.
    #[error("the address opens too many connections")]
    ConnectionRate {
        /// When the next one would be let in, in milliseconds from now.
        retry_after_ms: u64,
    },
    /// The source address sends more than it may.
    #[error("the address sends too many requests")]
    SourceRate {
        /// When the next one will be let in, in milliseconds from now.
        retry_after_ms: u64,
    },
    /// The caller sends more than it may.
    #[error("the caller sends too many requests")]
    CallerRate {
        /// When the next one will be let in, in milliseconds from now.
        retry_after_ms: u64,
    },
    /// More than the function or its tenant takes.
    #[error("more requests than `{}` allows", quota.code())]
    OwnRate {
        /// By which rate.
        quota: Quota,
        /// When the next one will be let in, in milliseconds from now.
        retry_after_ms: u64,
    },
    /// Too many credentials that did not hold say they are the same caller's.
    #[error("too many credentials that do not hold say they are this caller's")]
    FailedClaims {
        /// When the next one will be looked at, in milliseconds from now.
        retry_after_ms: u64,
    },
    /// The source address presented too many credentials that did not hold.
    #[error("the address presented too many credentials that do not hold")]
    FailedProofs {
        /// When the next one will be looked at, in milliseconds from now.
        retry_after_ms: u64,
    },
}

impl Blocked {
    /// The stable code, in kebab case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Firewall => "address-refused",
            Self::SourceDenied => "source-denied",
            Self::OwnRate { quota, .. } => quota.code(),
            Self::Method(_) => "method-refused",
            Self::MethodToken => "method-malformed",
            Self::TargetTooLong { .. } => "target-too-long",
            Self::TargetAmbiguous(_) => "target-ambiguous",
            Self::TooManyHeaders { .. } => "too-many-headers",
            Self::HeadersTooLarge { .. } => "headers-too-large",
            Self::Host(_) => "host-ambiguous",
            Self::MediaTypes => "media-types-several",
            Self::Framing(_) => "framing-ambiguous",
            Self::ConnectionRate { .. } => "connection-rate",
            Self::SourceRate { .. } => "source-rate",
            Self::CallerRate { .. } => "caller-rate",
            Self::FailedProofs { .. } => "too-many-failed-proofs",
            Self::FailedClaims { .. } => "too-many-failed-claims",
        }
    }

    /// The HTTP status (RFC 9110, RFC 6585).
    pub const fn status(&self) -> u16 {
        match self {
            Self::Firewall | Self::SourceDenied => 403,
            Self::Method(_) => 405,
            Self::TargetTooLong { .. } => 414,
            Self::TooManyHeaders { .. } | Self::HeadersTooLarge { .. } => 431,
            Self::MethodToken
            | Self::TargetAmbiguous(_)
            | Self::Host(_)
            | Self::MediaTypes
            | Self::Framing(_) => 400,
            Self::ConnectionRate { .. }
            | Self::SourceRate { .. }
            | Self::CallerRate { .. }
            | Self::OwnRate { .. }
            | Self::FailedProofs { .. }
            | Self::FailedClaims { .. } => 429,
        }
    }

    /// Whole seconds for `Retry-After`, at least 1, where waiting helps.
    pub const fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::ConnectionRate { retry_after_ms }
            | Self::SourceRate { retry_after_ms }
            | Self::CallerRate { retry_after_ms }
            | Self::OwnRate { retry_after_ms, .. }
            | Self::FailedProofs { retry_after_ms }
            | Self::FailedClaims { retry_after_ms } => {
                let seconds = retry_after_ms.div_ceil(1_000);
                Some(if seconds == 0 { 1 } else { seconds })
            }
            _ => None,
        }
    }

    /// Whether the connection must be closed after the answer: what follows on it cannot be trusted to be a
    /// request of its own.
    pub const fn closes_connection(&self) -> bool {
        matches!(self, Self::Framing(_) | Self::Firewall)
    }
}
