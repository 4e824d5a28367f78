//! Whose functions they are. It never holds a tenant's data.

use serde::{Deserialize, Serialize};

use crate::{TenantId, Timestamp, limits};

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
}

const fn concurrency() -> u64 {
    limits::TENANT_CONCURRENCY
}
