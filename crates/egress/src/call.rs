//! One outbound call from its addresses to the head of its answer. It never decides whether it may be made.

use std::{net::IpAddr, sync::Arc, time::Duration};

use cell::BodyStream;
use futures_util::{FutureExt, StreamExt};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    request::Parts,
};
use hyper::body::Incoming;
use rustls::ClientConfig;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    Bounds,
    body::{Arriving, Outgoing, Progress},
    connection::{self, Connection, Key, Lease, Pool},
    destination::Place,
    error::EgressError,
};

/// Headers of one connection alone (RFC 9110 §7.6.1), or of a proxy; never handed on, either way.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// How long a kept connection may take to finish what it did before.
const READY_WITHIN: Duration = Duration::from_secs(1);

/// What all calls share.
pub(crate) struct Lines {
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) pool: Arc<Pool>,
}

/// One call that may be made: whose, where to, and at which addresses.
pub(crate) struct Route {
    pub(crate) owner: u64,
    pub(crate) place: Place,
    pub(crate) addresses: Vec<IpAddr>,
}

impl Lines {
    pub(crate) fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls, pool: Arc::default() }
    }

    /// Makes the call, on a kept connection where there is one.
    pub(crate) async fn call(
        &self,
        route: Route,
        request: Request<BodyStream>,
        bounds: Bounds,
    ) -> Result<Response<BodyStream>, EgressError> {
        let connect_for = Duration::from_millis(bounds.connect_ms);
        let places = self.pool.places(route.owner, &route.place);
        let permit = tokio::time::timeout(connect_for, places.acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok).ok_or(EgressError::Busy)?;

        let progress = Progress::new();
        let mut request = prepare(request, &route.place, &bounds, &progress)?;
        let mut permit = permit;
        while let Some((key, connection)) = self.pool.take(route.owner, &route.place, &route.addresses) {
            match self.send(key, connection, permit, request, &bounds, &progress).await {
                Sent::Done(result) => return result,
                // The destination had closed it meanwhile, and took nothing of the request.
                Sent::Unsent(back) => (request, permit) = *back,
            }
        }
        let opened = connection::open(&route.place, &route.addresses, &self.tls, connect_for).await?;
        let (address, connection) = opened;
        let key = Key { owner: route.owner, place: route.place, address };
        match self.send(key, connection, permit, request, &bounds, &progress).await {
            Sent::Done(result) => result,
            Sent::Unsent(_) => Err(EgressError::Connection("it was closed at once".to_owned())),
        }
    }

    async fn send(
        &self,
        key: Key,
        mut connection: Connection,
        permit: OwnedSemaphorePermit,
        request: Request<Outgoing>,
        bounds: &Bounds,
        progress: &Progress,
    ) -> Sent {
        let ready = tokio::time::timeout(READY_WITHIN, connection.sender.ready()).await;
        if !matches!(ready, Ok(Ok(()))) {
            return Sent::Unsent(Box::new((request, permit)));
        }
        let head_for = Duration::from_millis(bounds.head_ms);
        let mut answer = std::pin::pin!(connection.sender.try_send_request(request));
        let answer = loop {
            let until = progress.last() + head_for;
            match tokio::time::timeout_at(until, answer.as_mut()).await {
                Ok(answer) => break answer,
                // The request's body is still moving.
                Err(_) if progress.last() + head_for > until => {}
                Err(_) => return Sent::Done(Err(EgressError::Timeout)),
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(mut failed) => {
                return match failed.take_message() {
                    Some(request) => Sent::Unsent(Box::new((request, permit))),
                    None => Sent::Done(Err(from_hyper(failed.error(), progress))),
                };
            }
        };
        let lease = Lease { connection, key, pool: self.pool.clone(), _permit: permit };
        Sent::Done(receive(answer, lease, bounds))
    }
}

/// What became of a request that was given to a connection.
enum Sent {
    Done(Result<Response<BodyStream>, EgressError>),
    Unsent(Box<(Request<Outgoing>, OwnedSemaphorePermit)>),
}

/// Makes the request what it is on the wire: origin form, our `Host`, no headers of another connection.
fn prepare(
    request: Request<BodyStream>,
    place: &Place,
    bounds: &Bounds,
    progress: &Arc<Progress>,
) -> Result<Request<Outgoing>, EgressError> {
    let (mut head, mut stream) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let target = if target.is_empty() { "/" } else { target };
    head.uri = Uri::try_from(target).map_err(|e| EgressError::Protocol(e.to_string()))?;
    head.version = Version::HTTP_11;
    head.extensions = http::Extensions::new();
    strip(&mut head.headers);
    head.headers.remove(header::EXPECT);
    let host = HeaderValue::try_from(place.authority());
    head.headers.insert(header::HOST, host.map_err(|e| EgressError::Protocol(e.to_string()))?);

    // A body that is over before it began is no body: nothing is announced for it.
    let first = stream.next().now_or_never();
    let stream: Option<BodyStream> = match first {
        Some(None) => None,
        Some(Some(piece)) => Some(Box::pin(futures_util::stream::iter([piece]).chain(stream))),
        None => Some(stream),
    };
    announce(&mut head, stream.is_none(), bounds)?;
    Ok(Request::from_parts(head, Outgoing::new(stream, bounds.request_bytes_max, progress.clone())))
}

/// Sets the one length that the request has, so that no destination can read two requests into it.
fn announce(head: &mut Parts, empty: bool, bounds: &Bounds) -> Result<(), EgressError> {
    let length = single_length(&head.headers)?;
    head.headers.remove(header::CONTENT_LENGTH);
    if empty {
        if matches!(head.method, Method::POST | Method::PUT | Method::PATCH) {
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        return Ok(());
    }
    match length {
        Some(bytes) if bytes > bounds.request_bytes_max => Err(EgressError::TooLarge),
        Some(bytes) => {
            head.headers.insert(header::CONTENT_LENGTH, bytes.into());
            Ok(())
        }
        None => {
            head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            Ok(())
        }
    }
}

fn single_length(headers: &HeaderMap) -> Result<Option<u64>, EgressError> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(None) };
    let digits = first.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    match (digits.and_then(|text| text.parse().ok()), lengths.next()) {
        (Some(bytes), None) => Ok(Some(bytes)),
        _ => Err(EgressError::Protocol("`content-length` is no single number".to_owned())),
    }
}

/// Removes the headers of one connection, and those that `Connection` names.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().map(HeaderName::as_str).chain(HOP_BY_HOP.iter().copied()) {
        headers.remove(name);
    }
}

fn receive(
    answer: Response<Incoming>,
    lease: Lease,
    bounds: &Bounds,
) -> Result<Response<BodyStream>, EgressError> {
    let (mut head, body) = answer.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(EgressError::Protocol("it switched protocols".to_owned()));
    }
    // The connection's buffer bounds a head only roughly.
    let head_bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if head_bytes > connection::HEAD_BYTES_MAX {
        return Err(EgressError::TooLarge);
    }
    let announced = http_body::Body::size_hint(&body).exact();
    if announced.is_some_and(|bytes| bytes > bounds.response_bytes_max) {
        return Err(EgressError::TooLarge);
    }
    strip(&mut head.headers);
    head.extensions = http::Extensions::new();
    let body: BodyStream = Box::pin(Arriving::new(body, lease, bounds.response_bytes_max, bounds.idle_ms));
    Ok(Response::from_parts(head, body))
}

fn from_hyper(error: &hyper::Error, progress: &Progress) -> EgressError {
    if progress.too_large() || error.is_parse_too_large() {
        EgressError::TooLarge
    } else if progress.broken() {
        EgressError::BodyBroken
    } else if error.is_timeout() {
        EgressError::Timeout
    } else if error.is_parse() || error.is_user() {
        EgressError::Protocol(error.to_string())
    } else {
        EgressError::Connection(error.to_string())
    }
}
