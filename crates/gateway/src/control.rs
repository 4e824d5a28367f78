//! The control API: finds the endpoint, screens and identifies like any request, reads the body within its
//! bound, and hands over to the operation. It never decides: the platform's operations do.

mod functions;
mod login;
mod openapi;
mod policy;
mod rules;
mod shield;
mod table;
mod tenancy;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::shield::Peer;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::{Fault, RequestId, limits};
use platform::{Ctx, Platform};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::{
    api,
    config::About,
    metrics::Metrics,
    problem::Problem,
    stage::{
        respond::{self, Body},
        shape::{Rest, broken, settle},
    },
};
use table::{Endpoint, METRICS_TYPE, Operation, Shape};

/// How long a control request's body may take, in milliseconds.
const BODY_MS: u64 = 120_000;
/// Components on their way up at once: each is held in memory until its digest is checked.
const UPLOADS_MAX: usize = 4;
/// How long an upload waits for its turn, in milliseconds.
const UPLOAD_WAIT_MS: u64 = 30_000;

/// What every control request needs.
pub(crate) struct ControlPlane {
    platform: Arc<Platform>,
    metrics: Arc<Metrics>,
    connections: Box<dyn Fn() -> usize + Send + Sync>,
    endpoints: Vec<Endpoint>,
    openapi: OnceLock<Bytes>,
    domain: String,
    port: u16,
    about: About,
    uploads: Semaphore,
    closing: watch::Receiver<bool>,
}

impl ControlPlane {
    pub(crate) fn new(
        platform: Arc<Platform>,
        metrics: Arc<Metrics>,
        connections: Box<dyn Fn() -> usize + Send + Sync>,
        domain: String,
        port: u16,
        about: About,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let (endpoints, openapi) = (table::endpoints(), OnceLock::new());
        let uploads = Semaphore::new(UPLOADS_MAX);
        Self { platform, metrics, connections, endpoints, openapi, domain, port, about, uploads, closing }
    }

    pub(crate) const fn platform(&self) -> &Arc<Platform> {
        &self.platform
    }

    pub(crate) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The whole URLs of routes under a host.
    fn urls(&self, host: &str, routes: &[model::Route]) -> Vec<String> {
        let port = if self.port == 443 { String::new() } else { format!(":{}", self.port) };
        let bare = |path: &str| path.strip_suffix("/...").unwrap_or(path).to_owned();
        routes.iter().map(|route| format!("https://{host}{port}{}", bare(&route.path))).collect()
    }
}

/// A control request on its way: what an operation may look at.
struct Call<'a> {
    plane: &'a ControlPlane,
    ctx: Ctx<'a>,
    head: &'a Parts,
    parameters: Parameters<'a>,
    body: Bytes,
}

/// What stands in place of the braces of a path.
type Parameters<'a> = HashMap<&'static str, &'a str>;

/// Answers one control request.
pub(crate) async fn serve(plane: &ControlPlane, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
    let id = plane.platform.request_id();
    let asked = respond::Asked::of(&request);
    let mut response = match walk(plane, id, request, peer).await {
        Ok(response) => response,
        Err(problem) => {
            plane.metrics.refused(problem.counted_as());
            if !problem.is_recorded() {
                plane.platform.note_refusal(id, None, peer, problem.code(), problem.sentence());
            }
            problem.respond(id)
        }
    };
    respond::finish(&mut response, asked, id, false);
    response
}

async fn walk(
    plane: &ControlPlane,
    id: RequestId,
    request: Request<Incoming>,
    peer: &Peer,
) -> Result<Response<Body>, Problem> {
    plane.platform.admit_operator(id, peer)?;
    let (mut head, body) = request.into_parts();
    settle(&mut head, peer)?;
    let (shield, now_ms) = (plane.platform.shield(), plane.platform.clock().monotonic_ms());
    let let_in = shield.admit_peer(::shield::Port::Control, peer.address.ip(), now_ms);
    let screened = let_in.and_then(|()| shield.screen(head, body, peer, now_ms)).map_err(|blocked| {
        plane.platform.note_refusal(id, None, peer, blocked.code(), &blocked.to_string());
        Problem::from(&blocked)
    })?;
    let (head, body, _) = screened.into_parts();
    let body = Rest::new(body, &head);
    let path = head.uri.path().to_owned();
    let (endpoint, parameters) = find(&plane.endpoints, &head.method, &path)?;
    known(endpoint, head.uri.query().unwrap_or_default())?;
    if endpoint.open {
        let body = Box::pin(read(endpoint, &head, body)).await?;
        let asked = login::Stranger { plane, id, head: &head, peer, parameters, body };
        return match endpoint.operation {
            operation @ (Operation::LoginOffer | Operation::LogIn | Operation::LoginFailed) => {
                login::stranger(operation, asked).await
            }
            operation => open(plane, operation),
        };
    }
    let caller = plane.platform.identify_control(id, &head, peer)?;
    if caller.is_anonymous() {
        let detail = "the control API wants a token or a session";
        plane.platform.note_refusal(id, None, peer, "no-credential", detail);
        return Err(platform::Refused::Unauthenticated { code: "no-credential" }.into());
    }
    let _turn = match endpoint.request {
        Shape::Bytes => Some(turn(&plane.uploads).await?),
        _ if matches!(endpoint.operation, Operation::AddRules | Operation::Simulate) => {
            Some(turn(&plane.uploads).await?)
        }
        _ => None,
    };
    let ctx = Ctx { id, caller: &caller, peer };
    let body = read(endpoint, &head, body).await;
    let body = body.inspect_err(|problem| plane.platform.note_body(ctx, problem.code()))?;
    let call = Call { plane, ctx, head: &head, parameters, body };
    dispatch(endpoint.operation, call).await
}

/// One of the few places for an upload.
async fn turn(uploads: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    let turn = tokio::time::timeout(Duration::from_millis(UPLOAD_WAIT_MS), uploads.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or_else(|| Fault::NodeBusy.into())
}

async fn dispatch(operation: Operation, call: Call<'_>) -> Result<Response<Body>, Problem> {
    use Operation as Op;
    match operation {
        Op::Health | Op::Ready | Op::OpenApi | Op::LoginOffer | Op::LogIn | Op::LoginFailed => {
            open(call.plane, operation)
        }
        Op::Metrics => metrics(&call),
        Op::WhoAmI => login::whoami(&call),
        Op::LogOut => login::log_out(&call).await,
        Op::ListSessions => login::list(&call),
        Op::RevokeSession => login::revoke(&call).await,
        Op::Node => tenancy::node(&call),
        Op::NodeRecords => tenancy::node_records(&call).await,
        Op::ListTenants => tenancy::list_tenants(&call),
        Op::CreateTenant => tenancy::create_tenant(&call).await,
        Op::LimitTenant => tenancy::limit_tenant(&call).await,
        Op::ListTokens => tenancy::list_tokens(&call),
        Op::CreateToken => tenancy::create_token(&call).await,
        Op::RotateToken => tenancy::rotate_token(&call).await,
        Op::RevokeToken => tenancy::revoke_token(&call).await,
        Op::Records => tenancy::records(&call).await,
        Op::ReadIdentity => tenancy::read_identity(&call).await,
        Op::SetIdentity => tenancy::set_identity(&call).await,
        Op::ReadPolicy => policy::read(&call),
        Op::SetPolicy => policy::set(&call).await,
        Op::Explain => policy::explain(&call).await,
        Op::WhoCan => policy::who_can(&call),
        Op::WhatCan => policy::what_can(&call),
        Op::Changes => policy::changes(&call).await,
        Op::Propose => policy::propose(&call).await,
        Op::Change => policy::change(&call).await,
        Op::Approve => policy::approve(&call).await,
        Op::Reject => policy::reject(&call).await,
        Op::ListGlass => policy::list_glass(&call).await,
        Op::BreakGlass => policy::break_glass(&call).await,
        Op::EndGlass => policy::end_glass(&call).await,
        Op::ListRules => rules::list(&call).await,
        Op::AddRules => rules::add(&call).await,
        Op::UseRules => rules::choose(&call).await,
        Op::Simulate => rules::simulate(&call).await,
        Op::NodeShield | Op::ShieldReport => shield::report(&call),
        Op::NodeWhy | Op::ShieldWhy => shield::why(&call).await,
        Op::NodeAct | Op::ShieldAct => shield::act(&call).await,
        Op::NodeUndo | Op::ShieldUndo => shield::undo(&call).await,
        Op::ReadProfile => shield::profile(&call),
        Op::ApproveProfile => shield::approve(&call).await,
        Op::ResetProfile => shield::reset(&call).await,
        Op::ListBait => shield::list_bait(&call).await,
        Op::LayBait => shield::lay_bait(&call).await,
        Op::TakeBait => shield::take_bait(&call).await,
        Op::ListFunctions => functions::list(&call),
        Op::Inspect => functions::inspect(&call).await,
        Op::Remove => functions::remove(&call).await,
        Op::PutComponent => functions::put_component(&call).await,
        Op::Deploy => functions::deploy(&call).await,
        Op::Rollback => functions::rollback(&call).await,
        Op::Invoke => functions::invoke(call).await,
        Op::Logs => functions::logs(&call),
    }
}

fn open(plane: &ControlPlane, operation: Operation) -> Result<Response<Body>, Problem> {
    let draining = plane.platform.is_draining();
    match operation {
        Operation::Ready if draining => answer(503, &api::Health { status: "draining".into() }),
        Operation::OpenApi => {
            let make = || {
                let document = openapi::document(&plane.endpoints, &plane.about.version);
                Bytes::from(document.to_string())
            };
            Ok(text("application/json", plane.openapi.get_or_init(make).clone()))
        }
        _ => answer(200, &api::Health { status: "ok".into() }),
    }
}

fn metrics(call: &Call<'_>) -> Result<Response<Body>, Problem> {
    let counted = call.plane.platform.metrics(call.ctx)?;
    let connections = (call.plane.connections)();
    Ok(text(METRICS_TYPE, call.plane.metrics.text(counted, connections).into()))
}

/// The endpoint of a method and path.
fn find<'e, 'p>(
    endpoints: &'e [Endpoint],
    method: &Method,
    path: &'p str,
) -> Result<(&'e Endpoint, Parameters<'p>), Problem> {
    let mut allowed = Vec::new();
    for endpoint in endpoints {
        let Some(parameters) = fit(endpoint.path, path) else { continue };
        if endpoint.method == *method {
            return Ok((endpoint, parameters));
        }
        allowed.push(endpoint.method.as_str().to_owned());
    }
    if allowed.is_empty() {
        return Err(Problem::new(404, "no-endpoint", "the control API has no such path"));
    }
    Err(platform::RouteMiss::Method(allowed).into())
}

/// Refuses what the endpoint does not know: a filter with a slip in its name would filter nothing.
fn known(endpoint: &Endpoint, query: &str) -> Result<(), Problem> {
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        let bad = |what: &str| {
            let problem = Problem::new(400, "bad-parameter", "the query holds what is no value");
            Err(problem.detail(format!("`{name}` {what}")))
        };
        if !endpoint.query.iter().any(|(known, _)| *known == name) {
            return bad("is not known here");
        }
        if seen.contains(&name) {
            return bad("stands there twice");
        }
        seen.push(name);
    }
    Ok(())
}

fn fit<'p>(template: &'static str, path: &'p str) -> Option<Parameters<'p>> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut parameters = HashMap::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(parameters),
            (Some(part), Some(text)) => match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                Some(_) if text.is_empty() => return None,
                Some(name) => {
                    parameters.insert(name, text);
                }
                None if part == text => {}
                None => return None,
            },
            _ => return None,
        }
    }
}

/// Reads a body of the kind and size that the endpoint takes.
async fn read(endpoint: &Endpoint, head: &Parts, mut rest: Rest) -> Result<Bytes, Problem> {
    let (max, media) = match endpoint.request {
        Shape::Bytes => (limits::COMPONENT_BYTES_MAX, "application/wasm"),
        Shape::Json(_) if endpoint.open => (limits::LOGIN_BODY_BYTES_MAX, "application/json"),
        Shape::Json(_) if matches!(endpoint.operation, Operation::AddRules | Operation::Simulate) => {
            (limits::RULES_BODY_BYTES_MAX, "application/json")
        }
        Shape::Json(_) => (limits::CONTROL_BODY_BYTES_MAX, "application/json"),
        _ => (0, ""),
    };
    let too_large = || Problem::new(413, "too-large", "the body is larger than this endpoint takes");
    if rest.bytes_min() > max {
        return Err(too_large().detail(format!("at most {max} bytes")));
    }
    let given = head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if max > 0 && given.split(';').next().unwrap_or_default().trim() != media {
        let problem =
            Problem::new(415, "media-type", "the body is of another media type than this endpoint takes");
        return Err(problem.detail(format!("send it as `content-type: {media}`")));
    }
    let Some(body) = rest.body() else { return Ok(Bytes::new()) };
    let collect = async {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
            if bytes.len() as u64 + data.len() as u64 > max {
                return Err(too_large().detail(format!("at most {max} bytes")));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    };
    let slow = |_| Problem::new(408, "body-slow", "the request's body did not come in time");
    let within = if endpoint.open { limits::LOGIN_BODY_MS } else { BODY_MS };
    tokio::time::timeout(Duration::from_millis(within), collect).await.map_err(slow)?
}

impl Call<'_> {
    /// What stands in place of a parameter, as an id of its kind.
    fn parameter<T>(&self, name: &'static str) -> Result<T, Problem>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        parameter(&self.parameters, name)
    }

    /// A parameter of the query. Values are ids and numbers, which need no decoding.
    fn query(&self, name: &str) -> Option<&str> {
        let pairs = self.head.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
    }

    /// The same as an id or number.
    fn query_as<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let bad = |e: T::Err| {
            let problem = Problem::new(400, "bad-parameter", "the query holds what is no value");
            problem.detail(format!("`{name}`: {e}"))
        };
        self.query(name).map(|text| text.parse().map_err(bad)).transpose()
    }

    /// The body as JSON.
    fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        as_json(&self.body)
    }
}

/// What stands in place of a parameter of a path, as an id of its kind.
fn parameter<T>(parameters: &Parameters<'_>, name: &'static str) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text = parameters.get(name).copied().unwrap_or_default();
    let bad = |e: T::Err| {
        Problem::new(400, "bad-parameter", "the path holds what is no name").detail(e.to_string())
    };
    text.parse().map_err(bad)
}

/// A body as JSON.
fn as_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|e| {
        Problem::new(400, "bad-json", "the body is not what this endpoint takes").detail(e.to_string())
    })
}

/// A JSON answer.
fn answer<T: Serialize>(status: u16, value: &T) -> Result<Response<Body>, Problem> {
    let bytes = serde_json::to_vec(value).map_err(|e| {
        tracing::error!(%e, "an answer could not be encoded");
        Problem::new(500, "internal", "the node failed")
    })?;
    let mut response = text("application/json", bytes.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}

fn text(media: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer without a body.
fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

#[cfg(test)]
mod tests;
