//! Whether somebody may do something in some circumstances: policies evaluated with everything known but the context
//! (Cedar's type-aware partial evaluation). It never decides a request.

use std::collections::BTreeMap;

use cedar_policy::{
    Decision as CedarDecision, Entities, EntityUid, PartialEntities, PartialEntity, PartialEntityUid,
    PartialRequest, Policy, PolicyId, PolicySet, Schema,
};
use cedar_policy_core::ast::EntityUID as Uid;
use serde::Serialize;

use super::{Prepared, Slice};
use crate::{Question, Reason, est, shipped::Shipped};

/// In which circumstances somebody may do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "may")]
pub enum Reach {
    /// In all.
    Always {
        /// The ids of the policies that permit it.
        policies: Vec<String>,
    },
    /// In none.
    Never {
        /// Why.
        reason: Reason,
        /// The ids of the policies that forbid it.
        policies: Vec<String>,
    },
    /// Where one of `permitted_when` holds and none of `forbidden_when` does.
    When {
        /// Policy and condition, in Cedar.
        permitted_when: Vec<(String, String)>,
        /// The same of those that forbid.
        forbidden_when: Vec<(String, String)>,
    },
}

impl Slice {
    /// Whether such a question is asked of this slice at all: the schema says which principals ask for what.
    pub fn is_asked(&self, question: &Question<'_>) -> bool {
        let Ok(shipped) = Shipped::get() else { return false };
        let terms = &shipped.terms;
        let action: EntityUid = terms.uid(&terms.types.action, question.action.as_str()).into();
        let kind = crate::question::kind_name(question.principal.kind);
        let askers = shipped.validator.schema().principals_for_action(&action);
        self.covers(question) && askers.into_iter().flatten().any(|name| name.basename() == kind)
    }

    /// In which circumstances a principal may do something. The question's context is not looked at; where the
    /// principal has `claims`, what an issuer says of it, its groups and its tags, are circumstances too.
    ///
    /// # Errors
    /// A sentence, where these policies do not speak of it.
    pub fn reach(&self, question: &Question<'_>, claims: bool) -> Result<Reach, String> {
        let prepared = self.prepared(question).map_err(str::to_owned)?;
        let work = || self.reach_with(question, prepared, claims);
        crate::entry::deep(work).unwrap_or_else(|| Err("the policies could not be evaluated".to_owned()))
    }

    fn reach_with(
        &self,
        question: &Question<'_>,
        prepared: &Prepared,
        claims: bool,
    ) -> Result<Reach, String> {
        let shipped = Shipped::get().map_err(|errors| errors.to_string())?;
        let schema = shipped.validator.schema();
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let mut policies = Vec::with_capacity(prepared.entries.len());
        for entry in &prepared.entries {
            let mut json = est::of(&entry.policy).map_err(|error| error.to_string())?;
            est::with_scope(&mut json, question.action.as_str());
            if claims {
                est::with_principal(&mut json, question.principal);
            }
            policies.push(Policy::from_json(Some(PolicyId::new(&*entry.id)), json).map_err(|e| said(&e))?);
        }
        let set = PolicySet::from_policies(policies).map_err(|e| said(&e))?;
        let terms = &shipped.terms;
        let asked = self.ask(question, prepared.uses)?;
        let (_, entities) = asked.whole();
        let action: EntityUid = terms.uid(&terms.types.action, question.action.as_str()).into();
        let known = |uid: &Uid| PartialEntityUid::from_concrete(uid.clone().into());
        let request =
            PartialRequest::new(known(&asked.principal), action, known(&asked.resource), None, schema);
        let request = request.map_err(|e| said(&e))?;
        let entities = match claims {
            true => without_claims(&entities, &asked.principal.as_ref().clone().into(), schema)?,
            false => PartialEntities::from_concrete(entities, schema).map_err(|e| said(&e))?,
        };
        let response = set.tpe(&request, &entities, schema).map_err(|e| said(&e))?;
        let ids =
            |found: &mut dyn Iterator<Item = &PolicyId>| found.map(ToString::to_string).collect::<Vec<_>>();
        if response.error_permits().next().is_some() || response.error_forbids().next().is_some() {
            return Ok(Reach::Never { reason: Reason::Error, policies: Vec::new() });
        }
        let conditions = |found: &mut dyn Iterator<Item = &PolicyId>| -> Vec<(String, String)> {
            let policy = |id: &PolicyId| Some((id.to_string(), condition(&response.get_policy(id)?)));
            found.filter_map(policy).collect()
        };
        Ok(match response.decision() {
            Some(CedarDecision::Allow) => Reach::Always { policies: ids(&mut response.true_permits()) },
            Some(CedarDecision::Deny) => {
                let policies = ids(&mut response.true_forbids());
                let reason = if policies.is_empty() { Reason::NoPermit } else { Reason::Forbidden };
                Reach::Never { reason, policies }
            }
            None => {
                let mut permitted_when = conditions(&mut response.residual_permits());
                permitted_when.extend(response.true_permits().map(|id| (id.to_string(), "true".to_owned())));
                Reach::When { permitted_when, forbidden_when: conditions(&mut response.residual_forbids()) }
            }
        })
    }
}

/// The entities, of which a principal's attributes and tags are unknown.
fn without_claims(
    entities: &Entities,
    principal: &EntityUid,
    schema: &Schema,
) -> Result<PartialEntities, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let mut partial = Vec::new();
    for entity in entities.iter() {
        let (uid, attributes, parents) = entity.clone().into_inner();
        let tags = BTreeMap::new();
        let (attributes, tags) = match uid == *principal {
            true => (None, None),
            false => {
                (Some(attributes.into_iter().map(|(name, value)| (name.into(), value)).collect()), Some(tags))
            }
        };
        let one = PartialEntity::new(uid, attributes, Some(parents), tags, schema);
        partial.push(one.map_err(|error| said(&error))?);
    }
    PartialEntities::from_partial_entities(partial, schema).map_err(|error| said(&error))
}

/// What stands in the one condition of what is left of a policy.
fn condition(policy: &Policy) -> String {
    let text = policy.to_cedar().unwrap_or_else(|| policy.to_string());
    let text = est::one_line(&text);
    let inner = text.find('{').zip(text.rfind('}')).and_then(|(from, to)| text.get(from + 1..to));
    inner.map_or(text.clone(), |inner| inner.trim().to_owned())
}
