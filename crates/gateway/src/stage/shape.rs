//! Turns what the one parser read into one unambiguous request, or refuses it. It never looks at what the
//! request wants.

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header, request::Parts};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::{Limits, limits};
use platform::{BodyBroken, RequestBody};
use shield::Peer;

use crate::problem::Problem;

/// A body of a known length up to this is read before anything else happens: it costs one frame on its way
/// to the worker.
const WHOLE_BYTES_MAX: u64 = 64 * 1024;

/// A request with one meaning.
#[derive(Debug)]
pub(crate) struct Shaped {
    pub(crate) head: Parts,
    pub(crate) body: RequestBody,
    pub(crate) upload: Upload,
}

/// A request with no meaning, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShapeError {
    /// HTTP/0.9, HTTP/1.0, or something newer than we speak.
    #[error("the version of HTTP is not spoken here")]
    Version,
    /// The target names another host than `Host` (RFC 9112 §3.2.2).
    #[error("the target and the host differ")]
    HostDiffers,
    /// A request of HTTP/1.1 without `Host` (RFC 9112 §3.2), or of HTTP/2 without either.
    #[error("no host is named")]
    HostMissing,
    /// The TLS connection was made to another name than the request is for (RFC 9110 §7.4).
    #[error("the request is for another host than its connection")]
    Misdirected,
    /// The body did not come within the time for it.
    #[error("the request's body did not come in time")]
    BodySlow,
    /// The body broke off, or is not as long as was said.
    #[error("the request's body broke off")]
    BodyBroken,
    /// The body is not what its head says: chunks that are none (RFC 9112 §7.1).
    #[error("the request's body is malformed")]
    BodyMalformed,
    /// It expects something other than `100-continue` (RFC 9110 §10.1.1).
    #[error("what the request expects is not done here")]
    Expectation,
}

impl ShapeError {
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::HostDiffers | Self::HostMissing | Self::BodyBroken | Self::BodyMalformed => 400,
            Self::BodySlow => 408,
            Self::Expectation => 417,
            Self::Misdirected => 421,
        }
    }

    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Version => "version-refused",
            Self::HostDiffers => "host-differs",
            Self::HostMissing => "host-missing",
            Self::Misdirected => "misdirected",
            Self::BodySlow => "body-slow",
            Self::BodyBroken => "body-broken",
            Self::BodyMalformed => "request-malformed",
            Self::Expectation => "expectation-refused",
        }
    }
}

/// Gives the head one meaning.
pub(crate) fn settled(peer: &Peer, request: Request<Incoming>) -> Result<(Parts, Incoming), ShapeError> {
    let (mut head, body) = request.into_parts();
    settle(&mut head, peer)?;
    disown(&mut head.headers);
    Ok((head, body))
}

/// Reads a small body.
pub(crate) async fn shape(head: Parts, body: Incoming) -> Result<Shaped, ShapeError> {
    let size = body.size_hint();
    // Who asks first whether to send the body is told when the function takes it.
    let asks = head.headers.contains_key(header::EXPECT);
    let mut upload = Upload(None);
    let body = if body.is_end_stream() {
        RequestBody::Full(Bytes::new())
    } else if !asks && size.exact().is_some_and(|bytes| bytes <= WHOLE_BYTES_MAX) {
        let wait = Duration::from_millis(limits::REQUEST_HEAD_MS);
        let whole = tokio::time::timeout(wait, read(body, size.lower())).await;
        RequestBody::Full(whole.map_err(|_| ShapeError::BodySlow)??)
    } else {
        let course = Arc::new(Course::default());
        upload.0 = Some(course.clone());
        let rest = Rest::new(body, &head);
        RequestBody::Stream(Box::pin(stream::unfold((rest, course), next)))
    };
    Ok(Shaped { head, body, upload })
}

/// What is known of a body that comes while the function runs already.
#[derive(Debug, Clone)]
pub(crate) struct Upload(Option<Arc<Course>>);

#[derive(Debug)]
struct Course {
    idle_ms: AtomicU64,
    /// An index into [`ENDS`]; beyond it while nothing is wrong.
    ended: AtomicU8,
}

/// The ends of a body that are none.
const ENDS: [ShapeError; 3] = [ShapeError::BodySlow, ShapeError::BodyBroken, ShapeError::BodyMalformed];

impl Default for Course {
    fn default() -> Self {
        Self { idle_ms: AtomicU64::new(limits::REQUEST_HEAD_MS), ended: AtomicU8::new(u8::MAX) }
    }
}

impl Course {
    fn ends(&self, error: ShapeError) {
        let index = ENDS.iter().position(|end| *end == error).and_then(|at| u8::try_from(at).ok());
        self.ended.store(index.unwrap_or(u8::MAX), Ordering::Relaxed);
    }
}

impl Upload {
    /// How long the body may stand still, now that it is known whose it is.
    pub(crate) fn bounded_by(&self, limits: &Limits) {
        if let Some(course) = &self.0 {
            course.idle_ms.store(limits.idle_ms, Ordering::Relaxed);
        }
    }

    /// What went wrong: the body's own end, where that came before the function's.
    pub(crate) fn blame(&self, problem: Problem) -> Problem {
        let ended = self.0.as_ref().map(|course| usize::from(course.ended.load(Ordering::Relaxed)));
        ended.and_then(|at| ENDS.get(at)).map_or(problem, |end| (*end).into())
    }
}

/// Checks the version and the host. After it every head looks alike, of whatever version it was: the target
/// in origin form, the host in `Host` alone, and that of the connection.
pub(crate) fn settle(head: &mut Parts, peer: &Peer) -> Result<(), ShapeError> {
    let h1 = match head.version {
        Version::HTTP_11 => true,
        Version::HTTP_2 => false,
        _ => return Err(ShapeError::Version),
    };
    let mut expects = head.headers.get_all(header::EXPECT).iter();
    if expects.next().is_some_and(|first| !first.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        || expects.next().is_some()
    {
        return Err(ShapeError::Expectation);
    }
    let target = head.uri.authority().map(|authority| authority.as_str());
    let host = head.headers.get(header::HOST).map(HeaderValue::as_bytes);
    match (target, host) {
        (_, None) if h1 => return Err(ShapeError::HostMissing),
        (None, None) => return Err(ShapeError::HostMissing),
        (Some(target), Some(host)) if !target.as_bytes().eq_ignore_ascii_case(host) => {
            return Err(ShapeError::HostDiffers);
        }
        (Some(target), None) => {
            let target = HeaderValue::from_str(target).map_err(|_| ShapeError::HostMissing)?;
            head.headers.insert(header::HOST, target);
        }
        (_, Some(_)) => {}
    }
    if head.uri.authority().is_some() {
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        (parts.scheme, parts.authority) = (None, None);
        // What has no path (`CONNECT`) is none of ours; the shield says so.
        head.uri = Uri::from_parts(parts).unwrap_or_default();
    }
    let named = head.headers.get(header::HOST).map(|host| without_port(host.as_bytes()));
    match (&peer.server_name, named) {
        (Some(name), Some(named)) if !name.as_bytes().eq_ignore_ascii_case(named) => {
            Err(ShapeError::Misdirected)
        }
        _ => Ok(()),
    }
}

/// Takes out what only a proxy in front may say (RFC 7239 and its forerunners): a caller who says it himself
/// would be believed by functions that look for his address or his host there.
pub(crate) fn disown(headers: &mut HeaderMap) {
    let forged: Vec<HeaderName> = headers.keys().filter(|name| speaks_for_a_proxy(name)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

/// Sets what a function is told of a forwarder's client, so that no `Connection` of a client's takes it out again.
pub(crate) fn tell(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    headers.insert(name, value.clone());
    let listed: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    headers.remove(header::CONNECTION);
    for one in listed.iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')) {
        if let Ok(other) = HeaderValue::from_str(one.trim())
            && !one.trim().eq_ignore_ascii_case(name.as_str())
        {
            headers.append(header::CONNECTION, other);
        }
    }
}

/// The interfaces of CGI and WSGI know no difference between `-` and `_` (RFC 3875 §4.1.18), so that there is none here.
fn speaks_for_a_proxy(name: &HeaderName) -> bool {
    let dashed = name.as_str().contains('_').then(|| name.as_str().replace('_', "-"));
    let name = dashed.as_deref().unwrap_or(name.as_str());
    // The node's own, of which some only its inside may write.
    let of_the_node = dashed.is_some() && name.starts_with("casemate-");
    of_the_node
        || name.starts_with("x-forwarded")
        || matches!(
            name,
            "cf-connecting-ip"
                | "cf-connecting-ipv6"
                | "fastly-client-ip"
                | "forwarded"
                | "true-client-ip"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "x-envoy-external-address"
                | "x-original-forwarded-for"
                | "x-original-host"
                | "x-original-url"
                | "x-real-ip"
                | "x-rewrite-url"
        )
}

fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|b| *b == b':') {
        Some(colon) if !host.ends_with(b"]") => host.get(..colon).unwrap_or(host),
        _ => host,
    }
}

async fn read(mut body: Incoming, bytes: u64) -> Result<Bytes, ShapeError> {
    let mut first = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        match &first {
            None if rest.is_empty() && data.len() as u64 == bytes => first = Some(data),
            _ => rest.extend_from_slice(&data),
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

/// A body under way. When it is dropped before its end (the function is done with it, or never got it), what
/// is left is read for a moment and thrown away: a caller that still sends would see a reset in place of the
/// answer otherwise (RFC 9112 §9.6).
///
/// HTTP/2 ends streams one by one and needs none of this. Nor does a client that asked whether to send the body
/// and was not told to.
pub(crate) struct Rest {
    body: Option<Incoming>,
    lingers: bool,
    asks: bool,
}

impl Rest {
    pub(crate) fn new(body: Incoming, head: &Parts) -> Self {
        let lingers = head.version == Version::HTTP_11;
        Self { body: Some(body), lingers, asks: head.headers.contains_key(header::EXPECT) }
    }

    /// What is known of its length, in bytes.
    pub(crate) fn bytes_min(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.size_hint().lower())
    }

    /// The body, until it has ended. Reading from it tells a client that asked to send it.
    pub(crate) fn body(&mut self) -> Option<&mut Incoming> {
        self.asks = false;
        self.body.as_mut()
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| self.lingers && !self.asks && !body.is_end_stream())
        else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let wait = Duration::from_millis(limits::LINGER_MS);
            runtime.spawn(tokio::time::timeout(wait, throw_away(body)));
        }
    }
}

async fn throw_away(mut body: Incoming) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > limits::LINGER_BYTES_MAX {
            return;
        }
    }
}

type Coming = (Rest, Arc<Course>);

async fn next((mut rest, course): Coming) -> Option<(Result<Bytes, BodyBroken>, Coming)> {
    loop {
        let patience = Duration::from_millis(course.idle_ms.load(Ordering::Relaxed));
        let error = match tokio::time::timeout(patience, rest.body()?.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => return Some((Ok(data), (rest, course))),
                Err(_trailers) => continue,
            },
            Ok(Some(Err(error))) => broken(&error),
            Ok(None) => {
                rest.body = None;
                return None;
            }
            Err(_) => ShapeError::BodySlow,
        };
        course.ends(error);
        rest.body = None;
        let why = if error == ShapeError::BodyMalformed { BodyBroken::Malformed } else { BodyBroken::Off };
        return Some((Err(why), (rest, course)));
    }
}

/// Whether a body broke off, or was held back as malformed by the gate before the parser.
pub(crate) fn broken(error: &hyper::Error) -> ShapeError {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => ShapeError::BodyMalformed,
        _ => ShapeError::BodyBroken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expect`: target and host as everything behind sees them.
    fn check(
        target: &str,
        host: Option<&str>,
        version: Version,
        server_name: Option<&str>,
        expect: Result<(&str, &str), ShapeError>,
    ) {
        let mut request = Request::builder().uri(target).version(version);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let address = "192.0.2.1:1".parse().unwrap();
        let peer = Peer { address, tls: true, server_name: server_name.map(Into::into), certificate: None };
        let settled = settle(&mut head, &peer);
        let seen = (head.uri.to_string(), head.headers.get(header::HOST).map(|h| h.to_str().unwrap()));
        let found = settled.map(|()| (seen.0.as_str(), seen.1.unwrap_or_default()));
        assert_eq!(found, expect, "{target} {host:?} {server_name:?}");
    }

    #[test]
    fn one_meaning() {
        let (h1, h2) = (Version::HTTP_11, Version::HTTP_2);
        check("/a?b", Some("localhost"), h1, None, Ok(("/a?b", "localhost")));
        check("https://localhost/a", Some("LOCALHOST"), h1, None, Ok(("/a", "LOCALHOST")));
        check("http://localhost", Some("localhost"), h1, None, Ok(("/", "localhost")));
        check("https://localhost/a?b", None, h2, None, Ok(("/a?b", "localhost")));
        check("/a", Some("localhost"), h2, None, Ok(("/a", "localhost")));
        check("*", Some("localhost"), h1, None, Ok(("*", "localhost")));
        check(
            "/a",
            Some("Acme.localhost:8443"),
            h1,
            Some("acme.localhost"),
            Ok(("/a", "Acme.localhost:8443")),
        );
        check("/a", Some("[::1]:8443"), h1, None, Ok(("/a", "[::1]:8443")));
        check("https://a:1/x", None, h2, Some("a"), Ok(("/x", "a:1")));
    }

    #[test]
    fn nobody_speaks_for_a_proxy() {
        let mut headers = HeaderMap::new();
        for name in [
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded-anything",
            "x-real-ip",
            "x-forwarded",
            "cf-connecting-ip",
            "x-original-url",
            "casemate_caller",
            "x-own",
            "x_own",
            "casemate-caller",
        ] {
            headers.append(name, HeaderValue::from_static("192.0.2.1"));
            headers.append(name, HeaderValue::from_static("192.0.2.2"));
        }
        disown(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["casemate-caller", "x-own", "x_own"], "the node takes its own out itself");
    }

    #[test]
    fn what_is_expected() {
        let settled = |lines: &[&str]| {
            let mut request = Request::builder().uri("/").header("host", "a");
            for line in lines {
                request = request.header("expect", *line);
            }
            let (mut head, ()) = request.body(()).unwrap().into_parts();
            let peer = Peer {
                address: "192.0.2.1:1".parse().unwrap(),
                tls: true,
                server_name: None,
                certificate: None,
            };
            settle(&mut head, &peer)
        };
        assert_eq!(settled(&[]), Ok(()));
        assert_eq!(settled(&["100-Continue"]), Ok(()));
        for other in [&["200-ok"][..], &[""], &["100-continue, x"], &["100-continue", "100-continue"]] {
            assert_eq!(settled(other), Err(ShapeError::Expectation), "{other:?}");
        }
    }

    #[test]
    fn several_or_none() {
        let (h1, h2) = (Version::HTTP_11, Version::HTTP_2);
        check("https://a/x", Some("b"), h1, None, Err(ShapeError::HostDiffers));
        check("https://a/x", Some("a:1"), h2, None, Err(ShapeError::HostDiffers));
        check("/a", None, h1, None, Err(ShapeError::HostMissing));
        check("https://a/x", None, h1, None, Err(ShapeError::HostMissing));
        check("/a", None, h2, None, Err(ShapeError::HostMissing));
        check("/a", Some("localhost"), Version::HTTP_10, None, Err(ShapeError::Version));
        check("/a", Some("localhost"), Version::HTTP_09, None, Err(ShapeError::Version));
        check("/a", Some("localhost"), Version::HTTP_3, None, Err(ShapeError::Version));
        check("/a", Some("b"), h1, Some("a"), Err(ShapeError::Misdirected));
        check("/a", Some("b.a"), h1, Some("a"), Err(ShapeError::Misdirected));
        check("https://b/a", None, h2, Some("a"), Err(ShapeError::Misdirected));
        check("/a", Some("127.0.0.1:1"), h1, Some("localhost"), Err(ShapeError::Misdirected));
        check("/a", Some("[a]"), h1, Some("a"), Err(ShapeError::Misdirected));
    }
}
