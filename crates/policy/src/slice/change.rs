//! What a change of policies changes, as questions for a solver: each kind of request of which the policies before
//! and after differ. It never solves one, and what it clears by itself is certain.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use model::{Access, FunctionName, PrincipalKind, TenantId};
use serde_json::Value;

use super::{Entry, Layer, own_policies};
use crate::{
    Action, PolicyError, PolicyErrors, TenantPolicies, est,
    question::{KINDS, kind_name},
    shipped::Shipped,
};

/// Functions that are named in a fact; where there are more, the tenant is.
const NAMED_MAX: usize = 32;

/// One question: is there a request of this kind that `new` permits and `old` refuses?
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The Cedar entity type of who asks.
    pub principal: &'static str,
    /// For what.
    pub action: Action,
    /// The Cedar entity type of what is asked for.
    pub resource: &'static str,
    /// The policies that were: id and Cedar's JSON form.
    pub old: Vec<(String, Value)>,
    /// The policies that would be.
    pub new: Vec<(String, Value)>,
    /// Cedar text that forbids what no request can be, for both sides.
    pub facts: String,
    /// Cedar text that forbids what is harder to read, the strictest first: to be tried, not believed.
    pub names: Vec<String>,
    /// Ids of those that go away and whose evaluation may fail, which is a denial.
    pub may_fail: Vec<String>,
}

/// What two sets of policies say differently.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    /// Ids of policies that are new, or say something new.
    pub added: Vec<String>,
    /// Ids of policies that are gone, or said something else.
    pub removed: Vec<String>,
    /// What only a solver can answer. Where there is none, nothing is permitted that was refused.
    pub asked: Vec<Asked>,
}

type Said = (Arc<Entry>, Value);

/// The policies before and after, in one set of circumstances.
struct Sides<'a> {
    tenant: &'a TenantId,
    old: Vec<&'a Said>,
    new: Vec<&'a Said>,
    /// The functions that it is about; none: any of the tenant's.
    functions: Vec<&'a FunctionName>,
}

impl Difference {
    /// What changes when a tenant's policies are replaced, with the functions that are deployed and who may call
    /// each. Functions that are not deployed yet are thought of as callable by nobody but by the tenant's policies.
    ///
    /// # Errors
    /// A function's policies that do not fit.
    pub fn of_tenant(
        old: &TenantPolicies,
        new: &TenantPolicies,
        functions: &[(FunctionName, Access)],
    ) -> Result<Self, PolicyErrors> {
        deep(|| {
            let tenant = new.tenant();
            let (shared, old, new) = (shipped()?, said(&old.entries)?, said(&new.entries)?);
            let mut difference = Self::default();
            let any: Vec<&FunctionName> = Vec::new();
            let side = |own: &'_ [Said]| shared.iter().chain(own).cloned().collect::<Vec<Said>>();
            let (before, after) = (side(&old), side(&new));
            let sides = |functions| Sides {
                tenant,
                old: before.iter().collect(),
                new: after.iter().collect(),
                functions,
            };
            let tenants = Action::ALL.iter().filter(|action| !matches!(action, Action::ManagePolicy));
            for action in tenants {
                difference.add(&sides(any.clone()), *action)?;
            }
            for (access, names) in grouped(functions) {
                let Some(first) = names.first() else { continue };
                let own = own_said(tenant, first, access)?;
                if own.is_empty() {
                    continue;
                }
                let speaks = |said: &&Said| names.iter().any(|n| speaks_of(said, tenant, n));
                let of = |all: &'_ [Said]| all.iter().filter(speaks).cloned().collect::<Vec<_>>();
                let (before, after) = (of(&before), of(&after));
                let group = Sides {
                    tenant,
                    old: before.iter().chain(&own).collect(),
                    new: after.iter().chain(&own).collect(),
                    functions: names.clone(),
                };
                difference.add(&group, Action::Invoke)?;
            }
            difference.name_changes(&old, &new);
            Ok(difference)
        })
    }

    /// What changes when a function's manifest says otherwise who may call it, under the same policies of its tenant.
    ///
    /// # Errors
    /// Policies that do not fit.
    pub fn of_function(
        policies: &TenantPolicies,
        function: &FunctionName,
        old: &Access,
        new: &Access,
    ) -> Result<Self, PolicyErrors> {
        deep(|| {
            let tenant = policies.tenant();
            let mut shared = shipped()?;
            shared.extend(said(&policies.entries)?);
            shared.retain(|said| speaks_of(said, tenant, function));
            let side = |access: &Access| -> Result<Vec<Said>, PolicyErrors> {
                let mut side = shared.clone();
                side.iter_mut().for_each(|(_, json)| est::with_waiver(json, access.waiver.as_ref()));
                side.extend(own_said(tenant, function, access)?);
                Ok(side)
            };
            let (before, after) = (side(old)?, side(new)?);
            let mut difference = Self::default();
            let functions = vec![function];
            let sides =
                Sides { tenant, old: before.iter().collect(), new: after.iter().collect(), functions };
            difference.add(&sides, Action::Invoke)?;
            difference.name_changes(&before, &after);
            Ok(difference)
        })
    }

    /// Whether nothing changes.
    pub fn is_none(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// Asks of one action, for each kind of principal and resource of which the sides differ.
    fn add(&mut self, sides: &Sides<'_>, action: Action) -> Result<(), PolicyErrors> {
        let shipped = Shipped::get()?;
        let schema = shipped.validator.schema();
        let terms = &shipped.terms;
        let uid: cedar_policy::EntityUid = terms.uid(&terms.types.action, action.as_str()).into();
        let askers: Vec<String> = schema
            .principals_for_action(&uid)
            .into_iter()
            .flatten()
            .map(|t| t.basename().to_owned())
            .collect();
        for kind in KINDS.into_iter().filter(|kind| askers.iter().any(|name| name == kind_name(*kind))) {
            for resource in ["Function", "Tenant"] {
                if action.applies_to(resource) && (action != Action::Invoke || resource == "Function") {
                    self.asked.extend(ask(sides, kind, action, resource));
                }
            }
        }
        Ok(())
    }

    fn name_changes(&mut self, old: &[Said], new: &[Said]) {
        let ids = |here: &[Said], there: &[Said]| -> Vec<String> {
            let mut left = counted(there.iter());
            let new = here.iter().filter(|(_, json)| !take(&mut left, json));
            // Guard rails and roles change through what they ask of a function alone: its waiver.
            let shipped = |entry: &Entry| matches!(entry.layer, Layer::Guard | Layer::Role);
            let name = |entry: &Entry| if shipped(entry) { "waiver".into() } else { entry.id.to_string() };
            let mut names: Vec<String> = new.map(|(entry, _)| name(entry)).collect();
            names.dedup();
            names
        };
        (self.added, self.removed) = (ids(new, old), ids(old, new));
    }
}

fn ask(sides: &Sides<'_>, kind: PrincipalKind, action: Action, resource: &'static str) -> Option<Asked> {
    let speaks = |said: &&&Said| said.0.speaks_of_action(action) && said.0.speaks_of_kind(kind);
    let of = |all: &[&Said]| -> Vec<Said> {
        let all = all.iter().filter(speaks).map(|said| (*said).clone());
        let scoped = all.map(|(entry, mut json)| {
            est::with_scope(&mut json, action.as_str());
            (entry, json)
        });
        scoped.collect()
    };
    let (old, new) = (of(&sides.old), of(&sides.new));
    let unmatched = |here: &[Said], there: &[Said]| -> Vec<Said> {
        let mut left = counted(there.iter());
        here.iter().filter(|(_, json)| !take(&mut left, json)).cloned().collect()
    };
    let (added, removed) = (unmatched(&new, &old), unmatched(&old, &new));
    let may_fail: Vec<String> = removed
        .iter()
        .filter(|(_, json)| est::may_fail(json) || est::asks_odd_waiver(json))
        .map(|(entry, _)| entry.id.to_string())
        .collect();
    let narrows = added.iter().all(|(entry, _)| !entry.permits())
        && removed.iter().all(|(entry, _)| entry.permits())
        && may_fail.is_empty();
    if narrows {
        return None;
    }
    let mut facts = facts(sides, kind, resource);
    facts.extend(old.iter().chain(&new).flat_map(|(_, json)| est::named(json)).filter_map(|uid| known(&uid)));
    let named =
        |side: Vec<Said>| side.into_iter().map(|(entry, json)| (entry.id.to_string(), json)).collect();
    Some(Asked {
        principal: kind_name(kind),
        action,
        resource,
        old: named(old),
        new: named(new),
        facts: facts.iter().map(|fact| forbid(fact)).collect(),
        names: names(sides, kind, resource),
        may_fail,
    })
}

/// What holds of every request of this kind that the node asks about; a solver does not know it of itself.
fn facts(sides: &Sides<'_>, kind: PrincipalKind, resource: &str) -> BTreeSet<String> {
    let tenant = sides.tenant;
    let mut facts = BTreeSet::new();
    if kind == PrincipalKind::Anonymous {
        facts.insert("principal == Anonymous::\"anonymous\" && principal.scopes == [\"invoke\"]".to_owned());
    } else {
        let own = format!("Tenant::\"{tenant}\"");
        facts.insert("principal in principal.tenant".to_owned());
        facts.insert(format!("!(principal in {own}) || principal.tenant == {own}"));
    }
    if resource == "Tenant" {
        facts.insert(format!("resource == Tenant::\"{tenant}\""));
        return facts;
    }
    if kind != PrincipalKind::Anonymous {
        let own = format!("principal.tenant == Tenant::\"{tenant}\"");
        facts.insert(format!("!(resource in principal.tenant) || {own}"));
    }
    facts.insert(format!("resource.tenant == Tenant::\"{tenant}\" && resource in Tenant::\"{tenant}\""));
    if !sides.functions.is_empty() && sides.functions.len() <= NAMED_MAX {
        let named = sides.functions.iter().map(|name| {
            format!("(resource == Function::\"{tenant}/{name}\" && resource.name == \"{name}\")")
        });
        facts.insert(named.collect::<Vec<_>>().join(" || "));
    }
    facts
}

fn forbid(fact: &str) -> String {
    format!("forbid (principal, action, resource) unless {{ {fact} }};\n")
}

/// What the id of a principal that a policy names says of it: its tenant and its name.
fn known((kind, id): &(String, String)) -> Option<String> {
    let (home, name) = id.split_once('/')?;
    let plain = |text: &str| text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\');
    if !matches!(kind.as_str(), "User" | "Service" | "Function") || !plain(id) {
        return None;
    }
    let is = format!("principal == {kind}::\"{id}\"");
    let tenant = format!("principal.tenant == Tenant::\"{home}\"");
    Some(format!("!({is}) || (principal has tenant && {tenant} && principal.name == \"{name}\")"))
}

/// Cedar text that leaves only names that can be read, the strictest first.
fn names(sides: &Sides<'_>, kind: PrincipalKind, resource: &str) -> Vec<String> {
    let (tenant, kind) = (sides.tenant, kind_name(kind));
    let is = |var: &str, kind: &str, name: &str| {
        forbid(&format!("{var} == {kind}::\"{tenant}/{name}\" && {var}.name == \"{name}\""))
    };
    let somebody = if kind == "Anonymous" { String::new() } else { is("principal", kind, "somebody") };
    let any = resource == "Function" && sides.functions.is_empty();
    let something = if any { is("resource", "Function", "something") } else { String::new() };
    vec![format!("{somebody}{something}"), something, somebody, String::new()]
}

/// Functions by who may call them.
fn grouped(functions: &[(FunctionName, Access)]) -> Vec<(&Access, Vec<&FunctionName>)> {
    let mut groups: BTreeMap<String, (&Access, Vec<&FunctionName>)> = BTreeMap::new();
    for (name, access) in functions {
        let key = serde_json::to_string(access).unwrap_or_else(|_| name.to_string());
        groups.entry(key).or_insert_with(|| (access, Vec::new())).1.push(name);
    }
    groups.into_values().collect()
}

fn own_said(tenant: &TenantId, function: &FunctionName, access: &Access) -> Result<Vec<Said>, PolicyErrors> {
    let mut own = said(&own_policies(tenant, function, access)?)?;
    own.iter_mut().for_each(|(_, json)| est::with_waiver(json, access.waiver.as_ref()));
    Ok(own)
}

fn shipped() -> Result<Vec<Said>, PolicyErrors> {
    let shipped = Shipped::get()?;
    let mut all = said(&shipped.guards)?;
    all.extend(said(&shipped.roles)?);
    Ok(all)
}

fn said(entries: &[Arc<Entry>]) -> Result<Vec<Said>, PolicyErrors> {
    let one = |entry: &Arc<Entry>| Ok((entry.clone(), est::of(&entry.policy)?));
    entries.iter().map(one).collect::<Result<_, PolicyError>>().map_err(Into::into)
}

fn speaks_of((entry, _): &Said, tenant: &TenantId, function: &FunctionName) -> bool {
    entry.speaks_of_action(Action::Invoke) && entry.speaks_of_function(tenant.as_str(), function.as_str())
}

fn counted<'a>(all: impl Iterator<Item = &'a Said>) -> HashMap<String, usize> {
    let mut counted = HashMap::new();
    for (_, json) in all {
        *counted.entry(json.to_string()).or_default() += 1;
    }
    counted
}

fn take(counted: &mut HashMap<String, usize>, json: &Value) -> bool {
    match counted.get_mut(&json.to_string()) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

fn deep<T: Send>(work: impl FnOnce() -> Result<T, PolicyErrors> + Send) -> Result<T, PolicyErrors> {
    let broken = || Err(PolicyError::new("the policies could not be compared").into());
    crate::entry::deep(work).unwrap_or_else(broken)
}
