//! The two answers. It never makes one: `slice` does.

use std::{fmt, sync::Arc};

use model::{FunctionName, RevisionNumber, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Action;

/// Proof that policy permits one action, once, at one time. Only [`crate::Slice::decide`] makes one.
///
/// ```compile_fail
/// let permit = policy::Permit { action: policy::Action::Invoke };
/// ```
///
/// ```compile_fail
/// fn twice(permit: policy::Permit) -> (policy::Permit, policy::Permit) {
///     (permit.clone(), permit)
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    pub(crate) tenant: Option<TenantId>,
    pub(crate) function: Option<FunctionName>,
    pub(crate) revision: Option<RevisionNumber>,
    pub(crate) action: Action,
    pub(crate) principal: Arc<str>,
    pub(crate) policies: Arc<[Arc<str>]>,
    pub(crate) at: Timestamp,
}

impl Permit {
    /// The tenant that is acted on; none: the node.
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// The function that is acted on, if it is one.
    pub const fn function(&self) -> Option<&FunctionName> {
        self.function.as_ref()
    }

    /// What may be called: tenant, function and the revision whose policies permitted it. None unless the
    /// action is [`Action::Invoke`].
    pub fn invocation(&self) -> Option<(&TenantId, &FunctionName, RevisionNumber)> {
        if self.action != Action::Invoke {
            return None;
        }
        Some((self.tenant.as_ref()?, self.function.as_ref()?, self.revision?))
    }

    /// What is permitted.
    pub const fn action(&self) -> Action {
        self.action
    }

    /// To whom: the principal's text.
    pub fn principal(&self) -> &Arc<str> {
        &self.principal
    }

    /// The ids of the policies that permit it, in the order of their layers.
    pub fn policies(&self) -> &[Arc<str>] {
        &self.policies
    }

    /// When it was asked.
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

/// Why something was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// No policy permits it.
    NoPermit,
    /// A policy forbids it.
    Forbidden,
    /// It could not be decided, which means no.
    Error,
}

impl Reason {
    /// The stable code, in kebab case.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoPermit => "no-permit",
            Self::Forbidden => "forbidden",
            Self::Error => "error",
        }
    }
}

/// Why, for the record. What of it a caller may see is for others to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial(pub(crate) Arc<Why>);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Why {
    pub(crate) reason: Reason,
    pub(crate) principal: Arc<str>,
    pub(crate) action: Action,
    pub(crate) resource: String,
    pub(crate) policies: Vec<String>,
    pub(crate) clause: String,
    pub(crate) errors: Vec<String>,
}

impl Denial {
    /// Why.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// Who was denied: the principal's text.
    pub fn principal(&self) -> &Arc<str> {
        &self.0.principal
    }

    /// What was denied.
    pub fn action(&self) -> Action {
        self.0.action
    }

    /// Of what: the resource's text.
    pub fn resource(&self) -> &str {
        &self.0.resource
    }

    /// The ids of the policies that forbid it; none where none permits it.
    pub fn policies(&self) -> &[String] {
        &self.0.policies
    }

    /// The Cedar text of the policy that forbids it, or that none permits it, with the nearest that might.
    pub fn clause(&self) -> &str {
        &self.0.clause
    }

    /// What went wrong, where something did.
    pub fn errors(&self) -> &[String] {
        &self.0.errors
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Why { principal, action, resource, .. } = &*self.0;
        write!(f, "`{principal}` may not `{action}` on `{resource}`: {}", self.0.clause)
    }
}

impl std::error::Error for Denial {}
