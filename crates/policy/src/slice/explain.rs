//! Why a question is decided as it is: each policy that speaks of it, and which of its parts hold. It never decides:
//! the answer it shows is [`Slice::decide`]'s.

use std::sync::Arc;

use cedar_policy::{Authorizer, Decision as CedarDecision, Entities, Request};
use serde::Serialize;

use super::{Entry, Layer, Prepared, Slice};
use crate::{Action, Question, Reason, est, question::Uses};

/// Permits that are looked into for the one that comes nearest.
const NEAREST_MAX: usize = 16;

/// One part of a policy: of its scope, or a condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `principal`, `action`, `resource`, `when` or `unless`.
    pub kind: &'static str,
    /// Its Cedar text.
    pub text: String,
    /// Whether it holds: of `unless`, that what it says is not so.
    pub holds: bool,
    /// What went wrong where it could not be evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One policy, seen from a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// Its id.
    pub policy: String,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    /// Whether all its parts hold.
    pub applies: bool,
    /// Its parts, in their order.
    pub parts: Vec<Part>,
    /// Its Cedar text.
    pub text: String,
}

/// Why a question is decided as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Who asked.
    pub principal: String,
    /// For what.
    pub action: Action,
    /// Of what.
    pub resource: String,
    /// Whether it is permitted.
    pub permitted: bool,
    /// Why not, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The ids of the policies that decide.
    pub decided_by: Vec<String>,
    /// What went wrong, where something did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Every policy that speaks of the action, those that apply first, then by how many of their parts fail.
    pub policies: Vec<Considered>,
}

impl Slice {
    /// Decides a question and says why.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let (permitted, reason, decided_by, errors) = match self.decide_with(question, false) {
            Ok(permit) => (true, None, permit.policies.iter().map(ToString::to_string).collect(), Vec::new()),
            Err(no) => (false, Some(no.reason()), no.policies().to_vec(), no.errors().to_vec()),
        };
        let entries: Vec<_> = self.entries.iter().filter(|e| e.speaks_of_action(question.action)).collect();
        let uses = entries.iter().fold(Uses::default(), |uses, entry| uses.with(entry.uses));
        let mut policies: Vec<_> = match self.ask(question, uses) {
            Ok((request, entities)) if self.covers(question) => {
                entries.iter().map(|entry| consider(entry, &request, &entities)).collect()
            }
            _ => Vec::new(),
        };
        policies.sort_by_key(|policy| policy.parts.iter().filter(|part| !part.holds).count());
        Explanation {
            principal: question.principal.to_string(),
            action: question.action,
            resource: question.resource.to_string(),
            permitted,
            reason,
            decided_by,
            errors,
            policies,
        }
    }
}

fn consider(entry: &Entry, request: &Request, entities: &Entities) -> Considered {
    let part = |clause: &crate::entry::Clause| {
        let response = Authorizer::new().is_authorized(request, &clause.set, entities);
        let error = response.diagnostics().errors().next().map(ToString::to_string);
        let holds = error.is_none() && response.decision() == CedarDecision::Allow;
        Part { kind: clause.kind, text: clause.text.clone(), holds, error }
    };
    let parts: Vec<Part> = entry.parts().iter().map(part).collect();
    Considered {
        policy: entry.id.to_string(),
        effect: if entry.permits() { "permit" } else { "forbid" },
        applies: parts.iter().all(|part| part.holds),
        parts,
        text: entry.text.to_string(),
    }
}

/// Names the permit that comes nearest, with what of it fails: one of the function's own, or of the tenant's, or of
/// the roles.
pub(super) fn no_permit(prepared: &Prepared, request: &Request, entities: &Entities) -> String {
    let of = |layers: &[Layer]| -> Vec<&Arc<Entry>> {
        let own = prepared.entries.iter().filter(|e| e.permits() && layers.contains(&e.layer));
        own.take(NEAREST_MAX).collect()
    };
    let layers: [&[Layer]; 3] = [&[Layer::Function, Layer::Preset], &[Layer::Tenant], &[Layer::Role]];
    let Some(candidates) = layers.into_iter().map(of).find(|found| !found.is_empty()) else {
        return "no policy permits".to_owned();
    };
    let failed = |entry: &Arc<Entry>| -> Vec<String> {
        let seen = consider(entry, request, entities);
        let no = seen.parts.into_iter().filter(|part| !part.holds);
        no.map(|part| format!("`{}{}`", if part.kind == "unless" { "unless " } else { "" }, part.text))
            .collect()
    };
    let nearest = candidates.into_iter().map(|entry| (failed(entry), entry));
    match nearest.min_by_key(|(failed, _)| failed.len()) {
        Some((failed, entry)) => {
            let failed = failed.join(" and ");
            let text = est::one_line(&entry.text);
            format!(
                "no policy permits; the nearest is `{}`, of which {failed} does not hold: {text}",
                entry.id
            )
        }
        None => "no policy permits".to_owned(),
    }
}
