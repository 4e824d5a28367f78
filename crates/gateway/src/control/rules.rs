//! Control operations on the node's rules: which there are, which look at requests, what others would say. It never
//! decides.

use http::Response;
use platform::{RuleSetView, Wanted};

use super::{Call, answer};
use crate::{api, problem::Problem, stage::respond::Body};

type Answer = Result<Response<Body>, Problem>;

pub(super) async fn list(call: &Call<'_>) -> Answer {
    let sets = call.plane.platform.rule_sets(call.ctx).await?;
    answer(200, &api::RuleSetList { sets: sets.into_iter().map(set).collect() })
}

pub(super) async fn add(call: &Call<'_>) -> Answer {
    let files = call.json().map(files)?;
    answer(201, &set(call.plane.platform.add_rules(call.ctx, files).await?))
}

pub(super) async fn choose(call: &Call<'_>) -> Answer {
    let api::UseRules { set: wanted } = call.json()?;
    let wanted = match wanted.as_str() {
        "base" => Wanted::Base,
        "previous" => Wanted::Previous,
        digest => Wanted::Digest(digest.parse().map_err(|_| {
            Problem::new(400, "bad-parameter", "there is no such set of rules")
                .detail("`set` is `base`, `previous` or a digest")
        })?),
    };
    answer(200, &set(call.plane.platform.use_rules(call.ctx, &wanted).await?))
}

pub(super) async fn simulate(call: &Call<'_>) -> Answer {
    let api::Simulate { rules, shield } = call.json()?;
    let found = call.plane.platform.simulate(call.ctx, rules.map(files), shield).await?;
    let changed = found.changed.into_iter().map(|one| api::Changed {
        request_id: one.id,
        function: one.function,
        asked: one.asked,
        refused_now: one.refused_now,
        detail: one.detail,
    });
    let (requests, refused_now, refused_then) = (found.requests, found.refused_now, found.refused_then);
    answer(200, &api::Simulated { requests, refused_now, refused_then, changed: changed.collect() })
}

fn files(files: api::RuleFiles) -> platform::RuleFiles {
    platform::RuleFiles { name: files.name, read: files.read, files: files.files }
}

fn set(view: RuleSetView) -> api::RuleSet {
    let RuleSetView { name, digest, rules, at, by, in_force } = view;
    api::RuleSet { name, digest, rules, at, by, in_force }
}
