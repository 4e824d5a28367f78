//! Why an outbound call failed. It never carries what a destination said.

use std::net::IpAddr;

use cell::CallError;

/// Why an outbound call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// No grant covers the call. The guest's doing.
    #[error("no outbound call to `{target}` with `{method}`: {why}")]
    Denied {
        /// Its method.
        method: String,
        /// Scheme, host, port and path, without the query.
        target: String,
        /// What is not covered.
        why: &'static str,
    },
    /// The name leads to an address that is not the public internet. The destination's doing, or the guest's.
    #[error("`{host}` leads to `{address}`, which is refused: {why}")]
    Address {
        /// The host of the target.
        host: String,
        /// The address that is refused.
        address: IpAddr,
        /// What kind of address it is.
        why: &'static str,
    },
    /// The name has no address.
    #[error("`{host}` has no address")]
    NotFound {
        /// The host of the target.
        host: String,
    },
    /// The destination did not take the connection, or dropped it.
    #[error("no connection to the destination: {0}")]
    Connection(String),
    /// The destination could not prove its name.
    #[error("the destination did not prove its name: {0}")]
    Tls(String),
    /// Connecting, or waiting for the head of the answer, took too long.
    #[error("the destination did not answer in time")]
    Timeout,
    /// As many calls to this destination are under way as may be.
    #[error("too many calls to this destination at once")]
    Busy,
    /// A body is larger than it may be.
    #[error("the body is larger than it may be")]
    TooLarge,
    /// The request's body broke off.
    #[error("the request's body broke off")]
    BodyBroken,
    /// The destination does not speak HTTP/1.1, or switched to something else.
    #[error("the destination broke the protocol: {0}")]
    Protocol(String),
}

impl EgressError {
    /// What a guest is told.
    pub const fn call_error(&self) -> CallError {
        match self {
            Self::Denied { .. } | Self::Address { .. } => CallError::Denied,
            Self::NotFound { .. } => CallError::NotFound,
            Self::Connection(_) | Self::Busy => CallError::Connection,
            Self::Tls(_) => CallError::Tls,
            Self::Timeout => CallError::Timeout,
            Self::TooLarge => CallError::TooLarge,
            Self::BodyBroken | Self::Protocol(_) => CallError::Protocol,
        }
    }

    /// The stable code, in kebab case, for the record.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "outbound-denied",
            Self::Address { .. } => "outbound-address-refused",
            Self::NotFound { .. } => "outbound-not-found",
            Self::Connection(_) => "outbound-connection",
            Self::Tls(_) => "outbound-tls",
            Self::Timeout => "outbound-timeout",
            Self::Busy => "outbound-busy",
            Self::TooLarge => "outbound-too-large",
            Self::BodyBroken => "outbound-body-broken",
            Self::Protocol(_) => "outbound-protocol",
        }
    }
}

impl From<&EgressError> for CallError {
    fn from(error: &EgressError) -> Self {
        error.call_error()
    }
}
