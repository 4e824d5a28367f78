//! Turns what the one parser read into one unambiguous request, or refuses it. It never looks at what the
//! request wants.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{Request, Version, header, request::Parts};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::limits;
use platform::{BodyBroken, RequestBody};

/// A body of a known length up to this is read before anything else happens: it costs one frame on its way
/// to the worker.
const WHOLE_BYTES_MAX: u64 = 64 * 1024;

/// A request with one meaning.
#[derive(Debug)]
pub(crate) struct Shaped {
    pub(crate) head: Parts,
    pub(crate) body: RequestBody,
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
    /// The body did not come within the time for it.
    #[error("the request's body did not come in time")]
    BodySlow,
    /// The body broke off, or is not as long as was said.
    #[error("the request's body broke off")]
    BodyBroken,
}

impl ShapeError {
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::HostDiffers | Self::BodyBroken => 400,
            Self::BodySlow => 408,
        }
    }

    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Version => "version-refused",
            Self::HostDiffers => "host-differs",
            Self::BodySlow => "body-slow",
            Self::BodyBroken => "body-broken",
        }
    }
}

/// Checks the version and the host, and reads a small body.
pub(crate) async fn shape(request: Request<Incoming>) -> Result<Shaped, ShapeError> {
    let (head, body) = request.into_parts();
    check(&head)?;
    let size = body.size_hint();
    let body = if body.is_end_stream() {
        RequestBody::Full(Bytes::new())
    } else if size.exact().is_some_and(|bytes| bytes <= WHOLE_BYTES_MAX) {
        let wait = Duration::from_millis(limits::REQUEST_HEAD_MS);
        let whole = tokio::time::timeout(wait, read(body, size.lower())).await;
        RequestBody::Full(whole.map_err(|_| ShapeError::BodySlow)??)
    } else {
        RequestBody::Stream(Box::pin(stream::unfold(body, next)))
    };
    Ok(Shaped { head, body })
}

fn check(head: &Parts) -> Result<(), ShapeError> {
    if !matches!(head.version, Version::HTTP_11 | Version::HTTP_2) {
        return Err(ShapeError::Version);
    }
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match (head.uri.authority(), host) {
        (Some(target), Some(host)) if !target.as_str().eq_ignore_ascii_case(host) => {
            Err(ShapeError::HostDiffers)
        }
        _ => Ok(()),
    }
}

async fn read(mut body: Incoming, bytes: u64) -> Result<Bytes, ShapeError> {
    let mut first = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ShapeError::BodyBroken)?.into_data() else { continue };
        match &first {
            None if rest.is_empty() && data.len() as u64 == bytes => first = Some(data),
            _ => rest.extend_from_slice(&data),
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

async fn next(mut body: Incoming) -> Option<(Result<Bytes, BodyBroken>, Incoming)> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some((Ok(data), body));
                }
            }
            Err(_) => return Some((Err(BodyBroken), body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_head(target: &str, host: Option<&str>, version: Version, expect: Result<(), ShapeError>) {
        let mut request = Request::builder().uri(target).version(version);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(check(&head), expect, "{target} {host:?}");
    }

    #[test]
    fn one_meaning() {
        check_head("/a", Some("localhost"), Version::HTTP_11, Ok(()));
        check_head("https://localhost/a", Some("LOCALHOST"), Version::HTTP_11, Ok(()));
        check_head("https://localhost/a", None, Version::HTTP_2, Ok(()));
    }

    #[test]
    fn several() {
        check_head("https://a/x", Some("b"), Version::HTTP_11, Err(ShapeError::HostDiffers));
        check_head("https://a/x", Some("a:1"), Version::HTTP_2, Err(ShapeError::HostDiffers));
        check_head("/a", Some("localhost"), Version::HTTP_10, Err(ShapeError::Version));
        check_head("/a", Some("localhost"), Version::HTTP_3, Err(ShapeError::Version));
    }
}
