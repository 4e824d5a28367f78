//! The way of a request: route, identify, authorize, invoke. It is the only way to run a function.

use std::{
    borrow::Cow,
    future::Future,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use cell::{BodyStream, Run};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, header,
    uri::{Authority, Scheme},
};
use identity::Caller;
use ledger::{Event, Kind};
use model::{Fault, Limits, Outcome, RequestId, Timestamp, Usage, Waiver};
use policy::{Action, Context, Proof, Question, Resource};
use shield::{Inspected, Peer, Screened};

use crate::{
    Platform,
    broker::RunBroker,
    call::Call,
    catalog::Target,
    chain::{self, Hop},
    fair::Turn,
    gate::Pass,
    glass,
    recorder::About,
    refused::Refused,
    routes::RouteMiss,
};

pub use cell::{AnswerBody, BodyBroken, RequestBody};
pub use policy::Permit;

/// The name of the header that tells a function who calls it. A caller can set none that begins with `casemate-`.
const CALLER: HeaderName = HeaderName::from_static("casemate-caller");
/// The name of the header that tells a function the request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("casemate-request-id");

/// The code of a call without a credential after the end of the waiver that let such calls in.
pub const WAIVER_ENDED: &str = "waiver-ended";

/// How a run ended, for those who wait for that.
pub type Ended = tokio::sync::oneshot::Receiver<(Usage, Outcome)>;

impl Platform {
    /// Finds what answers `method` on `path` under `host`.
    ///
    /// # Errors
    /// [`RouteMiss`].
    pub fn route(&self, host: &str, method: &Method, path: &str) -> Result<Arc<Target>, RouteMiss> {
        if self.is_bait_route(host, path) {
            return Err(RouteMiss::NoRoute);
        }
        self.catalog.route(host, method, path)
    }

    /// Asks the function's policies. The decision is in the record's queue before this returns.
    ///
    /// # Errors
    /// [`Refused`]; a caller without a credential is told to bring one.
    pub fn authorize(
        &self,
        id: RequestId,
        target: &Target,
        caller: &Caller,
        screened: &Screened<RequestBody>,
    ) -> Result<Permit, Refused> {
        let head = screened.head();
        let host = host_of(&head.uri, &head.headers);
        let peer = screened.peer();
        let accept = target.accept.on(head);
        if !accept.takes_caller(caller) {
            return Err(self.not_taken_here(id, (target, accept), caller, head, peer));
        }
        let asked = Asked {
            id,
            method: head.method.as_str(),
            path: head.uri.path(),
            host: &host,
            peer,
            waiver: target.revision.access.waiver.as_ref(),
        };
        if !self.functions.vouches_for(caller) {
            // INVARIANT: who is called by a function is called by one that this node runs.
            tracing::error!(request = %id, ?caller, "a function that this node did not make asks");
            let about =
                About { request: Some(id), tenant: Some(target.tenant()), source: Some(peer.address.ip()) };
            let (code, reason) = ("caller-forged", "it is no function of this node");
            let mut event = about.on(self.recorder.event(Kind::Refusal));
            event.code = code.into();
            event.detail = reason.into();
            self.note_refused(code, &event);
            return Err(Refused::Forbidden { code, reason: reason.to_owned() });
        }
        if caller.is_anonymous() {
            self.admit_stranger(id, target, peer)?;
        }
        let resource = Resource::Function(target.tenant(), target.function());
        let named = (resource, target.resource.clone());
        let decided = self.decide(&target.slice, &asked, caller, Action::Invoke, named);
        let permit = decided.inspect_err(|refused| {
            let call = Call::new(id, caller.key().into(), peer.address.ip(), head).through(caller);
            self.log_refused(target, &call, refused.code());
            self.note_refused_call(&call, target, peer, head.uri.path(), refused);
        })?;
        // Not before: who is not permitted uses up nothing of those who are.
        self.admit_own(id, target, caller, head, peer)?;
        Ok(permit)
    }

    /// A caller that proved itself at another door, by what this function does not take.
    fn not_taken_here(
        &self,
        id: RequestId,
        (target, accept): (&Target, &identity::Accept),
        caller: &Caller,
        head: &http::request::Parts,
        peer: &Peer,
    ) -> Refused {
        let (code, source) = (identity::Reason::CredentialElsewhere.code(), peer.address.ip());
        self.log_refused(target, &Call::new(id, caller.key().into(), source, head), code);
        let about = About { request: Some(id), tenant: Some(target.tenant()), source: Some(source) };
        let mut event = about.on(self.recorder.event(Kind::Refusal));
        event.principal = caller.key().into();
        event.code = code.into();
        event.detail = identity::Reason::CredentialElsewhere.sentence().into();
        event.resource = target.resource.clone();
        self.note_refused(code, &event);
        Refused::Forbidden { code, reason: format!("the function accepts: {accept}") }
    }

    /// Asks a slice, and records the decision before anyone acts on it. The resource comes with its name for
    /// the record.
    pub(crate) fn decide(
        &self,
        slice: &policy::Slice,
        asked: &Asked<'_>,
        caller: &Caller,
        action: Action,
        (resource, named): (Resource<'_>, Arc<str>),
    ) -> Result<Permit, Refused> {
        let (now, between) = (self.clock.now(), chain::names(caller));
        let context = Context {
            method: asked.method,
            path: asked.path,
            host: asked.host,
            source: asked.peer.address.ip(),
            tls: asked.peer.tls,
            on_behalf_of: caller.on_behalf_of(),
            chain: &between,
            now,
            proof: proof_of(caller, now),
        };
        let principal = caller.principal();
        let question = Question { principal, action, resource, context: &context };
        let answer = slice.decide(&question);
        let tenant = match resource {
            Resource::Node => None,
            Resource::Tenant(tenant) | Resource::Function(tenant, _) => Some(tenant),
        };
        let about = About { request: Some(asked.id), tenant, source: Some(asked.peer.address.ip()) };
        // At the time that policies saw, and with what else they could see.
        let mut event = about.on(Event::new(now, Kind::Decision));
        event.asked = slice.seen(&question).map(|seen| seen.text().into()).unwrap_or_default();
        event.action = action.as_str().into();
        event.resource = named;
        chain::tell(&mut event, caller.chain().map(|chain| &**chain));
        match answer {
            Ok(permit) => {
                event.principal = permit.principal().clone();
                event.policies = permit.policies().to_vec();
                event.allowed = true;
                if let Some(actor) = self.actor(caller) {
                    event.detail = actor.into();
                } else if let Some(proof) = caller.proof() {
                    event.detail = format!("by {}", proof.said()).into();
                }
                self.recorder.record(&event)?;
                if let Some(policy) = glass::used(permit.policies()) {
                    let (request, principal, resource) = (asked.id, &event.principal, &event.resource);
                    let said = "a break-glass permit was used";
                    tracing::warn!(%request, %principal, %action, %resource, %policy, "{said}");
                }
                Ok(permit)
            }
            Err(denial) => {
                event.principal = denial.principal().clone();
                event.policies = denial.policies().iter().map(|p| p.as_str().into()).collect();
                let ended = caller.is_anonymous() && asked.waiver.is_some_and(|w| has_ended(w, context.now));
                event.code = if ended { WAIVER_ENDED } else { denial.reason().code() }.into();
                event.detail = denial.clause().into();
                self.note(&event);
                Err(if caller.is_anonymous() {
                    Refused::Unauthenticated { code: if ended { WAIVER_ENDED } else { "no-credential" } }
                } else {
                    Refused::Forbidden { code: denial.reason().code(), reason: denial.to_string() }
                })
            }
        }
    }

    /// Runs a function. The permit must be this caller's and for this very revision, as [`Platform::authorize`] gives
    /// it.
    ///
    /// # Errors
    /// The [`Fault`], which is in the record and the function's log.
    pub async fn invoke(
        self: &Arc<Self>,
        id: RequestId,
        permit: Permit,
        caller: &Caller,
        target: Arc<Target>,
        inspected: Inspected<RequestBody>,
    ) -> Result<http::Response<AnswerBody>, Fault> {
        self.run(id, permit, caller, target, inspected, |_| ()).await
    }

    /// As [`Platform::invoke`], with the end of the run to wait for.
    ///
    /// # Errors
    /// The [`Fault`].
    pub async fn invoke_metered(
        self: &Arc<Self>,
        id: RequestId,
        permit: Permit,
        caller: &Caller,
        target: Arc<Target>,
        inspected: Inspected<RequestBody>,
    ) -> (Result<http::Response<AnswerBody>, Fault>, Option<Ended>) {
        let mut ended = None;
        let answer =
            self.run(id, permit, caller, target, inspected, |broker| ended = Some(broker.ended())).await;
        (answer, ended)
    }

    async fn run(
        self: &Arc<Self>,
        id: RequestId,
        permit: Permit,
        caller: &Caller,
        target: Arc<Target>,
        inspected: Inspected<RequestBody>,
        before: impl FnOnce(&RunBroker),
    ) -> Result<http::Response<AnswerBody>, Fault> {
        let proved = (target.tenant(), target.function(), target.revision.number);
        if permit.invocation() != Some(proved) || **permit.principal() != *caller.key() {
            // INVARIANT: a permit opens the one revision whose policies gave it, to whom they gave it.
            tracing::error!(request = %id, ?target, "a permit for another function or caller was presented");
            return Err(Fault::WorkerLied);
        }
        let source = inspected.peer().address.ip();
        let call = Call::new(id, permit.principal().clone(), source, inspected.head()).through(caller);
        let entered = match fits(target.limits(), &inspected) {
            Ok(()) if self.is_in_quarantine(&target) => Err(Fault::Quarantined),
            Ok(()) => self.enter(&target, source, call.chain.is_some()).await,
            Err(fault) => Err(fault),
        };
        let (entry, code) = match entered {
            Ok(entered) => entered,
            Err(fault) => return Err(self.turned_away(&target, &call, fault)),
        };
        let running =
            self.functions.began(caller, target.tenant(), target.function(), target.revision.number);
        let hop = Hop { id, running, from: target.clone(), peer: inspected.peer().clone() };
        let watched = self.watch(&target, &inspected).map(|watched| (watched, call.clone()));
        let request = self.guest_request(id, caller, inspected);
        let broker = Arc::new(RunBroker::new(self.clone(), target.clone(), call, entry, hop));
        before(&broker);
        let run = Run {
            code,
            trust: target.tenant.trust.clone(),
            limits: target.revision.limits,
            request,
            broker: broker.clone(),
        };
        let answer = self.cells.run(run).await?;
        broker.turn_over();
        match watched {
            Some((watched, call)) => self.look_at_answer(&target, &call, watched, answer).await,
            None => Ok(answer),
        }
    }

    /// Waits for the source's turn, a place and the code. What a request calls belongs to it: a node that stops lets it
    /// end, and it needs no turn of its own.
    async fn enter(
        &self,
        target: &Target,
        source: IpAddr,
        is_call: bool,
    ) -> Result<((Option<Turn>, Pass), cell::Code), Fault> {
        if self.draining.load(Ordering::Relaxed) && !is_call {
            return Err(Fault::Draining);
        }
        let turn = if is_call { None } else { Some(self.fair.turn(source).await?) };
        let pass = match is_call {
            true => target.gate.enter_holding(&target.quota, &self.places).await?,
            false => target.gate.enter(&target.quota, &self.places).await?,
        };
        let code = self.code.code(&target.code).await.map_err(|error| {
            tracing::error!(?target, %error, "the function's code cannot be had");
            Fault::CodeUnavailable
        })?;
        Ok(((turn, pass), code))
    }

    /// A request that never ran: in the logs, the record and the meter, like one that did.
    fn turned_away(&self, target: &Target, call: &Call, fault: Fault) -> Fault {
        self.log_refused(target, call, fault.code());
        let about =
            About { request: Some(call.id), tenant: Some(target.tenant()), source: Some(call.source) };
        let mut event = about.on(self.recorder.event(Kind::Run));
        event.principal = call.principal.clone();
        event.action = Action::Invoke.as_str().into();
        event.resource = target.resource.clone();
        chain::tell(&mut event, call.chain.as_deref());
        event.code = fault.code().into();
        event.detail = fault.sentence().into();
        self.note(&event);
        target.life.meter.count(&Usage::default(), &Outcome::Failed(fault, String::new()));
        fault
    }

    /// Makes an outbound call of a run within its revision's grants.
    pub(crate) fn call_out(
        &self,
        target: &Target,
        request: http::Request<BodyStream>,
    ) -> impl Future<Output = Result<http::Response<BodyStream>, egress::EgressError>> + Send + use<> {
        let egress = self.egress.clone();
        let destinations = target.destinations.clone();
        async move { egress.call(&destinations, request, egress::Bounds::default()).await }
    }
}

impl Platform {
    /// What the guest sees: the request without its credential, and who calls, for whom, through whom.
    fn guest_request(
        &self,
        id: RequestId,
        caller: &Caller,
        inspected: Inspected<RequestBody>,
    ) -> http::Request<RequestBody> {
        let (mut head, body, peer) = inspected.into_parts();
        if head.uri.scheme().is_none() {
            let scheme = if peer.tls { Scheme::HTTPS } else { Scheme::HTTP };
            head.uri = absolute(std::mem::take(&mut head.uri), scheme, &head.headers);
        }
        let headers = &mut head.headers;
        for name in not_the_guests(headers) {
            headers.remove(name);
        }
        let credential = headers.remove(header::AUTHORIZATION);
        let scheme = credential.as_ref().and_then(|value| value.as_bytes().get(..4)).unwrap_or_default();
        if scheme.eq_ignore_ascii_case(b"DPoP") {
            headers.remove("dpop");
        }
        if let Ok(value) = HeaderValue::from_str(caller.key()) {
            headers.insert(CALLER, value);
        }
        if let Ok(value) = HeaderValue::from_bytes(&id.digits()) {
            headers.insert(REQUEST_ID, value);
        }
        self.tell_chain(headers, caller);
        http::Request::from_parts(head, body)
    }
}

/// The circumstances in which something is asked.
pub(crate) struct Asked<'a> {
    pub(crate) id: RequestId,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) host: &'a str,
    pub(crate) peer: &'a Peer,
    /// Of the function, if it has one.
    pub(crate) waiver: Option<&'a Waiver>,
}

/// How a caller was proved, as policies see it.
fn proof_of(caller: &Caller, now: Timestamp) -> Proof<'_> {
    match caller.proof() {
        None if caller.token().is_some() => Proof::of(identity::ProofKind::ApiToken.as_str()),
        None => Proof::default(),
        Some(proof) => Proof {
            kind: proof.kind().as_str(),
            bound: proof.bound() != identity::Bound::None,
            issuer: proof.issuer(),
            age_s: now.since_ms(proof.authenticated_at()) / 1_000,
            groups: proof.groups(),
            attributes: Some(proof.attributes()),
        },
    }
}

/// Policies count whole seconds, so that a waiver ends up to one early and never late.
fn has_ended(waiver: &Waiver, now: Timestamp) -> bool {
    waiver.until <= now.plus_ms(1_000)
}

/// Whether the function takes a request of this size, as far as it is known before its end.
fn fits(limits: &Limits, inspected: &Inspected<RequestBody>) -> Result<(), Fault> {
    let head = inspected.head();
    let lines: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let head_bytes = lines + head.uri.path_and_query().map_or(0, |p| p.as_str().len());
    if head_bytes as u64 > limits.request_header_bytes {
        return Err(Fault::RequestHeaderLimit);
    }
    let said = head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let known = match inspected.body() {
        RequestBody::Full(bytes) => bytes.len() as u64,
        RequestBody::Stream(_) => said.unwrap_or(0),
    };
    if known > limits.request_body_bytes { Err(Fault::RequestBodyLimit) } else { Ok(()) }
}

/// The host without its port, in lowercase.
fn host_of<'h>(uri: &'h Uri, headers: &'h HeaderMap) -> Cow<'h, str> {
    let host = uri.host().or_else(|| headers.get(header::HOST)?.to_str().ok()).unwrap_or_default();
    let bare = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
    if bare.bytes().any(|b| b.is_ascii_uppercase()) { bare.to_ascii_lowercase().into() } else { bare.into() }
}

/// The names of headers that are for this connection alone (RFC 9110 §7.6.1), for a proxy, or the node's own to set:
/// few requests have any.
pub(crate) fn not_the_guests(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut found = Vec::new();
    for name in headers.keys() {
        let of_the_node = name.as_str().starts_with("casemate-");
        if of_the_node
            || matches!(
                name.as_str(),
                "connection"
                    | "keep-alive"
                    | "proxy-authorization"
                    | "proxy-connection"
                    | "te"
                    | "transfer-encoding"
                    | "upgrade"
            )
        {
            found.push(name.clone());
        }
    }
    let listed = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    found.extend(listed.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()));
    found
}

/// A target with the scheme of its connection and the host that was asked for.
fn absolute(target: Uri, scheme: Scheme, headers: &HeaderMap) -> Uri {
    let host = headers.get(header::HOST).map_or(&b"localhost"[..], HeaderValue::as_bytes);
    let Ok(authority) = Authority::try_from(host) else { return target };
    let mut parts = target.clone().into_parts();
    (parts.scheme, parts.authority) = (Some(scheme), Some(authority));
    Uri::from_parts(parts).unwrap_or(target)
}
