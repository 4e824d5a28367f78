//! What is asked and answered about the shield: signals, actions, profiles and bait. It never does either.

use std::{fmt, net::IpAddr};

use model::{FunctionName, ProfileMode, RequestId, RevisionNumber, TenantId, Timestamp, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Record;

/// Something suspicious that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShieldSignal {
    /// Its name.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Whose; none: the node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// What it is about: `probing`, `credential-stuffing`, `claim-stuffing`, `token-places`, `honey-route`, `honey-token`,
    /// `transition-unseen`, `drift` or `egress`.
    pub code: String,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Who, where that is known or claimed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub principal: String,
    /// Of what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// In which request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// How much there was, in a sentence.
    pub said: String,
    /// What the node did about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

/// Something that is done against somebody or something, until it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShieldAction {
    /// Its name.
    pub id: String,
    /// For whose functions; none: for everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// `slow`, `block-strangers`, `block`, `suspend` or `quarantine`.
    pub measure: String,
    /// A range of addresses, a token's id, or a function and its revision.
    pub subject: String,
    /// At the control API too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control: bool,
    /// Why.
    pub reason: String,
    /// Who did it; `shield` is the node itself.
    pub by: String,
    /// The signal that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// When it was over, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Who ended it before its time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ended_by: String,
}

/// How a function's profile stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileStage {
    /// The function.
    pub function: FunctionName,
    /// Its revision.
    pub revision: RevisionNumber,
    /// `learning`, `waiting` or `in-force`.
    pub stage: String,
}

/// `GET /v1/tenants/{tenant}/shield`, `GET /v1/node/shield`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShieldReport {
    /// Signals of the last day, the newest first.
    pub signals: Vec<ShieldSignal>,
    /// What is in force, the oldest first.
    pub actions: Vec<ShieldAction>,
    /// What was, of the last day, the newest first.
    pub past: Vec<ShieldAction>,
    /// How the profiles of its functions stand.
    pub profiles: Vec<ProfileStage>,
}

/// `GET /v1/tenants/{tenant}/shield/why/{id}`: what is behind a signal, an action or a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShieldStory {
    /// Signals, the newest first.
    pub signals: Vec<ShieldSignal>,
    /// What was done about them, or the action that was asked for.
    pub actions: Vec<ShieldAction>,
    /// Refusals, signals and actions of the record, the newest first, at most 100.
    pub events: Vec<Record>,
    /// The request has no event of its own: of many refused alike, all but the first are counted together, and the last of
    /// `events` are those counts that it may be in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gathered: bool,
}

/// `POST /v1/tenants/{tenant}/shield/actions`, `POST /v1/node/shield/actions`: exactly one of `source`, `token` and
/// `function`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewShieldAction {
    /// An address or a range of them is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// With `source`: only those are blocked there who present no credential that holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strangers: bool,
    /// With `source`: nobody is blocked, and refusals are answered late.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slow: bool,
    /// With `source`, of the node: at the control API too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control: bool,
    /// A token, or a session, proves nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// The revision of a function that answers now is answered for with 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionName>,
    /// For how long, in seconds.
    pub seconds: u64,
    /// Why.
    pub reason: String,
}

/// What was undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndoneActions {
    /// Each as it was.
    pub undone: Vec<ShieldAction>,
}

/// One step after another, as a profile has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileStep {
    /// `start`, `log`, or a call: `GET https://host:443`, `GET function:name`.
    pub from: String,
    /// The same, or `end`.
    pub to: String,
}

/// A number of runs, as a profile has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileNumber {
    /// Its name, with its unit.
    pub name: String,
    /// The median of what was learned, to within an eighth.
    pub median: u64,
    /// The 95th percentile, likewise.
    pub high: u64,
    /// What runs are held against: too many above it are a signal.
    pub bound: u64,
}

/// `GET /v1/tenants/{tenant}/shield/profiles/{function}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShieldProfile {
    /// Of which revision.
    pub revision: RevisionNumber,
    /// What becomes of a run that is unlike it.
    pub mode: ProfileMode,
    /// `learning`, `waiting` or `in-force`.
    pub stage: String,
    /// Since when that is so.
    pub since: Timestamp,
    /// Until when it learns at least.
    pub learns_until: Timestamp,
    /// Runs that were learned.
    pub runs: u64,
    /// What they did.
    pub steps: Vec<ProfileStep>,
    /// What was found since that they did not do.
    pub unseen: Vec<ProfileStep>,
    /// What they used.
    pub numbers: Vec<ProfileNumber>,
    /// The most outbound calls within a minute.
    pub minute_calls: u64,
    /// The most bytes of outbound calls' bodies within a minute.
    pub minute_bytes: u64,
}

/// `POST /v1/tenants/{tenant}/shield/bait`: exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBait {
    /// A path that nobody has a reason to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Makes a token that nobody has a reason to hold; this says where it will lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Bait of a tenant.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bait {
    /// `route` or `token`.
    pub kind: String,
    /// The path, or the token's id.
    pub id: String,
    /// Where a token lies.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// When it was laid.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// The token, shown once, when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl fmt::Debug for Bait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bait").field("kind", &self.kind).field("id", &self.id).finish_non_exhaustive()
    }
}

/// `GET /v1/tenants/{tenant}/shield/bait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BaitList {
    /// Each, by its name.
    pub bait: Vec<Bait>,
}
