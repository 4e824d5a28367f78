//! The door for certificate authorities that look whether names are the node's (HTTP-01, RFC 8555 §8.3). It tells the
//! answers of orders under way, and nothing else to anybody.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, header};
use platform::Platform;
use shield::Peer;

use crate::{
    metrics::Metrics,
    problem::Problem,
    stage::respond::{self, Body},
    tls::Challenges,
};

/// What every request at this door needs.
pub(crate) struct ChallengePlane {
    pub(crate) platform: Arc<Platform>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) challenges: Arc<Challenges>,
}

impl ChallengePlane {
    /// Answers one request. Its body, if it has one, is not read.
    pub(crate) fn answer<B>(&self, peer: &Peer, request: &Request<B>) -> Response<Body> {
        let id = self.platform.request_id();
        let asked = respond::Asked::of(request);
        let mut response = match answer(&self.challenges, request) {
            Ok(text) => text,
            Err(problem) => {
                self.metrics.refused(problem.code());
                self.platform.note_refusal_of_node(id, peer.address.ip(), problem.code(), problem.sentence());
                problem.respond(id)
            }
        };
        respond::finish(&mut response, asked, id, false);
        response
    }
}

fn answer<B>(challenges: &Challenges, request: &Request<B>) -> Result<Response<Body>, Problem> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::new(405, "method-refused", "only `GET` is answered here"));
    }
    let uri = request.uri();
    let found = challenges.of_path(uri.path()).filter(|_| uri.query().is_none());
    let found = found.ok_or_else(|| Problem::new(404, "no-challenge", "there is no such challenge"))?;
    let mut response = Response::new(Body::full(found.as_bytes().to_vec().into()));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_and_what_is_not() {
        let challenges = Arc::new(Challenges::default());
        let _order = challenges.show_text("abc", "abc.thumbprint");
        let check = |method: &str, target: &str, status: u16| {
            let request = Request::builder().method(method).uri(target).body(()).unwrap();
            let found = answer(&challenges, &request);
            let found = match &found {
                Ok(response) => response.status().as_u16(),
                Err(problem) => problem
                    .clone()
                    .respond(model::RequestId::from_parts(Default::default(), 1))
                    .status()
                    .as_u16(),
            };
            assert_eq!(found, status, "{method} {target}");
        };
        check("GET", "/.well-known/acme-challenge/abc", 200);
        check("HEAD", "/.well-known/acme-challenge/abc", 200);
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT"] {
            check(method, "/.well-known/acme-challenge/abc", 405);
        }
        for target in [
            "/",
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/abcd",
            "/.well-known/acme-challenge/ABC",
            "/.well-known/acme-challenge/../acme-challenge/abc",
            "/.well-known/acme-challenge/%61bc",
            "/.well-known/acme-challenge/abc/",
            "/.well-known/acme-challenge/abc?x",
            "//.well-known/acme-challenge/abc",
        ] {
            check("GET", target, 404);
        }
    }
}
