//! Logging in: how a tenant's people do, sessions that are opened by it, and what became of those that were not. It
//! never speaks to a provider: whoever logs in does, and its keys are fetched like any issuer's.

use std::sync::Arc;

use http::request::Parts;
use identity::{Flow, LoginAsked, Nobody, Reason, SessionRecord, TokenSecret};
use ledger::Kind;
use model::{RequestId, TenantId, TokenId, limits};
use policy::Resource;
use shield::Peer;
use store::Batch;

use crate::{
    Platform,
    catalog::Home,
    identify::{Failed, of_nobody, request_of},
    identities::Configured,
    recorder::About,
    refused::{ControlError, Refused},
    shelf::{self, SESSIONS},
};

/// How a tenant's people log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginOffer {
    /// The provider.
    pub issuer: String,
    /// The command line's id there.
    pub client_id: String,
    /// What to ask it for.
    pub scopes: Vec<String>,
    /// Which ways there are.
    pub flows: Vec<Flow>,
}

/// A session was opened. Its text is shown this once.
pub struct OpenedSession {
    /// The secret.
    pub text: zeroize::Zeroizing<String>,
    /// What is kept of it.
    pub record: SessionRecord,
}

/// What a client tells of a login that came to nothing before it reached the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginTold {
    /// The answer had another `state`.
    State,
    /// The answer was another provider's (RFC 9207).
    Issuer,
    /// The provider, or the person, said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// The provider did not do what it must.
    Failed,
}

impl LoginTold {
    const fn reason(self) -> Reason {
        match self {
            Self::State => Reason::LoginState,
            Self::Issuer => Reason::LoginIssuer,
            Self::Denied => Reason::LoginDenied,
            Self::Expired => Reason::LoginExpired,
            Self::Failed => Reason::LoginFailed,
        }
    }
}

impl Platform {
    /// How the people of a tenant log in; none where they do not, and where there is no such tenant.
    ///
    /// # Errors
    /// [`Refused::TooMany`]: whoever asks too often is told to wait.
    pub fn login_offer(&self, tenant: &TenantId, peer: &Peer) -> Result<Option<LoginOffer>, Refused> {
        self.asked_to_log_in(peer)?;
        let now = self.catalog.home(tenant).and_then(|home| home.identity.now());
        let offer = now.as_ref().and_then(|now| now.identity.offer());
        Ok(offer.map(|offer| LoginOffer {
            issuer: offer.issuer.to_owned(),
            client_id: offer.client_id.to_owned(),
            scopes: offer.scopes.to_vec(),
            flows: offer.flows.to_vec(),
        }))
    }

    /// Opens a session for whoever logged in, bound to the key in the request's proof.
    ///
    /// # Errors
    /// [`ControlError`]; whatever does not hold is told in one sentence, and in the record apart.
    pub async fn log_in(
        &self,
        id: RequestId,
        tenant: &TenantId,
        head: &Parts,
        peer: &Peer,
        asked: LoginAsked<'_>,
    ) -> Result<OpenedSession, ControlError> {
        self.asked_to_log_in(peer)?;
        let home = self.catalog.home(tenant);
        let nobody = |nobody: &Nobody| {
            let known = home.as_ref().map(|home| home.tenant.id.clone());
            let failed = Failed { tenant: known, ..of_nobody(nobody) };
            ControlError::Refused(self.failed(id, None, head, peer, failed))
        };
        let now = home.as_ref().and_then(|home| home.identity.now());
        let now = now.filter(|now| now.identity.offer().is_some());
        let (Some(home), Some(now)) = (&home, now) else { return Err(nobody(&Reason::LoginAbsent.into())) };
        now.first_keys().await;
        let _one = home.changing.lock().await;
        let who = now.identity.log_in(&request_of(head, peer), asked, self.clock.now());
        let who = who.inspect_err(|nobody| wants_keys(&now, nobody)).map_err(|why| nobody(&why))?;
        let failed = |e: model::EntropyError| ControlError::Internal(e.to_string());
        let secret = TokenSecret::generate(&*self.entropy).map_err(failed)?;
        let session = TokenId::generate(&*self.entropy).map_err(failed)?;
        let record = who.session(session, secret.hash(), self.clock.now());
        let Some(batch) = self.room_for(home, &record)? else {
            return Err(nobody(&Reason::LoginFull.into()));
        };
        self.note_login(id, peer, &record).await?;
        let row = shelf::encode(&record)?;
        home.store
            .commit(batch.check(SESSIONS, record.id.as_str(), None).put(SESSIONS, record.id.as_str(), row))
            .await?;
        self.sessions.put(record.clone());
        Ok(OpenedSession { text: secret.reveal(), record })
    }

    /// Puts it into the record that a login came to nothing, as its client tells.
    ///
    /// # Errors
    /// [`Refused::TooMany`].
    pub fn login_failed(
        &self,
        id: RequestId,
        tenant: &TenantId,
        peer: &Peer,
        told: LoginTold,
    ) -> Result<(), Refused> {
        self.asked_to_log_in(peer)?;
        let known = self.catalog.home(tenant);
        let (tenant, reason) = (known.as_ref().map(|home| &home.tenant.id), told.reason());
        self.note_nobody(id, tenant, peer.address.ip(), reason.code(), reason.sentence());
        Ok(())
    }

    fn asked_to_log_in(&self, peer: &Peer) -> Result<(), Refused> {
        let counted = self.shield.login_asked(peer.address.ip(), self.clock.monotonic_ms());
        counted.map_err(|blocked| Refused::TooMany {
            code: blocked.code(),
            retry_after_s: blocked.retry_after_s().unwrap_or(1),
        })
    }

    /// Forgets what has ended, and ends the oldest session of one who has as many as one may have. None: the tenant has
    /// as many as it may have.
    fn room_for(&self, home: &Home, new: &SessionRecord) -> Result<Option<Batch>, ControlError> {
        let (now, mut batch) = (self.clock.now(), Batch::new());
        let (live, ended): (Vec<_>, Vec<_>) = self
            .sessions
            .sessions(&home.tenant.id)
            .into_iter()
            .filter(|session| session.revoked_at.is_none() || now >= session.expires_at)
            .partition(|session| now < session.expires_at);
        for session in ended {
            self.sessions.remove(&session.id);
            batch = batch.delete(SESSIONS, session.id.as_str());
        }
        let own = |session: &&SessionRecord| session.entry == new.entry && session.subject == new.subject;
        let own: Vec<&SessionRecord> = live.iter().filter(own).collect();
        match own.first() {
            Some(oldest) if own.len() >= limits::SESSIONS_OF_ONE_MAX => {
                let revoked = SessionRecord { revoked_at: Some(now), ..(*oldest).clone() };
                batch = batch.put(SESSIONS, revoked.id.as_str(), shelf::encode(&revoked)?);
                self.sessions.put(revoked);
            }
            _ if live.len() >= limits::SESSIONS_MAX => return Ok(None),
            _ => {}
        }
        Ok(Some(batch))
    }

    async fn note_login(
        &self,
        id: RequestId,
        peer: &Peer,
        session: &SessionRecord,
    ) -> Result<(), ControlError> {
        let tenant = &session.tenant;
        let about = About { request: Some(id), tenant: Some(tenant), source: Some(peer.address.ip()) };
        let mut event = about.on(self.recorder.event(Kind::Session));
        event.action = "login".into();
        event.principal = session.principal().to_string().into();
        event.resource = Resource::Tenant(tenant).to_string().into();
        event.allowed = true;
        let roles: Vec<&str> = session.roles.iter().map(|role| role.as_str()).collect();
        let (roles, scopes) = (roles.join(", "), session.scopes.join(", "));
        let (name, issuer, until) = (&session.id, &session.issuer, session.expires_at);
        event.detail = format!("`{name}` by {issuer}: roles {roles}; scopes {scopes}; until {until}").into();
        self.recorder.record_durably(&event).await.map_err(|e| ControlError::Refused(e.into()))?;
        Ok(())
    }
}

fn wants_keys(now: &Arc<Configured>, nobody: &Nobody) {
    if nobody.reason == Reason::JwtKeyUnknown {
        now.want_keys(nobody.entry.as_deref());
    }
}
