//! Permits that end by themselves, for when nothing else helps ("break-glass"). Each is a policy like any other, so
//! that guard rails and forbids stand above it. It never keeps the time.

use std::sync::Arc;

use model::{FunctionName, PrincipalKind, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Action, TenantPolicies,
    entry::{self, Layer},
    errors::{PolicyError, PolicyErrors},
    question::kind_name,
    shipped::Shipped,
    terms::cut_to_second,
};

/// Actions that no such permit gives: they would let its holder give themselves the next.
const NEVER: &[Action] = &[Action::ManagePolicy, Action::BreakGlass];

/// Who may do what until when, whatever the other permits say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glass {
    /// Its name; the policy is `glass/ID`.
    pub id: String,
    /// What kind of principal: a person or a machine.
    pub kind: PrincipalKind,
    /// The principal's name in the tenant.
    pub name: String,
    /// What it may do.
    pub action: Action,
    /// On which function alone; on the tenant and all its functions where there is none.
    pub function: Option<FunctionName>,
    /// When it ends. Policies see whole seconds, so it may end up to one early.
    pub until: Timestamp,
}

impl Glass {
    /// Its Cedar text in a tenant.
    ///
    /// # Errors
    /// An action that no such permit gives or that is of the node; a principal that is no name.
    pub fn text(&self, tenant: &TenantId) -> Result<String, PolicyError> {
        let action = self.action;
        if NEVER.contains(&action) {
            return Err(PolicyError::new(format!("`{action}` is not given for a while")));
        }
        let of_tenant = action.applies_to("Function") || action.applies_to("Tenant");
        let on_function = self.function.is_none() || action.applies_to("Function");
        if !of_tenant || !on_function {
            return Err(PolicyError::new(format!("`{action}` is not done on that")));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.@+:/".contains(&b);
        let named = !self.name.is_empty() && self.name.bytes().all(plain);
        if !named || !matches!(self.kind, PrincipalKind::User | PrincipalKind::Service) {
            let name: String = self.name.chars().take(80).collect();
            return Err(PolicyError::new(format!("`{name}` is no person or machine of the tenant")));
        }
        let (id, kind, name) = (&self.id, kind_name(self.kind), &self.name);
        let resource = match &self.function {
            Some(function) => format!("resource == Function::\"{tenant}/{function}\""),
            None => format!("resource in Tenant::\"{tenant}\""),
        };
        let until = cut_to_second(self.until);
        Ok(format!(
            "@id(\"{id}\")\npermit (principal == {kind}::\"{tenant}/{name}\", action == Action::\"{action}\", \
             {resource})\nwhen {{ context.time < datetime(\"{until}\") }};\n"
        ))
    }
}

impl TenantPolicies {
    /// The same with these permits beside them, in the place of those that stood there.
    ///
    /// # Errors
    /// A permit that cannot be given.
    pub fn with_glass(&self, glass: &[Glass]) -> Result<Self, PolicyErrors> {
        let texts = glass.iter().map(|glass| glass.text(self.tenant()));
        let text = texts.collect::<Result<Vec<_>, _>>()?.concat();
        let entries = match text.is_empty() {
            true => Vec::new(),
            false => entry::read(&Shipped::get()?.validator, &text, Layer::Glass)?,
        };
        Ok(Self { glass: Arc::from(entries), ..self.clone() })
    }

    /// The same with the permits that stand beside others.
    #[must_use]
    pub fn with_glass_of(self, others: &Self) -> Self {
        Self { glass: Arc::clone(&others.glass), ..self }
    }

    /// Whether there are such permits, over or not.
    pub fn has_glass(&self) -> bool {
        !self.glass.is_empty()
    }
}
