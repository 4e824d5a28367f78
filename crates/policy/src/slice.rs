//! The policies that can matter for one function, one tenant or the node, and the only place where a question
//! is decided. It never keeps a decision beyond the policies that made it: new policies make a new slice.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use cedar_policy::{
    Authorizer, Context as CedarContext, Decision as CedarDecision, Entities, Entity, EntityId, EntityUid,
    PolicySet, Request, RestrictedExpression,
};
use model::manifest::Preset;
use model::{
    Access, FunctionName, Principal, PrincipalKind, Revision, RevisionNumber, TenantId, Timestamp, Waiver,
};

use crate::{
    Action, Denial, Permit, PolicyErrors, Question, Reason, Resource, TenantPolicies,
    cache::{Cache, Decision},
    entry::{self, Entry, Layer},
    permit::Why,
    question::{KINDS, Proof, Uses, kind_index},
    shipped::Shipped,
};

/// Text of a tenant's and a function's policies in one slice, in bytes: what a decision that is not
/// remembered has to walk through, on a thread that serves others too.
const SLICE_BYTES_MAX: usize = 128 * 1024;

/// What a slice can be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Node,
    Tenant(TenantId),
    Function { tenant: TenantId, name: FunctionName, revision: RevisionNumber, waiver: Option<Waiver> },
}

/// The policies that can hold for one kind of principal and one action.
#[derive(Debug)]
struct Prepared {
    set: PolicySet,
    entries: Vec<Arc<Entry>>,
    uses: Uses,
}

/// Compiled policies for one function, one tenant's control plane, or the node. Cheap to ask, immutable but
/// for its memory of decisions; shared behind an `Arc`.
#[derive(Debug)]
pub struct Slice {
    subject: Subject,
    entries: Vec<Arc<Entry>>,
    prepared: Box<[OnceLock<Result<Prepared, String>>]>,
    cache: Cache,
}

/// Checks who may call, as a manifest says it, without making a slice.
///
/// # Errors
/// As [`Slice::for_function`].
pub fn check_access(tenant: &TenantId, function: &FunctionName, access: &Access) -> Result<(), PolicyErrors> {
    own_policies(tenant, function, access).map(|_| ())
}

impl Slice {
    /// The slice that decides calls of one revision: guards, roles, those of the tenant's policies that can
    /// matter for it, and its own.
    ///
    /// # Errors
    /// Everything that is wrong with the function's own policies; more text than a slice holds.
    pub fn for_function(revision: &Revision, policies: &TenantPolicies) -> Result<Self, PolicyErrors> {
        Self::for_access((&revision.tenant, &revision.function, revision.number), &revision.access, policies)
    }

    /// The same for a function that need not be deployed, with who may call it as its manifest says it.
    ///
    /// # Errors
    /// As [`Slice::for_function`].
    pub fn for_access(
        (tenant, function, revision): (&TenantId, &FunctionName, RevisionNumber),
        access: &Access,
        policies: &TenantPolicies,
    ) -> Result<Self, PolicyErrors> {
        let shipped = Shipped::get()?;
        let own = own_policies(tenant, function, access)?;
        let all = shipped.guards.iter().chain(&shipped.roles).chain(tenant_entries(policies, tenant)?);
        let mut entries: Vec<_> = all
            .filter(|entry| {
                entry.speaks_of_action(Action::Invoke)
                    && entry.speaks_of_function(tenant.as_str(), function.as_str())
            })
            .cloned()
            .collect();
        entries.extend(own);
        bounded(&entries)?;
        let subject = Subject::Function {
            tenant: tenant.clone(),
            name: function.clone(),
            revision,
            waiver: access.waiver.clone(),
        };
        Ok(Self::new(subject, entries))
    }

    /// The slice that decides control actions on a tenant and its functions: guards, roles, those of the
    /// tenant's policies that speak of such actions. Calls of functions are not asked of it.
    ///
    /// # Errors
    /// More text than a slice holds.
    pub fn for_tenant(policies: &TenantPolicies) -> Result<Self, PolicyErrors> {
        let shipped = Shipped::get()?;
        let control = |entry: &&Arc<Entry>| {
            let mut actions = Action::ALL.iter().filter(|action| **action != Action::Invoke);
            actions.any(|action| entry.speaks_of_action(*action))
        };
        let own = policies.entries.iter().chain(policies.glass.iter()).filter(control);
        let entries: Vec<_> = shipped.guards.iter().chain(&shipped.roles).chain(own).cloned().collect();
        bounded(&entries)?;
        Ok(Self::new(Subject::Tenant(policies.tenant().clone()), entries))
    }

    /// The slice that decides actions on the node: guards and roles alone.
    ///
    /// # Errors
    /// If the shipped policies are broken.
    pub fn for_node() -> Result<Self, PolicyErrors> {
        let shipped = Shipped::get()?;
        Ok(Self::new(Subject::Node, shipped.guards.iter().chain(&shipped.roles).cloned().collect()))
    }

    fn new(subject: Subject, entries: Vec<Arc<Entry>>) -> Self {
        let cells = KINDS.len() * Action::ALL.len();
        let prepared = std::iter::repeat_with(OnceLock::new).take(cells).collect();
        Self { subject, entries, prepared, cache: Cache::default() }
    }

    /// Id and text of each policy in force, the guards first.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (&*entry.id, &*entry.text))
    }

    /// Decides one question. Default is no; so is every error.
    ///
    /// # Errors
    /// [`Denial`], with the reason, the policies and the clause.
    pub fn decide(&self, question: &Question<'_>) -> Result<Permit, Denial> {
        self.decide_with(question, true)
    }

    fn decide_with(&self, question: &Question<'_>, remember: bool) -> Result<Permit, Denial> {
        let prepared = match self.prepared(question) {
            Ok(prepared) => prepared,
            Err(error) => return Err(Denial(Arc::new(undecidable(question, error)))),
        };
        let key = question.key(prepared.uses);
        let known = if remember { self.cache.get(&key) } else { None };
        let decision = known.unwrap_or_else(|| {
            let decision = self.evaluate(question, prepared);
            if remember {
                self.cache.put(&key, decision.clone());
            }
            decision
        });
        match decision {
            Decision::Permitted { principal, policies } => Ok(self.permit(question, principal, policies)),
            Decision::Denied(why) => Err(Denial(why)),
        }
    }

    fn permit(&self, question: &Question<'_>, principal: Arc<str>, policies: Arc<[Arc<str>]>) -> Permit {
        let (tenant, function) = match question.resource {
            Resource::Node => (None, None),
            Resource::Tenant(tenant) => (Some(tenant.clone()), None),
            Resource::Function(tenant, function) => (Some(tenant.clone()), Some(function.clone())),
        };
        let revision = match &self.subject {
            Subject::Function { revision, .. } => Some(*revision),
            Subject::Node | Subject::Tenant(_) => None,
        };
        let (action, at) = (question.action, question.context.now);
        Permit { tenant, function, revision, action, principal, policies, at }
    }

    /// Whether this slice is the one to ask.
    fn covers(&self, question: &Question<'_>) -> bool {
        let action = question.action;
        if !action.applies_to(question.resource.kind()) {
            return false;
        }
        match (&self.subject, question.resource) {
            (Subject::Node, Resource::Node) => true,
            (Subject::Tenant(own), Resource::Tenant(tenant)) => own == tenant,
            (Subject::Tenant(own), Resource::Function(tenant, _)) => {
                own == tenant && action != Action::Invoke
            }
            (Subject::Function { tenant: own, name, .. }, Resource::Function(tenant, function)) => {
                own == tenant && name == function && action == Action::Invoke
            }
            _ => false,
        }
    }

    fn prepared(&self, question: &Question<'_>) -> Result<&Prepared, &str> {
        if !self.covers(question) {
            return Err("these policies do not speak of it");
        }
        let (kind, action) = (question.principal.kind, question.action);
        let cell = self.prepared.get(kind_index(kind) * Action::ALL.len() + action as usize);
        let cell = cell.ok_or("the action is not known")?;
        cell.get_or_init(|| self.prepare(kind, action)).as_ref().map_err(String::as_str)
    }

    fn prepare(&self, kind: PrincipalKind, action: Action) -> Result<Prepared, String> {
        let matters = |entry: &&Arc<Entry>| {
            let own_say = entry.layer == Layer::Tenant && action == Action::ManagePolicy;
            entry.speaks_of_kind(kind) && entry.speaks_of_action(action) && !own_say
        };
        let entries: Vec<_> = self.entries.iter().filter(matters).cloned().collect();
        let uses = entries.iter().fold(Uses::default(), |uses, entry| uses.with(entry.uses));
        let policies = entries.iter().map(|entry| entry.policy.clone());
        let set = PolicySet::from_policies(policies).map_err(|error| error.to_string())?;
        Ok(Prepared { set, entries, uses })
    }

    fn evaluate(&self, question: &Question<'_>, prepared: &Prepared) -> Decision {
        let (request, entities) = match self.ask(question, prepared.uses) {
            Ok(asked) => asked,
            Err(error) => return Decision::Denied(Arc::new(undecidable(question, &error))),
        };
        let response = Authorizer::new().is_authorized(&request, &prepared.set, &entities);
        let errors: Vec<String> = response.diagnostics().errors().map(|error| error.to_string()).collect();
        let deciding: HashSet<String> = response.diagnostics().reason().map(|id| id.to_string()).collect();
        let deciding: Vec<_> =
            prepared.entries.iter().filter(|entry| deciding.contains(&*entry.id)).collect();
        let principal: Arc<str> = question.principal.to_string().into();
        if response.decision() == CedarDecision::Allow && errors.is_empty() {
            let policies = deciding.iter().map(|entry| Arc::clone(&entry.id)).collect();
            return Decision::Permitted { principal, policies };
        }
        let (reason, clause) = match deciding.first() {
            _ if !errors.is_empty() => (Reason::Error, "the policies could not be evaluated".to_owned()),
            Some(entry) => (Reason::Forbidden, entry.text.to_string()),
            None => (Reason::NoPermit, explain::no_permit(prepared, &request, &entities)),
        };
        let permitted = response.decision() == CedarDecision::Allow;
        let policies = deciding.iter().filter(|_| !permitted).map(|entry| entry.id.to_string()).collect();
        let (action, resource) = (question.action, question.resource.to_string());
        Decision::Denied(Arc::new(Why { reason, principal, action, resource, policies, clause, errors }))
    }

    /// Turns a question into Cedar's terms. The context holds only what some policy looks at, so that a
    /// decision cannot depend on anything that is not in its key.
    fn ask(&self, question: &Question<'_>, uses: Uses) -> Result<(Request, Entities), String> {
        let shipped = Shipped::get().map_err(|errors| errors.to_string())?;
        let terms = Terms { shipped };
        let principal = terms.principal_uid(question.principal);
        let resource = terms.resource_uid(question.resource);
        let waiver = match &self.subject {
            Subject::Function { waiver, .. } => waiver.as_ref(),
            Subject::Node | Subject::Tenant(_) => None,
        };
        let mut entities = Vec::with_capacity(2);
        // A function that calls itself is one entity, with both halves.
        let same = principal == resource;
        if !same {
            entities.push(terms.principal(question)?);
        }
        entities.push(terms.resource(question.resource, waiver, same.then_some(question))?);
        let entities = Entities::from_entities(entities, None).map_err(|error| error.to_string())?;
        let action = terms.uid(&shipped.types.action, question.action.as_str());
        let context = terms.context(question, uses)?;
        let request = Request::new(principal, action, resource, context, None);
        Ok((request.map_err(|error| error.to_string())?, entities))
    }
}

pub(crate) fn own_policies(
    tenant: &TenantId,
    function: &FunctionName,
    access: &Access,
) -> Result<Vec<Arc<Entry>>, PolicyErrors> {
    let shipped = Shipped::get()?;
    let preset = match (access.allow, &access.policy) {
        (_, Some(text)) => return entry::read_function(tenant.as_str(), function.as_str(), text),
        (None | Some(Preset::Nobody), None) => return Ok(Vec::new()),
        (Some(Preset::Tenant), None) => "function/preset-tenant",
        (Some(Preset::Public), None) => "function/preset-public",
    };
    Ok(vec![shipped.preset(preset)?])
}

fn bounded(entries: &[Arc<Entry>]) -> Result<(), PolicyErrors> {
    let own = entries.iter().filter(|entry| matches!(entry.layer, Layer::Tenant | Layer::Function));
    let bytes: usize = own.map(|entry| entry.text.len()).sum();
    if bytes <= SLICE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("{bytes} bytes of policies speak of it, more than {SLICE_BYTES_MAX}");
    Err(crate::PolicyError::new(message).suggest("name the functions or actions that each is about").into())
}

fn tenant_entries<'a>(
    policies: &'a TenantPolicies,
    tenant: &TenantId,
) -> Result<impl Iterator<Item = &'a Arc<Entry>>, PolicyErrors> {
    if policies.tenant() != tenant {
        let message = format!("the policies are those of `{}`, not of `{tenant}`", policies.tenant());
        return Err(crate::PolicyError::new(message).into());
    }
    Ok(policies.entries.iter().chain(policies.glass.iter()))
}

fn undecidable(question: &Question<'_>, error: &str) -> Why {
    Why {
        reason: Reason::Error,
        principal: question.principal.to_string().into(),
        action: question.action,
        resource: question.resource.to_string(),
        policies: Vec::new(),
        clause: "it could not be decided".to_owned(),
        errors: vec![error.to_owned()],
    }
}

/// Builds Cedar's values.
struct Terms<'a> {
    shipped: &'a Shipped,
}

type Attributes = HashMap<String, RestrictedExpression>;

impl Terms<'_> {
    fn uid(&self, name: &cedar_policy::EntityTypeName, id: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id))
    }

    fn principal_uid(&self, principal: &Principal) -> EntityUid {
        let types = &self.shipped.types;
        let name = match principal.kind {
            PrincipalKind::User => &types.user,
            PrincipalKind::Service => &types.service,
            PrincipalKind::Function => &types.function,
            PrincipalKind::Anonymous => &types.anonymous,
        };
        match &principal.tenant {
            Some(tenant) => self.uid(name, &format!("{tenant}/{}", principal.name)),
            None => self.uid(name, &principal.name),
        }
    }

    fn resource_uid(&self, resource: Resource<'_>) -> EntityUid {
        let types = &self.shipped.types;
        match resource {
            Resource::Node => self.uid(&types.node, "node"),
            Resource::Tenant(tenant) => self.uid(&types.tenant, tenant.as_str()),
            Resource::Function(tenant, name) => self.uid(&types.function, &format!("{tenant}/{name}")),
        }
    }

    fn principal(&self, question: &Question<'_>) -> Result<Entity, String> {
        let mut attributes = Attributes::new();
        let parents = self.describe(question, &mut attributes);
        let claims = question.context.proof.attributes.into_iter().flatten();
        let tags = claims.map(|(name, values)| (name.clone(), texts(values)));
        let uid = self.principal_uid(question.principal);
        Entity::new_with_tags(uid, attributes, parents, tags).map_err(|error| error.to_string())
    }

    /// Adds a principal's attributes and says what it is in.
    fn describe(&self, question: &Question<'_>, attributes: &mut Attributes) -> HashSet<EntityUid> {
        let (types, principal) = (&self.shipped.types, question.principal);
        attributes.insert("scopes".into(), texts(&principal.scopes));
        attributes.insert("groups".into(), texts(question.context.proof.groups));
        let mut parents: HashSet<_> =
            principal.roles.iter().map(|role| self.uid(&types.role, role.as_str())).collect();
        if let Some(tenant) = &principal.tenant {
            let uid = self.uid(&types.tenant, tenant.as_str());
            attributes.insert("tenant".into(), RestrictedExpression::new_entity_uid(uid.clone()));
            attributes.insert("name".into(), RestrictedExpression::new_string(principal.name.clone()));
            parents.insert(uid);
        }
        parents
    }

    fn resource(
        &self,
        resource: Resource<'_>,
        waiver: Option<&Waiver>,
        itself: Option<&Question<'_>>,
    ) -> Result<Entity, String> {
        let uid = self.resource_uid(resource);
        let Resource::Function(tenant, name) = resource else { return Ok(Entity::with_uid(uid)) };
        let tenant = self.uid(&self.shipped.types.tenant, tenant.as_str());
        let mut attributes = Attributes::from([
            ("tenant".into(), RestrictedExpression::new_entity_uid(tenant.clone())),
            ("name".into(), RestrictedExpression::new_string(name.to_string())),
            ("scopes".into(), RestrictedExpression::new_set([])),
            ("groups".into(), RestrictedExpression::new_set([])),
        ]);
        let mut parents = itself.map_or_else(HashSet::new, |p| self.describe(p, &mut attributes));
        parents.insert(tenant);
        if let Some(waiver) = waiver {
            let record = RestrictedExpression::new_record([
                ("reason".into(), RestrictedExpression::new_string(waiver.reason.clone())),
                ("until".into(), datetime(waiver.until)),
            ]);
            attributes.insert("waiver".into(), record.map_err(|error| error.to_string())?);
        }
        Entity::new(uid, attributes, parents).map_err(|error| error.to_string())
    }

    fn context(&self, question: &Question<'_>, uses: Uses) -> Result<CedarContext, String> {
        let asked = question.context;
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let mut pairs = Vec::with_capacity(10);
        let mut add = |used, name: &str, value: &dyn Fn() -> RestrictedExpression| {
            if uses.has(used) {
                pairs.push((name.to_owned(), value()));
            }
        };
        add(Uses::METHOD, "method", &|| text(asked.method));
        add(Uses::PATH, "path", &|| text(asked.path));
        add(Uses::HOST, "host", &|| text(asked.host));
        add(Uses::SOURCE, "source", &|| {
            RestrictedExpression::new_ip(asked.source.to_canonical().to_string())
        });
        add(Uses::TLS, "tls", &|| RestrictedExpression::new_bool(asked.tls));
        add(Uses::TIME, "time", &|| datetime(asked.now));
        add(Uses::SCOPE, "scope", &|| text(question.action.as_str()));
        add(Uses::ON_BEHALF_OF, "onBehalfOf", &|| text(asked.on_behalf_of));
        if uses.has(Uses::CHAIN) {
            pairs.push(("chain".to_owned(), chain(asked.chain)?));
        }
        if uses.has(Uses::TOKEN) {
            pairs.push(("token".to_owned(), token(&asked.proof)?));
        }
        CedarContext::from_pairs(pairs).map_err(|error| error.to_string())
    }
}

fn chain(functions: &[&str]) -> Result<RestrictedExpression, String> {
    let depth = i64::try_from(functions.len()).unwrap_or(i64::MAX);
    let names = functions.iter().map(|name| RestrictedExpression::new_string((*name).to_owned()));
    let record = RestrictedExpression::new_record([
        ("depth".into(), RestrictedExpression::new_long(depth)),
        ("functions".into(), RestrictedExpression::new_set(names)),
    ]);
    record.map_err(|error| error.to_string())
}

fn texts(texts: &[String]) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.iter().map(|text| RestrictedExpression::new_string(text.clone())))
}

fn token(proof: &Proof<'_>) -> Result<RestrictedExpression, String> {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let age_s = RestrictedExpression::new_long(i64::try_from(proof.age_s).unwrap_or(i64::MAX));
    let mut members = vec![
        ("kind".to_owned(), text(proof.kind)),
        ("bound".to_owned(), RestrictedExpression::new_bool(proof.bound)),
        ("age_s".to_owned(), age_s),
    ];
    members.extend(proof.issuer.map(|issuer| ("issuer".to_owned(), text(issuer))));
    RestrictedExpression::new_record(members).map_err(|error| error.to_string())
}

/// A time cut to its second: the grain at which decisions are remembered. Both sides of a comparison are cut,
/// so a waiver ends up to a second early, never late.
fn datetime(time: Timestamp) -> RestrictedExpression {
    RestrictedExpression::new_datetime(cut_to_second(time))
}

/// A time as policies see it: `2026-11-23T10:00:00.000Z`, the milliseconds always zero.
pub(crate) fn cut_to_second(time: Timestamp) -> String {
    Timestamp::from_unix_ms(time.unix_ms() / 1_000 * 1_000).to_string()
}

mod change;
mod explain;
mod reach;

pub use change::{Asked, Difference};
pub use explain::{Considered, Explanation, Part};
pub use reach::Reach;

#[cfg(test)]
mod tests;
