//! Functions that call functions: the entrance of a request that never was on a network. It walks the way of one from
//! outside (route, screen, authorize, invoke) with the identity that its run was given, and never takes a name, a
//! caller or a depth from what the function says.

mod message;

use std::sync::Arc;

use cell::BodyStream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use identity::{Caller, Chain, NoCall, Running};
use ledger::{Event, Kind};
use model::{Blame, Fault, FunctionName, RequestId};
use policy::{Action, Resource};
use shield::{Blocked, Peer};

use crate::{
    AnswerBody, Platform, catalog::Target, inspect::Withheld, recorder::About, refused::Refused,
    routes::RouteMiss,
};

/// Who calls, as a SPIFFE id; only where it is a function.
const ACTOR: HeaderName = HeaderName::from_static("casemate-actor");
/// For whom: the principal that began the chain.
const ON_BEHALF_OF: HeaderName = HeaderName::from_static("casemate-on-behalf-of");
/// The functions between, the first first, the caller last.
const CHAIN: HeaderName = HeaderName::from_static("casemate-chain");
/// Tells a function that its call was answered by the node and not by the callee, with the code of the reason.
const ERROR: HeaderName = HeaderName::from_static("casemate-error");

/// What a run calls other functions with. It is made when the run begins, and nothing that the function does later
/// changes it.
pub(crate) struct Hop {
    /// Of the request that began the chain: all its records have it.
    pub(crate) id: RequestId,
    pub(crate) running: Running,
    /// The function that calls.
    pub(crate) from: Arc<Target>,
    /// At the other end of the connection on which the chain began: what policies say of addresses and of encryption
    /// holds along the chain.
    pub(crate) peer: Peer,
}

/// Why the callee did not answer.
struct NoAnswer {
    status: u16,
    code: &'static str,
    sentence: &'static str,
    header: Option<(HeaderName, String)>,
}

impl Platform {
    /// Calls a function of the same tenant. Its answer, or the reason why there is none, is an answer to the caller.
    /// Dropping the future, or the answer's body, cancels the callee's run.
    pub(crate) async fn call_function(
        self: &Arc<Self>,
        hop: &Hop,
        name: &FunctionName,
        request: Request<BodyStream>,
    ) -> Response<BodyStream> {
        let head_only = *request.method() == Method::HEAD;
        let answered = self.walk(hop, name, request).await;
        answered.and_then(|answer| message::handed_on(answer, head_only)).unwrap_or_else(|why| {
            self.tell(&hop.from, hop.id, format!("call of `{name}`: {} {}", why.status, why.code));
            why.respond()
        })
    }

    async fn walk(
        self: &Arc<Self>,
        hop: &Hop,
        name: &FunctionName,
        request: Request<BodyStream>,
    ) -> Result<Response<AnswerBody>, NoAnswer> {
        let caller = self.functions.caller(&hop.running).map_err(|why| {
            self.refuse_call(hop, name, why.code(), &why.to_string());
            NoAnswer::from(why)
        })?;
        let target = self.catalog.named(hop.from.tenant(), name);
        let routed = target
            .ok_or(RouteMiss::NoRoute)
            .and_then(|target| target.takes(request.method(), request.uri().path()).map(|()| target));
        let target = routed.map_err(|miss| {
            let why = NoAnswer::from(miss);
            self.refuse_call(hop, name, why.code, why.sentence);
            why
        })?;
        let (head, body) = message::shaped(name, request);
        let screened = self.shield.screen_within(head, body, &hop.peer).map_err(|blocked| {
            self.refuse_call(hop, name, blocked.code(), &blocked.to_string());
            NoAnswer::from(&blocked)
        })?;
        let permit = self.authorize(hop.id, &target, &caller, &screened)?;
        let inspected = self.inspect_request(hop.id, &target, &caller, screened).await?;
        Ok(self.invoke(hop.id, permit, &caller, target, inspected).await?)
    }

    /// A call that was refused before any policy was asked.
    fn refuse_call(&self, hop: &Hop, name: &FunctionName, code: &'static str, detail: &str) {
        let tenant = hop.from.tenant();
        let about =
            About { request: Some(hop.id), tenant: Some(tenant), source: Some(hop.peer.address.ip()) };
        let mut event = about.on(self.recorder.event(Kind::Refusal));
        event.principal = hop.running.principal().to_string().into();
        event.on_behalf_of = hop.running.caller().on_behalf_of().into();
        event.chain = hop.running.links().map(|link| link.to_string().into()).collect();
        event.action = Action::Invoke.as_str().into();
        event.resource = Resource::Function(tenant, name).to_string().into();
        event.code = code.into();
        event.detail = detail.into();
        self.note_refused(code, &event);
    }

    /// The SPIFFE id of a caller that is a function.
    pub(crate) fn actor(&self, caller: &Caller) -> Option<String> {
        let link = caller.chain()?.links().last()?;
        Some(self.functions.id_of(link.tenant(), link.function()))
    }

    /// Tells a function who calls it for whom, where that is not the same.
    pub(crate) fn tell_chain(&self, headers: &mut HeaderMap, caller: &Caller) {
        let (Some(chain), Some(actor)) = (caller.chain(), self.actor(caller)) else { return };
        let links: Vec<String> = chain.links().iter().map(ToString::to_string).collect();
        for (name, text) in
            [(ACTOR, actor), (ON_BEHALF_OF, chain.origin().to_string()), (CHAIN, links.join(", "))]
        {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }
}

/// The names of the functions behind a caller, as policies see them.
pub(crate) fn names(caller: &Caller) -> Vec<&str> {
    let links = caller.chain().map_or(&[][..], |chain| chain.links());
    links.iter().map(|link| link.function().as_str()).collect()
}

/// Puts the chain behind an event's principal into it, where there is one.
pub(crate) fn tell(event: &mut Event, chain: Option<&Chain>) {
    let Some(chain) = chain else { return };
    event.on_behalf_of = chain.origin().clone();
    event.chain = chain.links().iter().map(|link| link.to_string().into()).collect();
}

impl NoAnswer {
    const fn new(status: u16, code: &'static str, sentence: &'static str) -> Self {
        Self { status, code, sentence, header: None }
    }

    fn with(self, name: HeaderName, value: String) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// The status and the code that a caller from outside would see, in few words: functions are no browsers.
    fn respond(self) -> Response<BodyStream> {
        let mut response = message::text(self.status, self.sentence);
        let headers = response.headers_mut();
        headers.insert(ERROR, HeaderValue::from_static(self.code));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.header
            && let Ok(value) = HeaderValue::try_from(value)
        {
            headers.insert(name, value);
        }
        response
    }
}

impl From<NoCall> for NoAnswer {
    fn from(why: NoCall) -> Self {
        match why {
            //= RFC 5842 §7.2: 508, an infinite loop
            NoCall::Depth => Self::new(508, why.code(), "the chain of calls is as long as any may be"),
            NoCall::Calls => {
                Self::new(429, why.code(), "the request has caused as many calls as any may cause")
            }
        }
    }
}

impl From<RouteMiss> for NoAnswer {
    fn from(miss: RouteMiss) -> Self {
        match miss {
            RouteMiss::NoRoute => Self::new(404, "no-route", "no function answers here"),
            RouteMiss::Method(allowed) => {
                let why = Self::new(405, "method-not-allowed", "this method is not taken here");
                why.with(header::ALLOW, allowed.join(", "))
            }
        }
    }
}

impl From<&Blocked> for NoAnswer {
    fn from(blocked: &Blocked) -> Self {
        Self::new(blocked.status(), blocked.code(), "the request is not taken")
    }
}

impl From<Refused> for NoAnswer {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unauthenticated { .. } | Refused::Challenged { .. } => {
                Self::new(401, "unauthenticated", identity::Refusal::SENTENCE)
            }
            Refused::Forbidden { .. } => Self::new(403, "forbidden", "this caller may not do this"),
            Refused::TooMany { code, retry_after_s } => {
                Self::new(429, code, "too many requests").with(header::RETRY_AFTER, retry_after_s.to_string())
            }
            Refused::Unavailable { code } => {
                Self::new(503, code, "the node cannot decide this now; try again").soon()
            }
        }
    }
}

impl From<Withheld> for NoAnswer {
    fn from(withheld: Withheld) -> Self {
        match withheld {
            Withheld::Rules(reason) => Self::new(reason.status(), reason.code(), reason.sentence()),
            Withheld::Body(_) => Self::new(400, "body-broken", "the call's body broke off"),
            Withheld::Slow => Self::new(408, "body-slow", "the call's body did not come in time"),
            Withheld::Fault(fault) => fault.into(),
        }
    }
}

impl From<Fault> for NoAnswer {
    fn from(fault: Fault) -> Self {
        let why = Self::new(fault.status(), fault.code(), fault.sentence());
        if fault.blame() == Blame::Load { why.soon() } else { why }
    }
}

impl NoAnswer {
    fn soon(self) -> Self {
        self.with(header::RETRY_AFTER, "1".to_owned())
    }
}
