//! Which policies can hold for a question by their scopes ("heads") alone, found without a walk through the others. It
//! never looks at a condition.

use std::{collections::HashMap, sync::Arc};

use cedar_policy::{EntityUid, PrincipalConstraint, ResourceConstraint};
use model::{PrincipalKind, Role};

use super::Entry;
use crate::{Question, Resource, question::kind_name};

/// The policies of one kind of principal and one action, by what else their heads want. Each stands in one place, by
/// its number.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Those that name no principal and no function.
    general: Vec<usize>,
    /// By the one principal that they name.
    principals: HashMap<Box<str>, Vec<usize>>,
    /// By the role that they want.
    roles: [Vec<usize>; Role::ALL.len()],
    /// By the one function that they name, where they name no principal and no role.
    functions: HashMap<Box<str>, Vec<usize>>,
    /// What each wants of tenants and resources, by its number.
    wants: Vec<Wants>,
    /// Whether what they want of the resource was looked at when they were sorted.
    settled: bool,
}

/// What is left of a head to be compared.
#[derive(Debug)]
struct Wants {
    /// Of the principal.
    tenant: Option<Box<str>>,
    resource: Vec<Of>,
}

#[derive(Debug)]
enum Of {
    Kind(Box<str>),
    Is(EntityUid),
    In(EntityUid),
}

/// A question's ids.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) principal: &'a str,
    pub(super) resource: &'a str,
}

impl Heads {
    /// All of one action that can hold for one kind of principal; their numbers are their places. Where every
    /// question is about the one resource of `first`, what they want of it is looked at now, and not again: unless
    /// it is a function that asks, which may be what it asks for.
    pub(super) fn of(
        first: &Question<'_>,
        one_resource: bool,
        names: Names<'_>,
        entries: &[Arc<Entry>],
    ) -> Self {
        let kind = kind_name(first.principal.kind);
        let settled = one_resource && first.principal.kind != PrincipalKind::Function;
        let mut heads = Self { settled, ..Self::default() };
        for (number, entry) in entries.iter().enumerate() {
            let mut resource = wanted(&entry.resource);
            if settled {
                if !resource.iter().all(|of| of.holds(first, names)) {
                    heads.wants.push(Wants { tenant: None, resource });
                    continue;
                }
                resource.clear();
            }
            let mut tenant = None;
            let principal = match &entry.principal {
                PrincipalConstraint::Eq(uid) => Some(uid),
                PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => Some(uid),
                PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
            };
            let exact = matches!(entry.principal, PrincipalConstraint::Eq(_));
            match principal.map(|uid| (uid.type_name().basename(), uid.id().unescaped())) {
                Some(("Role", id)) if !exact => {
                    // A role that there is not is nobody's.
                    let list = role(id).and_then(|index| heads.roles.get_mut(index));
                    list.into_iter().for_each(|list| list.push(number));
                }
                Some(("Tenant", id)) if !exact => {
                    tenant = Some(id.into());
                    heads.add_by_function(number, entry);
                }
                // Of what there is in a principal there is that principal alone.
                Some((named, id)) if named == kind => {
                    heads.principals.entry(id.into()).or_default().push(number);
                }
                Some(_) => {}
                None => heads.add_by_function(number, entry),
            }
            heads.wants.push(Wants { tenant, resource });
        }
        heads
    }

    fn add_by_function(&mut self, number: usize, entry: &Entry) {
        match &entry.resource {
            ResourceConstraint::Eq(uid) if !self.settled && uid.type_name().basename() == "Function" => {
                self.functions.entry(uid.id().unescaped().into()).or_default().push(number);
            }
            _ => self.general.push(number),
        }
    }

    /// Calls `found` with the number of each policy whose head holds, in no order.
    pub(super) fn each(&self, question: &Question<'_>, names: Names<'_>, mut found: impl FnMut(usize)) {
        let mut look = |list: &[usize]| {
            for number in list {
                if self.wants.get(*number).is_some_and(|wants| wants.hold(question, names)) {
                    found(*number);
                }
            }
        };
        look(&self.general);
        self.principals.get(names.principal).into_iter().for_each(|list| look(list));
        if !self.functions.is_empty() && matches!(question.resource, Resource::Function(..)) {
            self.functions.get(names.resource).into_iter().for_each(|list| look(list));
        }
        for (index, role) in Role::ALL.iter().enumerate() {
            if let Some(list) = self.roles.get(index).filter(|list| !list.is_empty())
                && question.principal.roles.contains(role)
            {
                look(list);
            }
        }
    }
}

impl Wants {
    fn hold(&self, question: &Question<'_>, names: Names<'_>) -> bool {
        let own = question.principal.tenant.as_ref().map(model::TenantId::as_str);
        self.tenant.as_deref().is_none_or(|tenant| own == Some(tenant))
            && self.resource.iter().all(|of| of.holds(question, names))
    }
}

impl Of {
    fn holds(&self, question: &Question<'_>, names: Names<'_>) -> bool {
        let kind = question.resource.kind();
        let is =
            |uid: &EntityUid| uid.type_name().basename() == kind && uid.id().unescaped() == names.resource;
        match self {
            Self::Kind(wanted) => **wanted == *kind,
            Self::Is(uid) => is(uid),
            Self::In(uid) => is(uid) || within(uid, question, names),
        }
    }
}

/// Whether the resource is in something else: a function is in its tenant and, where it is who asks, in its roles.
fn within(uid: &EntityUid, question: &Question<'_>, names: Names<'_>) -> bool {
    let Resource::Function(tenant, _) = question.resource else { return false };
    let id = uid.id().unescaped();
    let principal = question.principal;
    match uid.type_name().basename() {
        "Tenant" => id == tenant.as_str(),
        "Role" => {
            let itself = kind_name(principal.kind) == "Function" && names.principal == names.resource;
            itself && principal.roles.iter().any(|role| role.as_str() == id)
        }
        _ => false,
    }
}

fn wanted(resource: &ResourceConstraint) -> Vec<Of> {
    let kind = |name: &cedar_policy::EntityTypeName| Of::Kind(name.basename().into());
    let group = |uid: &EntityUid| Of::In(uid.clone());
    match resource {
        ResourceConstraint::Any => Vec::new(),
        ResourceConstraint::Is(name) => vec![kind(name)],
        ResourceConstraint::Eq(uid) => vec![Of::Is(uid.clone())],
        ResourceConstraint::In(uid) => vec![group(uid)],
        ResourceConstraint::IsIn(name, uid) => vec![kind(name), group(uid)],
    }
}

fn role(id: &str) -> Option<usize> {
    Role::ALL.iter().position(|role| role.as_str() == id)
}
