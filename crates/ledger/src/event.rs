//! What happened, as a noun. It never encodes itself: `leaf` does.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use model::{RequestId, TenantId, Timestamp, Usage};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What kind of thing happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in records.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The kind of that name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().find(|k| k.as_str() == name).copied()
            }
        }
    };
}

kinds! {
    /// Policy permitted or denied an action.
    Decision = "decision";
    /// A revision was deployed, or refused.
    Deploy = "deploy";
    /// A function went back to an earlier revision.
    Rollback = "rollback";
    /// A function was removed.
    Remove = "remove";
    /// A token was made, used for the first time, or revoked.
    Token = "token";
    /// A person logged in or out, or a session was revoked.
    Session = "session";
    /// A policy was changed.
    Policy = "policy";
    /// Whom a tenant accepts was changed, or an issuer's keys were.
    Identity = "identity";
    /// A tenant was made, changed or destroyed.
    Tenant = "tenant";
    /// Something was refused before policy could be asked: no such credential, the firewall, a rate limit.
    Refusal = "refusal";
    /// A run ended, and how.
    Run = "run";
    /// The node started, stopped, or lost or raised a wall.
    Node = "node";
    /// Something suspicious was seen; what was asked was let through, or refused by what saw it.
    Signal = "signal";
    /// The node defended itself: it blocked, suspended or quarantined, or took that back.
    Action = "action";
}

/// One event. Text may hold anything: encoding bounds each field and escapes what could break a line or
/// deceive a reader. Empty text means that there is nothing to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// Whose; `None` is the node itself.
    pub tenant: Option<TenantId>,
    /// In which request.
    pub request: Option<RequestId>,
    /// What kind.
    pub kind: Kind,
    /// Who asked, as `model::Principal` writes itself. At most 256 bytes are kept.
    pub principal: Arc<str>,
    /// For whom, where functions stand between: who began their chain of calls. At most 256 bytes are kept.
    pub on_behalf_of: Arc<str>,
    /// The functions between, the first first, as `tenant/function@revision`. At most 8 of 160 bytes are kept.
    pub chain: Vec<Arc<str>>,
    /// What was asked for. At most 64 bytes are kept.
    pub action: Cow<'static, str>,
    /// Of what. At most 512 bytes are kept.
    pub resource: Arc<str>,
    /// What a decision could see beside what stands here, as `policy::Seen` writes it. At most 1,024 bytes are kept.
    pub asked: Arc<str>,
    /// Whether it was let through, or went well.
    pub allowed: bool,
    /// The policies that decided. At most 32 of 128 bytes are kept.
    pub policies: Vec<Arc<str>>,
    /// A stable code: of a denial, a refusal, a fault. At most 64 bytes are kept.
    pub code: Cow<'static, str>,
    /// A sentence. At most 1,024 bytes are kept.
    pub detail: Arc<str>,
    /// The address that the request came from.
    pub source: Option<IpAddr>,
    /// What a run used.
    pub usage: Option<Usage>,
}

impl Event {
    /// An event with its time and kind, refused until it says otherwise, and nothing else.
    pub fn new(time: Timestamp, kind: Kind) -> Self {
        Self {
            time,
            tenant: None,
            request: None,
            kind,
            principal: Arc::default(),
            on_behalf_of: Arc::default(),
            chain: Vec::new(),
            action: Cow::Borrowed(""),
            resource: Arc::default(),
            asked: Arc::default(),
            allowed: false,
            policies: Vec::new(),
            code: Cow::Borrowed(""),
            detail: Arc::default(),
            source: None,
            usage: None,
        }
    }
}
