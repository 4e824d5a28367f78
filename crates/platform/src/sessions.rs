//! Who asks the control API: by an API token or by a session, as the caller's own tenant accepts them; and the end of
//! sessions. It never opens one: `logins` does.

use std::sync::Arc;

use http::{header, request::Parts};
use identity::{
    Caller, Identity, Nobody, PresentedSession, ProofKind, Reason, Refusal, Request, SessionRecord,
    TokenSecret, holds,
};
use ledger::Kind;
use model::{RequestId, TenantId, TokenId};
use policy::{Action, Resource};
use shield::Peer;
use store::Batch;

use crate::{
    Platform,
    catalog::Home,
    control::What,
    identify::{Failed, of_nobody, of_refusal, request_of},
    refused::{ControlError, Ctx, Refused},
    shelf::{self, SESSIONS},
};

/// Who made the tokens that a tenant's configuration cannot shut out: an operator at the data folder.
const RECOVERY: &str = "recovery";

impl Platform {
    /// Proves who asks the control API: by an API token, or by a session and the proof of its key, as the caller's
    /// tenant accepts them. What does not hold is in the record, and slows its source and whom it claims to be.
    ///
    /// # Errors
    /// [`Refused::Challenged`], [`Refused::TooMany`].
    pub fn identify_control(&self, id: RequestId, head: &Parts, peer: &Peer) -> Result<Caller, Refused> {
        let request = request_of(head, peer);
        let proved = match PresentedSession::read(&request) {
            Ok(Some(presented)) => self.by_session(&request, &presented),
            Ok(None) => self.by_own_token(head),
            Err(reason) => Err(of_nobody(&reason.into())),
        };
        match proved {
            Ok(caller) => self.admitted(id, None, head, peer, caller),
            Err(failed) => Err(self.failed(id, None, head, peer, failed)),
        }
    }

    fn by_session(&self, request: &Request<'_>, presented: &PresentedSession<'_>) -> Result<Caller, Failed> {
        let session = self.sessions.find(presented.hash());
        let session = session.ok_or_else(|| of_nobody(&Reason::SessionUnknown.into()))?;
        let tenant = &session.record().tenant;
        let failed = |nobody: Nobody| Failed { tenant: Some(tenant.clone()), ..of_nobody(&nobody) };
        let now = self.catalog.home(tenant).and_then(|home| home.identity.now());
        let now = now.ok_or_else(|| failed(Reason::SessionUnmapped.into()))?;
        now.identity.session(request, presented, &session, self.clock.now()).map_err(failed)
    }

    fn by_own_token(&self, head: &Parts) -> Result<Caller, Failed> {
        let caller = self.by_token(None, head).map_err(|refusal| self.of_token(&refusal, head))?;
        let Some(tenant) = &caller.principal().tenant else { return Ok(caller) };
        let now = self.catalog.home(tenant).and_then(|home| home.identity.now());
        let taken = now.is_none_or(|now| now.identity.control().takes_caller(&caller));
        let record = || caller.token().and_then(|token| self.tokens.token(token));
        if taken || record().is_some_and(|record| record.created_by == RECOVERY) {
            return Ok(caller);
        }
        let claimed = Some(caller.principal().name.as_str().into());
        let elsewhere = of_nobody(&Reason::CredentialElsewhere.into());
        Err(Failed { tenant: Some(tenant.clone()), claimed, ..elsewhere })
    }

    /// Why a token does not hold; the secret of a session among them, which somebody has without its key.
    fn of_token(&self, refusal: &Refusal, head: &Parts) -> Failed {
        let text = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let text = text.and_then(|text| text.split_once(' ')).map(|(_, text)| text);
        let secret =
            text.and_then(|text| TokenSecret::parse(text).ok()).filter(|_| *refusal == Refusal::Unknown);
        match secret.and_then(|secret| self.sessions.find(&secret.hash())) {
            None => of_refusal(refusal),
            Some(session) => {
                let record = session.record();
                let claimed = Some(record.principal().name.as_str().into());
                let unproved = of_nobody(&Reason::SessionUnproved.into());
                Failed { tenant: Some(record.tenant.clone()), claimed, ..unproved }
            }
        }
    }

    /// The session by which a caller was proved, if it was one.
    pub(crate) fn session_of(&self, caller: &Caller) -> Option<SessionRecord> {
        let proof = caller.proof().filter(|proof| proof.kind() == ProofKind::Session)?;
        self.sessions.session(&proof.key_id()?.parse().ok()?)
    }

    /// Whether a session would still be taken.
    pub(crate) fn session_holds(&self, session: &SessionRecord) -> bool {
        let now = self.catalog.home(&session.tenant).and_then(|home| home.identity.now());
        session.is_live(self.clock.now())
            && now.is_some_and(|now| now.identity.control().takes_sessions() && now.identity.upholds(session))
    }

    /// A tenant's sessions, revoked and ended ones too until the next login, the oldest first.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn list_sessions(&self, ctx: Ctx<'_>, tenant: &TenantId) -> Result<Vec<SessionRecord>, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ListTokens, Resource::Tenant(tenant))?;
        Ok(self.sessions.sessions(tenant))
    }

    /// Revokes somebody's session: the next request with it is refused.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn revoke_session(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        id: &TokenId,
    ) -> Result<(), ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ManageTokens, Resource::Tenant(tenant))?;
        let known = self.sessions.session(id).filter(|session| session.tenant == *tenant);
        let session = known.ok_or_else(|| ControlError::NotFound(format!("session `{id}`")))?;
        let (caller, principal) = (ctx.caller.principal(), session.principal());
        let itself = caller.name == principal.name && caller.tenant == principal.tenant;
        if !itself && holds(caller, tenant, &session.roles, &session.scopes, true).is_err() {
            let reason = format!("`{id}` gives more than its revoker holds");
            return Err(Refused::Forbidden { code: "escalation", reason }.into());
        }
        self.end(ctx, &home, session, "revoked").await
    }

    /// Ends the session that the caller asks with.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] where they ask with another credential.
    pub async fn log_out(&self, ctx: Ctx<'_>) -> Result<(), ControlError> {
        let Some(session) = self.session_of(ctx.caller) else {
            let message = "this is an API token and no session: `casemate token revoke` ends one";
            let refused = Err(ControlError::Conflict(message.into()));
            let Some(tenant) = &ctx.caller.principal().tenant else { return refused };
            let what = What { kind: Kind::Session, tenant, resource: Resource::Tenant(tenant) };
            return self.note_failure(ctx, what, refused);
        };
        let home = self.home(&session.tenant)?;
        self.end(ctx, &home, session, "logged out of").await
    }

    async fn end(
        &self,
        ctx: Ctx<'_>,
        home: &Arc<Home>,
        session: SessionRecord,
        how: &str,
    ) -> Result<(), ControlError> {
        let _one = home.changing.lock().await;
        if session.revoked_at.is_some() {
            return Ok(());
        }
        let session = SessionRecord { revoked_at: Some(self.clock.now()), ..session };
        let tenant = &session.tenant;
        let what = What { kind: Kind::Session, tenant, resource: Resource::Tenant(tenant) };
        self.record_act(ctx, what, &format!("{how} `{}` of {}", session.id, session.principal())).await?;
        let row = shelf::encode(&session)?;
        // From here on the session is dead in this process, even if the write below fails.
        self.sessions.put(session.clone());
        home.store.commit(Batch::new().put(SESSIONS, session.id.as_str(), row)).await?;
        Ok(())
    }

    /// Holds a configuration to what whoever sets it may give: roles and scopes of theirs, and no door shut behind them.
    pub(crate) fn check_grants(
        &self,
        ctx: Ctx<'_>,
        home: &Home,
        next: &Identity,
    ) -> Result<(), ControlError> {
        let (caller, tenant) = (ctx.caller.principal(), &home.tenant.id);
        let invalid = |message| ControlError::Invalid { code: "identity-invalid", message };
        for (n, (roles, scopes)) in next.grants().enumerate() {
            if let Some(scope) = scopes.iter().find(|s| *s != "*" && s.parse::<Action>().is_err()) {
                let known = Action::ALL.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", ");
                let message =
                    format!("`login.grants[{n}].scopes`: `{scope}` is none: write `*` or one of {known}");
                return Err(invalid(message));
            }
            holds(caller, tenant, roles, scopes, false).map_err(|error| {
                let reason = format!("`login.grants[{n}]`: {error}");
                ControlError::Refused(Refused::Forbidden { code: "escalation", reason })
            })?;
        }
        if caller.tenant.as_ref() == Some(tenant) && !next.control().takes_caller(ctx.caller) {
            let message = "`control.accept`: it does not take the credential that sets it; first prove the other one: \
                           log in with it, and set it then";
            return Err(invalid(message.into()));
        }
        Ok(())
    }

    /// The live sessions that a configuration ends, as they are stored then.
    pub(crate) fn sessions_ended_by(&self, home: &Home, next: &Identity) -> Vec<SessionRecord> {
        let now = self.clock.now();
        let sessions = self.sessions.sessions(&home.tenant.id).into_iter();
        let ended = sessions.filter(|session| session.is_live(now) && !next.upholds(session));
        ended.map(|session| SessionRecord { revoked_at: Some(now), ..session }).collect()
    }
}
