//! The endpoints of the shield: what it saw, what it does, profiles, bait. It never decides.

use std::sync::Arc;

use ::shield::{Action, Cidr, Transition};
use http::Response;
use model::{FunctionName, TenantId};
use platform::{Against, MadeBait, NewAction, Noticed, ProfileView, ShieldView, Story, Which};

use super::{Call, answer, nothing, tenancy::record};
use crate::{api, problem::Problem, stage::respond::Body};

type Answer = Result<Response<Body>, Problem>;

/// The tenant of the path; none where it is the node's.
fn whose(call: &Call<'_>) -> Result<Option<TenantId>, Problem> {
    match call.parameters.contains_key("tenant") {
        true => Ok(Some(call.parameter("tenant")?)),
        false => Ok(None),
    }
}

pub(super) fn report(call: &Call<'_>) -> Answer {
    let tenant = whose(call)?;
    let ShieldView { signals, actions, past, profiles } =
        call.plane.platform.shield_view(call.ctx, tenant.as_ref())?;
    let profiles = profiles.into_iter().map(|(function, revision, stage)| api::ProfileStage {
        function,
        revision,
        stage: stage.to_owned(),
    });
    answer(
        200,
        &api::ShieldReport {
            signals: signals.into_iter().map(signal).collect(),
            actions: actions.iter().map(action).collect(),
            past: past.iter().map(action).collect(),
            profiles: profiles.collect(),
        },
    )
}

pub(super) async fn why(call: &Call<'_>) -> Answer {
    let tenant = whose(call)?;
    let id: String = call.parameter("id")?;
    let Story { signals, actions, events, gathered } =
        call.plane.platform.story(call.ctx, tenant.as_ref(), &id).await?;
    answer(
        200,
        &api::ShieldStory {
            signals: signals.into_iter().map(signal).collect(),
            actions: actions.iter().map(action).collect(),
            events: events.iter().map(record).collect(),
            gathered,
        },
    )
}

pub(super) async fn act(call: &Call<'_>) -> Answer {
    let tenant = whose(call)?;
    let wanted: api::NewShieldAction = call.json()?;
    let (seconds, reason) = (wanted.seconds, wanted.reason.clone());
    let new = NewAction { against: against(wanted)?, seconds, reason };
    let made = call.plane.platform.act_against(call.ctx, tenant.as_ref(), new).await?;
    answer(201, &action(&made))
}

fn against(wanted: api::NewShieldAction) -> Result<Against, Problem> {
    let bad = |detail: String| {
        Problem::new(400, "bad-json", "the body is not what this endpoint takes").detail(detail)
    };
    let api::NewShieldAction { source, strangers, slow, control, token, function, .. } = wanted;
    match (source, token, function) {
        (Some(range), None, None) => {
            let range: Cidr = range.parse().map_err(|e: ::shield::CidrError| bad(e.to_string()))?;
            match slow {
                true if strangers || control => Err(bad("`slow` stands alone".to_owned())),
                true => Ok(Against::Slowed(range)),
                false => Ok(Against::Source { range, strangers, control }),
            }
        }
        (None, Some(token), None) => Ok(Against::Token(token)),
        (None, None, Some(function)) => Ok(Against::Function(function)),
        _ => Err(bad("write one of `source`, `token` and `function`".to_owned())),
    }
}

pub(super) async fn undo(call: &Call<'_>) -> Answer {
    let tenant = whose(call)?;
    let bad = |detail: &str| {
        Problem::new(400, "bad-parameter", "the query lacks what is asked").detail(detail.to_owned())
    };
    let which = match (call.query("which"), call.query("all")) {
        (Some(which), None) => Which::Named(which),
        (None, Some("any")) => Which::All,
        (None, Some("automatic")) => Which::ByItself,
        (None, Some(_)) => return Err(bad("`all` is `any` or `automatic`")),
        _ => return Err(bad("`which` names an action or an address; or `all` says that all are meant")),
    };
    let undone = call.plane.platform.undo(call.ctx, tenant.as_ref(), which).await?;
    answer(200, &api::UndoneActions { undone: undone.iter().map(action).collect() })
}

fn of_function(call: &Call<'_>) -> Result<(TenantId, FunctionName), Problem> {
    Ok((call.parameter("tenant")?, call.parameter("function")?))
}

pub(super) fn profile(call: &Call<'_>) -> Answer {
    let (tenant, function) = of_function(call)?;
    answer(200, &shown(&call.plane.platform.profile(call.ctx, &tenant, &function)?))
}

pub(super) async fn approve(call: &Call<'_>) -> Answer {
    let (tenant, function) = of_function(call)?;
    answer(200, &shown(&call.plane.platform.approve_profile(call.ctx, &tenant, &function).await?))
}

pub(super) async fn reset(call: &Call<'_>) -> Answer {
    let (tenant, function) = of_function(call)?;
    answer(200, &shown(&call.plane.platform.reset_profile(call.ctx, &tenant, &function).await?))
}

pub(super) async fn list_bait(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let found = call.plane.platform.bait(call.ctx, &tenant).await?;
    let bait = found.into_iter().map(|bait| laid(MadeBait { bait, text: None })).collect();
    answer(200, &api::BaitList { bait })
}

pub(super) async fn lay_bait(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let platform = &call.plane.platform;
    let made = match call.json()? {
        api::NewBait { route: Some(path), token: None } => {
            platform.lay_route(call.ctx, &tenant, &path).await?
        }
        api::NewBait { route: None, token: Some(name) } => {
            platform.lay_token(call.ctx, &tenant, &name).await?
        }
        _ => {
            let problem = Problem::new(400, "bad-json", "the body is not what this endpoint takes");
            return Err(problem.detail("write one of `route` and `token`"));
        }
    };
    answer(201, &laid(made))
}

pub(super) async fn take_bait(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let Some(which) = call.query("which") else {
        let problem = Problem::new(400, "bad-parameter", "the query lacks what is asked");
        return Err(problem.detail("`which` names a bait route or a bait token's id"));
    };
    call.plane.platform.take_bait(call.ctx, &tenant, which).await?;
    Ok(nothing())
}

fn signal(one: Noticed) -> api::ShieldSignal {
    api::ShieldSignal {
        id: one.id,
        at: one.at,
        tenant: one.tenant,
        code: one.code,
        source: one.source,
        principal: one.principal,
        resource: one.resource,
        request: one.request,
        said: one.said,
        action: one.action,
    }
}

fn action(one: &Arc<Action>) -> api::ShieldAction {
    let (ended, ended_by) = one.ended.clone().unzip();
    api::ShieldAction {
        id: one.id.clone(),
        tenant: one.tenant.clone(),
        measure: one.measure.as_str().to_owned(),
        subject: one.subject.to_string(),
        control: one.control,
        reason: one.reason.clone(),
        by: one.by.clone(),
        signal: one.signal.clone(),
        since: one.since,
        until: one.until,
        ended,
        ended_by: ended_by.unwrap_or_default(),
    }
}

fn shown(view: &ProfileView) -> api::ShieldProfile {
    let step = |(from, to): &Transition| api::ProfileStep { from: from.to_string(), to: to.to_string() };
    let profile = &view.profile;
    let numbers = profile.numbers().map(|(name, median, high, bound)| api::ProfileNumber {
        name: name.to_owned(),
        median,
        high,
        bound,
    });
    let (since, learns_until) = profile.times();
    let most = profile.minute_most();
    api::ShieldProfile {
        revision: view.revision,
        mode: view.mode,
        stage: profile.stage().as_str().to_owned(),
        since,
        learns_until,
        runs: profile.runs(),
        steps: profile.transitions().map(step).collect(),
        unseen: profile.found().map(step).collect(),
        numbers: numbers.collect(),
        minute_calls: most.calls,
        minute_bytes: most.bytes,
    }
}

fn laid(made: MadeBait) -> api::Bait {
    let id = made.bait.key().to_owned();
    let secret = made.text.map(|text| text.to_string());
    match made.bait {
        platform::Bait::Route { at, by, .. } => {
            api::Bait { kind: "route".to_owned(), id, name: String::new(), at, by, secret }
        }
        platform::Bait::Token { name, at, by, .. } => {
            api::Bait { kind: "token".to_owned(), id, name, at, by, secret }
        }
    }
}
