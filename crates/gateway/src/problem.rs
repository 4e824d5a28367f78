//! Errors become HTTP here and nowhere else: problem documents (RFC 9457). It never tells a caller of a
//! function more than a code, a sentence and an id.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use model::{Blame, Fault, RequestId};
use platform::{BodyBroken, ControlError, Refused, RouteMiss, Withheld};
use shield::{Blocked, ForwardedMalformed, http1::Malformed};

use crate::{api, stage::respond::Body, stage::shape::ShapeError};

/// An error on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: u16,
    code: &'static str,
    title: String,
    detail: Option<String>,
    headers: Vec<(HeaderName, String)>,
    closes: bool,
    /// What it is counted as, where that is more than the caller is told.
    counted: Option<&'static str>,
    lets_in: Option<Box<serde_json::Value>>,
    /// Whether the record has it already.
    recorded: bool,
}

/// For how long a caller is asked to wait where load is the reason, in seconds.
const RETRY_AFTER_S: &str = "1";
/// And where the shield keeps a revision in quarantine, which takes a person to look.
const RETRY_QUARANTINED_S: &str = "60";
/// RFC 9449 §8.
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// RFC 6750 §3.
const CHALLENGE: &str = "Bearer realm=\"casemate\"";

impl Problem {
    pub(crate) fn new(status: u16, code: &'static str, title: impl Into<String>) -> Self {
        let title = title.into();
        Self {
            status,
            code,
            title,
            detail: None,
            headers: Vec::new(),
            closes: false,
            counted: None,
            lets_in: None,
            recorded: false,
        }
    }

    /// A sentence about this very request, for callers of the control API.
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        self.code
    }

    /// The code that it is counted as.
    pub(crate) fn counted_as(&self) -> &'static str {
        self.counted.unwrap_or(self.code)
    }

    /// The same on a forwarder's connection, which carries others beside the source that the firewall refuses.
    #[must_use]
    pub(crate) fn among_others(mut self) -> Self {
        self.closes = self.closes && self.code != Blocked::Firewall.code();
        self
    }

    /// Whether the record has it already, with more than this says.
    pub(crate) const fn is_recorded(&self) -> bool {
        self.recorded
    }

    /// What is wrong, for the record.
    pub(crate) fn sentence(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.title)
    }

    pub(crate) const fn recorded(mut self) -> Self {
        self.recorded = true;
        self
    }

    /// The response. A broken body cannot happen: the document has a shape that always encodes.
    pub(crate) fn respond(self, id: RequestId) -> Response<Body> {
        let document = api::Problem {
            kind: format!("urn:casemate:error:{}", self.code),
            title: self.title,
            status: self.status,
            detail: self.detail,
            code: self.code.to_owned(),
            request_id: Some(id),
            lets_in: self.lets_in.map(|value| *value),
        };
        let bytes = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::full(Bytes::from(bytes)));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<ShapeError> for Problem {
    fn from(error: ShapeError) -> Self {
        let mut problem = Self::new(error.status(), error.code(), error.to_string());
        problem.closes = true;
        problem
    }
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        let mut problem = Self::new(malformed.status(), malformed.code(), malformed.sentence());
        problem.closes = true;
        problem
    }
}

impl From<RouteMiss> for Problem {
    fn from(miss: RouteMiss) -> Self {
        match miss {
            RouteMiss::NoRoute => Self::new(404, "no-route", "no function answers here"),
            RouteMiss::Method(allowed) => {
                let problem = Self::new(405, "method-not-allowed", "this method is not taken here");
                problem.with(header::ALLOW, allowed.join(", "))
            }
        }
    }
}

impl From<ForwardedMalformed> for Problem {
    fn from(error: ForwardedMalformed) -> Self {
        Self::new(400, "forwarded-malformed", error.to_string())
    }
}

impl From<&Blocked> for Problem {
    fn from(blocked: &Blocked) -> Self {
        let mut problem = Self::new(blocked.status(), blocked.code(), "the request is not taken");
        if let Some(seconds) = blocked.retry_after_s() {
            problem = problem.with(header::RETRY_AFTER, seconds.to_string());
        }
        problem.closes = blocked.closes_connection();
        problem.recorded()
    }
}

impl From<Withheld> for Problem {
    fn from(withheld: Withheld) -> Self {
        match withheld {
            Withheld::Rules(reason) => {
                Self::new(reason.status(), reason.code(), reason.sentence()).recorded()
            }
            Withheld::Body(BodyBroken::Off) => ShapeError::BodyBroken.into(),
            Withheld::Body(BodyBroken::Malformed) => ShapeError::BodyMalformed.into(),
            Withheld::Slow => ShapeError::BodySlow.into(),
            Withheld::Fault(fault) => fault.into(),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let problem = match refused {
            Refused::Unauthenticated { code: code @ platform::WAIVER_ENDED } => {
                let problem =
                    Self::new(401, code, "the function is no longer open to callers without a token");
                problem.with(header::WWW_AUTHENTICATE, CHALLENGE)
            }
            Refused::Unauthenticated { .. } => {
                let problem = Self::new(401, "unauthenticated", identity::Refusal::SENTENCE);
                problem.with(header::WWW_AUTHENTICATE, CHALLENGE)
            }
            Refused::Challenged { code, challenge, nonce } => {
                let mut problem = Self::new(401, "unauthenticated", identity::Refusal::SENTENCE);
                problem.counted = Some(code);
                let problem = problem.with(header::WWW_AUTHENTICATE, challenge);
                match nonce {
                    Some(nonce) => problem.with(DPOP_NONCE, nonce),
                    None => problem,
                }
            }
            Refused::Forbidden { .. } => Self::new(403, "forbidden", "this caller may not do this"),
            Refused::TooMany { code, retry_after_s } => {
                Self::new(429, code, "too many requests").with(header::RETRY_AFTER, retry_after_s.to_string())
            }
            Refused::Unavailable { code } => {
                Self::new(503, code, "the node cannot decide this now; try again")
                    .with(header::RETRY_AFTER, RETRY_AFTER_S)
            }
        };
        problem.recorded()
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let problem = Self::new(fault.status(), fault.code(), fault.sentence()).recorded();
        match fault {
            Fault::Quarantined => problem.with(header::RETRY_AFTER, RETRY_QUARANTINED_S),
            _ if fault.blame() == Blame::Load => problem.with(header::RETRY_AFTER, RETRY_AFTER_S),
            _ => problem,
        }
    }
}

/// The control API's callers are people and machines of the tenant: they are told what to do.
impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let (status, title) = match &error {
            ControlError::Refused(refused) => {
                let told = matches!(refused, Refused::Forbidden { .. });
                let problem = Self::from(refused.clone());
                return if told { problem.detail(error.to_string()) } else { problem };
            }
            ControlError::NotFound(_) => (404, "there is no such thing"),
            ControlError::Invalid { .. } => (422, "what was sent is not valid"),
            ControlError::Widens(widening) => {
                let mut problem =
                    Self::new(409, error.code(), "it would let in whom the policies refuse now");
                let request = widening.request.as_ref().and_then(|one| serde_json::to_value(one).ok());
                problem.lets_in = request.map(Box::new);
                return problem.detail(error.to_string()).recorded();
            }
            ControlError::Conflict(_) => (409, "it is in the way of something else"),
            ControlError::TooLarge { .. } => (413, "it is too large"),
            ControlError::Compile(_) => (422, "the component does not compile"),
            ControlError::Store(_) => (503, "the node's store failed"),
            ControlError::Internal(_) => (500, "the node failed"),
        };
        // What failed inside is in the node's log, under the request's id.
        if matches!(error, ControlError::Store(_) | ControlError::Internal(_)) {
            tracing::error!(%error, "a control operation failed");
            return Self::new(status, error.code(), title).recorded();
        }
        // What was permitted and came to nothing is in the record of its tenant.
        Self::new(status, error.code(), title).detail(error.to_string()).recorded()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use model::Timestamp;

    use super::*;

    async fn check(problem: impl Into<Problem>, status: u16, header: Option<(&str, &str)>, says: &str) {
        let id = RequestId::from_parts(Timestamp::from_unix_ms(1), 1);
        let response = problem.into().respond(id);
        assert_eq!(response.status().as_u16(), status);
        if let Some((name, value)) = header {
            assert_eq!(response.headers()[name], value);
        }
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&bytes).unwrap();
        let document: api::Problem = serde_json::from_str(text).unwrap();
        assert_eq!((document.status, document.request_id), (status, Some(id)));
        assert!(text.contains(says), "{text} does not say {says}");
    }

    #[tokio::test]
    async fn what_leaves_the_node() {
        let forbidden =
            || Refused::Forbidden { code: "no-permit", reason: "policy `tenant/0`: forbid (…)".into() };
        check(
            Refused::Unauthenticated { code: "credential-expired" },
            401,
            Some(("www-authenticate", CHALLENGE)),
            "unauthenticated",
        )
        .await;
        let challenge = "DPoP realm=\"casemate\", error=\"use_dpop_nonce\"";
        let challenged =
            || Refused::Challenged { code: "dpop-nonce", challenge, nonce: Some("a-nonce".into()) };
        check(challenged(), 401, Some(("www-authenticate", challenge)), "unauthenticated").await;
        check(challenged(), 401, Some(("dpop-nonce", "a-nonce")), identity::Refusal::SENTENCE).await;
        check(forbidden(), 403, None, "forbidden").await;
        check(ControlError::Refused(forbidden()), 403, None, "tenant/0").await;
        check(
            RouteMiss::Method(vec!["GET".into(), "PUT".into()]),
            405,
            Some(("allow", "GET, PUT")),
            "method",
        )
        .await;
        check(Fault::FunctionBusy, 503, Some(("retry-after", "1")), "function-busy").await;
        check(Fault::CpuLimit, 504, None, "cpu-limit").await;
        check(ControlError::Internal("/secret/path".into()), 500, None, "internal").await;
    }

    #[tokio::test]
    async fn nothing_else_does() {
        let id = RequestId::from_parts(Timestamp::default(), 0);
        for problem in [
            Problem::from(Refused::Forbidden { code: "x", reason: "the-clause".into() }),
            Problem::from(Refused::Unauthenticated { code: "credential-expired" }),
            Problem::from(ControlError::Internal("/secret/path".into())),
        ] {
            let bytes = problem.respond(id).into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            assert!(
                !text.contains("the-clause") && !text.contains("expired") && !text.contains("/secret"),
                "{text}"
            );
        }
    }
}
