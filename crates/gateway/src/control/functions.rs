//! Control operations on functions: from the API's types to the platform's and back. It never decides.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Method, Request, Response, Version, header};
use http_body_util::BodyExt;
use identity::Caller;
use model::{Digest, Fault, FunctionName, Outcome, TenantId, Usage, limits};
use platform::{AnswerBody, Follow, Order, Platform, RequestBody, Target};
use tokio::sync::watch;

use super::{Call, answer, nothing, policy};
use crate::{
    api,
    problem::Problem,
    stage::respond::{Body, BodyError},
};

type Answer = Result<Response<Body>, Problem>;

pub(super) fn list(call: &Call<'_>) -> Answer {
    let tenant: TenantId = call.parameter("tenant")?;
    let revisions = call.plane.platform.list(call.ctx, &tenant)?;
    let functions = revisions.iter().map(|r| api::FunctionSummary {
        name: r.function.clone(),
        revision: r.number,
        component: r.component,
        world: r.world,
        routes: r.routes.clone(),
        deployed_at: r.deployed_at,
        deployed_by: r.deployed_by.clone(),
    });
    answer(200, &api::FunctionList { functions: functions.collect() })
}

pub(super) async fn inspect(call: &Call<'_>) -> Answer {
    let (tenant, name): (TenantId, FunctionName) = (call.parameter("tenant")?, call.parameter("function")?);
    let view = call.plane.platform.inspect(call.ctx, &tenant, &name).await?;
    let active = view.active.number;
    let revisions = view.revisions.iter().map(|r| api::RevisionSummary {
        number: r.number,
        component: r.component,
        deployed_at: r.deployed_at,
        deployed_by: r.deployed_by.clone(),
        active: r.number == active,
    });
    let detail = api::FunctionDetail {
        urls: call.plane.urls(&view.host, &view.active.routes),
        identity: view.identity,
        loosened: view.loosened,
        policy: policy_text(&view.policies),
        revisions: revisions.collect(),
        totals: view.totals,
        function: model::Function { tenant, name, active: view.active, newest: view.newest },
    };
    answer(200, &detail)
}

pub(super) async fn remove(call: &Call<'_>) -> Answer {
    let (tenant, name): (TenantId, FunctionName) = (call.parameter("tenant")?, call.parameter("function")?);
    call.plane.platform.remove(call.ctx, &tenant, &name).await?;
    Ok(nothing())
}

pub(super) async fn put_component(call: &Call<'_>) -> Answer {
    let (tenant, digest): (TenantId, Digest) = (call.parameter("tenant")?, call.parameter("digest")?);
    let stored = call.plane.platform.put_component(call.ctx, &tenant, digest, call.body.clone()).await?;
    let status = if stored.existed { 200 } else { 201 };
    answer(status, &api::ComponentStored { digest, bytes: stored.bytes, existed: stored.existed })
}

pub(super) async fn deploy(call: &Call<'_>) -> Answer {
    let (tenant, name): (TenantId, FunctionName) = (call.parameter("tenant")?, call.parameter("function")?);
    let wanted: api::DeployRequest = call.json()?;
    let platform = &call.plane.platform;
    let order = Order {
        function: &name,
        manifest: &wanted.manifest,
        component: wanted.component,
        consent: policy::consent(wanted.accept_widening),
    };
    let done = platform.deploy(call.ctx, &tenant, &order).await?;
    let revision = &done.revision;
    let result = api::DeployResult {
        function: name,
        revision: revision.number,
        previous: done.previous,
        world: revision.world,
        urls: call.plane.urls(&done.host, &revision.routes),
        grants: revision.grants.clone(),
        limits: revision.limits,
        policy: policy_text(&done.policies),
        compile_ms: done.compile_ms,
        warnings: done.findings,
    };
    answer(201, &result)
}

pub(super) async fn rollback(call: &Call<'_>) -> Answer {
    let (tenant, name): (TenantId, FunctionName) = (call.parameter("tenant")?, call.parameter("function")?);
    let wanted: api::RollbackRequest = call.json()?;
    let consent = policy::consent(wanted.accept_widening);
    let (revision, previous) =
        call.plane.platform.rollback(call.ctx, &tenant, &name, wanted.to, consent).await?;
    answer(200, &api::RollbackResult { function: name, revision: revision.number, previous })
}

pub(super) fn logs(call: &Call<'_>) -> Answer {
    let (tenant, name): (TenantId, FunctionName) = (call.parameter("tenant")?, call.parameter("function")?);
    let after: Option<u64> = call.query_as("after")?;
    let platform = &call.plane.platform;
    let first = platform.read_logs(call.ctx, &tenant, &name, after)?;
    let last = first.last().map_or(after.unwrap_or(0), |line| line.seq);
    let body = if call.query("follow") == Some("true") {
        let follow = platform.follow_logs(call.ctx, &tenant, &name)?;
        let reader = Reader {
            platform: platform.clone(),
            caller: call.ctx.caller.clone(),
            closing: call.plane.closing.clone(),
        };
        Body::stream(stream::unfold((Some(first), last, follow, reader), next_lines))
    } else {
        Body::full(lines(&first))
    };
    let mut response = Response::new(body);
    let media = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    Ok(response)
}

/// How often it is looked whether a reader of a log may still read it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who follows a log.
struct Reader {
    platform: Arc<Platform>,
    caller: Caller,
    closing: watch::Receiver<bool>,
}

type Following = (Option<Vec<platform::LogLine>>, u64, Follow, Reader);

/// The next lines as soon as there are some; the end when the node stops, or the reader's credential does.
async fn next_lines(
    (first, last, follow, mut reader): Following,
) -> Option<(Result<Bytes, BodyError>, Following)> {
    let some = match first {
        Some(some) if !some.is_empty() => some,
        _ => loop {
            tokio::select! {
                some = follow.next(last) => break some,
                _ = reader.closing.wait_for(|closing| *closing) => return None,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            if !reader.platform.still_holds(&reader.caller) {
                return None;
            }
        },
    };
    if !reader.platform.still_holds(&reader.caller) {
        return None;
    }
    let last = some.last().map_or(last, |line| line.seq);
    Some((Ok(lines(&some)), (None, last, follow, reader)))
}

fn lines(some: &[platform::LogLine]) -> Bytes {
    let mut text = Vec::new();
    for line in some {
        let source = match line.stream.as_str() {
            "stdout" => api::LogSource::Stdout,
            "stderr" => api::LogSource::Stderr,
            _ => api::LogSource::Platform,
        };
        let line = api::LogLine {
            seq: line.seq,
            at: line.at,
            request_id: line.request,
            revision: line.revision,
            source,
            text: line.text.clone(),
        };
        text.extend(serde_json::to_vec(&line).unwrap_or_default());
        text.push(b'\n');
    }
    text.into()
}

/// What decides, for people: the shipped guard rails and roles by name, the tenant's and the function's own
/// policies in full.
pub(super) fn policy_text(policies: &[(String, String)]) -> String {
    let shipped = |id: &str| id.starts_with("guard/") || id.starts_with("role/");
    let names: Vec<&str> = policies.iter().map(|(id, _)| id.as_str()).filter(|id| shipped(id)).collect();
    let mut text = format!("// shipped with the node: {}\n", names.join(", "));
    for (id, policy) in policies.iter().filter(|(id, _)| !shipped(id)) {
        text.push_str(&format!("\n// {id}\n{}\n", policy.trim()));
    }
    text
}

/// A call of a function walks the same way as one from outside: screened, authorized, run.
pub(super) async fn invoke(call: Call<'_>) -> Answer {
    let (tenant, name): (TenantId, FunctionName) = (call.parameter("tenant")?, call.parameter("function")?);
    let wanted: api::InvokeRequest = call.json()?;
    let (plane, ctx) = (call.plane, call.ctx);
    let platform = &plane.platform;
    let target = platform.find(&tenant, &name)?;
    let request = guest_request(&plane.domain, entered(wanted, &target))?;
    target.takes(request.method(), request.uri().path())?;
    let (head, body) = request.into_parts();
    let blocked = platform.admit_unblocked_by(ctx.id, Some(&tenant), ctx.peer);
    blocked.map_err(|refused| Problem::from(platform::ControlError::Refused(refused)))?;
    let now_ms = platform.clock().monotonic_ms();
    let mut screened = platform.shield().screen(head, body, ctx.peer, now_ms).map_err(|blocked| {
        platform.note_refusal(ctx.id, Some(&target), ctx.peer, blocked.code(), &blocked.to_string());
        Problem::from(&blocked)
    })?;
    platform.admit_source(ctx.id, &target, ctx.peer).map_err(|blocked| Problem::from(&blocked))?;
    platform.look(ctx.id, &target, &mut screened)?;
    let permit = platform
        .authorize(ctx.id, &target, ctx.caller, &screened)
        .map_err(|refused| Problem::from(platform::ControlError::Refused(refused)))?;
    let inspected = platform.inspect_request(ctx.id, &target, ctx.caller, screened).await?;
    let (ran, ended) = platform.invoke_metered(ctx.id, permit, ctx.caller, target.clone(), inspected).await;
    let collected = match ran {
        Ok(response) => collect(response).await,
        Err(fault) => Collected { fault: Some(fault), status: fault.status(), ..Collected::default() },
    };
    let (usage, outcome) = match ended {
        Some(ended) => ended.await.unwrap_or((Usage::default(), Outcome::Answered(collected.status))),
        None => (Usage::default(), Outcome::Answered(collected.status)),
    };
    answer(200, &result(&call, &target, collected, usage, outcome))
}

fn result(
    call: &Call<'_>,
    target: &Arc<Target>,
    collected: Collected,
    usage: Usage,
    outcome: Outcome,
) -> api::InvokeResult {
    let (fault, fault_detail) = match outcome {
        Outcome::Failed(fault, detail) => (Some(fault), Some(detail).filter(|d| !d.is_empty())),
        Outcome::Answered(_) => (collected.fault, None),
    };
    api::InvokeResult {
        request_id: call.ctx.id,
        revision: target.revision().number,
        status: collected.status,
        headers: collected.headers,
        body_base64: BASE64.encode(&collected.body),
        body_cut: collected.cut,
        usage,
        fault,
        fault_detail,
    }
}

/// `/` stands for the path of the first route, which is where a function begins for its callers.
fn entered(mut wanted: api::InvokeRequest, target: &Target) -> api::InvokeRequest {
    let first = target.revision().routes.first().map(|route| route.path.as_str());
    if let Some(first) = first.filter(|_| wanted.path == "/") {
        wanted.path = first.strip_suffix("/...").unwrap_or(first).to_owned();
    }
    if wanted.path.is_empty() {
        wanted.path = "/".into();
    }
    wanted
}

fn guest_request(domain: &str, wanted: api::InvokeRequest) -> Result<Request<RequestBody>, Problem> {
    let bad = |what: &str| Problem::new(400, "bad-request", "this is no request").detail(what.to_owned());
    let body =
        BASE64.decode(wanted.body_base64.as_bytes()).map_err(|_| bad("`body_base64` is not base 64"))?;
    let mut request = Request::new(RequestBody::Full(body.into()));
    *request.version_mut() = Version::HTTP_11;
    *request.method_mut() = Method::from_bytes(wanted.method.as_bytes()).map_err(|_| bad("`method`"))?;
    *request.uri_mut() = wanted.path.parse().map_err(|_| bad("`path`"))?;
    if request.uri().authority().is_some() || !wanted.path.starts_with('/') {
        return Err(bad("`path` starts with `/`"));
    }
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(domain).map_err(|_| bad("`host`"))?;
    headers.insert(header::HOST, host);
    for given in wanted.headers {
        let name = HeaderName::try_from(given.name).map_err(|_| bad("a header's name"))?;
        let value = HeaderValue::try_from(given.value).map_err(|_| bad("a header's value"))?;
        match name {
            // The credential is the control request's own; the length is the body's.
            header::AUTHORIZATION | header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::HOST => {}
            name => {
                headers.append(name, value);
            }
        }
    }
    Ok(request)
}

#[derive(Default)]
struct Collected {
    status: u16,
    headers: Vec<api::Header>,
    body: Bytes,
    cut: bool,
    fault: Option<Fault>,
}

/// The answer, its body cut at the bound of control bodies.
async fn collect(response: Response<AnswerBody>) -> Collected {
    let (head, mut body) = response.into_parts();
    let headers = head.headers.iter().map(|(name, value)| api::Header {
        name: name.as_str().to_owned(),
        value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
    });
    let mut collected =
        Collected { status: head.status.as_u16(), headers: headers.collect(), ..Collected::default() };
    let max = usize::try_from(limits::CONTROL_BODY_BYTES_MAX).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let Ok(data) = frame.into_data() else { continue };
                let room = max.saturating_sub(bytes.len());
                bytes.extend_from_slice(data.get(..room).unwrap_or(&data));
                if data.len() > room {
                    collected.cut = true;
                    break;
                }
            }
            Err(fault) => {
                collected.fault = Some(fault);
                break;
            }
        }
    }
    collected.body = bytes.freeze();
    collected
}
