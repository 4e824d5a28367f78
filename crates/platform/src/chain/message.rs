//! What goes between two functions: requests and answers whose heads say nothing of a connection and whose bodies are
//! as long as they say. It never decides whether anything goes.

use bytes::Bytes;
use cell::{BodyBroken, BodyStream};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header,
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body as _;
use http_body_util::BodyExt;
use model::{FUNCTION_DOMAIN, Fault, FunctionName};

use super::NoAnswer;
use crate::{AnswerBody, RequestBody, invoke::not_the_guests};

/// Makes a guest's request one that its callee may see: to the one host that the function has, without headers of a
/// connection or of the node, and with a body as long as its head says.
pub(super) fn shaped(name: &FunctionName, request: Request<BodyStream>) -> (Parts, RequestBody) {
    let (mut head, mut body) = request.into_parts();
    let host = format!("{name}.{FUNCTION_DOMAIN}");
    if let Ok(authority) = Authority::try_from(host.as_str())
        && let Ok(value) = HeaderValue::try_from(host)
    {
        let mut parts = head.uri.clone().into_parts();
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Some(authority));
        head.uri = Uri::from_parts(parts).unwrap_or(head.uri);
        head.headers.insert(header::HOST, value);
    }
    for name in not_the_guests(&head.headers) {
        head.headers.remove(name);
    }
    head.headers.remove(header::EXPECT);
    head.extensions = http::Extensions::new();
    // What is said twice, or is no number, the shield refuses.
    if let Some(length) = plain_length(&head.headers) {
        body = exactly(body, length);
    }
    // A body that is over before it began is no body.
    let body = match body.next().now_or_never() {
        Some(None) => RequestBody::Full(Bytes::new()),
        Some(Some(piece)) => RequestBody::Stream(Box::pin(stream::iter([piece]).chain(body))),
        None => RequestBody::Stream(body),
    };
    (head, body)
}

/// The callee's answer as its caller sees it.
pub(super) fn handed_on(
    answer: Response<AnswerBody>,
    head_only: bool,
) -> Result<Response<BodyStream>, NoAnswer> {
    if answer.status().is_informational() {
        return Err(NoAnswer::from(Fault::GuestError));
    }
    let (mut head, body) = answer.into_parts();
    for name in not_the_guests(&head.headers) {
        head.headers.remove(name);
    }
    let known = body.size_hint().exact();
    let said = plain_length(&head.headers);
    if said.is_none() || (!head_only && known.is_some_and(|known| Some(known) != said)) {
        head.headers.remove(header::CONTENT_LENGTH);
    }
    //= RFC 9110 §6.4.1: answers to `HEAD`, and those with 204 and 304, have no content
    let none = head_only || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body: BodyStream = match (none, head.headers.contains_key(header::CONTENT_LENGTH), said) {
        (true, ..) => Box::pin(stream::empty()),
        (false, true, Some(length)) => exactly(Box::pin(pieces(body)), length),
        (false, ..) => Box::pin(pieces(body)),
    };
    Ok(Response::from_parts(head, body))
}

/// An answer of the node itself.
pub(super) fn text(status: u16, sentence: &'static str) -> Response<BodyStream> {
    let pieces = [Ok(Bytes::from_static(sentence.as_bytes())), Ok(Bytes::from_static(b"\n"))];
    let body: BodyStream = Box::pin(stream::iter(pieces));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn pieces(body: AnswerBody) -> impl Stream<Item = Result<Bytes, BodyBroken>> + Send {
    stream::unfold(Some(body), |body| async move {
        let mut body = body?;
        loop {
            match body.frame().await? {
                Ok(frame) => {
                    // Trailers are not handed on.
                    let Ok(bytes) = frame.into_data() else { continue };
                    return Some((Ok(bytes), Some(body)));
                }
                Err(_) => return Some((Err(BodyBroken::Off), None)),
            }
        }
    })
}

/// Breaks a body off that is longer or shorter than it was said to be.
fn exactly(body: BodyStream, length: u64) -> BodyStream {
    Box::pin(stream::unfold(Some((body, length)), |state| async move {
        let (mut body, left) = state?;
        match body.next().await {
            None if left == 0 => None,
            None => Some((Err(BodyBroken::Malformed), None)),
            Some(Err(broken)) => Some((Err(broken), None)),
            Some(Ok(bytes)) => match left.checked_sub(bytes.len() as u64) {
                Some(left) => Some((Ok(bytes), Some((body, left)))),
                None => Some((Err(BodyBroken::Malformed), None)),
            },
        }
    }))
}

/// The one length that a head says, in plain digits.
fn plain_length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let (first, None) = (lengths.next()?, lengths.next()) else { return None };
    let digits = first.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests;
