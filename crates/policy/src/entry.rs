//! Policies read from text: parsed, named, checked against the schema, with what their scopes and conditions
//! look at. It never decides.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint,
    ResourceConstraint, ValidationMode, ValidationWarning, Validator,
};
use cedar_policy_core::ast::Expr;
use model::{PrincipalKind, TenantId, limits};
use serde_json::Value;

use crate::{
    Action,
    errors::{PolicyError, PolicyErrors},
    est,
    question::{Uses, kind_name},
    shipped::Shipped,
};

/// Where a policy comes from; its id begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    Guard,
    Role,
    Tenant,
    Preset,
    Function,
    Glass,
}

/// One policy, ready to be put into slices.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: Arc<str>,
    pub(crate) layer: Layer,
    pub(crate) policy: Policy,
    /// Its Cedar text, as it was written.
    pub(crate) text: Arc<str>,
    /// The same without line breaks.
    line: OnceLock<String>,
    pub(crate) uses: Uses,
    pub(crate) principal: PrincipalConstraint,
    pub(crate) action: ActionConstraint,
    pub(crate) resource: ResourceConstraint,
    /// All its conditions as one, without places in its text: Cedar carries those along with each value. None where
    /// there is no condition.
    pub(crate) condition: Option<Arc<Expr>>,
    /// Its parts, each with what it says, once somebody asks which of them fails.
    pub(crate) parts: OnceLock<Vec<Clause>>,
}

/// One part of a policy, ready to be evaluated by itself.
#[derive(Debug)]
pub(crate) struct Clause {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
    /// What holds where the part does.
    pub(crate) condition: Expr,
}

impl Entry {
    /// The parts of its scope and its conditions, one by one.
    pub(crate) fn parts(&self) -> &[Clause] {
        self.parts.get_or_init(|| match self.text.len() <= SHALLOW_BYTES_MAX {
            true => self.read_parts(),
            false => deep(|| self.read_parts()).unwrap_or_default(),
        })
    }

    /// Its text without line breaks.
    pub(crate) fn line(&self) -> &str {
        self.line.get_or_init(|| est::one_line(&self.text))
    }

    fn read_parts(&self) -> Vec<Clause> {
        let Ok(whole) = est::of(&self.policy) else { return Vec::new() };
        let clause = |part: est::Part| {
            let policy = Policy::from_json(Some(PolicyId::new(&*self.id)), part.policy.clone()).ok()?;
            let text = est::text_of(&part, &policy);
            Some(Clause { kind: part.kind, text, condition: policy.as_ref().condition() })
        };
        est::parts(&whole).into_iter().filter_map(clause).collect()
    }

    pub(crate) fn permits(&self) -> bool {
        self.policy.effect() == Effect::Permit
    }

    /// Whether its scope can hold for an action.
    pub(crate) fn speaks_of_action(&self, action: Action) -> bool {
        let is = |uid: &EntityUid| uid.id().unescaped() == action.as_str();
        match &self.action {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => is(uid),
            ActionConstraint::In(list) => list.iter().any(is),
        }
    }

    /// Whether its scope can hold for a kind of principal.
    pub(crate) fn speaks_of_kind(&self, kind: PrincipalKind) -> bool {
        let kind = kind_name(kind);
        match &self.principal {
            PrincipalConstraint::Any | PrincipalConstraint::In(_) => true,
            PrincipalConstraint::Eq(uid) => uid.type_name().basename() == kind,
            PrincipalConstraint::Is(name) | PrincipalConstraint::IsIn(name, _) => name.basename() == kind,
        }
    }

    /// Whether its scope can hold for a function of a tenant.
    pub(crate) fn speaks_of_function(&self, tenant: &str, function: &str) -> bool {
        let is = |uid: &EntityUid| {
            let id = uid.id().unescaped();
            match uid.type_name().basename() {
                "Tenant" => id == tenant,
                // A function that calls itself is in the roles that it has.
                "Role" => true,
                "Function" => id.split_once('/') == Some((tenant, function)),
                _ => false,
            }
        };
        match &self.resource {
            ResourceConstraint::Any => true,
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => is(uid),
            ResourceConstraint::Is(name) => name.basename() == "Function",
            ResourceConstraint::IsIn(name, uid) => name.basename() == "Function" && is(uid),
        }
    }
}

/// A tenant's own policies, proved valid.
#[derive(Debug, Clone)]
pub struct TenantPolicies {
    pub(crate) tenant: TenantId,
    pub(crate) entries: Arc<[Arc<Entry>]>,
    /// Permits that end by themselves, which are not the tenant's text.
    pub(crate) glass: Arc<[Arc<Entry>]>,
}

impl TenantPolicies {
    /// A tenant without policies of its own.
    pub fn none(tenant: TenantId) -> Self {
        Self { tenant, entries: Arc::new([]), glass: Arc::new([]) }
    }

    /// Reads a tenant's policies. Each is named `tenant/N` by its place, or `tenant/ID` by its annotation
    /// `@id("ID")`. They may speak of every action but `managePolicy`: who may change the policies is said
    /// by roles alone, so that no tenant locks itself out or lets someone in by the back door.
    ///
    /// # Errors
    /// Everything that is wrong: too long, no Cedar, templates, unknown entities, actions or attributes,
    /// types that do not fit, policies that can never apply.
    pub fn parse(tenant: TenantId, text: &str) -> Result<Self, PolicyErrors> {
        let entries = read(&Shipped::get()?.validator, text, Layer::Tenant)?;
        let errors: Vec<_> = entries.iter().filter_map(|entry| speaks_of_policies(entry)).collect();
        if errors.is_empty() {
            Ok(Self { tenant, entries: entries.into(), glass: Arc::new([]) })
        } else {
            Err(PolicyErrors(errors))
        }
    }

    /// Whose they are.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Id and text of each, in their order.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (&*entry.id, &*entry.text))
    }
}

fn speaks_of_policies(entry: &Entry) -> Option<PolicyError> {
    let named = !matches!(entry.action, ActionConstraint::Any);
    (named && entry.speaks_of_action(Action::ManagePolicy)).then(|| {
        PolicyError::new("a tenant's policies have no say over `managePolicy`")
            .of(&entry.id)
            .suggest("give the role `owner` instead")
    })
}

/// Reads a function's own policies (`function/N` or `function/ID`), which may speak of `invoke` on that
/// function alone.
pub(crate) fn read_function(
    tenant: &str,
    function: &str,
    text: &str,
) -> Result<Vec<Arc<Entry>>, PolicyErrors> {
    let shipped = Shipped::get()?;
    let entries = read(&shipped.validator, text, Layer::Function)?;
    let mut errors = Vec::new();
    for entry in &entries {
        let invoke = match &entry.action {
            ActionConstraint::Eq(uid) => uid.id().unescaped() == "invoke",
            _ => false,
        };
        if !invoke {
            errors.push(
                PolicyError::new("a function's policy speaks of `invoke` alone")
                    .of(&entry.id)
                    .suggest("write `action == Action::\"invoke\"`"),
            );
        }
        if !entry.speaks_of_function(tenant, function) {
            errors.push(
                PolicyError::new("a function's policy speaks of that function alone")
                    .of(&entry.id)
                    .suggest("write `resource` without naming another"),
            );
        }
    }
    if entries.is_empty() {
        errors.push(
            PolicyError::new("there is no policy in the text")
                .suggest("write `allow = \"nobody\"` if nobody is to be let in"),
        );
    }
    if errors.is_empty() { Ok(entries) } else { Err(PolicyErrors(errors)) }
}

/// Stack for reading policies, in bytes. Where the stack runs low, Cedar's type checker stops *without an
/// error* and passes what it has not looked at. With this much, text within [`OPERATORS_MAX`] never gets there.
const READ_STACK_BYTES: usize = 32 << 20;

/// A text that is no longer cannot be nested so deep that reading it again wants that stack.
const SHALLOW_BYTES_MAX: usize = 256;

/// Parses, names and validates the policies of a text, on a stack of its own.
pub(crate) fn read(validator: &Validator, text: &str, layer: Layer) -> Result<Vec<Arc<Entry>>, PolicyErrors> {
    bounded(text)?;
    deep(|| read_here(validator, text, layer))
        .unwrap_or_else(|| Err(PolicyErrors::from(PolicyError::new("the policies could not be read"))))
}

/// Does something that recurses as deep as policies are nested, on a stack that is deep enough; nothing where there
/// is no thread for it.
pub(crate) fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(READ_STACK_BYTES);
        reader.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

fn read_here(validator: &Validator, text: &str, layer: Layer) -> Result<Vec<Arc<Entry>>, PolicyErrors> {
    let policies = parse(text, layer)?;
    let set = PolicySet::from_policies(policies.iter().cloned())
        .map_err(|error| PolicyError::new(error.to_string()))?;
    validate(validator, &set, text, layer)?;
    policies.into_iter().map(|policy| entry(policy, layer).map(Arc::new)).collect()
}

/// Brackets within brackets, at most.
const NESTING_MAX: usize = 64;
/// Operators, brackets and conditions of one policy, at most. Cedar's reader, type checker and evaluator
/// recurse once for each in a chain, and a thread's stack is all they have.
const OPERATORS_MAX: usize = 400;

fn parse(text: &str, layer: Layer) -> Result<Vec<Policy>, PolicyErrors> {
    let set: PolicySet = text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        PolicyErrors(errors.iter().map(|error| PolicyError::from_cedar(text, error)).collect())
    })?;
    if set.num_of_templates() > 0 {
        let error = PolicyError::new("templates (`?principal`, `?resource`) are not taken");
        return Err(error.suggest("name the principal or the resource").into());
    }
    // The parser names them `policy0`, `policy1`, … by their place.
    let place = |policy: &Policy| -> usize {
        policy.id().to_string().trim_start_matches("policy").parse().unwrap_or(usize::MAX)
    };
    let mut policies: Vec<_> = set.policies().map(|policy| (place(policy), policy)).collect();
    policies.sort_by_key(|(place, _)| *place);
    let mut taken = HashSet::new();
    let mut named = Vec::with_capacity(policies.len());
    for (place, policy) in policies {
        let id = name(layer, place, policy.annotation("id"))?;
        if !taken.insert(id.clone()) {
            return Err(PolicyError::new(format!("two policies are named `{id}`")).into());
        }
        named.push(policy.new_id(PolicyId::new(id)));
    }
    Ok(named)
}

/// Shipped policies carry their whole id; others get their layer's prefix, so that none can pass for a guard.
fn name(layer: Layer, place: usize, annotation: Option<&str>) -> Result<String, PolicyError> {
    let plain = |id: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        (1..=64).contains(&id.len()) && id.bytes().all(fits)
    };
    let prefix = match layer {
        Layer::Guard | Layer::Role | Layer::Preset => return Ok(annotation.unwrap_or_default().to_owned()),
        Layer::Tenant => "tenant",
        Layer::Function => "function",
        Layer::Glass => "glass",
    };
    match annotation {
        None => Ok(format!("{prefix}/{place}")),
        Some(id) if plain(id) && !(layer == Layer::Function && id.starts_with("preset-")) => {
            Ok(format!("{prefix}/{id}"))
        }
        Some(id) => {
            let id: String = id.chars().take(80).collect();
            Err(PolicyError::new(format!("`@id(\"{id}\")` is no id"))
                .suggest("write 1 to 64 characters of a-z, A-Z, 0-9, `-`, `_` and `.`"))
        }
    }
}

/// Refuses text that is nested deeper, or chained longer, than anyone writes by hand. It reads strings and
/// comments as Cedar does; within the rest it counts each byte that an operator or a bracket begins with.
fn bounded(text: &str) -> Result<(), PolicyError> {
    if text.len() as u64 > limits::POLICY_BYTES_MAX {
        return Err(PolicyError::new(format!(
            "policies have at most {} bytes of text",
            limits::POLICY_BYTES_MAX
        )));
    }
    let (mut depth, mut operators) = (0_usize, 0_usize);
    let mut quoted = false;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if quoted => drop(bytes.next()),
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'/' if bytes.peek() == Some(&b'/') => while bytes.next_if(|b| *b != b'\n').is_some() {},
            b'(' | b'[' | b'{' => (depth, operators) = (depth + 1, operators + 1),
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' => operators = 0,
            b'i' if bytes.peek() == Some(&b'f') => operators += 1,
            b'!' | b'-' | b'&' | b'|' | b'+' | b'*' | b'.' => operators += 1,
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(PolicyError::new(format!("the text is nested more than {NESTING_MAX} deep")));
        }
        if operators > 2 * OPERATORS_MAX {
            let message = format!("one policy has more than {OPERATORS_MAX} operators and brackets");
            return Err(PolicyError::new(message).suggest("split it"));
        }
    }
    Ok(())
}

fn validate(validator: &Validator, set: &PolicySet, text: &str, layer: Layer) -> Result<(), PolicyErrors> {
    let result = validator.validate(set, ValidationMode::Strict);
    let mut errors: Vec<_> = result
        .validation_errors()
        .map(|error| without_prefix(PolicyError::from_cedar(text, error), error.policy_id()))
        .collect();
    if matches!(layer, Layer::Tenant | Layer::Function) {
        let grave = |w: &&ValidationWarning| !matches!(w, ValidationWarning::MixedScriptString(_));
        errors.extend(
            result
                .validation_warnings()
                .filter(grave)
                .map(|warning| without_prefix(PolicyError::from_cedar(text, warning), warning.policy_id())),
        );
    }
    errors.sort_by_key(|error| error.at);
    errors.dedup();
    if errors.is_empty() { Ok(()) } else { Err(PolicyErrors(errors)) }
}

/// Cedar's messages say ``for policy `ID`, ``; we name the policy ourselves.
fn without_prefix(mut error: PolicyError, id: &PolicyId) -> PolicyError {
    let prefix = format!("for policy `{id}`, ");
    error.message = error.message.replace(&prefix, "");
    error.suggestion = error.suggestion.map(|text| text.replace(&prefix, ""));
    error.of(id.as_ref())
}

fn entry(policy: Policy, layer: Layer) -> Result<Entry, PolicyErrors> {
    let id: Arc<str> = policy.id().to_string().into();
    let said = |error: &dyn std::fmt::Display| PolicyError::new(error.to_string()).of(&id);
    let json = policy.to_json().map_err(|error| said(&error))?;
    let bare = Policy::from_json(None, json.clone()).map_err(|error| said(&error))?;
    let mut uses = Uses::default();
    look(json.get("conditions").unwrap_or(&json), &mut uses);
    Ok(Entry {
        layer,
        text: policy.to_string().into(),
        line: OnceLock::new(),
        uses,
        principal: policy.principal_constraint(),
        action: policy.action_constraint(),
        resource: policy.resource_constraint(),
        condition: bare.as_ref().non_scope_constraints_arc().cloned(),
        parts: OnceLock::new(),
        policy,
        id,
    })
}

/// Walks a policy's JSON form for the attributes of the context that it looks at. The context as a whole
/// counts as all of them. Too few found would be an error when evaluated, and an error is a denial.
fn look(node: &Value, uses: &mut Uses) {
    match node {
        Value::Array(list) => list.iter().for_each(|node| look(node, uses)),
        Value::Object(object) => {
            for (name, inner) in object {
                let attribute = inner.get("attr").and_then(Value::as_str);
                match attribute {
                    Some(attribute)
                        if (name == "." || name == "has") && inner.get("left").is_some_and(is_context) =>
                    {
                        *uses = uses.with(Uses::named(attribute));
                    }
                    _ if name == "Var" && inner == "context" => *uses = Uses::ALL,
                    _ => look(inner, uses),
                }
            }
        }
        _ => {}
    }
}

fn is_context(node: &Value) -> bool {
    node.get("Var").is_some_and(|var| var == "context")
}

#[cfg(test)]
mod tests;
