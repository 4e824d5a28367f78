//! The actions that there are. It never says who may do them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal on $($resource:ident)|+;)*) => {
        /// What may be asked for: a Cedar action, and the name of the scope that a credential wants for it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Action { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Action {
            /// Every action there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in policies, scopes and records.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether it can be asked of this kind of resource (`Function`, `Tenant`, `Node`).
            pub(crate) fn applies_to(self, resource: &str) -> bool {
                match self { $(Self::$variant => [$(stringify!($resource)),+].contains(&resource),)* }
            }
        }
    };
}

actions! {
    /// Call a function.
    Invoke = "invoke" on Function;
    /// Upload a component (on the tenant), make a revision of it (on the function).
    Deploy = "deploy" on Function | Tenant;
    /// Go back to an older revision.
    Rollback = "rollback" on Function;
    /// Take a function away.
    Remove = "remove" on Function;
    /// See one function.
    Inspect = "inspect" on Function;
    /// Read a function's log.
    ReadLogs = "readLogs" on Function;
    /// See which functions a tenant has.
    List = "list" on Tenant;
    /// Read a tenant's record, or the node's own.
    ReadRecord = "readRecord" on Tenant | Node;
    /// Read a tenant's policies.
    ReadPolicy = "readPolicy" on Tenant;
    /// Replace a tenant's policies.
    ManagePolicy = "managePolicy" on Tenant;
    /// Let a change of one's own that widens access be done at once.
    AcceptWidening = "acceptWidening" on Function | Tenant;
    /// Let a change that somebody else proposed, and that widens access, be done.
    ApproveWidening = "approveWidening" on Function | Tenant;
    /// Deploy a function whose shield is weaker than the node's.
    LoosenShield = "loosenShield" on Function;
    /// Give somebody a permit that ends by itself, and take it back.
    BreakGlass = "breakGlass" on Tenant;
    /// See a tenant's tokens (never the secrets).
    ListTokens = "listTokens" on Tenant;
    /// Make and revoke a tenant's tokens.
    ManageTokens = "manageTokens" on Tenant;
    /// See what the shield found and did: of a tenant, or of the node.
    ReadShield = "readShield" on Tenant | Node;
    /// Block, unblock, approve profiles and undo what the shield did, of a tenant; of the node its rules too.
    ManageShield = "manageShield" on Tenant | Node;
    /// See which tenants there are.
    ListTenants = "listTenants" on Node;
    /// Make tenants.
    ManageTenants = "manageTenants" on Node;
    /// Read the node's measurements.
    ReadMetrics = "readMetrics" on Node;
    /// Read the node's state.
    ReadNode = "readNode" on Node;
}

/// A text that names no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no action")]
pub struct UnknownAction(String);

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        let found = Self::ALL.iter().find(|action| action.as_str() == text).copied();
        found.ok_or_else(|| UnknownAction(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
