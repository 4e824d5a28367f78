//! Control operations on logins and sessions; the first three are for who has no credential yet. It never decides.

use bytes::Bytes;
use http::{Response, request::Parts};
use identity::{Flow, LoginAsked, ProofKind, SessionRecord};
use model::{RequestId, TenantId, TokenId};
use platform::LoginTold;
use shield::Peer;

use super::{Call, ControlPlane, Parameters, answer, as_json, nothing, parameter, table::Operation};
use crate::{api, problem::Problem, stage::respond::Body};

type Answer = Result<Response<Body>, Problem>;

/// A request of somebody who has no credential yet.
pub(super) struct Stranger<'a> {
    pub(super) plane: &'a ControlPlane,
    pub(super) id: RequestId,
    pub(super) head: &'a Parts,
    pub(super) peer: &'a Peer,
    pub(super) parameters: Parameters<'a>,
    pub(super) body: Bytes,
}

pub(super) async fn stranger(operation: Operation, asked: Stranger<'_>) -> Answer {
    let tenant: TenantId = parameter(&asked.parameters, "tenant")?;
    match operation {
        Operation::LoginOffer => offer(&asked, &tenant),
        Operation::LogIn => log_in(&asked, &tenant).await,
        _ => failed(&asked, &tenant),
    }
}

fn offer(asked: &Stranger<'_>, tenant: &TenantId) -> Answer {
    let offer = asked.plane.platform.login_offer(tenant, asked.peer)?;
    // The same for a tenant that there is not: nobody learns here which there are.
    let offer = offer.ok_or_else(|| Problem::new(404, "no-login", "nobody logs in to this tenant"))?;
    let flow = |flow: &Flow| match flow {
        Flow::Code => api::LoginFlow::Code,
        Flow::Device => api::LoginFlow::Device,
    };
    let flows = offer.flows.iter().map(flow).collect();
    let (issuer, client_id, scopes) = (offer.issuer, offer.client_id, offer.scopes);
    answer(200, &api::LoginProvider { issuer, client_id, scopes, flows })
}

async fn log_in(asked: &Stranger<'_>, tenant: &TenantId) -> Answer {
    let api::OpenSession { id_token, nonce_seed } = as_json(&asked.body)?;
    let login = LoginAsked { id_token: &id_token, seed: &nonce_seed };
    let Stranger { plane, id, head, peer, .. } = asked;
    let opened = plane.platform.log_in(*id, tenant, head, peer, login).await?;
    answer(201, &api::OpenedSession { session: info(opened.record), secret: opened.text.to_string() })
}

fn failed(asked: &Stranger<'_>, tenant: &TenantId) -> Answer {
    let api::LoginProblem { why } = as_json(&asked.body)?;
    let told = match why {
        api::LoginWhy::State => LoginTold::State,
        api::LoginWhy::Issuer => LoginTold::Issuer,
        api::LoginWhy::Denied => LoginTold::Denied,
        api::LoginWhy::Expired => LoginTold::Expired,
        api::LoginWhy::Failed => LoginTold::Failed,
    };
    asked.plane.platform.login_failed(asked.id, tenant, asked.peer, told)?;
    Ok(nothing())
}

pub(super) async fn log_out(call: &Call<'_>) -> Answer {
    call.plane.platform.log_out(call.ctx).await?;
    Ok(nothing())
}

pub(super) fn list(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let sessions = call.plane.platform.list_sessions(call.ctx, &tenant)?;
    answer(200, &api::SessionList { sessions: sessions.into_iter().rev().map(info).collect() })
}

pub(super) async fn revoke(call: &Call<'_>) -> Answer {
    let (tenant, session): (TenantId, TokenId) = (call.parameter("tenant")?, call.parameter("session")?);
    call.plane.platform.revoke_session(call.ctx, &tenant, &session).await?;
    Ok(nothing())
}

pub(super) fn whoami(call: &Call<'_>) -> Answer {
    let principal = call.ctx.caller.principal().clone();
    let credential = credential(call);
    answer(200, &api::WhoAmI { entity: principal.to_string(), principal, credential })
}

fn credential(call: &Call<'_>) -> Option<api::Credential> {
    let caller = call.ctx.caller;
    if let Some(proof) = caller.proof().filter(|proof| proof.kind() == ProofKind::Session) {
        return Some(api::Credential {
            kind: proof.kind().as_str().to_owned(),
            id: proof.key_id()?.parse().ok()?,
            issuer: proof.issuer().map(str::to_owned),
            authenticated_at: Some(proof.authenticated_at()),
            expires_at: proof.expires_at()?,
        });
    }
    let id = caller.token()?.clone();
    let expires_at = call.plane.platform.token_ends(&id)?;
    let kind = ProofKind::ApiToken.as_str().to_owned();
    Some(api::Credential { kind, id, issuer: None, authenticated_at: None, expires_at })
}

fn info(record: SessionRecord) -> api::SessionInfo {
    api::SessionInfo {
        name: record.principal().name,
        id: record.id,
        issuer: record.issuer,
        roles: record.roles,
        scopes: record.scopes,
        created_at: record.created_at,
        expires_at: record.expires_at,
        revoked_at: record.revoked_at,
    }
}
