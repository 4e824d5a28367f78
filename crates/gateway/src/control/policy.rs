//! Control operations on policies: what stands, what waits, what ends by itself, who may do what. It never decides.

use http::Response;
use model::{FunctionName, TenantId};
use platform::{Change, Consent, GivenGlass, NewGlass, Proposed};
use policy::{Action, Reach, UnknownAction};

use super::{Call, answer, nothing, tenancy::record};
use crate::{api, problem::Problem, stage::respond::Body};

type Answer = Result<Response<Body>, Problem>;

pub(super) fn read(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let text = call.plane.platform.policy(call.ctx, &tenant)?;
    answer(200, &api::PolicyText { text: text.to_string() })
}

pub(super) async fn set(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let api::SetPolicy { text, accept_widening } = call.json()?;
    call.plane.platform.set_policy(call.ctx, &tenant, &text, consent(accept_widening)).await?;
    answer(200, &api::PolicyText { text })
}

/// What somebody says who makes a change themselves.
pub(super) const fn consent(accepted: bool) -> Consent<'static> {
    if accepted { Consent::Own } else { Consent::None }
}

pub(super) async fn propose(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let what = match call.json()? {
        api::Proposal::Policy { text } => Proposed::Policy { text },
        api::Proposal::Deploy { function, manifest, component } => {
            Proposed::Deploy { function, manifest, component }
        }
    };
    answer(201, &waiting(call.plane.platform.propose(call.ctx, &tenant, what).await?))
}

pub(super) async fn changes(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let changes = call.plane.platform.changes(call.ctx, &tenant).await?;
    answer(200, &api::WaitingList { changes: changes.into_iter().map(waiting).collect() })
}

pub(super) async fn change(call: &Call<'_>) -> Answer {
    let (tenant, id): (TenantId, String) = (call.parameter("tenant")?, call.parameter("change")?);
    answer(200, &waiting(call.plane.platform.change(call.ctx, &tenant, &id).await?))
}

pub(super) async fn approve(call: &Call<'_>) -> Answer {
    let (tenant, id): (TenantId, String) = (call.parameter("tenant")?, call.parameter("change")?);
    answer(200, &waiting(call.plane.platform.approve(call.ctx, &tenant, &id).await?))
}

pub(super) async fn reject(call: &Call<'_>) -> Answer {
    let (tenant, id): (TenantId, String) = (call.parameter("tenant")?, call.parameter("change")?);
    call.plane.platform.reject(call.ctx, &tenant, &id).await?;
    Ok(nothing())
}

fn waiting(change: Change) -> api::Waiting {
    let what = match change.what {
        Proposed::Policy { text } => api::Proposal::Policy { text },
        Proposed::Deploy { function, manifest, component } => {
            api::Proposal::Deploy { function, manifest, component }
        }
    };
    api::Waiting {
        id: change.id,
        by: change.by,
        at: change.at,
        until: change.until,
        what,
        shown: change.shown,
        request: change.request.and_then(|request| serde_json::to_value(request).ok()),
    }
}

pub(super) async fn break_glass(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let api::BreakGlass { kind, name, action, function, reason, minutes } = call.json()?;
    let action = self::action(&action)?;
    let new = NewGlass { kind, name, action, function, reason, minutes };
    answer(201, &glass(call.plane.platform.break_glass(call.ctx, &tenant, new).await?))
}

pub(super) async fn list_glass(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let given = call.plane.platform.glass(call.ctx, &tenant).await?;
    answer(200, &api::GlassList { glass: given.into_iter().map(glass).collect() })
}

pub(super) async fn end_glass(call: &Call<'_>) -> Answer {
    let (tenant, id): (TenantId, String) = (call.parameter("tenant")?, call.parameter("glass")?);
    call.plane.platform.end_glass(call.ctx, &tenant, &id).await?;
    Ok(nothing())
}

fn glass(given: GivenGlass) -> api::Glass {
    let GivenGlass { glass, reason, by, at } = given;
    api::Glass {
        principal: format!("{:?} {}", glass.kind, glass.name),
        id: glass.id,
        action: glass.action.to_string(),
        function: glass.function,
        reason,
        by,
        at,
        until: glass.until,
    }
}

fn action(text: &str) -> Result<Action, Problem> {
    let bad = |e: UnknownAction| {
        Problem::new(400, "bad-parameter", "there is no such action").detail(e.to_string())
    };
    text.parse().map_err(bad)
}

pub(super) fn who_can(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let function: Option<FunctionName> = call.query_as("function")?;
    let action = action(call.query("action").unwrap_or_default())?;
    let found = call.plane.platform.who_can(call.ctx, &tenant, action, function.as_ref())?;
    answer(200, &api::ReachedList { reached: found.into_iter().map(reached).collect() })
}

pub(super) fn what_can(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let principal = call.query("principal").unwrap_or_default();
    let found = call.plane.platform.what_can(call.ctx, &tenant, principal)?;
    answer(200, &api::ReachedList { reached: found.into_iter().map(reached).collect() })
}

pub(super) async fn explain(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let Some(request) = call.query_as("request")? else {
        let problem = Problem::new(400, "bad-parameter", "the query lacks what is asked");
        return Err(problem.detail("`request` names a request"));
    };
    let found = call.plane.platform.explain(call.ctx, &tenant, request).await?;
    let decisions = found.into_iter().map(|one| api::Explained {
        event: record(&one.recorded).event,
        why: one.why.and_then(|why| serde_json::to_value(why).ok()),
        unknown: one.unknown.map(str::to_owned),
    });
    answer(200, &api::ExplainedList { decisions: decisions.collect() })
}

fn reached(found: platform::Reached) -> api::Reached {
    let conditions = |all: Vec<(String, String)>| {
        all.into_iter().map(|(policy, condition)| api::Condition { policy, condition }).collect()
    };
    let (may, policies, permitted_when, forbidden_when) = match found.reach {
        Reach::Always { policies } => (api::May::Always, policies, Vec::new(), Vec::new()),
        Reach::Never { policies, .. } => (api::May::Never, policies, Vec::new(), Vec::new()),
        Reach::When { permitted_when, forbidden_when } => {
            (api::May::When, Vec::new(), conditions(permitted_when), conditions(forbidden_when))
        }
    };
    api::Reached {
        who: found.who,
        roles: found.roles,
        scopes: found.scopes,
        action: found.action.to_string(),
        resource: found.resource,
        may,
        policies,
        permitted_when,
        forbidden_when,
    }
}
