//! What one run may ask for, around that run's frozen grants, and what is noted when it ends. It never runs
//! anything.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use cell::{BodyBroken, BodyStream, Broker, CallError, Called, LogStream};
use futures_util::StreamExt;
use ledger::Kind;
use model::{Fault, Outcome, Usage};
use parking_lot::Mutex;
use shield::{Step, Trail};

use crate::{
    Platform,
    call::Call,
    catalog::Target,
    chain::{self, Hop},
    defence::Watched,
    fair::Turn,
    gate::Pass,
    logs::{LineCutter, LogLine},
    recorder::About,
};

/// The broker of one run.
pub(crate) struct RunBroker {
    platform: Arc<Platform>,
    target: Arc<Target>,
    call: Call,
    /// With which it calls other functions.
    hop: Arc<Hop>,
    lines: Mutex<[LineCutter; 2]>,
    /// The profile that it is held against, what it has done so far, and the bytes that it sent out.
    watched: Option<Arc<Watched>>,
    trail: Mutex<Trail>,
    sent_bytes: Arc<AtomicU64>,
    /// The guest wanted more outbound calls than it may make.
    calls_exhausted: AtomicBool,
    /// The run's place, given back when it ends.
    pass: Mutex<Option<Pass>>,
    /// Its source's turn, given back when it waits or answers.
    turn: Mutex<Option<Turn>>,
    /// Told when it ends, where somebody waits for it.
    ended: Mutex<Option<tokio::sync::oneshot::Sender<(Usage, Outcome)>>>,
}

impl RunBroker {
    pub(crate) fn new(
        platform: Arc<Platform>,
        target: Arc<Target>,
        call: Call,
        (turn, pass): (Option<Turn>, Pass),
        hop: Hop,
    ) -> Self {
        let lines = Mutex::new([LineCutter::default(), LineCutter::default()]);
        let (turn, pass) = (Mutex::new(turn), Mutex::new(Some(pass)));
        let (calls_exhausted, ended) = (AtomicBool::new(false), Mutex::new(None));
        let watched = target.life.profile.of(target.revision.number);
        let (trail, sent_bytes, hop) = (Mutex::default(), Arc::default(), Arc::new(hop));
        Self {
            platform,
            target,
            call,
            hop,
            lines,
            watched,
            trail,
            sent_bytes,
            calls_exhausted,
            pass,
            turn,
            ended,
        }
    }

    /// Told once, when the run is over.
    pub(crate) fn ended(&self) -> tokio::sync::oneshot::Receiver<(Usage, Outcome)> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        *self.ended.lock() = Some(sender);
        receiver
    }

    /// The run computes no longer, or has answered: others have their turn.
    pub(crate) fn turn_over(&self) {
        drop(self.turn.lock().take());
    }

    fn line(&self, stream: &str, text: String) {
        let at = self.platform.clock().now();
        let (revision, request) = (self.target.revision.number, self.call.id);
        let stream = stream.to_owned();
        self.target.life.log.push(LogLine { seq: 0, at, revision, request, stream, text });
    }

    /// Takes an outbound call into the run's steps, or says why its profile refuses it.
    fn step_out(&self, request: &http::Request<BodyStream>) -> Result<(), String> {
        let Some(watched) = &self.watched else { return Ok(()) };
        let mut trail = self.trail.lock();
        let step = Step::Out(place_of(request));
        if let Some((why, found)) = watched.forbids(&trail.to(step.clone())) {
            drop(trail);
            if let Some(found) = found {
                self.platform.unlike(&self.target, &self.call, &found, false);
            }
            return Err(why);
        }
        trail.step(step);
        Ok(())
    }

    /// The same request, whose body is counted on its way out.
    fn counted(&self, request: http::Request<BodyStream>) -> http::Request<BodyStream> {
        if self.watched.is_none() {
            return request;
        }
        let sent = self.sent_bytes.clone();
        let count = move |piece: &Result<Bytes, BodyBroken>| {
            if let Ok(bytes) = piece {
                sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
        };
        request.map(|body| -> BodyStream { Box::pin(body.inspect(count)) })
    }

    /// Holds a run that ended against its profile.
    fn watch(&self, usage: &Usage) {
        let Some(watched) = &self.watched else { return };
        let mut trail = self.trail.lock();
        trail.step(Step::End);
        let sent_bytes = self.sent_bytes.load(Ordering::Relaxed);
        for found in watched.ended(&trail, usage, sent_bytes, self.platform.clock().now()) {
            self.platform.unlike(&self.target, &self.call, &found, true);
        }
    }

    /// A fault is in the function's log (with its detail) and in the record (without).
    fn failed(&self, usage: Usage, fault: Fault, detail: &str) {
        let text = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        self.line("platform", format!("{}{text}", fault.code()).replace('\n', " "));
        let target = &self.target;
        let about = About {
            request: Some(self.call.id),
            tenant: Some(target.tenant()),
            source: Some(self.call.source),
        };
        let mut event = about.on(self.platform.recorder().event(Kind::Run));
        event.principal = self.call.principal.clone();
        event.action = "invoke".into();
        event.resource = target.resource.clone();
        chain::tell(&mut event, self.call.chain.as_deref());
        event.code = fault.code().into();
        event.detail = fault.sentence().into();
        event.usage = Some(usage);
        if let Err(error) = self.platform.recorder().record(&event) {
            tracing::error!(request = %self.call.id, code = fault.code(), %error, "a fault is not in the record");
        }
    }
}

impl Broker for RunBroker {
    fn log(&self, stream: LogStream, bytes: Bytes) {
        let (slot, name) = match stream {
            LogStream::Stdout => (0, "stdout"),
            LogStream::Stderr => (1, "stderr"),
        };
        if self.watched.is_some() {
            self.trail.lock().step(Step::Log);
        }
        if let Some(cutter) = self.lines.lock().get_mut(slot) {
            cutter.push(&bytes, |text| self.line(name, text));
        }
    }

    fn call(&self, request: http::Request<BodyStream>) -> Pin<Box<dyn Future<Output = Called> + Send>> {
        self.turn_over();
        let about = About {
            request: Some(self.call.id),
            tenant: Some(self.target.tenant()),
            source: Some(self.call.source),
        };
        let mut event = about.on(self.platform.recorder().event(Kind::Decision));
        let place: Arc<str> = format!("{} {}", request.method(), bare(request.uri())).into();
        event.principal = self.call.principal.clone();
        event.action = "call-out".into();
        event.resource = place.clone();
        chain::tell(&mut event, self.call.chain.as_deref());
        let permits = || self.target.destinations.permits(request.method(), request.uri());
        let function = egress::function(request.uri()).transpose();
        let covered = function.and_then(|function| permits().map(|()| function));
        let covered =
            covered.map_err(str::to_owned).and_then(|function| self.step_out(&request).map(|()| function));
        let request = self.counted(request);
        if let Ok(Some(name)) = &covered {
            // The callee's policies decide, which is recorded then.
            let (platform, hop, name) = (self.platform.clone(), self.hop.clone(), name.clone());
            return Box::pin(async move { Ok(platform.call_function(&hop, &name, request).await) });
        }
        event.allowed = covered.is_ok();
        if let Err(why) = covered {
            event.code = "outbound-denied".into();
            event.detail = why.as_str().into();
            self.line("platform", format!("outbound {place}: refused, {why}"));
        }
        let recorded = self.platform.recorder().record(&event).is_ok();
        if !event.allowed || !recorded {
            let error = if event.allowed { CallError::Internal } else { CallError::Denied };
            return Box::pin(async move { Err(error) });
        }
        let (platform, target, id) = (self.platform.clone(), self.target.clone(), self.call.id);
        Box::pin(async move {
            let answer = platform.call_out(&target, request).await;
            answer.map_err(|error| {
                platform.tell(&target, id, format!("outbound {place}: {error}"));
                if error.call_error() == CallError::Denied {
                    event.kind = Kind::Refusal;
                    event.allowed = false;
                    event.code = error.code().into();
                    event.detail = error.to_string().into();
                    platform.note(&event);
                }
                error.call_error()
            })
        })
    }

    fn calls_exhausted(&self) {
        self.calls_exhausted.store(true, Ordering::Relaxed);
    }

    fn finished(&self, usage: Usage, outcome: Outcome) {
        self.turn_over();
        drop(self.pass.lock().take());
        for (cutter, name) in self.lines.lock().iter_mut().zip(["stdout", "stderr"]) {
            cutter.finish(|text| self.line(name, text));
        }
        if usage.log_bytes_dropped > 0 {
            let dropped = usage.log_bytes_dropped;
            self.failed(usage, Fault::LogLimit, &format!("{dropped} bytes were dropped"));
        }
        if self.calls_exhausted.load(Ordering::Relaxed) {
            let most = self.target.limits().outbound_calls;
            self.failed(usage, Fault::OutboundLimit, &format!("more than {most} outbound calls"));
        }
        if let Outcome::Failed(fault, detail) = &outcome {
            self.failed(usage, *fault, detail);
        }
        self.watch(&usage);
        self.target.life.meter.count(&usage, &outcome);
        self.platform.log_run(&self.target, &self.call, &usage, &outcome);
        if let Some(ended) = self.ended.lock().take() {
            // Nobody may wait any more: the caller went away.
            let _gone = ended.send((usage, outcome));
        }
    }
}

/// Where a call goes, for a profile: method and place, without a path.
fn place_of(request: &http::Request<BodyStream>) -> String {
    let (method, uri) = (request.method(), request.uri());
    match egress::function(uri) {
        Some(Ok(name)) => format!("{method} function:{name}"),
        _ => {
            let scheme = uri.scheme_str().unwrap_or_default();
            let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
            format!("{method} {scheme}://{}:{port}", uri.host().unwrap_or_default().to_ascii_lowercase())
        }
    }
}

/// A target without its query: a record is no place for what a query may hold.
fn bare(uri: &http::Uri) -> String {
    let (scheme, authority) = (uri.scheme_str().unwrap_or(""), uri.authority().map_or("", |a| a.as_str()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{}", uri.path())
}
