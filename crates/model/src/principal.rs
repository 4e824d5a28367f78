//! Who asks, as a noun. It never proves that it is so: `identity::Caller` does.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{TenantId, TokenId};

/// What kind of principal it is: its Cedar entity type.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A machine: a pipeline, another system.
    Service,
    /// A function of this platform.
    Function,
    /// Nobody in particular: no credential was presented.
    Anonymous,
}

/// A named set of actions in the principal's own tenant. What each permits is Cedar text in `policy`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sees functions.
    Viewer,
    /// Deploys, rolls back, reads logs, invokes.
    Developer,
    /// Removes, manages tokens.
    Operator,
    /// Reads the record and the policies.
    Auditor,
    /// Everything in its tenant.
    Owner,
    /// Everything on the node and in its own tenant; of other tenants, their tokens, policies, record and the list
    /// of their functions, but no function itself. Made by the first start or a recovery; an admin can give it on,
    /// with named scopes alone.
    Admin,
}

impl Role {
    /// Every role, the narrowest first.
    pub const ALL: &'static [Self] =
        &[Self::Viewer, Self::Developer, Self::Operator, Self::Auditor, Self::Owner, Self::Admin];

    /// Its name in policies and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Owner => "owner",
            Self::Admin => "admin",
        }
    }
}

/// Who asks: the noun that policies speak of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Principal {
    /// Its kind.
    pub kind: PrincipalKind,
    /// The tenant it belongs to; none for an anonymous one.
    pub tenant: Option<TenantId>,
    /// Its name in that tenant; `anonymous` for an anonymous one.
    pub name: String,
    /// Roles in that tenant.
    pub roles: Vec<Role>,
    /// What its credential may be used for: names of actions, or `*`.
    pub scopes: Vec<String>,
    /// The token that it presented, if it was one.
    pub token: Option<TokenId>,
}

impl Principal {
    /// Who presents no credential.
    pub fn anonymous() -> Self {
        Self {
            kind: PrincipalKind::Anonymous,
            tenant: None,
            name: "anonymous".into(),
            roles: Vec::new(),
            scopes: vec!["invoke".into()],
            token: None,
        }
    }
}

/// `User::"default/alice"`: the Cedar entity, as records and people name it.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tenant {
            Some(tenant) => write!(f, "{:?}::\"{tenant}/{}\"", self.kind, self.name),
            None => write!(f, "{:?}::\"{}\"", self.kind, self.name),
        }
    }
}
