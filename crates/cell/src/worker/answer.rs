//! One run from request to answer: instantiate, call, pass the answer on, and say what went wrong. It never
//! outlives its limits, since whoever polls it drops it.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::BodyExt;
use model::Fault;
use parking_lot::Mutex;
use wasmtime::{PoolConcurrencyLimitError, Trap, component::ResourceTableError};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::{
    FieldMapError, WasiBody,
    p2::bindings::{ProxyPre, http::types as p2},
    p3::{self, bindings::ServicePre},
};

use super::{
    body::Incoming,
    code::{Loaded, Pre},
    guest::{self, Guest},
    run::{Failure, Run, Stage},
};
use crate::protocol::{HeaderLine, PART_BYTES_MAX, RequestHead, ResponseHead, ToNode};

/// Runs `run` to its end.
///
/// # Errors
/// The fault that it ends with.
pub(super) async fn answer(loaded: Rc<Loaded>, run: Arc<Run>, head: RequestHead) -> Result<(), Failure> {
    let request =
        request(&run, head).ok_or_else(|| (Fault::NoAnswer, "the request's head is not HTTP".to_owned()))?;
    let ended = match &loaded.pre {
        Pre::P2(pre) => answer_p2(&loaded, pre, &run, request).await,
        Pre::P3(pre) => answer_p3(&loaded, pre, &run, request).await,
    };
    match (run.failure(), ended) {
        (Some(failure), _) | (None, Err(failure)) => Err(failure),
        (None, Ok(())) if run.stage() == Stage::Ended => Ok(()),
        (None, Ok(())) => Err((Fault::NoAnswer, "it returned without an answer".to_owned())),
    }
}

type Passing = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;
type Given = Result<http::Response<WasiBody>, p2::ErrorCode>;

async fn answer_p2(
    loaded: &Loaded,
    pre: &ProxyPre<Guest>,
    run: &Arc<Run>,
    request: http::Request<Incoming>,
) -> Result<(), Failure> {
    let given: Arc<Mutex<Option<Given>>> = Arc::default();
    let slot = Arc::clone(&given);
    let mut call = pin!(async move {
        let mut store = guest::store(&loaded.engine, run);
        let proxy = pre.instantiate_async(&mut store).await?;
        let scheme = match request.uri().scheme_str() {
            Some("https") => p2::Scheme::Https,
            _ => p2::Scheme::Http,
        };
        let mut view = store.data_mut().view();
        let request = view.new_incoming_request(scheme, request)?;
        // The guest sets it while it is polled, so that whoever polls looks there afterwards.
        let out = view.new_response_outparam_from_callback(move |answer| *slot.lock() = Some(answer))?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
    });
    let mut called = false;
    let mut passing: Option<Passing> = None;
    poll_fn(|cx| {
        if !called && let Poll::Ready(done) = call.as_mut().poll(cx) {
            called = true;
            if let Err(failure) = done.or_else(|error| classify(run, &error)) {
                return Poll::Ready(Err(failure));
            }
        }
        if let Some(answer) = given.lock().take() {
            match answer {
                Ok(response) => passing = Some(Box::pin(pass_on(Arc::clone(run), response))),
                Err(code) => return Poll::Ready(Err((Fault::GuestError, format!("{code:?}")))),
            }
        }
        if let Some(pass) = &mut passing
            && run.stage() != Stage::Ended
            && let Poll::Ready(Err(failure)) = pass.as_mut().poll(cx)
        {
            return Poll::Ready(Err(failure));
        }
        let waits = passing.is_some() && run.stage() != Stage::Ended;
        if called && !waits { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

async fn answer_p3(
    loaded: &Loaded,
    pre: &ServicePre<Guest>,
    run: &Arc<Run>,
    request: http::Request<Incoming>,
) -> Result<(), Failure> {
    let mut store = guest::store(&loaded.engine, run);
    let ended = async {
        let service = pre.instantiate_async(&mut store).await?;
        let view = store.data_mut().view();
        let (request, _sent) = p3::Request::from_http(view.hooks, request);
        let request = view.table.push(request)?;
        store
            .run_concurrent(async |accessor| -> wasmtime::Result<Result<(), Failure>> {
                let answer = match service.wasi_http_handler().call_handle(accessor, request).await? {
                    Ok(answer) => answer,
                    Err(code) => return Ok(Err((Fault::GuestError, format!("{code:?}")))),
                };
                let response = accessor.with(|mut access| {
                    let answer = access.data_mut().view().table.delete(answer)?;
                    answer.into_http_with_getter(&mut access, async { Ok(()) }, Guest::view)
                })?;
                if let Err(failure) = pass_on(Arc::clone(run), response).await {
                    return Ok(Err(failure));
                }
                // What the guest still does after its answer.
                poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                Ok(Ok(()))
            })
            .await?
    };
    ended.await.unwrap_or_else(|error: wasmtime::Error| classify(run, &error))
}

/// Sends head and body of an answer as far as limits and credit allow.
async fn pass_on(run: Arc<Run>, response: http::Response<WasiBody>) -> Result<(), Failure> {
    let too_large = |what: &str, limit: u64| format!("more than {limit} bytes of {what}");
    let limits = run.limits;
    let headers_too_large =
        || (Fault::ResponseHeaderLimit, too_large("headers", limits.response_header_bytes));
    let (parts, mut body) = response.into_parts();
    if !run.answer_headers(&parts.headers) {
        return Err(headers_too_large());
    }
    let status = parts.status.as_u16();
    if parts.status.is_informational() {
        // What follows on the caller's connection would be taken for the real one.
        return Err((Fault::GuestError, format!("status {status} is no answer's")));
    }
    let head = ResponseHead { status, headers: header_lines(&parts.headers) };
    run.send(&ToNode::Head { run: run.id, head }).map_err(|_| headers_too_large())?;
    run.reached(Stage::Head);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| (Fault::GuestError, format!("the answer's body: {error}")))?;
        let mut data = match frame.into_data() {
            Ok(data) => data,
            // Trailers have no frame: they are counted and dropped.
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) if !run.answer_headers(&trailers) => return Err(headers_too_large()),
                _ => continue,
            },
        };
        if !run.answer_body(data.len()) {
            return Err((Fault::ResponseBodyLimit, too_large("body", limits.response_body_bytes)));
        }
        while !data.is_empty() {
            let wanted = data.len().min(PART_BYTES_MAX);
            let granted = poll_fn(|cx| run.credit.poll(cx, wanted)).await;
            let _fits = run.send(&ToNode::Body { run: run.id, bytes: data.split_to(granted), ends: false });
            run.moved();
        }
    }
    let _fits = run.send(&ToNode::Body { run: run.id, bytes: Bytes::new(), ends: true });
    run.reached(Stage::Ended);
    Ok(())
}

/// What an error of the engine means, or nothing if it is none: a guest that exits well after its answer.
fn classify(run: &Run, error: &wasmtime::Error) -> Result<(), Failure> {
    if let Some(failure) = run.failure() {
        return Err(failure);
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        let answered = run.stage() > Stage::Waiting;
        return if *code == 0 && answered { Ok(()) } else { Err((Fault::Exit, format!("exit code {code}"))) };
    }
    let fault = match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Fault::StackLimit,
        // What an answer could come of is gone.
        Some(Trap::AsyncDeadlock | Trap::NoAsyncResult) if run.stage() == Stage::Waiting => Fault::NoAnswer,
        Some(_) => Fault::Trap,
        None => of_the_host(error),
    };
    Err((fault, format!("{error:?}")))
}

/// Which limit a host function met, if it was one.
fn of_the_host(error: &wasmtime::Error) -> Fault {
    if error.is::<PoolConcurrencyLimitError>() {
        return Fault::NodeBusy;
    }
    for cause in error.chain() {
        if let Some(FieldMapError::TotalSizeTooBig | FieldMapError::TooManyFields) = cause.downcast_ref() {
            return Fault::ResponseHeaderLimit;
        }
        if let Some(ResourceTableError::Full) = cause.downcast_ref() {
            return Fault::HandleLimit;
        }
    }
    // The engine has no types for these.
    let root = error.root_cause().to_string();
    let of = |texts: &[&str]| texts.iter().any(|text| root.starts_with(text));
    if of(&["resource limit exceeded"]) {
        Fault::InstanceLimit
    } else if of(&["cannot allocate another handle", "cannot lend resource"]) {
        Fault::HandleLimit
    } else if of(&["requested len "]) {
        Fault::RandomLimit
    } else if of(&["too much data is being copied"]) {
        Fault::HostCallBytesLimit
    } else {
        Fault::Trap
    }
}

fn request(run: &Arc<Run>, head: RequestHead) -> Option<http::Request<Incoming>> {
    let mut uri = Uri::builder().scheme(&*head.scheme).authority(&*head.authority);
    uri = uri.path_and_query(&*head.target);
    let mut request = http::Request::new(Incoming::request(Arc::clone(run)));
    *request.method_mut() = Method::from_bytes(&head.method).ok()?;
    *request.uri_mut() = uri.build().ok()?;
    *request.headers_mut() = header_map(head.headers)?;
    Some(request)
}

/// Header lines as a map, or nothing if one is no header.
pub(super) fn header_map(lines: Vec<HeaderLine>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for (name, value) in lines {
        let name = HeaderName::from_bytes(&name).ok()?;
        headers.try_append(name, HeaderValue::from_maybe_shared(value).ok()?).ok()?;
    }
    Some(headers)
}

/// A map as header lines.
pub(super) fn header_lines(headers: &HeaderMap) -> Vec<HeaderLine> {
    let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    headers.iter().map(|(name, value)| (copy(name.as_str().as_bytes()), copy(value.as_bytes()))).collect()
}
