//! Whose functions they are. It never holds a tenant's data.

use serde::{Deserialize, Serialize};

use crate::{RequestRate, TenantId, Timestamp, limits};

/// Tenants with the same label may share a worker process; others never do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct TrustLabel(pub String);

impl Default for TrustLabel {
    fn default() -> Self {
        Self("shared".into())
    }
}

/// A tenant: the widest thing that a key, a policy, a function or a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tenant {
    /// Its name, also the label of its host name.
    pub id: TenantId,
    /// Which tenants it may share a worker process with.
    pub trust: TrustLabel,
    /// When it was made.
    pub created_at: Timestamp,
    /// Runs of all its functions at once.
    #[serde(default = "concurrency")]
    pub concurrency: u64,
    /// Whose requests all its functions take, and how often.
    #[serde(default, skip_serializing_if = "TenantShield::is_silent")]
    pub shield: TenantShield,
}

/// Whose requests all functions of a tenant take, and how often, beside what each says itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantShield {
    /// Only these sources may ask: addresses, ranges or named sets of the node (`set:NAME`). All where it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// These may not, even where `allow` has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// How often its functions may be asked.
    pub rate: TenantRates,
}

impl TenantShield {
    /// Whether it says nothing.
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// How often all functions of a tenant together may be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantRates {
    /// By one source address (IPv6: one `/64`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<RequestRate>,
    /// By one caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<RequestRate>,
    /// By all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<RequestRate>,
}

impl TenantRates {
    /// The first thing about them that cannot be.
    ///
    /// # Errors
    /// A sentence.
    pub fn check(&self) -> Result<(), String> {
        let rates = [("source", self.source), ("caller", self.caller), ("tenant", self.tenant)];
        rates
            .iter()
            .try_for_each(|(name, rate)| rate.map_or(Ok(()), |rate| rate.check(&format!("rate.{name}"))))
    }
}

/// What is to change about a tenant (`PUT /v1/tenants/{tenant}/limits`). What is absent stays; what is there replaces
/// what was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantLimits {
    /// Runs of all its functions at once, from 1 to the node's ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// Only these sources may ask its functions; all where it is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// These may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<String>>,
    /// How often its functions may be asked, all of its rates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<TenantRates>,
}

const fn concurrency() -> u64 {
    limits::TENANT_CONCURRENCY
}
