//! What was found suspicious, of those who ask and of runs, told in the record, and what the node does about it by itself.
//! It never does anything that has no end, and nothing that is not in the record.

mod actions;
mod bait;
mod kept;
mod profiles;
mod why;

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use http::request::Parts;
use identity::ProofKind;
use ledger::Kind;
use model::{FunctionName, PrincipalKind, RequestId, RevisionNumber, TenantId, Timestamp, TokenId, limits};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use shield::{
    Action, Cidr, Credential, Measure, Peer, Responses, Sign, Signal, SignalKind, Standing, Subject,
    Thresholds, Watch,
};
use tokio::sync::watch;

pub use actions::{Against, NewAction, ShieldView, Which};
pub use bait::{Bait, MadeBait};
pub use profiles::ProfileView;
pub use why::Story;

pub(crate) use profiles::{ProfileRoom, Watched};

use policy::{Action as Asked, Resource};

use crate::{
    Platform,
    call::Call,
    catalog::{Home, Target},
    recorder::About,
    refused::{ControlError, Ctx, Refused},
};

/// The code of a request from a source that is blocked, for the record.
const SOURCE_BLOCKED: &str = "source-blocked";

/// A signal as it is shown; the record has it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noticed {
    /// Its name.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Whose; none: the node's.
    pub tenant: Option<TenantId>,
    /// What it is about, in kebab case.
    pub code: String,
    /// From where.
    pub source: Option<IpAddr>,
    /// Who, where that is known or claimed.
    pub principal: String,
    /// Of what.
    pub resource: String,
    /// In which request.
    pub request: Option<RequestId>,
    /// How much there was, in a sentence.
    pub said: String,
    /// What the node did about it.
    pub action: Option<String>,
}

/// What a signal is about, for its event and for what is done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Around<'a> {
    pub(crate) request: Option<RequestId>,
    pub(crate) tenant: Option<&'a TenantId>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) principal: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) token: Option<&'a TokenId>,
    pub(crate) revision: Option<(&'a FunctionName, RevisionNumber)>,
    /// Whether what was asked was let through.
    pub(crate) allowed: bool,
}

/// All that the node knows of who attacks it.
pub(crate) struct Defence {
    watch: Watch,
    standing: Standing,
    responses: Responses,
    baits: bait::Baits,
    /// The newest last.
    signals: Mutex<VecDeque<Noticed>>,
    /// Actions that are over, the newest last.
    past: Mutex<VecDeque<Arc<Action>>>,
    unsaved: Mutex<kept::Unsaved>,
    /// One writer at a time: an action's end must not be written before its beginning.
    saving: tokio::sync::Mutex<()>,
    /// Something is to be saved now.
    wake: watch::Sender<()>,
}

impl Defence {
    pub(crate) fn new(responses: Responses) -> Self {
        Self {
            watch: Watch::new(Thresholds::default()),
            standing: Standing::default(),
            responses,
            baits: bait::Baits::default(),
            signals: Mutex::default(),
            past: Mutex::default(),
            unsaved: Mutex::default(),
            saving: tokio::sync::Mutex::new(()),
            wake: watch::channel(()).0,
        }
    }

    /// Told when something is to be saved; it ends with the platform.
    pub(crate) fn woken(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    fn keep(&self, noticed: Noticed) {
        let mut signals = self.signals.lock();
        let most = (limits::SIGNALS_OF_TENANT, limits::SIGNALS_KEPT);
        if let Some(oldest) = kept::make_room(&mut signals, &noticed.tenant, |one| &one.tenant, most) {
            self.unsaved.lock().gone(&oldest);
        }
        self.unsaved.lock().signal(noticed.clone());
        signals.push_back(noticed);
        self.wake.send_replace(());
    }
}

impl Platform {
    /// Counts something that honest clients do seldom, of whoever sent a request to a function. What makes a signal is in
    /// the record, and answered as the node's configuration says.
    pub fn note_sign(&self, id: RequestId, target: Option<&Target>, peer: &Peer, sign: Sign<'_>) {
        let around = Around {
            request: Some(id),
            tenant: target.map(Target::tenant),
            resource: target.map_or("", |target| &target.resource),
            ..Around::default()
        };
        self.note_sign_of(around, peer.address.ip(), sign);
    }

    pub(crate) fn note_sign_of(&self, around: Around<'_>, source: IpAddr, sign: Sign<'_>) {
        let now_ms = self.clock.monotonic_ms();
        if let Some(signal) = self.defence.watch.note(sign, around.tenant, source, now_ms) {
            self.signal(Around { source: Some(source), ..around }, &signal);
        }
    }

    /// Tells of a bait token wherever a request presents one: whatever answers it, and whether or not anybody asks who
    /// sent it.
    pub fn note_bait(&self, id: RequestId, head: &Parts, peer: &Peer) {
        let Some((tenant, token)) = self.defence.baits.token_in(head) else { return };
        let around = Around { request: Some(id), tenant: Some(&tenant), ..Around::default() };
        self.note_sign_of(around, peer.address.ip(), Sign::HoneyToken(&token));
    }

    /// Counts a request that no function answers; a bait route among them.
    pub fn note_miss(&self, id: RequestId, host: &str, path: &str, peer: &Peer) {
        let home = self.catalog.of_host(host);
        let tenant = home.as_ref().map(|home| &home.tenant.id);
        let around = Around { request: Some(id), tenant, ..Around::default() };
        let bait = tenant.and_then(|tenant| self.defence.baits.route_at(tenant, path));
        let sign = bait.as_deref().map_or(Sign::NotFound(path), Sign::HoneyRoute);
        self.note_sign_of(around, peer.address.ip(), sign);
    }

    /// Whether a path is bait, which no function answers whatever its routes.
    pub(crate) fn is_bait_route(&self, host: &str, path: &str) -> bool {
        if !self.defence.baits.is_any() {
            return false;
        }
        let home = self.catalog.of_host(host);
        home.is_some_and(|home| self.defence.baits.route_at(&home.tenant.id, path).is_some())
    }

    /// Counts a credential that proves nothing, and says under which code it goes into the record: bait is bait, whatever
    /// else is wrong with it where it is presented.
    pub(crate) fn note_credential(
        &self,
        around: Around<'_>,
        source: IpAddr,
        head: &Parts,
        claimed: Option<&str>,
        code: &'static str,
    ) -> &'static str {
        if let Some((tenant, id)) = self.defence.baits.token_in(head) {
            let around = Around { tenant: Some(&tenant), ..around };
            self.note_sign_of(around, source, Sign::HoneyToken(&id));
            return bait::TOUCHED;
        }
        let text = head.headers.get(http::header::AUTHORIZATION);
        // Each message that a stale secret signs has a signature of its own, which is no guess of its source.
        if let Some(text) = text {
            self.note_sign_of(around, source, Sign::BadCredential(text.as_bytes()));
        }
        if let (Some(name), Some(presented)) = (claimed, identity::presented(&head.headers)) {
            let now_ms = self.clock.monotonic_ms();
            if let Some(signal) = self.defence.watch.claim(presented, around.tenant, name, now_ms) {
                self.signal(Around { source: Some(source), principal: name, ..around }, &signal);
            }
        }
        code
    }

    /// Why a credential that holds is not taken all the same, if it is not; and counts the places that it comes from: a
    /// token and a session by their id, access tokens, of which each hour may have another, by whose they are. What a
    /// sender or a machine proves by a key of its own has no places.
    pub(crate) fn suspended(
        &self,
        around: Around<'_>,
        caller: &identity::Caller,
        source: IpAddr,
    ) -> Option<String> {
        let session = caller.proof().filter(|proof| proof.kind() == ProofKind::Session);
        let session: Option<TokenId> = session.and_then(|proof| proof.key_id()?.parse().ok());
        let credential = match (caller.token(), &session, caller.proof()) {
            (Some(token), ..) => Credential::Token(token),
            (None, Some(id), _) => Credential::Session(id),
            (None, None, Some(proof)) if proof.kind() == ProofKind::AccessToken => {
                Credential::Access { caller: caller.key(), issuer: proof.issuer()? }
            }
            _ => return None,
        };
        let id = caller.token().or(session.as_ref());
        let action = id.and_then(|id| self.defence.standing.of_token(id, self.clock.now()));
        if let Some(action) = action {
            return Some(format!("{credential} is suspended by `{}` until {}", action.id, action.until));
        }
        let is_person = caller.principal().kind == PrincipalKind::User;
        let now_ms = self.clock.monotonic_ms();
        let signal = self.defence.watch.place(credential, is_person, source, now_ms)?;
        let tenant = caller.principal().tenant.as_ref().or(around.tenant);
        let (source, principal, token) = (Some(source), caller.key(), id);
        self.signal(Around { tenant, source, principal, token, allowed: true, ..around }, &signal);
        None
    }

    /// Counts a call of a function that was refused by its policies. A function that calls one it may not is no sign of
    /// whoever began the chain.
    pub(crate) fn note_refused_call(
        &self,
        call: &Call,
        target: &Target,
        peer: &Peer,
        path: &str,
        why: &Refused,
    ) {
        let sign = match why {
            Refused::Unauthenticated { .. } => Sign::Unauthenticated(path),
            Refused::Forbidden { .. } => Sign::Forbidden(path),
            _ => return,
        };
        if call.chain.is_none() {
            self.note_sign(call.id, Some(target), peer, sign);
        }
    }

    /// Whoever deploys a shield that is weaker than the node's must be allowed that too. The answer is what the record
    /// says of it.
    pub(crate) fn permit_loosened(
        &self,
        ctx: Ctx<'_>,
        home: &Home,
        resource: Resource<'_>,
        shield: &model::Shield,
    ) -> Result<String, ControlError> {
        let loosened = shield.loosened(&self.shield_defaults);
        if loosened.is_empty() {
            return Ok(String::new());
        }
        self.permit(ctx, home, Asked::LoosenShield, resource)?;
        Ok(format!("; its shield is weaker than the node's: {}", loosened.join("; ")))
    }

    /// Refuses a request to a host of a source from which nobody is answered there.
    ///
    /// # Errors
    /// [`Refused::Forbidden`], which is in the record.
    pub fn admit_unblocked(&self, id: RequestId, host: &str, peer: &Peer) -> Result<(), Refused> {
        if !self.defence.standing.is_any() {
            return Ok(());
        }
        let home = self.catalog.of_host(host);
        self.admit_unblocked_by(id, home.as_ref().map(|home| &home.tenant.id), peer)
    }

    /// The same of a tenant's functions.
    ///
    /// # Errors
    /// [`Refused::Forbidden`], which is in the record.
    pub fn admit_unblocked_by(
        &self,
        id: RequestId,
        tenant: Option<&TenantId>,
        peer: &Peer,
    ) -> Result<(), Refused> {
        if !self.defence.standing.is_any() {
            return Ok(());
        }
        let source = peer.address.ip();
        let against = self.defence.standing.of_source(tenant, source, self.clock.now());
        let Some(action) = against.everybody else { return Ok(()) };
        let reason = format!("blocked by `{}` until {}", action.id, action.until);
        self.note_nobody(id, tenant, source, SOURCE_BLOCKED, &reason);
        Err(Refused::Forbidden { code: SOURCE_BLOCKED, reason })
    }

    /// Refuses somebody who proves nothing, of a source from which only those are answered who do.
    pub(crate) fn admit_stranger(&self, id: RequestId, target: &Target, peer: &Peer) -> Result<(), Refused> {
        let source = peer.address.ip();
        let against = self.defence.standing.of_source(Some(target.tenant()), source, self.clock.now());
        let Some(action) = against.strangers else { return Ok(()) };
        let reason = format!("strangers are blocked by `{}` until {}", action.id, action.until);
        self.note_refusal(id, Some(target), peer, SOURCE_BLOCKED, &reason);
        Err(Refused::Forbidden { code: SOURCE_BLOCKED, reason })
    }

    /// Refuses a request of the control API of a source that is blocked there too.
    ///
    /// # Errors
    /// [`Refused::Forbidden`], which is in the record.
    pub fn admit_operator(&self, id: RequestId, peer: &Peer) -> Result<(), Refused> {
        let source = peer.address.ip();
        let against = self.defence.standing.of_source(None, source, self.clock.now());
        let Some(action) = against.everybody.filter(|_| against.control) else { return Ok(()) };
        let reason = format!("blocked by `{}` until {}", action.id, action.until);
        self.note_refusal_of_node(id, source, SOURCE_BLOCKED, &reason);
        Err(Refused::Forbidden { code: SOURCE_BLOCKED, reason })
    }

    /// Whether refusals of a source are answered late, for the functions of a host.
    pub fn is_slowed(&self, host: &str, peer: &Peer) -> bool {
        if !self.defence.standing.is_any() {
            return false;
        }
        let home = self.catalog.of_host(host);
        let tenant = home.as_ref().map(|home| &home.tenant.id);
        self.defence.standing.of_source(tenant, peer.address.ip(), self.clock.now()).slow
    }

    /// Whether calls of a revision are answered 503.
    pub(crate) fn is_in_quarantine(&self, target: &Target) -> bool {
        let (standing, number) = (&self.defence.standing, target.revision.number);
        standing.of_revision(target.tenant(), target.function(), number, self.clock.now()).is_some()
    }

    /// Tells of a signal, and does what the configuration says about it.
    pub(crate) fn signal(&self, around: Around<'_>, signal: &Signal) {
        let id = self.short_id("s").unwrap_or_else(|_| format!("s{}", self.request_id()));
        let about = About { request: around.request, tenant: around.tenant, source: around.source };
        let mut event = about.on(self.recorder.event(Kind::Signal));
        event.principal = around.principal.into();
        event.resource = around.resource.into();
        event.action = "detect".into();
        event.allowed = around.allowed;
        event.code = signal.kind.code().into();
        event.detail = format!("`{id}`: {}", signal.said).into();
        self.note(&event);
        let (tenant, code) = (around.tenant.map_or("", |tenant| tenant.as_str()), signal.kind.code());
        tracing::warn!(signal = id, tenant, code, source = ?around.source, said = signal.said, "a signal of the shield");
        let action = self.respond(around, signal.kind, &id);
        self.defence.keep(Noticed {
            id,
            at: self.clock.now(),
            tenant: around.tenant.cloned(),
            code: code.to_owned(),
            source: around.source,
            principal: around.principal.to_owned(),
            resource: around.resource.to_owned(),
            request: around.request,
            said: signal.said.clone(),
            action,
        });
    }

    /// What the node does by itself. The answer is the action's name.
    fn respond(&self, around: Around<'_>, kind: SignalKind, signal: &str) -> Option<String> {
        let measure = self.defence.responses.to(kind)?;
        let subject = match measure {
            Measure::Slow | Measure::BlockStrangers | Measure::Block => {
                Subject::Source(Cidr::of_source(around.source?))
            }
            Measure::Suspend => {
                let token = around.token?;
                let roles = self.tokens.token(token).map(|record| record.roles);
                let roles = roles.or_else(|| Some(self.sessions.session(token)?.roles));
                // Whoever could undo it must not be kept out by it.
                if roles.is_none_or(|roles| actions::is_above(&roles)) {
                    return None;
                }
                Subject::Token(token.clone())
            }
            Measure::Quarantine => {
                let (function, number) = around.revision?;
                Subject::Revision(function.clone(), number)
            }
        };
        let now = self.clock.now();
        if self.defence.standing.does(around.tenant, measure, &subject, now) {
            return None;
        }
        let action = Action {
            id: self.short_id("a").ok()?,
            tenant: around.tenant.cloned(),
            measure,
            subject,
            control: false,
            reason: format!("{} ({signal})", kind.code()),
            by: shield::BY_ITSELF.to_owned(),
            signal: Some(signal.to_owned()),
            since: now,
            until: now.plus_ms(self.defence.responses.minutes * 60_000),
            ended: None,
        };
        let action = Arc::new(action);
        let gone = match self.defence.standing.put(action.clone()) {
            Ok(gone) => gone,
            Err(error) => {
                tracing::error!(signal, %error, "the shield did nothing about a signal");
                return None;
            }
        };
        let mut told = self.action_event(&action, "");
        (told.request, told.source) = (around.request, around.source);
        // INVARIANT: what the record cannot take is not done.
        if let Err(error) = self.recorder.record(&told) {
            tracing::error!(signal, %error, "the shield did nothing about a signal: the record takes nothing");
            self.defence.standing.remove(&action.id);
            if let Some(gone) = gone {
                // It had room before.
                let _full = self.defence.standing.put(gone);
            }
            return None;
        }
        if let Some(gone) = gone {
            self.gave_way(&gone, &action.id);
        }
        let id = action.id.clone();
        self.defence.unsaved.lock().action(action);
        Some(id)
    }
}
