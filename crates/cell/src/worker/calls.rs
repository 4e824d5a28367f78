//! Outbound calls: what a guest asks for goes to the node as frames, and what the node answers goes to the
//! guest. It never opens a connection, and no call gets further than the node allows.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use parking_lot::Mutex;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::{
    answer::{header_lines, header_map},
    body::Incoming,
    flow::{Credit, Inflow},
    run::Run,
};
use crate::protocol::{CallError, CallId, PART_BYTES_MAX, RequestHead, ResponseHead, ToNode};

/// One outbound call.
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) run: Arc<Run>,
    /// The answer's body.
    pub(super) body: Inflow,
    /// For the request's body.
    pub(super) credit: Credit,
    head: Mutex<Head>,
}

enum Head {
    Waiting(Option<Waker>),
    Here(Result<ResponseHead, CallError>),
    Taken,
}

/// Tells the node that a call has no one who waits for it, when the guest lets go of it.
pub(super) struct Held(pub(super) Arc<Call>);

impl Drop for Held {
    fn drop(&mut self) {
        let (run, call) = (&self.0.run, self.0.id);
        let known = run.calls.lock().remove(&call).is_some();
        if known && !self.0.body.is_over() {
            let _fits = run.send(&ToNode::CallDropped { run: run.id, call });
        }
    }
}

impl Call {
    /// The head of the answer came.
    pub(super) fn answered(&self, head: ResponseHead) {
        self.settle(Ok(head));
    }

    /// The call failed, before or after its head.
    pub(super) fn failed(&self, why: CallError) {
        self.settle(Err(why));
        self.body.break_off(after_head(why));
    }

    fn settle(&self, head: Result<ResponseHead, CallError>) {
        let mut held = self.head.lock();
        if let Head::Waiting(waker) = &mut *held {
            let waker = waker.take();
            *held = Head::Here(head);
            drop(held);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn poll_head(&self, cx: &Context<'_>) -> Poll<Result<ResponseHead, Error>> {
        let mut held = self.head.lock();
        match std::mem::replace(&mut *held, Head::Taken) {
            Head::Here(head) => Poll::Ready(head.map_err(before_head)),
            Head::Waiting(_) => {
                *held = Head::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
            Head::Taken => Poll::Ready(Err(Error::InternalError(None))),
        }
    }
}

/// What is left to do for a call once its answer has begun.
pub(super) type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// Sends `request` to the node and waits for the head of the answer.
///
/// # Errors
/// What the node said, or that the run has no call left.
pub(super) async fn call(
    run: Arc<Run>,
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<(http::Response<WasiBody>, Rest), Error> {
    let id = run.next_call().ok_or(Error::ConnectionLimitReached)?;
    let (parts, body) = request.into_parts();
    let head = request_head(&parts);
    let frame = ToNode::Call { run: run.id, call: id, head };
    run.send(&frame).map_err(|_| Error::HttpRequestHeaderSectionSize(None))?;
    let call = Arc::new(Call {
        id,
        run: Arc::clone(&run),
        body: Inflow::default(),
        credit: Credit::default(),
        head: Mutex::new(Head::Waiting(None)),
    });
    run.calls.lock().insert(id, Arc::clone(&call));
    let held = Held(Arc::clone(&call));

    let mut upload: Pin<Rest> = Box::pin(upload(Arc::clone(&call), body));
    let mut uploaded = false;
    let answer = poll_fn(|cx| {
        if !uploaded && let Poll::Ready(done) = upload.as_mut().poll(cx) {
            uploaded = true;
            if let Err(why) = done {
                return Poll::Ready(Err(why));
            }
        }
        call.poll_head(cx)
    });
    let head = within(options, answer).await?;
    let mut response = http::Response::new(UnsyncBoxBody::new(Incoming::answer(held)));
    *response.status_mut() = http::StatusCode::from_u16(head.status).map_err(|_| Error::HttpProtocolError)?;
    *response.headers_mut() = header_map(head.headers).ok_or(Error::HttpProtocolError)?;
    let rest: Rest = if uploaded { Box::new(async { Ok(()) }) } else { Box::new(upload) };
    Ok((response, rest))
}

/// The guest's own patience, where it says so.
async fn within<T>(
    options: Option<RequestOptions>,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let options = options.unwrap_or_default();
    let patience = match (options.connect_timeout, options.first_byte_timeout) {
        (None, None) => return answer.await,
        // Either alone leaves the other open.
        (Some(_), None) => return answer.await,
        (connect, Some(first)) => connect.unwrap_or(Duration::ZERO).saturating_add(first),
    };
    let answer = pin!(answer);
    tokio::time::timeout(patience, answer).await.unwrap_or(Err(Error::HttpResponseTimeout))
}

async fn upload(call: Arc<Call>, mut body: WasiBody) -> Result<(), Error> {
    let (run, id) = (call.run.id, call.id);
    let send = |bytes, ends| call.run.send(&ToNode::CallBody { run, call: id, bytes, ends });
    while let Some(frame) = body.frame().await {
        // Trailers have no frame: they are dropped.
        let Ok(mut data) = frame?.into_data() else { continue };
        while !data.is_empty() {
            let wanted = data.len().min(PART_BYTES_MAX);
            let granted = poll_fn(|cx| call.credit.poll(cx, wanted)).await;
            call.run.moved();
            let _fits = send(data.split_to(granted), false);
        }
    }
    let _fits = send(Bytes::new(), true);
    Ok(())
}

fn request_head(parts: &http::request::Parts) -> RequestHead {
    let copy = |text: Option<&str>| Bytes::copy_from_slice(text.unwrap_or_default().as_bytes());
    RequestHead {
        method: copy(Some(parts.method.as_str())),
        scheme: copy(parts.uri.scheme_str()),
        authority: copy(parts.uri.authority().map(http::uri::Authority::as_str)),
        target: copy(Some(parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str))),
        headers: header_lines(&parts.headers),
    }
}

fn before_head(why: CallError) -> Error {
    match why {
        CallError::Denied => Error::HttpRequestDenied,
        CallError::NotFound => Error::DestinationNotFound,
        CallError::Connection => Error::ConnectionRefused,
        CallError::Tls => Error::TlsCertificateError,
        CallError::Timeout => Error::ConnectionTimeout,
        CallError::TooLarge => Error::HttpResponseBodySize(None),
        CallError::Protocol => Error::HttpProtocolError,
        CallError::Internal => Error::InternalError(None),
    }
}

fn after_head(why: CallError) -> Error {
    match why {
        CallError::Connection => Error::ConnectionTerminated,
        CallError::Timeout => Error::HttpResponseTimeout,
        other => before_head(other),
    }
}
