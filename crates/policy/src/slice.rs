//! The policies that can matter for one function, one tenant or the node, and the only place where a question
//! is decided. It never keeps a decision beyond the policies that made it: new policies make a new slice.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use cedar_policy::{Authorizer, PolicySet};
use cedar_policy_core::{
    ast::{Literal, ValueKind},
    evaluator::Evaluator,
};
use model::manifest::Preset;
use model::{Access, FunctionName, Revision, RevisionNumber, TenantId, Waiver};

use crate::{
    Action, Denial, Permit, PolicyErrors, Question, Reason, Resource, Seen, TenantPolicies,
    cache::{Cache, Decision},
    entry::{self, Entry, Layer},
    permit::Why,
    question::{KINDS, Uses, kind_index},
    shipped::Shipped,
    terms::{Asked as InTerms, Ground},
};
use heads::{Heads, Names};

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
    entries: Vec<Arc<Entry>>,
    heads: Heads,
    uses: Uses,
    /// What any policy of the action looks at, of whatever kind of principal it speaks.
    seen: Uses,
    /// All of them for Cedar's authorizer, where one fails and its error is to be told.
    set: OnceLock<Result<PolicySet, String>>,
}

/// Compiled policies for one function, one tenant's control plane, or the node. Cheap to ask, immutable but
/// for its memory of decisions; shared behind an `Arc`.
#[derive(Debug)]
pub struct Slice {
    subject: Subject,
    entries: Vec<Arc<Entry>>,
    prepared: Box<[OnceLock<Prepared>]>,
    /// The one function that it is about.
    ground: OnceLock<Result<Ground, String>>,
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
        Self { subject, entries, prepared, ground: OnceLock::new(), cache: Cache::default() }
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

    /// What the decision of a question can see, for the record; nothing where it is not asked of these policies.
    pub fn seen<'a>(&self, question: &Question<'a>) -> Option<Seen<'a>> {
        let uses = self.prepared(question).ok()?.seen;
        Some(Seen::of(question, self.revision(), uses))
    }

    const fn revision(&self) -> Option<RevisionNumber> {
        match &self.subject {
            Subject::Function { revision, .. } => Some(*revision),
            Subject::Node | Subject::Tenant(_) => None,
        }
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
        let (revision, action, at) = (self.revision(), question.action, question.context.now);
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

    fn prepared(&self, question: &Question<'_>) -> Result<&Prepared, &'static str> {
        if !self.covers(question) {
            return Err("these policies do not speak of it");
        }
        let (kind, action) = (question.principal.kind, question.action);
        let cell = self.prepared.get(kind_index(kind) * Action::ALL.len() + action as usize);
        let cell = cell.ok_or("the action is not known")?;
        Ok(cell.get_or_init(|| self.prepare(question)))
    }

    fn prepare(&self, question: &Question<'_>) -> Prepared {
        let (kind, action) = (question.principal.kind, question.action);
        let matters = |entry: &&Arc<Entry>| {
            let own_say = entry.layer == Layer::Tenant && action == Action::ManagePolicy;
            entry.speaks_of_kind(kind) && entry.speaks_of_action(action) && !own_say
        };
        let entries: Vec<_> = self.entries.iter().filter(matters).cloned().collect();
        let uses = entries.iter().fold(Uses::default(), |uses, entry| uses.with(entry.uses));
        let of_action = self.entries.iter().filter(|entry| entry.speaks_of_action(action));
        let seen = of_action.fold(Uses::default(), |uses, entry| uses.with(entry.uses));
        let resource = match question.resource {
            Resource::Node => "node".to_owned(),
            Resource::Tenant(tenant) => tenant.to_string(),
            Resource::Function(tenant, name) => format!("{tenant}/{name}"),
        };
        let one = matches!(self.subject, Subject::Function { .. });
        let heads = Heads::of(question, one, Names { principal: "", resource: &resource }, &entries);
        Prepared { heads, entries, uses, seen, set: OnceLock::new() }
    }

    fn evaluate(&self, question: &Question<'_>, prepared: &Prepared) -> Decision {
        let asked = match self.ask(question, prepared.uses) {
            Ok(asked) => asked,
            Err(error) => return Decision::Denied(Arc::new(undecidable(question, &error))),
        };
        let evaluator = asked.evaluator();
        let Some(holding) = prepared.holding(question, &asked, &evaluator) else {
            return Decision::Denied(Arc::new(prepared.failed(question, &asked)));
        };
        let forbids: Vec<&Arc<Entry>> = holding.iter().filter(|entry| !entry.permits()).copied().collect();
        let principal: Arc<str> = question.principal.to_string().into();
        if forbids.is_empty() && !holding.is_empty() {
            let policies = holding.iter().map(|entry| Arc::clone(&entry.id)).collect();
            return Decision::Permitted { principal, policies };
        }
        let (reason, clause) = match forbids.first() {
            Some(entry) => (Reason::Forbidden, entry.text.to_string()),
            None => (Reason::NoPermit, explain::no_permit(prepared, &asked, &evaluator)),
        };
        let policies = forbids.iter().map(|entry| entry.id.to_string()).collect();
        let (action, resource, errors) = (question.action, question.resource.to_string(), Vec::new());
        Decision::Denied(Arc::new(Why { reason, principal, action, resource, policies, clause, errors }))
    }

    fn ask(&self, question: &Question<'_>, uses: Uses) -> Result<InTerms, String> {
        let terms = &Shipped::get().map_err(|errors| errors.to_string())?.terms;
        let Subject::Function { waiver, .. } = &self.subject else {
            return terms.ask(question, &terms.ground(question.resource, None)?, uses);
        };
        // Of a function's slice nothing else is asked.
        let ground = self.ground.get_or_init(|| terms.ground(question.resource, waiver.as_ref()));
        terms.ask(question, ground.as_ref().map_err(Clone::clone)?, uses)
    }
}

impl Prepared {
    /// The policies that hold, in their order; none where one of them cannot be evaluated.
    fn holding(
        &self,
        question: &Question<'_>,
        asked: &InTerms,
        evaluator: &Evaluator<'_>,
    ) -> Option<Vec<&Arc<Entry>>> {
        let names =
            Names { principal: asked.principal.eid().as_ref(), resource: asked.resource.eid().as_ref() };
        let (mut holding, mut failed) = (Vec::with_capacity(4), false);
        self.heads.each(question, names, |number| {
            match self.entries.get(number).map(|e| e.holds(evaluator)) {
                Some(Some(true)) => holding.push(number),
                Some(Some(false)) => {}
                Some(None) | None => failed = true,
            }
        });
        holding.sort_unstable();
        (!failed).then(|| holding.into_iter().filter_map(|number| self.entries.get(number)).collect())
    }

    /// What Cedar's authorizer says where a policy cannot be evaluated, which means no.
    fn failed(&self, question: &Question<'_>, asked: &InTerms) -> Why {
        let set = self.set.get_or_init(|| {
            let policies = self.entries.iter().map(|entry| entry.policy.clone());
            PolicySet::from_policies(policies).map_err(|error| error.to_string())
        });
        let set = match set {
            Ok(set) => set,
            Err(error) => return undecidable(question, error),
        };
        let (request, entities) = asked.whole();
        let response = Authorizer::new().is_authorized(&request, set, &entities);
        let permitted = response.decision() == cedar_policy::Decision::Allow;
        let deciding: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        let deciding =
            self.entries.iter().filter(|entry| !permitted && deciding.contains(&entry.id.to_string()));
        Why {
            policies: deciding.map(|entry| entry.id.to_string()).collect(),
            clause: "the policies could not be evaluated".to_owned(),
            errors: response.diagnostics().errors().map(ToString::to_string).collect(),
            ..undecidable(question, "")
        }
    }
}

impl Entry {
    /// Whether its conditions hold, whatever its head says; none where they cannot be evaluated.
    fn holds(&self, evaluator: &Evaluator<'_>) -> Option<bool> {
        let Some(condition) = &self.condition else { return Some(true) };
        match evaluator.interpret(condition, &HashMap::new()).ok()?.value_kind() {
            ValueKind::Lit(Literal::Bool(holds)) => Some(*holds),
            _ => None,
        }
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

mod change;
mod explain;
mod heads;
mod reach;

pub use change::{Asked, Difference};
pub use explain::{Considered, Explanation, Part};
pub use reach::Reach;

#[cfg(test)]
mod tests;
