//! Policies that have no effect, found by their scopes and conditions alone. It says only what is certain, so it
//! finds a part of them.

use std::sync::Arc;

use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};
use model::{Access, FunctionName, TenantId};
use serde::Serialize;
use serde_json::Value;

use crate::{
    PolicyError, PolicyErrors, TenantPolicies,
    entry::{Entry, deep},
    est,
    slice::own_policies,
};

/// A policy that could be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which.
    pub policy: String,
    /// Its Cedar text, by which its place can be found.
    pub text: String,
    /// `unreachable`: it never applies, or a guard rail stands above it always. `shadowed`: a forbid takes away all
    /// that it permits. `redundant`: another says the same or more.
    pub kind: &'static str,
    /// Why, in a sentence.
    pub message: String,
}

/// Says which of a tenant's policies, and of its functions' own, have no effect.
///
/// # Errors
/// A function's policies that do not fit the schema.
pub fn lint(
    policies: &TenantPolicies,
    functions: &[(FunctionName, Access)],
) -> Result<Vec<Finding>, PolicyErrors> {
    let broken = || Err(PolicyError::new("the policies could not be looked through").into());
    deep(|| {
        let tenant = policies.tenant();
        let mut found = among(tenant, &policies.entries, 0)?;
        for (name, access) in functions {
            let own = own_policies(tenant, name, access)?;
            let above =
                policies.entries.iter().filter(|e| e.speaks_of_function(tenant.as_str(), name.as_str()));
            let mut all: Vec<_> = above.cloned().collect();
            let from = all.len();
            all.extend(own);
            let of = |mut finding: Finding| {
                finding.message = format!("of `{name}`: {}", finding.message);
                finding
            };
            found.extend(among(tenant, &all, from)?.into_iter().map(of));
        }
        Ok(found)
    })
    .unwrap_or_else(broken)
}

/// What is to be said of the entries from `from` on.
fn among(tenant: &TenantId, entries: &[Arc<Entry>], from: usize) -> Result<Vec<Finding>, PolicyErrors> {
    let conditions = entries.iter().map(|entry| {
        let mut policy = est::of(&entry.policy)?;
        Ok(policy.get_mut("conditions").map(Value::take).unwrap_or_default())
    });
    let conditions = conditions.collect::<Result<Vec<Value>, PolicyError>>()?;
    let bare = |n: usize| conditions.get(n).and_then(Value::as_array).is_none_or(Vec::is_empty);
    let mut found = Vec::new();
    for (n, entry) in entries.iter().enumerate().skip(from) {
        if let Some(message) = out_of_reach(tenant, entry) {
            found.push(finding(entry, "unreachable", message));
            continue;
        }
        let covering = entries.iter().enumerate().filter(|(m, other)| {
            let as_wide = bare(*m) || conditions.get(*m) == conditions.get(n);
            *m != n && as_wide && covers(other, entry)
        });
        // Of two that say the same, the later one is too much.
        let same = |m: usize, other: &Entry| {
            conditions.get(m) == conditions.get(n)
                && covers(entry, other)
                && other.permits() == entry.permits()
        };
        let mut covering = covering.filter(|(m, other)| !same(*m, other) || *m < n).map(|(_, other)| other);
        let shadow = covering.clone().find(|other| entry.permits() && !other.permits());
        if let Some(other) = shadow {
            let message = format!("`{}` forbids all that it permits", other.id);
            found.push(finding(entry, "shadowed", message));
        } else if let Some(other) = covering.find(|other| other.permits() == entry.permits()) {
            let word = if entry.permits() { "permits" } else { "forbids" };
            found.push(finding(entry, "redundant", format!("`{}` {word} all of it already", other.id)));
        }
    }
    Ok(found)
}

fn finding(entry: &Entry, kind: &'static str, message: String) -> Finding {
    Finding { policy: entry.id.to_string(), text: entry.text.to_string(), kind, message }
}

/// Why a policy of this tenant never decides anything, whatever is asked.
fn out_of_reach(tenant: &TenantId, entry: &Entry) -> Option<String> {
    let (principal, resource) = (principal_of(&entry.principal), resource_of(&entry.resource));
    if let Some(uid) = resource.1
        && let Some(other) = other_tenant(uid, tenant)
    {
        return Some(format!("it speaks of `{other}` alone, and decides nothing outside `{tenant}`"));
    }
    if resource.0 == Some("Node") || resource.1.is_some_and(|uid| uid.type_name().basename() == "Node") {
        return Some("nobody but the shipped policies decides about the node".to_owned());
    }
    let other = principal.1.and_then(|uid| other_tenant(uid, tenant)).filter(|_| entry.permits())?;
    Some(format!("it lets in `{other}`, whom the guard rail `guard/tenant-isolation` keeps out"))
}

/// The entity, where it is another tenant or of one.
fn other_tenant<'u>(uid: &'u EntityUid, tenant: &TenantId) -> Option<&'u EntityUid> {
    let id = uid.id().unescaped();
    let home = match uid.type_name().basename() {
        "Tenant" => id,
        "User" | "Service" | "Function" => id.split_once('/').map_or(id, |(home, _)| home),
        _ => return None,
    };
    (home != tenant.as_str()).then_some(uid)
}

type Scope<'e> = (Option<&'e str>, Option<&'e EntityUid>, bool);

/// The type, the entity, and whether what is in the entity counts too.
fn principal_of(scope: &PrincipalConstraint) -> Scope<'_> {
    match scope {
        PrincipalConstraint::Any => (None, None, true),
        PrincipalConstraint::In(uid) => (None, Some(uid), true),
        PrincipalConstraint::Eq(uid) => (Some(uid.type_name().basename()), Some(uid), false),
        PrincipalConstraint::Is(name) => (Some(name.basename()), None, true),
        PrincipalConstraint::IsIn(name, uid) => (Some(name.basename()), Some(uid), true),
    }
}

fn resource_of(scope: &ResourceConstraint) -> Scope<'_> {
    match scope {
        ResourceConstraint::Any => (None, None, true),
        ResourceConstraint::In(uid) => (None, Some(uid), true),
        ResourceConstraint::Eq(uid) => (Some(uid.type_name().basename()), Some(uid), false),
        ResourceConstraint::Is(name) => (Some(name.basename()), None, true),
        ResourceConstraint::IsIn(name, uid) => (Some(name.basename()), Some(uid), true),
    }
}

/// Whether the scope of one takes in all that the scope of another does. What it cannot see, it denies.
fn covers(wide: &Entry, narrow: &Entry) -> bool {
    covers_entity(principal_of(&wide.principal), principal_of(&narrow.principal))
        && covers_action(&wide.action, &narrow.action)
        && covers_entity(resource_of(&wide.resource), resource_of(&narrow.resource))
}

fn covers_entity(wide: Scope<'_>, narrow: Scope<'_>) -> bool {
    let kind = wide.0.is_none() || wide.0 == narrow.0;
    let entity = match (wide.1, narrow.1) {
        (None, _) => true,
        (Some(_), None) => false,
        // A function is in its tenant: its id begins with it.
        (Some(wide_in), Some(one)) => {
            (wide_in == one && (wide.2 || !narrow.2)) || (wide.2 && is_within(one, wide_in))
        }
    };
    kind && entity
}

fn is_within(one: &EntityUid, tenant: &EntityUid) -> bool {
    let of_tenant = matches!(one.type_name().basename(), "User" | "Service" | "Function");
    let home = one.id().unescaped().split_once('/').map(|(home, _)| home);
    of_tenant && tenant.type_name().basename() == "Tenant" && home == Some(tenant.id().unescaped())
}

fn covers_action(wide: &ActionConstraint, narrow: &ActionConstraint) -> bool {
    let of = |uid: &EntityUid| match wide {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(one) => one == uid,
        ActionConstraint::In(list) => list.contains(uid),
    };
    match narrow {
        ActionConstraint::Any => matches!(wide, ActionConstraint::Any),
        ActionConstraint::Eq(uid) => of(uid),
        ActionConstraint::In(list) => list.iter().all(of),
    }
}
