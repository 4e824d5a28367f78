//! One kind of request after the other: is there one that the new policies permit and the old ones refuse? It never
//! starts a process: `solver` does.

use std::time::Instant;

use cedar_policy::{
    Authorizer, Decision, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, RequestEnv,
    Schema,
};
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env};
use policy::{Asked, Difference, SCHEMA};
use serde_json::Value;

use crate::{Prover, Verdict, Witness, pretty, solver::Cvc5};

type Compiler = CedarSymCompiler<Cvc5>;

/// Asks until one answer is not "harmless", or the time is over.
pub(crate) async fn all(prover: &Prover, difference: &Difference, until: Instant) -> Verdict {
    let asking = async {
        let mut compiler = Compiler::new(Cvc5::start(prover)?).map_err(|error| error.to_string())?;
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| error.to_string())?;
        let mut unproved = None;
        for asked in &difference.asked {
            match one(&mut compiler, &schema, asked).await {
                Ok(None) => {}
                Ok(Some(witness)) => return Ok(Verdict::Widens(Box::new(witness))),
                // Another kind of request may show what this one cannot.
                Err(error) => unproved = unproved.or(Some(error)),
            }
        }
        Ok(unproved.map_or(Verdict::Harmless, Verdict::Unproved))
    };
    match tokio::time::timeout_at(until.into(), asking).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => Verdict::Unproved(error),
        Err(_) => Verdict::Unproved("the solver found no answer in its time".to_owned()),
    }
}

async fn one(compiler: &mut Compiler, schema: &Schema, asked: &Asked) -> Result<Option<Witness>, String> {
    let env = environment(asked)?;
    never_fail(compiler, schema, asked, &env).await?;
    let facts = policies(&asked.facts, "fact")?;
    let (old, new) = (set(&asked.old, &facts)?, set(&asked.new, &facts)?);
    let compiled = |set: &PolicySet| {
        CompiledPolicySet::compile(set, &env, schema).map_err(|error| format!("not for the solver: {error}"))
    };
    let (before, after) = (compiled(&old)?, compiled(&new)?);
    let found = compiler.check_implies_with_counterexample_opt(&after, &before).await.map_err(said)?;
    let Some(found) = found else { return Ok(None) };
    let plain =
        readable(compiler, schema, asked, &env).await.filter(|plain| holds(plain, &old, &new).is_some());
    let shown = plain.unwrap_or(found);
    match holds(&shown, &old, &new) {
        Some(deciding) => Ok(Some(Witness::new(asked, &shown.request, &shown.entities, deciding))),
        None => Err("the solver shows a request that is none".to_owned()),
    }
}

/// A request that is easier to read, where there is one. Whether it holds is for others to say.
async fn readable(compiler: &mut Compiler, schema: &Schema, asked: &Asked, env: &RequestEnv) -> Option<Env> {
    for names in &asked.names {
        let mut facts = policies(&asked.facts, "fact").ok()?;
        facts.extend(policies(&format!("{}{names}", pretty::facts(asked)), "pretty").ok()?);
        let compiled = |side| CompiledPolicySet::compile(&set(side, &facts).ok()?, env, schema).ok();
        let (old, new) = (compiled(&asked.old)?, compiled(&asked.new)?);
        let found = compiler.check_implies_with_counterexample_opt(&new, &old).await.ok()?;
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The node takes an evaluation that fails for a denial, so a policy that fails and goes away may let someone in.
async fn never_fail(
    compiler: &mut Compiler,
    schema: &Schema,
    asked: &Asked,
    env: &RequestEnv,
) -> Result<(), String> {
    for (id, json) in asked.old.iter().filter(|(id, _)| asked.may_fail.contains(id)) {
        let policy = CompiledPolicy::compile(&policy(id, json)?, env, schema).map_err(said)?;
        if !compiler.check_never_errors_opt(&policy).await.map_err(said)? {
            return Err(format!(
                "`{id}` goes away, and its evaluation could fail, which denied: what it kept out is not known"
            ));
        }
    }
    Ok(())
}

/// The policies that permit a request by the new set, if they do and the old set refuses it.
fn holds(env: &Env, old: &PolicySet, new: &PolicySet) -> Option<Vec<String>> {
    let decided = |set| Authorizer::new().is_authorized(&env.request, set, &env.entities);
    let (before, after) = (decided(old), decided(new));
    let fits = before.decision() == Decision::Deny
        && after.decision() == Decision::Allow
        && after.diagnostics().errors().next().is_none();
    fits.then(|| after.diagnostics().reason().map(ToString::to_string).collect())
}

fn environment(asked: &Asked) -> Result<RequestEnv, String> {
    let name = |text: &str| text.parse::<EntityTypeName>().map_err(|error| error.to_string());
    let action = EntityUid::from_type_name_and_id(name("Action")?, EntityId::new(asked.action.as_str()));
    Ok(RequestEnv::new(name(asked.principal)?, action, name(asked.resource)?))
}

fn set(side: &[(String, Value)], facts: &[Policy]) -> Result<PolicySet, String> {
    let mut all = side.iter().map(|(id, json)| policy(id, json)).collect::<Result<Vec<_>, _>>()?;
    all.extend_from_slice(facts);
    PolicySet::from_policies(all).map_err(|error| error.to_string())
}

fn policy(id: &str, json: &Value) -> Result<Policy, String> {
    Policy::from_json(Some(PolicyId::new(id)), json.clone()).map_err(|error| error.to_string())
}

fn policies(text: &str, name: &str) -> Result<Vec<Policy>, String> {
    let set: PolicySet = text.parse().map_err(|error: cedar_policy::ParseErrors| error.to_string())?;
    let named = set.policies().map(|policy| policy.new_id(PolicyId::new(format!("{name}/{}", policy.id()))));
    Ok(named.collect())
}

fn said(error: cedar_policy_symcc::err::Error) -> String {
    format!("the solver found no answer: {error}")
}
