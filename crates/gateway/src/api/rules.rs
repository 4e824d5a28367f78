//! What the control API is asked and answers about the node's rules.

use std::collections::BTreeMap;

use model::{Digest, RequestId, Shield, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/node/rules`: a set of rules for the web firewall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFiles {
    /// What people call it.
    pub name: String,
    /// The files that are read, in order; the set-up first.
    pub read: Vec<String>,
    /// All files by name, those that rules name too.
    pub files: BTreeMap<String, String>,
}

/// One set of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleSet {
    /// What people call it; `base` is the one in the box.
    pub name: String,
    /// Of all its files.
    pub digest: Digest,
    /// How many rules it has.
    pub rules: usize,
    /// When it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Whether it looks at requests.
    pub in_force: bool,
}

/// `GET /v1/node/rules`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleSetList {
    /// The one in the box first.
    pub sets: Vec<RuleSet>,
}

/// `PUT /v1/node/rules/in-force`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UseRules {
    /// `base`, `previous`, or the digest of a set that is kept.
    pub set: String,
}

/// `POST /v1/node/rules/simulate`: what other rules would have said to the requests of the last hour that were kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Simulate {
    /// The other rules; those in force where they are absent.
    pub rules: Option<RuleFiles>,
    /// `[shield]` in the place of what each manifest says.
    pub shield: Option<Shield>,
}

/// What would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Simulated {
    /// Requests that were asked about.
    pub requests: usize,
    /// Those that the rules in force refuse.
    pub refused_now: usize,
    /// Those that the others would refuse.
    pub refused_then: usize,
    /// Those of which the decision changes, the newest first, at most 200.
    pub changed: Vec<Changed>,
}

/// A decision that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// The request.
    pub request_id: RequestId,
    /// `tenant/function`
    pub function: String,
    /// Its method and path.
    pub asked: String,
    /// Whether the rules in force refuse it.
    pub refused_now: bool,
    /// The rules that matched.
    pub detail: String,
}
