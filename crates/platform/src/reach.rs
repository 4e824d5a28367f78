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

/// Somebody who may ask.
#[derive(Clone)]
struct Asker {
    /// As records name them, or in words.
    who: String,
    principal: Principal,
    /// What a function must accept for it to be somebody; none where it needs no credential for that.
    proof: Option<String>,
    /// Whether it is somebody for functions alone.
    calls_alone: bool,
    /// Whether an issuer says more of it.
    claims: bool,
}

impl Platform {
    /// Who may do something: each principal with a live token or session, each function, each credential that the
    /// tenant's identity configuration names, one of each role with a credential of all scopes, and who has no
    /// credential. Of a function, those whose credential it accepts.
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
        let asked = |asker: Asker| self.reached(&view, &asker, action, resource).transpose();
        let found: Vec<Reached> =
            self.askers(&view, tenant).into_iter().filter_map(asked).collect::<Result<_, _>>()?;
        if found.is_empty() {
            let message = format!("`{action}` is not asked of `{resource}`");
            return Err(ControlError::Invalid { code: "bad-question", message });
        }
        Ok(found)
    }

    /// What somebody may do: each action on the tenant and on each of its functions. The principal is one that
    /// [`Platform::who_can`] ranges over, or one of a subject that an entry of the identity configuration could
    /// prove (`corp:alice`), by its name or as records name it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn what_can(&self, ctx: Ctx<'_>, tenant: &TenantId, who: &str) -> Result<Vec<Reached>, ControlError> {
        let view = self.view_to_read(ctx, tenant)?;
        let all = self.askers(&view, tenant);
        let mut chosen: Vec<_> =
            all.iter().filter(|asker| asker.who == who || asker.principal.name == who).cloned().collect();
        if chosen.is_empty() {
            chosen.extend(all.iter().find_map(|asker| asker.named(who)));
        }
        if chosen.is_empty() {
            let who: String = who.chars().take(80).collect();
            let message = format!("principal `{who}` with a live token or session, or of a known credential");
            return Err(ControlError::NotFound(message));
        }
        let mut found = Vec::new();
        for asker in &chosen {
            for action in Action::ALL {
                let functions = view.functions.keys().map(|name| Resource::Function(tenant, name));
                for resource in std::iter::once(Resource::Tenant(tenant)).chain(functions) {
                    found.extend(self.reached(&view, asker, *action, resource)?);
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
        asker: &Asker,
        action: Action,
        resource: Resource<'_>,
    ) -> Result<Option<Reached>, ControlError> {
        let principal = &asker.principal;
        let source = std::net::Ipv4Addr::UNSPECIFIED.into();
        let now = self.clock.now();
        let (on_behalf_of, chain, proof) = ("", &[][..], policy::Proof::default());
        let context =
            Context { method: "", path: "", host: "", source, tls: true, on_behalf_of, chain, now, proof };
        let question = Question { principal, action, resource, context: &context };
        let slice = match (action, resource) {
            (Action::Invoke, Resource::Function(_, name)) => {
                let target = &view.functions.get(name).ok_or_else(|| not_found(name))?.target;
                let accepted = &target.revision.access.accept;
                if asker.proof.as_ref().is_some_and(|proof| !accepted.contains(proof)) {
                    return Ok(None);
                }
                &target.slice
            }
            _ if asker.calls_alone => return Ok(None),
            _ => &view.control,
        };
        if !slice.is_asked(&question) {
            return Ok(None);
        }
        let reach = slice.reach(&question, asker.claims).map_err(ControlError::Internal)?;
        let (roles, scopes) = (principal.roles.clone(), principal.scopes.clone());
        Ok(Some(Reached {
            who: asker.who.clone(),
            roles,
            scopes,
            action,
            resource: resource.to_string(),
            reach,
        }))
    }

    fn askers(&self, view: &View, tenant: &TenantId) -> Vec<Asker> {
        let mut all = self.known(tenant);
        let function = |name: &FunctionName| function(tenant, name.as_str());
        all.extend(
            view.functions
                .keys()
                .map(function)
                .map(|principal| Asker::bare(principal.to_string(), principal)),
        );
        let identity = self.catalog.home(tenant).and_then(|home| home.identity.now());
        all.extend(identity.iter().flat_map(|now| now.identity.proves()).map(Asker::proved));
        all.extend(stand_ins(tenant));
        all
    }

    /// The principals with a live token or session, each with each set of roles and scopes once.
    fn known(&self, tenant: &TenantId) -> Vec<Asker> {
        let now = self.clock.now();
        let live = |token: &identity::TokenRecord| token.revoked_at.is_none() && token.expires_at > now;
        let tokens = self.tokens.tokens(tenant).into_iter().filter(live);
        let tokens = tokens.map(|token| ("token", token.principal()));
        let sessions = self.sessions.sessions(tenant).into_iter().filter(|session| session.is_live(now));
        let sessions = sessions.map(|session| ("session", session.principal()));
        let mut seen = BTreeSet::new();
        let askers = tokens.chain(sessions).map(|(proof, principal)| {
            let principal = Principal { token: None, ..principal };
            Asker { proof: Some(proof.to_owned()), ..Asker::bare(principal.to_string(), principal) }
        });
        let key = |asker: &Asker| {
            (asker.who.clone(), asker.principal.roles.clone(), asker.principal.scopes.clone())
        };
        askers.filter(|asker| seen.insert(key(asker))).collect()
    }
}

impl Asker {
    fn bare(who: String, principal: Principal) -> Self {
        Self { who, principal, proof: None, calls_alone: false, claims: false }
    }

    fn proved(by: identity::Proves) -> Self {
        let principal = Principal::clone(&by.principal);
        let who = match by.many {
            true => format!("any {:?} that `{}` proves", principal.kind, by.word),
            false => principal.to_string(),
        };
        let proof = Some(by.word);
        Self { proof, calls_alone: true, claims: by.claims, ..Self::bare(who, principal) }
    }

    /// The one of that name among the many that this one stands for.
    fn named(&self, who: &str) -> Option<Self> {
        let (entry, _) = self.principal.name.split_once(':').filter(|(_, subject)| *subject == ANYONE)?;
        let at = who.find(&format!("{entry}:"))?;
        let name = who.get(at..)?.trim_end_matches('"');
        let principal = Principal { name: name.to_owned(), ..self.principal.clone() };
        let shown = principal.to_string();
        (who == name || who == shown).then(|| Self { who: shown, principal, ..self.clone() })
    }
}

fn function(tenant: &TenantId, name: &str) -> Principal {
    Principal {
        kind: PrincipalKind::Function,
        tenant: Some(tenant.clone()),
        name: name.to_owned(),
        roles: Vec::new(),
        scopes: vec!["*".to_owned()],
        token: None,
    }
}

/// One principal of each kind that no token names.
fn stand_ins(tenant: &TenantId) -> Vec<Asker> {
    let user = |who: String, roles: Vec<Role>| {
        let principal = Principal { kind: PrincipalKind::User, roles, ..function(tenant, ANYONE) };
        Asker { proof: Some("token".to_owned()), ..Asker::bare(who, principal) }
    };
    let mut all: Vec<_> = Role::ALL
        .iter()
        .map(|role| user(format!("any User with the role {}", role.as_str()), vec![*role]))
        .collect();
    all.push(user("any User without a role".to_owned(), Vec::new()));
    all.push(Asker::bare("any Function of the tenant".to_owned(), function(tenant, ANYONE)));
    all.push(Asker::bare("Anonymous::\"anonymous\"".to_owned(), Principal::anonymous()));
    all
}
