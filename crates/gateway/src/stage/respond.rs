//! The last touch on every answer: what must not leave is taken out, what must not be missing is put in. It
//! never changes what a function said.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderName, HeaderValue, Response, header};
use http_body::{Frame, SizeHint};
use model::RequestId;
use platform::AnswerBody;

/// Whatever ends a body early.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of any answer.
pub(crate) struct Body(Kind);

enum Kind {
    Full(Option<Bytes>),
    Answer(AnswerBody),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>),
}

impl Body {
    /// All of it at once.
    pub(crate) const fn full(bytes: Bytes) -> Self {
        Self(Kind::Full(Some(bytes)))
    }

    /// A function's answer, as it comes.
    pub(crate) fn answer(body: AnswerBody) -> Self {
        match body.whole() {
            Some(bytes) => Self::full(bytes.clone()),
            None => Self(Kind::Answer(body)),
        }
    }

    /// Piece by piece.
    pub(crate) fn stream(pieces: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(pieces)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Full(bytes) => {
                Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b))))
            }
            Kind::Answer(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(|fault| fault.sentence().into()))),
            Kind::Stream(pieces) => {
                pieces.poll_next_unpin(context).map(|next| next.map(|p| p.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Kind::Answer(body) => body.is_end_stream(),
            Kind::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::Answer(body) => body.size_hint(),
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers of one connection alone (RFC 9110 §7.6.1), and those that speak for the platform.
const NOT_A_FUNCTIONS: [HeaderName; 9] = [
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::PROXY_AUTHENTICATE,
    header::SERVER,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::ALT_SVC,
    REQUEST_ID,
];

/// Takes out and puts in. `strict` is for names on which browsers should insist on TLS.
pub(crate) fn finish(response: &mut Response<Body>, id: RequestId, strict: bool) {
    let headers = response.headers_mut();
    for name in &NOT_A_FUNCTIONS {
        headers.remove(name);
    }
    if headers.get(header::CONNECTION).is_some_and(|value| value != "close") {
        headers.remove(header::CONNECTION);
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert_with(|| HeaderValue::from_static("nosniff"));
    if strict {
        headers
            .entry(header::STRICT_TRANSPORT_SECURITY)
            .or_insert_with(|| HeaderValue::from_static("max-age=31536000"));
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
        finish(&mut response, id, true);
        let headers = response.headers();
        assert_eq!(headers["x-request-id"], id.to_string());
        assert_eq!(headers["x-content-type-options"], "mine", "a function's own choice stands");
        assert_eq!(headers["x-own"], "kept");
        assert_eq!(headers["strict-transport-security"], "max-age=31536000");
        for gone in ["server", "alt-svc", "connection"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }
}
