//! Control operations on the node, tenants, tokens, policies and the record. It never decides.

use http::Response;
use identity::TokenRecord;
use model::{TenantId, TokenId};
use platform::{NewToken, RecordQuery, Recorded};

use super::{Call, answer, nothing};
use crate::{api, problem::Problem, stage::respond::Body, tls::clients};

type Answer = Result<Response<Body>, Problem>;

/// Records of an answer where nobody says how many.
const RECORDS: usize = 50;
/// The most records of an answer.
const RECORDS_MAX: usize = 1_000;

pub(super) fn node(call: &Call<'_>) -> Answer {
    let view = call.plane.platform.node(call.ctx)?;
    let about = &call.plane.about;
    let all = cell_walls_all(view.walls);
    let mut checks = vec![
        check(
            "record",
            view.record_waiting < 1_000,
            format!("{} events wait to be durable", view.record_waiting),
        ),
        check("workers", view.workers > 0, format!("{} stand ready", view.workers)),
        check(
            "walls",
            all.is_empty(),
            match all.is_empty() {
                true => "all stand".into(),
                false => format!("not standing: {}", all.join(", ")),
            },
        ),
        check(
            "prover",
            true,
            match view.proves {
                true => "changes of policies are proved harmless, or stopped with a request".into(),
                false => "no cvc5: every change of policies that may let somebody in counts as one that does"
                    .into(),
            },
        ),
        check("draining", !view.draining, if view.draining { "the node is stopping" } else { "no" }.into()),
    ];
    checks.extend(view.sinks.iter().map(sink));
    let [p2, p3] = &view.engines;
    let report = api::NodeReport {
        version: about.version.clone(),
        engine: format!("{p2}; {p3}"),
        store: about.store.clone(),
        started_at: view.started_at,
        workers: view.workers as u64,
        worker_restarts: view.workers_replaced,
        walls: view.walls.names().into_iter().map(str::to_owned).collect(),
        walls_missing: all.into_iter().map(str::to_owned).collect(),
        tenants: view.tenants as u64,
        functions: view.functions as u64,
        records: view.recorded,
        dangerous: about.dangerous.clone(),
        checks,
    };
    answer(200, &report)
}

fn cell_walls_all(walls: platform::Walls) -> Vec<&'static str> {
    let all = platform::Walls::ALL.iter().fold(platform::Walls::default(), |sum, (wall, _)| sum.with(*wall));
    walls.missing(all)
}

/// How a sink of events stands.
fn sink(view: &platform::SinkView) -> api::Check {
    let mut said = format!(
        "{}, {} delivered, {} records to go, {} passed over, {} refused",
        view.kind, view.delivered, view.behind, view.dropped, view.refused
    );
    if let Some((since, why)) = &view.failing {
        said.push_str(&format!("; at {since}: {why}"));
    }
    check(&format!("sink-{}", view.name), view.failing.is_none(), said)
}

fn check(name: &str, well: bool, detail: String) -> api::Check {
    let state = if well { api::CheckState::Ok } else { api::CheckState::Warning };
    api::Check { name: name.to_owned(), state, detail }
}

pub(super) fn list_tenants(call: &Call<'_>) -> Answer {
    answer(200, &api::TenantList { tenants: call.plane.platform.tenants(call.ctx)? })
}

pub(super) async fn create_tenant(call: &Call<'_>) -> Answer {
    let wanted: api::CreateTenant = call.json()?;
    let made =
        call.plane.platform.create_tenant(call.ctx, &wanted.id, wanted.trust, wanted.concurrency).await?;
    answer(201, &made)
}

pub(super) async fn limit_tenant(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    answer(200, &call.plane.platform.set_tenant(call.ctx, &tenant, call.json()?).await?)
}

pub(super) fn list_tokens(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let records = call.plane.platform.list_tokens(call.ctx, &tenant)?;
    answer(200, &api::TokenList { tokens: records.into_iter().rev().map(info).collect() })
}

pub(super) async fn create_token(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let wanted: api::CreateToken = call.json()?;
    let api::CreateToken { name, kind, roles, scopes, days } = wanted;
    let new = NewToken { name, kind, roles, scopes, days };
    let made = call.plane.platform.create_token(call.ctx, &tenant, new).await?;
    answer(201, &api::IssuedToken { token: info(made.record), secret: made.text.to_string() })
}

pub(super) async fn rotate_token(call: &Call<'_>) -> Answer {
    let (tenant, token): (TenantId, TokenId) = (call.parameter("tenant")?, call.parameter("token")?);
    let api::RotateToken { overlap_s, days } = call.json()?;
    let made = call.plane.platform.rotate_token(call.ctx, &tenant, &token, overlap_s, days).await?;
    answer(201, &api::IssuedToken { token: info(made.record), secret: made.text.to_string() })
}

pub(super) async fn revoke_token(call: &Call<'_>) -> Answer {
    let (tenant, token): (TenantId, TokenId) = (call.parameter("tenant")?, call.parameter("token")?);
    call.plane.platform.revoke_token(call.ctx, &tenant, &token).await?;
    Ok(nothing())
}

fn info(record: TokenRecord) -> api::TokenInfo {
    api::TokenInfo {
        id: record.id,
        name: record.name,
        kind: record.kind,
        roles: record.roles,
        scopes: record.scopes,
        created_at: record.created_at,
        created_by: record.created_by,
        expires_at: record.expires_at,
        revoked_at: record.revoked_at,
        last_used_at: record.last_used_at,
    }
}

pub(super) async fn records(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    list(call.plane.platform.records(call.ctx, &tenant, &query(call)?).await?)
}

pub(super) async fn node_records(call: &Call<'_>) -> Answer {
    list(call.plane.platform.node_records(call.ctx, &query(call)?).await?)
}

fn query(call: &Call<'_>) -> Result<RecordQuery, Problem> {
    let limit = call.query_as("limit")?.unwrap_or(RECORDS);
    if !(1..=RECORDS_MAX).contains(&limit) {
        let problem = Problem::new(400, "bad-parameter", "the query holds what is no value");
        return Err(problem.detail(format!("`limit`: 1 to {RECORDS_MAX}")));
    }
    Ok(RecordQuery { request: call.query_as("request")?, function: call.query_as("function")?, limit })
}

fn list(found: Vec<Recorded>) -> Answer {
    answer(200, &api::RecordList { records: found.iter().map(record).collect() })
}

pub(super) fn record(recorded: &Recorded) -> api::Record {
    let mut leaf = Vec::new();
    recorded.event.encode(recorded.number, &mut leaf);
    api::Record { seq: recorded.number, event: serde_json::from_slice(&leaf).unwrap_or_default() }
}

pub(super) async fn read_identity(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    answer(200, &api::IdentityText { text: call.plane.platform.identity(call.ctx, &tenant).await? })
}

pub(super) async fn set_identity(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let wanted: api::IdentityText = call.json()?;
    let platform = &call.plane.platform;
    let text = platform.set_identity(call.ctx, &tenant, &wanted.text, clients::check).await?;
    answer(200, &api::IdentityText { text })
}
