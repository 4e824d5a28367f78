//! What the control API is asked and answers about policies: changes that wait, permits that end by themselves, who
//! may do what.

use model::{Digest, FunctionName, PrincipalKind, Role, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What `GET` and `PUT /v1/tenants/{tenant}/policy` answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyText {
    /// The tenant's own Cedar policies; those of the platform stand beside them.
    pub text: String,
}

/// `PUT /v1/tenants/{tenant}/policy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPolicy {
    /// The tenant's own Cedar policies, in the place of those that stand there.
    pub text: String,
    /// Whether they may let in whom the policies refuse now.
    #[serde(default)]
    pub accept_widening: bool,
}

/// `POST /v1/tenants/{tenant}/changes`: what a second person is to approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Proposal {
    /// Other policies of the tenant.
    Policy {
        /// Their Cedar text.
        text: String,
    },
    /// A revision of a function.
    Deploy {
        /// Which.
        function: FunctionName,
        /// The text of its `casemate.toml`.
        manifest: String,
        /// The component, uploaded before.
        component: Digest,
    },
}

/// A change that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// Names it.
    pub id: String,
    /// Who proposed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// When it ends, if nobody approves it.
    pub until: Timestamp,
    /// What it would do; in a list without the text of policies.
    pub what: Proposal,
    /// Whom it would let in, in a sentence.
    pub shown: String,
    /// A request that it would let in, where one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
}

/// `GET /v1/tenants/{tenant}/changes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WaitingList {
    /// The oldest first.
    pub changes: Vec<Waiting>,
}

/// `POST /v1/tenants/{tenant}/glass`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// What kind of principal: a person or a machine.
    pub kind: PrincipalKind,
    /// Its name in the tenant.
    pub name: String,
    /// What it may do.
    pub action: String,
    /// On which function alone; on the tenant and all its functions where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionName>,
    /// Why.
    pub reason: String,
    /// For how long, 1 to 240.
    #[schemars(range(min = 1, max = 240))]
    pub minutes: u64,
}

/// A permit that ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Glass {
    /// Names it; the policy is `glass/ID`.
    pub id: String,
    /// Who may.
    pub principal: String,
    /// What.
    pub action: String,
    /// On which function alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionName>,
    /// Why.
    pub reason: String,
    /// Who gave it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// `GET /v1/tenants/{tenant}/glass`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GlassList {
    /// The oldest first.
    pub glass: Vec<Glass>,
}

/// In which circumstances somebody may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum May {
    /// In all.
    Always,
    /// In none.
    Never,
    /// Where one of `permitted_when` holds and none of `forbidden_when` does.
    When,
}

/// A policy and what is left to hold for it to apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// Its id.
    pub policy: String,
    /// Cedar text about the context.
    pub condition: String,
}

/// Whether one principal may do one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reached {
    /// Who: a principal with a live token, or one that stands for many.
    pub who: String,
    /// Its roles.
    pub roles: Vec<Role>,
    /// What its credential may be used for.
    pub scopes: Vec<String>,
    /// What is asked for.
    pub action: String,
    /// Of what.
    pub resource: String,
    /// In which circumstances.
    pub may: May,
    /// The ids of the policies that permit it always, or forbid it always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Conditions of which one must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permitted_when: Vec<Condition>,
    /// Conditions of which none may hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden_when: Vec<Condition>,
}

/// `GET /v1/tenants/{tenant}/who-can?action=A&function=F`, `GET /v1/tenants/{tenant}/what-can?principal=P`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReachedList {
    /// What was looked at: the principals with a live token or session, each function, each credential that the
    /// identity configuration names, one of each role, and no credential.
    pub reached: Vec<Reached>,
}

/// `GET /v1/tenants/{tenant}/explain?request=ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedList {
    /// What was decided and refused, in the order in which it was.
    pub decisions: Vec<Explained>,
}

/// A decision or a refusal of the past, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// The event, as it is recorded.
    pub event: serde_json::Value,
    /// The policies of then and which of their clauses held, with what they could see then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<serde_json::Value>,
    /// Why a decision can no longer be explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}
