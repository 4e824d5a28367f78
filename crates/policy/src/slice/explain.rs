//! Why a question is decided as it is: each policy that speaks of it, and which of its parts hold. It never decides:
//! the answer it shows is [`Slice::decide`]'s.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use cedar_policy::{PrincipalConstraint, ResourceConstraint};
use cedar_policy_core::{
    ast::{Literal, ValueKind},
    evaluator::Evaluator,
};
use serde::{Deserialize, Serialize};

use super::{Entry, Layer, Prepared, Slice};
use crate::{Action, Question, Reason, entry::Clause, question::Uses, terms::Asked as InTerms};

/// Permits that are looked into for the one that comes nearest.
const NEAREST_MAX: usize = 16;

/// One part of a policy: of its scope, or a condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `principal`, `action`, `resource`, `when` or `unless`.
    pub kind: Cow<'static, str>,
    /// Its Cedar text.
    pub text: String,
    /// Whether it holds: of `unless`, that what it says is not so.
    pub holds: bool,
    /// What went wrong where it could not be evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One policy, seen from a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// Its id.
    pub policy: String,
    /// `permit` or `forbid`.
    pub effect: Cow<'static, str>,
    /// Whether all its parts hold.
    pub applies: bool,
    /// Its parts, in their order.
    pub parts: Vec<Part>,
    /// Its Cedar text.
    pub text: String,
}

/// Why a question is decided as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The ids of the policies that decide.
    pub decided_by: Vec<String>,
    /// What went wrong, where something did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
            Ok(asked) if self.covers(question) => {
                let evaluator = asked.evaluator();
                entries.iter().map(|entry| consider(entry, &evaluator)).collect()
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

fn consider(entry: &Entry, evaluator: &Evaluator<'_>) -> Considered {
    let part = |clause: &Clause| {
        let (kind, text) = (Cow::Borrowed(clause.kind), clause.text.clone());
        match clause.holds(evaluator) {
            Ok(holds) => Part { kind, text, holds, error: None },
            Err(error) => {
                let error = format!("error while evaluating policy `{}`: {error}", entry.id);
                Part { kind, text, holds: false, error: Some(error) }
            }
        }
    };
    let parts: Vec<Part> = entry.parts().iter().map(part).collect();
    Considered {
        policy: entry.id.to_string(),
        effect: Cow::Borrowed(if entry.permits() { "permit" } else { "forbid" }),
        applies: parts.iter().all(|part| part.holds),
        parts,
        text: entry.text.to_string(),
    }
}

impl Clause {
    fn holds(&self, evaluator: &Evaluator<'_>) -> Result<bool, String> {
        let value = evaluator.interpret(&self.condition, &HashMap::new()).map_err(|e| e.to_string())?;
        Ok(matches!(value.value_kind(), ValueKind::Lit(Literal::Bool(true))))
    }
}

/// Whether a part of a head holds that a comparison tells, of a policy that speaks of the question's action and kind
/// of principal.
fn known(entry: &Entry, clause: &Clause, asked: &InTerms) -> Option<bool> {
    match (clause.kind, &entry.principal, &entry.resource) {
        ("action", ..) | ("principal", PrincipalConstraint::Is(_), _) => Some(true),
        ("principal", PrincipalConstraint::Eq(uid), _) => Some(*uid.as_ref() == *asked.principal),
        ("resource", _, ResourceConstraint::Eq(uid)) => Some(*uid.as_ref() == *asked.resource),
        _ => None,
    }
}

/// Names the permit that comes nearest, with what of it fails: one of the function's own, or of the tenant's, or of
/// the roles.
pub(super) fn no_permit(prepared: &Prepared, asked: &InTerms, evaluator: &Evaluator<'_>) -> String {
    const NONE: &str = "no policy permits";
    let layers: [&[Layer]; 3] = [&[Layer::Function, Layer::Preset], &[Layer::Tenant], &[Layer::Role]];
    for layers in layers {
        let own = prepared.entries.iter().filter(|e| e.permits() && layers.contains(&e.layer));
        let mut nearest: Option<(Vec<&Clause>, &Arc<Entry>)> = None;
        for entry in own.take(NEAREST_MAX) {
            let holds = |clause: &Clause| {
                known(entry, clause, asked).unwrap_or_else(|| clause.holds(evaluator) == Ok(true))
            };
            let failed: Vec<_> = entry.parts().iter().filter(|clause| !holds(clause)).collect();
            // None fails in nothing, or it would permit.
            let one = failed.len() <= 1;
            if nearest.as_ref().is_none_or(|(least, _)| failed.len() < least.len()) {
                nearest = Some((failed, entry));
            }
            if one {
                break;
            }
        }
        let Some((failed, entry)) = nearest else { continue };
        let said = |clause: &&Clause| {
            format!("`{}{}`", if clause.kind == "unless" { "unless " } else { "" }, clause.text)
        };
        let failed = failed.iter().map(said).collect::<Vec<_>>().join(" and ");
        let (id, text) = (&entry.id, entry.line());
        return format!("{NONE}; the nearest is `{id}`, of which {failed} does not hold: {text}");
    }
    NONE.to_owned()
}
