//! Who a request is from, and how that was proved. It never says what they may do.

use std::{collections::BTreeMap, sync::Arc};

use model::{Principal, Timestamp};
use serde::Serialize;

use crate::{Caller, caller};

/// How a request proved whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofKind {
    /// An API token of this node's.
    ApiToken,
    /// An access token of an issuer.
    AccessToken,
    /// A client's certificate.
    Certificate,
    /// A sender's webhook.
    Webhook,
    /// A signature of the message.
    MessageSignature,
    /// A session that a person opened by logging in.
    Session,
}

impl ProofKind {
    /// Its name in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiToken => "api-token",
            Self::AccessToken => "access-token",
            Self::Certificate => "certificate",
            Self::Webhook => "webhook",
            Self::MessageSignature => "message-signature",
            Self::Session => "session",
        }
    }
}

impl ProofKind {
    /// What stands before an entry's name where a function says that it takes this.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::ApiToken | Self::AccessToken | Self::Certificate => "",
            Self::Webhook => "webhook",
            Self::MessageSignature => "signature",
            Self::Session => "session",
        }
    }
}

/// What whoever presented a token proved besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Nothing: whoever holds it can use it.
    None,
    /// That it holds the key that the token names (RFC 9449).
    Dpop,
    /// That it holds the certificate that the token names (RFC 8705).
    Mtls,
    /// Both.
    DpopAndMtls,
}

impl Bound {
    /// Its name in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
            Self::DpopAndMtls => "dpop-and-mtls",
        }
    }
}

/// Who asks, proved by any of the ways that the configuration names. Only this crate makes one.
///
/// ```compile_fail
/// let forged = identity::Proved { kind: identity::ProofKind::Webhook };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proved {
    pub(crate) principal: Arc<Principal>,
    pub(crate) kind: ProofKind,
    pub(crate) entry: Arc<str>,
    /// Of an access token: who issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<Arc<str>>,
    pub(crate) key: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
    pub(crate) bound: Bound,
    pub(crate) authenticated_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Proved {
    /// The noun that policies and records speak of; its tenant is that of the configuration's entry.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// How it was proved.
    pub const fn kind(&self) -> ProofKind {
        self.kind
    }

    /// The name of the entry of the configuration that it was proved by; `tokens` for an API token.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// The id of the key that proved it, where it has one.
    pub fn key_id(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The groups that an issuer says it is in.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// What else an issuer says of it.
    pub const fn attributes(&self) -> &BTreeMap<String, Vec<String>> {
        &self.attributes
    }

    /// What was proved besides holding a token.
    pub const fn bound(&self) -> Bound {
        self.bound
    }

    /// When the proof was made: a token issued, a message signed; else the time it was checked.
    pub const fn authenticated_at(&self) -> Timestamp {
        self.authenticated_at
    }

    /// When the proof ends, by its own word.
    pub const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Who issued the access token that proved it: its `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Kind, entry, binding and key, for the record: `access-token of corp, dpop, key k1`.
    pub fn said(&self) -> String {
        let bound = match self.bound {
            Bound::None => String::new(),
            bound => format!(", {}", bound.as_str()),
        };
        let key = self.key.as_ref().map(|key| format!(", key {key}")).unwrap_or_default();
        format!("{} of {}{bound}{key}", self.kind.as_str(), self.entry)
    }

    /// The caller that the next room takes.
    pub fn caller(&self) -> Caller {
        caller::proved(Arc::new(self.clone()))
    }
}
