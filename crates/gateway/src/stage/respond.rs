//! The last touch on every answer: what must not leave is taken out, what must not be missing is put in. It
//! never changes what a function said.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use model::RequestId;
use platform::AnswerBody;

use crate::{
    connection::{Answer, Busy},
    problem::Problem,
};

/// Whatever ends a body early.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of any answer.
pub(crate) struct Body {
    kind: Kind,
    /// Tells its connection when the parser is done with it.
    _held: Option<Held>,
}

/// What a connection wants to know of an answer: that it is under way.
pub(crate) enum Held {
    /// Over HTTP/2.
    Busy(#[expect(dead_code, reason = "its drop is what counts")] Busy),
    /// Over HTTP/1.1, where the gate counts it too.
    Answer(
        #[expect(dead_code, reason = "its drop is what counts")] Answer,
        #[expect(dead_code, reason = "its drop is what counts")] Busy,
    ),
}

enum Kind {
    Full(Option<Bytes>),
    Answer(AnswerBody),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>),
    /// What ended it early, until it is told.
    Broken(Option<BodyError>),
}

impl Body {
    /// All of it at once.
    pub(crate) const fn full(bytes: Bytes) -> Self {
        Self::of(Kind::Full(Some(bytes)))
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, _held: None }
    }

    /// Keeps it for as long as the body lives.
    #[must_use]
    pub(crate) fn holding(mut self, held: Held) -> Self {
        self._held = Some(held);
        self
    }

    /// A function's answer, as it comes.
    pub(crate) fn answer(body: AnswerBody) -> Self {
        match body.whole() {
            Some(bytes) => Self::full(bytes.clone()),
            None => Self::of(Kind::Answer(body)),
        }
    }

    /// Piece by piece.
    pub(crate) fn stream(pieces: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Self {
        Self::of(Kind::Stream(Box::pin(pieces)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled: Poll<Option<Result<Frame<Bytes>, BodyError>>> = match &mut self.kind {
            Kind::Full(bytes) => {
                Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b))))
            }
            Kind::Answer(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(|fault| fault.sentence().into()))),
            Kind::Stream(pieces) => {
                pieces.poll_next_unpin(context).map(|next| next.map(|p| p.map(Frame::data)))
            }
            Kind::Broken(error) => return Poll::Ready(error.take().map(Err)),
        };
        if let Poll::Ready(Some(Err(error))) = polled {
            // The parser throws away what it has not sent when it hears this: it is to send the rest first.
            self.kind = Kind::Broken(Some(error));
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Kind::Answer(body) => body.is_end_stream(),
            Kind::Stream(_) | Kind::Broken(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::Answer(body) => body.size_hint(),
            Kind::Stream(_) | Kind::Broken(_) => SizeHint::default(),
        }
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers of one connection alone (RFC 9110 §7.6.1), and those that speak for the platform.
fn not_a_functions(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "transfer-encoding"
            | "upgrade"
            | "te"
            | "proxy-authenticate"
            | "server"
            | "keep-alive"
            | "proxy-connection"
            | "alt-svc"
            | "x-request-id"
    )
}

/// What of a request decides how its answer is framed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    head_only: bool,
    /// The client waits to be told before it sends the body (RFC 9110 §10.1.1).
    expects: bool,
}

impl Asked {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let expects = request.version() < Version::HTTP_2 && request.headers().contains_key(header::EXPECT);
        Self { head_only: *request.method() == Method::HEAD, expects }
    }
}

/// Takes out and puts in. `strict` is for names on which browsers should insist on TLS.
pub(crate) fn finish(response: &mut Response<Body>, asked: Asked, id: RequestId, strict: bool) {
    let length = response.body().size_hint().exact();
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if asked.head_only {
        // The parser of HTTP/2 would send it all the same.
        *response.body_mut() = Body::full(Bytes::new());
    }
    let headers = response.headers_mut();
    // Few answers have any of them: looking is cheaper than taking out.
    let taken: Vec<HeaderName> = headers.keys().filter(|name| not_a_functions(name)).cloned().collect();
    for name in taken {
        headers.remove(name);
    }
    if headers.get(header::CONNECTION).is_some_and(|value| value != "close") {
        headers.remove(header::CONNECTION);
    }
    frame(headers, length, asked.head_only);
    if let Some(bytes) = length.filter(|bytes| asked.head_only && *bytes > 0) {
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| bytes.into());
    }
    if asked.expects && refused {
        //= RFC 9110 §10.1.1: a refusal in place of `100 Continue`; the client need not send the body any more,
        //= so nobody knows whether what follows is a body or the next request.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(value) = HeaderValue::from_bytes(&id.digits()) {
        headers.insert(REQUEST_ID, value);
    }
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert_with(|| HeaderValue::from_static("nosniff"));
    if strict {
        headers
            .entry(header::STRICT_TRANSPORT_SECURITY)
            .or_insert_with(|| HeaderValue::from_static("max-age=31536000"));
    }
}

/// draft-ietf-httpapi-ratelimit-headers §3.
const RATE_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// draft-ietf-httpapi-ratelimit-headers §4.
const RATE: HeaderName = HeaderName::from_static("ratelimit");

/// Puts into an answer, or into the refusal in its place, how its caller stands with the function's rates. What a
/// function says itself there goes: it is the node that counts.
pub(crate) fn tell_rates(
    answer: Result<Response<Body>, Problem>,
    (policies, standings): &(String, String),
) -> Result<Response<Body>, Problem> {
    let told = [(RATE_POLICY, policies), (RATE, standings)];
    let told = told.into_iter().filter(|(_, text)| !text.is_empty());
    match answer {
        Ok(mut response) => {
            let headers = response.headers_mut();
            [RATE_POLICY, RATE].iter().for_each(|name| drop(headers.remove(name)));
            for (name, text) in told {
                if let Ok(value) = HeaderValue::try_from(text) {
                    headers.insert(name, value);
                }
            }
            Ok(response)
        }
        Err(problem) => Err(told.fold(problem, |problem, (name, text)| problem.with(name, text))),
    }
}

/// A problem document as the whole last answer of a connection of HTTP/1.1, in bytes: for what the parser never
/// saw.
pub(crate) fn last(problem: Problem, id: RequestId) -> Vec<u8> {
    let mut response = problem.respond(id);
    finish(&mut response, Asked { head_only: false, expects: false }, id, false);
    let (head, body) = response.into_parts();
    let body = match body.kind {
        Kind::Full(Some(bytes)) => bytes,
        _ => Bytes::new(),
    };
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in head.headers.iter().filter(|(name, _)| **name != header::CONNECTION) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
    let rest = format!("connection: close\r\ncontent-length: {}\r\ndate: {date}\r\n\r\n", body.len());
    bytes.extend_from_slice(rest.as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Leaves a length that is true, or none: the parser trusts it, and a length of the function's own making
/// would let it write into the next caller's answer on a connection that a proxy shares.
fn frame(headers: &mut HeaderMap, length: Option<u64>, head_only: bool) {
    if !headers.contains_key(header::CONTENT_LENGTH) {
        return;
    }
    let mut given = headers.get_all(header::CONTENT_LENGTH).iter();
    let number = |value: &HeaderValue| {
        let digits = value.to_str().ok().filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
        digits.and_then(|text| text.parse::<u64>().ok())
    };
    let plain = match (given.next().and_then(number), given.next()) {
        (Some(bytes), None) => Some(bytes),
        _ => None,
    };
    // Where nothing follows (`HEAD`), or nobody knows yet how much, a plain number stands: less is cut off as
    // broken, more is not sent.
    let stands = plain.is_some() && (head_only || length.is_none() || length == plain);
    if !stands {
        headers.remove(header::CONTENT_LENGTH);
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    #[test]
    fn what_is_taken_out_and_put_in() {
        let mut response = Response::new(Body::full(Bytes::new()));
        for (name, value) in [
            ("server", "mine"),
            ("x-request-id", "forged"),
            ("alt-svc", "h3=\":1\""),
            ("connection", "x-secret"),
            ("x-content-type-options", "mine"),
            ("x-own", "kept"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let id = RequestId::from_parts(Timestamp::default(), 7);
        finish(&mut response, Asked { head_only: false, expects: false }, id, true);
        let headers = response.headers();
        assert_eq!(headers["x-request-id"], id.to_string());
        assert_eq!(headers["x-content-type-options"], "mine", "a function's own choice stands");
        assert_eq!(headers["x-own"], "kept");
        assert_eq!(headers["strict-transport-security"], "max-age=31536000");
        for gone in ["server", "alt-svc", "connection"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn a_length_is_true_or_absent() {
        let check = |given: &[&str], body: Body, head_only: bool, expect: Option<&str>| {
            let mut response = Response::new(body);
            for value in given {
                response.headers_mut().append("content-length", HeaderValue::from_str(value).unwrap());
            }
            let asked = Asked { head_only, expects: false };
            finish(&mut response, asked, RequestId::from_parts(Timestamp::default(), 7), false);
            let left: Vec<_> = response.headers().get_all("content-length").iter().collect();
            let expect: Vec<&str> = expect.into_iter().collect();
            assert_eq!(left, expect, "{given:?}");
        };
        let full = || Body::full(Bytes::from_static(b"abc"));
        let unknown = || Body::stream(futures_util::stream::empty());
        check(&[], full(), false, None);
        check(&["3"], full(), false, Some("3"));
        check(&["500"], Body::full(Bytes::new()), true, Some("500"));
        check(&[], full(), true, Some("3"));
        check(&[], Body::full(Bytes::new()), true, None);
        check(&["7"], unknown(), false, Some("7"));
        for lie in [&["2"][..], &["500"], &["+3"], &["3, 3"], &[""], &["3", "3"], &["-1"], &["0x3"]] {
            check(lie, full(), false, None);
        }
        for lie in [&["+3"][..], &["3", "4"], &["99999999999999999999"]] {
            check(lie, unknown(), false, None);
            check(lie, Body::full(Bytes::new()), true, None);
        }
    }

    #[test]
    fn a_refusal_in_place_of_100_continue_is_the_last() {
        let check = |version: Version, expects: bool, status: u16, expect: bool| {
            let mut request = Request::new(());
            *request.version_mut() = version;
            if expects {
                request.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
            }
            let mut response = Response::new(Body::full(Bytes::new()));
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            let id = RequestId::from_parts(Timestamp::default(), 7);
            finish(&mut response, Asked::of(&request), id, false);
            assert_eq!(
                response.headers().contains_key("connection"),
                expect,
                "{version:?} {expects} {status}"
            );
        };
        check(Version::HTTP_11, true, 401, true);
        check(Version::HTTP_11, true, 200, false);
        check(Version::HTTP_11, false, 401, false);
        check(Version::HTTP_2, true, 401, false);
    }

    #[test]
    fn the_last_answer_is_a_whole_one() {
        let id = RequestId::from_parts(Timestamp::default(), 7);
        let text = String::from_utf8(last(Problem::new(400, "head-malformed", "it is none"), id)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for line in [
            "HTTP/1.1 400 Bad Request".to_owned(),
            "content-type: application/problem+json".into(),
            "connection: close".into(),
            format!("x-request-id: {id}"),
            format!("content-length: {}", body.len()),
        ] {
            assert!(head.split("\r\n").any(|found| found == line), "{line} in {head}");
        }
        assert!(head.contains(" GMT") && body.contains("\"code\":\"head-malformed\""), "{text}");
    }
}
