//! Why a past request was decided as it was: the record's decisions, asked again of the policies that were in force then
//! with what they could see then. It keeps those policies, and never lets an answer pass that the record does not bear
//! out.

use ledger::{Event, Kind};
use model::{
    FunctionName, Principal, PrincipalKind, RequestId, Revision, RevisionNumber, TenantId, Timestamp,
};
use policy::{Action, Context, Explanation, Glass, Question, Resource, Seen, Slice, TenantPolicies};
use serde::{Deserialize, Serialize};
use store::{Batch, Span};

use crate::{
    GivenGlass, Platform, RecordQuery, Recorded,
    catalog::Home,
    functions::off_the_loop,
    glass::glass_of,
    refused::{ControlError, Ctx},
    shelf::{self, PAST, REVISIONS},
};

/// Policies of a tenant that were in force are kept, this many.
const PAST_MAX: usize = 64;
/// Between the commit of policies and the moment when requests meet them, in milliseconds, at most.
const TAKES_MS: u64 = 10_000;
/// Decisions of one request that are explained.
const DECISIONS_MAX: usize = 100;
/// Policies' ids that a record surely holds whole.
const POLICIES_TOLD: usize = 31;

/// A tenant's policies as they were from a time on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Past {
    at: Timestamp,
    text: String,
    glass: Vec<Glass>,
}

/// A decision or refusal of the record, and why.
#[derive(Debug, Clone)]
pub struct Explained {
    /// What the record has.
    pub recorded: Recorded,
    /// Why it was decided so, by the policies of then; none with a reason in `unknown`, or where nothing was decided.
    pub why: Option<Explanation>,
    /// Why it can no longer be said.
    pub unknown: Option<&'static str>,
}

const LONG: &str = "what the policies could see then was more than a record keeps";
const EARLIER: &str = "the record does not hold what the policies could see then";
const GONE: &str = "the policies of then are no longer kept";
const OTHER: &str = "the policies that are kept of then decide otherwise now";

impl Platform {
    /// Why a request of the past was decided as it was.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn explain(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        request: RequestId,
    ) -> Result<Vec<Explained>, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ReadPolicy, Resource::Tenant(tenant))?;
        let query = RecordQuery { request: Some(request), function: None, limit: usize::MAX };
        let mut found = self.records(ctx, tenant, &query).await?;
        found.retain(|one| matches!(one.event.kind, Kind::Decision | Kind::Refusal));
        found.reverse();
        found.truncate(DECISIONS_MAX);
        let past = past_of(&home).await?;
        let mut all = Vec::with_capacity(found.len());
        for recorded in found {
            let (why, unknown) = match recorded.event.kind {
                Kind::Decision if recorded.event.action != "call-out" => {
                    match self.again(&home, &past, &recorded.event).await? {
                        Ok(why) => (Some(why), None),
                        Err(unknown) => (None, Some(unknown)),
                    }
                }
                _ => (None, None),
            };
            all.push(Explained { recorded, why, unknown });
        }
        Ok(all)
    }

    /// Asks again what was asked then.
    async fn again(
        &self,
        home: &Home,
        past: &[Past],
        event: &Event,
    ) -> Result<Result<Explanation, &'static str>, ControlError> {
        let Some(then) = Then::read(&home.tenant.id, event) else { return Ok(Err(EARLIER)) };
        if then.seen.cut {
            return Ok(Err(LONG));
        }
        let revision = match (&then.function, then.seen.revision) {
            (Some(function), Some(number)) => match revision(home, function, number).await? {
                Some(revision) => Some(revision),
                None => return Ok(Err(GONE)),
            },
            _ => None,
        };
        let policies = in_force(home, past, event.time).await?;
        if policies.is_empty() {
            return Ok(Err(GONE));
        }
        let event = event.clone();
        let work = move || then.explain(&policies, revision.as_ref(), &event).ok_or(OTHER);
        off_the_loop(work).await
    }
}

/// What was asked then.
struct Then {
    principal: Principal,
    action: Action,
    tenant: TenantId,
    function: Option<FunctionName>,
    seen: Seen<'static>,
}

impl Then {
    fn read(tenant: &TenantId, event: &Event) -> Option<Self> {
        let seen: Seen<'static> = serde_json::from_str(&event.asked).ok()?;
        let (kind, name) = event.principal.split_once("::\"")?;
        let name = name.strip_suffix('"')?;
        let kind =
            [PrincipalKind::User, PrincipalKind::Service, PrincipalKind::Function, PrincipalKind::Anonymous]
                .into_iter()
                .find(|known| format!("{known:?}") == kind)?;
        let (of, name) = match (kind, name.split_once('/')) {
            (PrincipalKind::Anonymous, _) | (_, None) => (None, name),
            (_, Some((of, name))) => (Some(of.parse().ok()?), name),
        };
        let (roles, scopes) = (seen.roles.to_vec(), seen.scopes.to_vec());
        let principal = Principal { kind, tenant: of, name: name.to_owned(), roles, scopes, token: None };
        let function = match event.resource.strip_prefix("Function::\"") {
            Some(rest) => Some(rest.strip_suffix('"')?.split_once('/')?.1.parse().ok()?),
            None => None,
        };
        Some(Self { principal, action: event.action.parse().ok()?, tenant: tenant.clone(), function, seen })
    }

    /// Why, by the first of these policies by which it comes out as the record has it.
    fn explain(&self, policies: &[Past], revision: Option<&Revision>, event: &Event) -> Option<Explanation> {
        let links: Vec<&str> = event.chain.iter().filter_map(|link| function_of(link)).collect();
        let on_behalf_of =
            if event.on_behalf_of.is_empty() { &*event.principal } else { &*event.on_behalf_of };
        let text = |text: &'_ Option<std::borrow::Cow<'static, str>>| text.clone().unwrap_or_default();
        let (method, path, host) = (text(&self.seen.method), text(&self.seen.path), text(&self.seen.host));
        let context = Context {
            method: &method,
            path: &path,
            host: &host,
            source: event.source?,
            tls: self.seen.tls.unwrap_or_default(),
            on_behalf_of,
            chain: &links,
            now: event.time,
            proof: self.seen.proof(),
        };
        let resource = match &self.function {
            Some(function) => Resource::Function(&self.tenant, function),
            None => Resource::Tenant(&self.tenant),
        };
        let question =
            Question { principal: &self.principal, action: self.action, resource, context: &context };
        policies.iter().find_map(|past| {
            let why = past.slice(&self.tenant, revision)?.explain(&question);
            bears_out(&why, event).then_some(why)
        })
    }
}

impl Past {
    /// The policies that decided, made again.
    fn slice(&self, tenant: &TenantId, revision: Option<&Revision>) -> Option<Slice> {
        let own = TenantPolicies::parse(tenant.clone(), &self.text).ok()?.with_glass(&self.glass).ok()?;
        match revision {
            Some(revision) => Slice::for_function(revision, &own).ok(),
            None => Slice::for_tenant(&own).ok(),
        }
    }
}

/// Whether the record says the same.
fn bears_out(why: &Explanation, event: &Event) -> bool {
    let told = event.policies.iter().map(|id| &**id).take(POLICIES_TOLD);
    why.permitted == event.allowed && why.decided_by.iter().map(String::as_str).take(POLICIES_TOLD).eq(told)
}

/// The function of a link of a chain, `tenant/function@rN`.
fn function_of(link: &str) -> Option<&str> {
    Some(link.split_once('/')?.1.split_once('@')?.0)
}

/// The policies that can have been in force at a time, the likeliest first.
async fn in_force(home: &Home, past: &[Past], at: Timestamp) -> Result<Vec<Past>, ControlError> {
    if past.is_empty() {
        // Nothing was changed since they are kept.
        return now_of(home).await.map(|now| vec![now]);
    }
    let mut found: Vec<Past> = Vec::new();
    for one in past.iter().rev().filter(|one| one.at <= at) {
        let enough = found.last().is_some_and(|newer| at.since_ms(newer.at) > TAKES_MS);
        if enough {
            break;
        }
        found.push(one.clone());
    }
    Ok(found)
}

/// Those of now, as if they had always been.
async fn now_of(home: &Home) -> Result<Past, ControlError> {
    Ok(Past {
        at: Timestamp::from_unix_ms(0),
        text: home.view().policy_text.to_string(),
        glass: glass_of(&home.store).await?.into_iter().map(|given| given.glass).collect(),
    })
}

/// The policies that were in force, the oldest first.
async fn past_of(home: &Home) -> Result<Vec<Past>, ControlError> {
    let mut past = Vec::new();
    shelf::every(&home.store, Span::all(PAST), |_, value, _| {
        past.push(shelf::decode(PAST, value)?);
        Ok(true)
    })
    .await?;
    Ok(past)
}

async fn revision(
    home: &Home,
    function: &FunctionName,
    number: RevisionNumber,
) -> Result<Option<Revision>, ControlError> {
    let row = home.store.get(REVISIONS, &shelf::numbered(function, number.0)).await?;
    Ok(row.map(|row| shelf::decode(REVISIONS, &row.value)).transpose()?)
}

/// Adds to a commit that these policies are in force from now on, and which were until now where nobody knows.
///
/// # Errors
/// [`ControlError`] if the store fails.
pub(crate) async fn keep(
    home: &Home,
    (text, glass): (&str, &[GivenGlass]),
    now: Timestamp,
    batch: Batch,
) -> Result<Batch, ControlError> {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    shelf::every(&home.store, Span::all(PAST), |id, _, _| {
        kept.push(id.to_vec());
        Ok(true)
    })
    .await?;
    let mut batch = batch;
    if kept.is_empty() {
        batch = batch.put(PAST, 0_u64.to_be_bytes(), shelf::encode(&now_of(home).await?)?);
    }
    // Later than all others, whatever the clock did.
    let last = kept.last().and_then(|id| Some(u64::from_be_bytes(id.as_slice().try_into().ok()?)));
    let place = now.unix_ms().max(last.map_or(1, |last| last + 1));
    let glass = glass.iter().map(|given| given.glass.clone()).collect();
    let next = Past { at: now, text: text.to_owned(), glass };
    batch = batch.put(PAST, place.to_be_bytes(), shelf::encode(&next)?);
    let over = (kept.len() + 1).saturating_sub(PAST_MAX);
    Ok(kept.into_iter().take(over).fold(batch, |batch, id| batch.delete(PAST, id)))
}
