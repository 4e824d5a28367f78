//! Who asks: from a request to a caller, by the credentials that its function takes. It never decides what the
//! caller may do, and never reads a body that no credential is about.

use std::{net::IpAddr, sync::Arc};

use http::{header, request::Parts};
use identity::{Accept, Caller, Credentials, Nobody, Reason, Refusal, Request};
use ledger::Kind;
use model::{RequestId, TenantId};
use shield::Peer;

use crate::{
    Platform, call::Call, catalog::Target, defence::Around, identities::Configured, recorder::About,
    refused::Refused,
};

/// The code of a token that is suspended, for the record.
const SUSPENDED: &str = "token-suspended";

/// Why a request is nobody's, for its record and for its answer.
pub(crate) struct Failed {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    /// Whose it claims to be.
    pub(crate) claimed: Option<Arc<str>>,
    /// Of which tenant, where no function says so.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) challenge: &'static str,
    pub(crate) nonce: Option<String>,
}

impl Platform {
    /// Proves who asks, by the credentials in the head that the function takes. What does not hold is in the record,
    /// and slows its source and whom it claims to be. `body` is the whole of it where [`Platform::wants_body`] says so.
    ///
    /// # Errors
    /// [`Refused::Challenged`], [`Refused::TooMany`].
    pub fn identify(
        &self,
        id: RequestId,
        target: &Target,
        head: &Parts,
        body: &[u8],
        peer: &Peer,
    ) -> Result<Caller, Refused> {
        let accept = target.accept.on(head);
        let other = Some(accept).filter(|accept| !accept.is_tokens_alone());
        let proved = match other.and_then(|accept| target.identity.now().map(|now| (accept, now))) {
            None => self.by_token(other, head).map_err(|refusal| of_refusal(&refusal)),
            Some((accept, now)) => {
                self.by_any((target, accept), &now, head, body, peer).map_err(|nobody| of_nobody(&nobody))
            }
        };
        match proved {
            Ok(caller) => self.admitted(id, Some(target), head, peer, caller),
            Err(failed) => Err(self.failed(id, Some(target), head, peer, failed)),
        }
    }

    /// By an API token of this node's, or anonymous: what all functions take that say nothing else.
    pub(crate) fn by_token(&self, named: Option<&Accept>, head: &Parts) -> Result<Caller, Refusal> {
        let credentials = Credentials::from_head(&head.headers, &head.uri)?;
        if named.is_some_and(|accept| !accept.takes_tokens()) && !credentials.is_none() {
            return Err(Refusal::Elsewhere);
        }
        identity::identify(&credentials, &self.tokens, self.clock.now())
    }

    /// By whatever the tenant's configuration names and the function takes.
    fn by_any(
        &self,
        (target, accept): (&Target, &Accept),
        now: &Configured,
        head: &Parts,
        body: &[u8],
        peer: &Peer,
    ) -> Result<Caller, Nobody> {
        let (certificate, unfit) = match peer.certificate.as_deref() {
            None => (None, None),
            Some(found) if found.tenant() != target.tenant() => (None, Some(Reason::CertificateForeign)),
            Some(found) if found.is_ended() => (None, Some(Reason::CertificateStale)),
            Some(found) => (Some(found), None),
        };
        let request = Request {
            body,
            certificate: certificate.map(shield::ClientCertificate::der),
            vouched: certificate.map(shield::ClientCertificate::vouched),
            ..request_of(head, peer)
        };
        match now.identity.identify(&request, &self.tokens, accept, self.clock.now()) {
            Err(nobody) if matches!(nobody.reason, Reason::CredentialNone | Reason::CertificateMissing) => {
                match unfit {
                    Some(reason) => Err(reason.into()),
                    None if nobody.is_anonymous() => Ok(self.anonymous()),
                    None => Err(nobody),
                }
            }
            Err(nobody) => {
                if nobody.reason == Reason::JwtKeyUnknown {
                    now.want_keys(nobody.entry.as_deref());
                }
                Err(nobody)
            }
            Ok(caller) => Ok(caller),
        }
    }

    /// Whether the whole body of a request must be there before anyone can say who sent it: it is a webhook or a
    /// signed message that the function takes.
    pub fn wants_body(&self, target: &Target, head: &Parts) -> bool {
        let accept = target.accept.on(head);
        let wants = || {
            let now = target.identity.now()?;
            Some(now.identity.wants_body(head.uri.path(), &head.headers, accept))
        };
        !accept.is_tokens_alone() && wants().unwrap_or(false)
    }

    /// Waits, for a bounded time, until an issuer's keys were fetched that nobody has tried to fetch before; only
    /// where a request presents what could be an access token.
    pub async fn first_keys(&self, target: &Target, head: &Parts) {
        if target.accept.on(head).is_tokens_alone() || !head.headers.contains_key(header::AUTHORIZATION) {
            return;
        }
        if let Some(now) = target.identity.now() {
            now.first_keys().await;
        }
    }

    pub(crate) fn admitted(
        &self,
        id: RequestId,
        target: Option<&Target>,
        head: &Parts,
        peer: &Peer,
        caller: Caller,
    ) -> Result<Caller, Refused> {
        let (source, tenant) = (peer.address.ip(), target.map(Target::tenant));
        let around = Around { request: Some(id), tenant, ..Around::default() };
        if let Some(detail) = self.suspended(around, &caller, source) {
            let claimed = Some(caller.principal().name.as_str().into());
            let suspended = Failed {
                code: SUSPENDED,
                detail,
                claimed,
                tenant: None,
                challenge: Refusal::CHALLENGE_INVALID,
                nonce: None,
            };
            return Err(self.failed(id, target, head, peer, suspended));
        }
        let key = caller.key();
        match self.shield.admit_caller(key, self.clock.monotonic_ms()) {
            Ok(()) => Ok(caller),
            Err(blocked) => {
                let code = blocked.code();
                self.log_nobody(id, target, head, peer, key, code);
                let retry_after_s = blocked.retry_after_s().unwrap_or(1);
                let tenant = target.map(Target::tenant);
                self.note_nobody(id, tenant, peer.address.ip(), code, &blocked.to_string());
                Err(Refused::TooMany { code, retry_after_s })
            }
        }
    }

    /// Counts, slows, logs and records a credential that does not hold.
    pub(crate) fn failed(
        &self,
        id: RequestId,
        target: Option<&Target>,
        head: &Parts,
        peer: &Peer,
        failed: Failed,
    ) -> Refused {
        let (source, now_ms) = (peer.address.ip(), self.clock.monotonic_ms());
        let tenant = target.map(Target::tenant).or(failed.tenant.as_ref());
        let around = Around { request: Some(id), tenant, ..Around::default() };
        let noted = match failed.code {
            // It is known, and no guess.
            SUSPENDED => SUSPENDED,
            code => self.note_credential(around, source, head, failed.claimed.as_deref(), code),
        };
        // Both are counted, whichever is over first.
        let by_source = self.shield.failed_proof(source, now_ms);
        let by_claim = match (&failed.claimed, tenant) {
            (Some(name), Some(tenant)) => self.shield.failed_claim(&format!("{tenant}/{name}"), now_ms),
            _ => Ok(()),
        };
        let (code, detail, refused) = match by_source.and(by_claim) {
            Ok(()) => {
                let (code, challenge, nonce) = (noted, failed.challenge, failed.nonce);
                (code, failed.detail, Refused::Challenged { code, challenge, nonce })
            }
            Err(blocked) => {
                let (code, retry_after_s) = (blocked.code(), blocked.retry_after_s().unwrap_or(1));
                (code, format!("{blocked}: {}", failed.detail), Refused::TooMany { code, retry_after_s })
            }
        };
        self.log_nobody(id, target, head, peer, "", code);
        self.note_nobody(id, tenant, source, code, &detail);
        refused
    }

    fn log_nobody(
        &self,
        id: RequestId,
        target: Option<&Target>,
        head: &Parts,
        peer: &Peer,
        who: &str,
        code: &str,
    ) {
        if let Some(target) = target {
            self.log_refused(target, &Call::new(id, who.into(), peer.address.ip(), head), code);
        }
    }

    pub(crate) fn note_nobody(
        &self,
        id: RequestId,
        tenant: Option<&TenantId>,
        source: IpAddr,
        code: &'static str,
        detail: &str,
    ) {
        let about = About { request: Some(id), tenant, source: Some(source) };
        let mut event = about.on(self.recorder.event(Kind::Refusal));
        event.code = code.into();
        event.detail = detail.into();
        self.note_refused(code, &event);
    }

    /// Who presents no credential.
    fn anonymous(&self) -> Caller {
        self.tokens.nobody()
    }
}

/// A request without a body and without a client's certificate.
pub(crate) fn request_of<'a>(head: &'a Parts, peer: &Peer) -> Request<'a> {
    Request {
        method: head.method.as_str(),
        scheme: if peer.tls { "https" } else { "http" },
        authority: head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
        target: head.uri.path_and_query().map_or("/", |target| target.as_str()),
        headers: &head.headers,
        body: &[],
        certificate: None,
        vouched: None,
    }
}

pub(crate) fn of_refusal(refusal: &Refusal) -> Failed {
    Failed {
        code: refusal.code(),
        detail: refusal.to_string(),
        claimed: None,
        tenant: None,
        challenge: Refusal::CHALLENGE_INVALID,
        nonce: None,
    }
}

pub(crate) fn of_nobody(nobody: &Nobody) -> Failed {
    let entry = nobody.entry.as_ref().map(|entry| format!(" (entry `{entry}`)")).unwrap_or_default();
    let claimed = nobody.claimed.as_ref().map(|name| format!("; it says it is `{name}`")).unwrap_or_default();
    Failed {
        code: nobody.code(),
        detail: format!("{}{entry}{claimed}", nobody.reason.sentence()),
        claimed: nobody.claimed.clone(),
        tenant: None,
        challenge: nobody.challenge(),
        nonce: nobody.nonce.clone(),
    }
}
