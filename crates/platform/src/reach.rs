//! Who may do something, and what somebody may do: the known principals and the roles held against the policies that
//! stand. It never changes anything.

use std::collections::BTreeSet;

use model::{FunctionName, Principal, PrincipalKind, Role, TenantId};
use policy::{Action, Context, Question, Reach, Resource};

use crate::{
    Platform,
    catalog::View,
    functions::not_found,
    refused::{ControlError, Ctx},
};

/// Whether one principal may do one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Who, as records name them; `any User with the role developer` for one that stands for many.
    pub who: String,
    /// Its roles.
    pub roles: Vec<Role>,
    /// What its credential may be used for.
    pub scopes: Vec<String>,
    /// For what.
    pub action: Action,
    /// Of what.
    pub resource: String,
    /// In which circumstances.
    pub reach: Reach,
}

/// A name that nobody has: tokens' names hold no space.
const ANYONE: &str = "any one";

impl Platform {
    /// Who may do something: each principal with a live token, one of each role with a credential of all scopes, a
    /// function, and who has no credential.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn who_can(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        action: Action,
        function: Option<&FunctionName>,
    ) -> Result<Vec<Reached>, ControlError> {
        let view = self.view_to_read(ctx, tenant)?;
        let resource = function.map_or(Resource::Tenant(tenant), |name| Resource::Function(tenant, name));
        let asked = |(who, principal): (String, Principal)| {
            self.reached(&view, who, &principal, action, resource).transpose()
        };
        let mut all = self.known(tenant);
        all.extend(stand_ins(tenant));
        let found: Vec<Reached> = all.into_iter().filter_map(asked).collect::<Result<_, _>>()?;
        if found.is_empty() {
            let message = format!("`{action}` is not asked of `{resource}`");
            return Err(ControlError::Invalid { code: "bad-question", message });
        }
        Ok(found)
    }

    /// What somebody may do: each action on the tenant and on each of its functions. The principal is one with a
    /// live token, by its name or as records name it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn what_can(&self, ctx: Ctx<'_>, tenant: &TenantId, who: &str) -> Result<Vec<Reached>, ControlError> {
        let view = self.view_to_read(ctx, tenant)?;
        let all = self.known(tenant).into_iter().chain(stand_ins(tenant));
        let named = |(shown, principal): &(String, Principal)| shown == who || principal.name == who;
        let chosen: Vec<_> = all.filter(named).collect();
        if chosen.is_empty() {
            let who: String = who.chars().take(80).collect();
            return Err(ControlError::NotFound(format!("principal `{who}` with a live token")));
        }
        let mut found = Vec::new();
        for (who, principal) in &chosen {
            for action in Action::ALL {
                let functions = view.functions.keys().map(|name| Resource::Function(tenant, name));
                for resource in std::iter::once(Resource::Tenant(tenant)).chain(functions) {
                    found.extend(self.reached(&view, who.clone(), principal, *action, resource)?);
                }
            }
        }
        Ok(found)
    }

    fn view_to_read(&self, ctx: Ctx<'_>, tenant: &TenantId) -> Result<std::sync::Arc<View>, ControlError> {
        let home = self.home(tenant)?;
        for action in [Action::ReadPolicy, Action::ListTokens] {
            self.permit(ctx, &home, action, Resource::Tenant(tenant))?;
        }
        Ok(home.view())
    }

    /// None where such a thing is not asked of such a resource, or by such a principal.
    fn reached(
        &self,
        view: &View,
        who: String,
        principal: &Principal,
        action: Action,
        resource: Resource<'_>,
    ) -> Result<Option<Reached>, ControlError> {
        let source = std::net::Ipv4Addr::UNSPECIFIED.into();
        let now = self.clock.now();
        let (on_behalf_of, chain, proof) = ("", &[][..], policy::Proof::default());
        let context =
            Context { method: "", path: "", host: "", source, tls: true, on_behalf_of, chain, now, proof };
        let question = Question { principal, action, resource, context: &context };
        let slice = match (action, resource) {
            (Action::Invoke, Resource::Function(_, name)) => {
                &view.functions.get(name).ok_or_else(|| not_found(name))?.target.slice
            }
            _ => &view.control,
        };
        if !slice.is_asked(&question) {
            return Ok(None);
        }
        let reach = slice.reach(&question).map_err(ControlError::Internal)?;
        let (roles, scopes) = (principal.roles.clone(), principal.scopes.clone());
        Ok(Some(Reached { who, roles, scopes, action, resource: resource.to_string(), reach }))
    }

    /// The principals with a live token, each with each set of roles and scopes once.
    fn known(&self, tenant: &TenantId) -> Vec<(String, Principal)> {
        let now = self.clock.now();
        let live = |token: &identity::TokenRecord| token.revoked_at.is_none() && token.expires_at > now;
        let tokens = self.tokens.tokens(tenant).into_iter().filter(live);
        let mut seen = BTreeSet::new();
        let principals = tokens.map(|token| Principal { token: None, ..token.principal() });
        let fresh = principals.filter(|p| seen.insert((p.to_string(), p.roles.clone(), p.scopes.clone())));
        fresh.map(|principal| (principal.to_string(), principal)).collect()
    }
}

/// One principal of each kind that no token names.
fn stand_ins(tenant: &TenantId) -> Vec<(String, Principal)> {
    let of = |kind, roles: Vec<Role>| Principal {
        kind,
        tenant: Some(tenant.clone()),
        name: ANYONE.to_owned(),
        roles,
        scopes: vec!["*".to_owned()],
        token: None,
    };
    let role = |role: &Role| {
        (format!("any User with the role {}", role.as_str()), of(PrincipalKind::User, vec![*role]))
    };
    let mut all: Vec<_> = Role::ALL.iter().map(role).collect();
    all.push(("any User without a role".to_owned(), of(PrincipalKind::User, Vec::new())));
    all.push(("any Function of the tenant".to_owned(), of(PrincipalKind::Function, Vec::new())));
    all.push(("Anonymous::\"anonymous\"".to_owned(), Principal::anonymous()));
    all
}
