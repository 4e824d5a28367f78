//! Logging in: from an ID token to who logged in, and from a session to a caller. It never opens a session by itself,
//! and takes no ID token that was asked for by somebody else.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use keyring::{constant_time_eq, sha256};
use model::{Digest, Role, TenantId, Timestamp, TokenId};
use serde_json::Value;

use super::Identity;
use crate::{
    Accept, Caller, Flow, Nobody, PresentedSession, Reason, Request, SessionEntry, SessionRecord,
    bounds::{LOGIN_AGE_S_MAX, SEED_BYTES, SUBJECT_BYTES_MAX},
    config::LoginRule,
    jose::{
        dpop,
        jws::{Carrier, Jws},
        jwt::{self, Token},
    },
    uri,
};

/// Says what the nonce is for, so that the same bytes could serve nothing else by accident.
const LABEL: &[u8] = b"casemate login nonce v1\0";

/// How people log in, for those who ask without a credential: nothing that the provider does not tell everyone.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// The command line's id there.
    pub client_id: &'a str,
    /// What to ask the provider for.
    pub scopes: &'a [String],
    /// Which ways there are.
    pub flows: &'a [Flow],
}

/// What is presented to open a session, beside the proof of a key in the request's head.
#[derive(Clone, Copy)]
pub struct LoginAsked<'a> {
    /// What the provider gave.
    pub id_token: &'a str,
    /// The random part of its nonce, in base64url.
    pub seed: &'a str,
}

/// Who logged in, proved. Only [`Identity::log_in`] makes one.
///
/// ```compile_fail
/// let forged = identity::LoggedIn { subject: "root".into() };
/// ```
#[derive(Debug)]
pub struct LoggedIn {
    tenant: TenantId,
    entry: Arc<str>,
    issuer: String,
    token: Token,
    roles: Vec<Role>,
    scopes: Vec<String>,
    grant: Digest,
    key: [u8; 32],
    ends_at: Timestamp,
}

/// The nonce that an ID token must have to be good with the key of this thumbprint: whoever steals the one cannot log
/// in without the other.
pub fn login_nonce(thumbprint: &[u8; 32], seed: &[u8]) -> String {
    BASE64URL_NOPAD.encode(sha256(&[LABEL, thumbprint, seed].concat()).as_bytes())
}

impl LoggedIn {
    /// The record of the session that this opens.
    pub fn session(self, id: TokenId, hash: Digest, now: Timestamp) -> SessionRecord {
        SessionRecord {
            id,
            hash,
            key: Digest::from_bytes(self.key),
            tenant: self.tenant,
            entry: self.entry.to_string(),
            issuer: self.issuer,
            subject: self.token.subject,
            groups: self.token.groups,
            attributes: self.token.attributes,
            roles: self.roles,
            scopes: self.scopes,
            grant: self.grant,
            authenticated_at: self.token.issued_at,
            created_at: now,
            expires_at: self.ends_at,
            revoked_at: None,
        }
    }
}

impl Identity {
    /// How people log in; none where nobody does.
    pub fn offer(&self) -> Option<Offer<'_>> {
        let LoginRule { rules, client_id, scopes, flows, .. } = self.accepted.login.as_ref()?;
        Some(Offer { issuer: &rules.issuer, client_id, scopes, flows })
    }

    /// What the control API takes.
    pub const fn control(&self) -> &Accept {
        &self.accepted.control
    }

    /// The roles and scopes that people may get by logging in, rule by rule.
    pub fn grants(&self) -> impl Iterator<Item = (&[Role], &[String])> {
        let grants = self.accepted.login.iter().flat_map(|login| &login.grants);
        grants.map(|grant| (grant.roles.as_slice(), grant.scopes.as_slice()))
    }

    /// Says who logged in, by an ID token that the key in the request's proof asked for.
    ///
    /// # Errors
    /// Why nobody did. Whoever asks is told one sentence for all of it.
    pub fn log_in(
        &self,
        request: &Request<'_>,
        asked: LoginAsked<'_>,
        now: Timestamp,
    ) -> Result<LoggedIn, Nobody> {
        let login = self.accepted.login.as_ref().ok_or(Reason::LoginAbsent)?;
        let entry = &login.entry;
        let jws = Jws::read(asked.id_token, Carrier::Token).map_err(|reason| entry.nobody(reason))?;
        let subject = jws.claims.get("sub").and_then(Value::as_str);
        let subject = subject.filter(|subject| subject.len() <= SUBJECT_BYTES_MAX);
        let claimed = subject.map(|subject| format!("{}:{subject}", entry.name).into());
        let nobody = |reason| Nobody { claimed: claimed.clone(), ..entry.nobody(reason) };
        let (keys, _) = login.rules.keys.now();
        let token = login.rules.verify(&jws, jwt::Use::Id, keys.as_deref(), now).map_err(nobody)?;
        if now.since_ms(token.issued_at) > LOGIN_AGE_S_MAX * 1000 {
            return Err(nobody(Reason::LoginStale));
        }
        let proof = self.proof(login, request, None, now).map_err(nobody)?;
        asked_for(login, &jws, &proof.key, asked.seed).map_err(nobody)?;
        let grant = login.grant(&token.subject, &token.groups, &token.attributes);
        let grant = grant.ok_or_else(|| nobody(Reason::LoginUnmapped))?;
        let (seen_as, until) = (*sha256(asked.id_token.as_bytes()).as_bytes(), proof.until);
        self.remember(entry, "dpop", proof.seen_as, until, now, Reason::DpopReplay).map_err(nobody)?;
        let until = token.expires_at.plus_ms(login.rules.skew_ms);
        self.remember(entry, "login", seen_as, until, now, Reason::LoginReplay).map_err(nobody)?;
        Ok(LoggedIn {
            tenant: entry.tenant.clone(),
            entry: Arc::clone(&entry.name),
            issuer: login.rules.issuer.clone(),
            roles: grant.roles.clone(),
            scopes: grant.scopes.clone(),
            grant: grant.digest,
            key: proof.key,
            ends_at: login.ends(now),
            token,
        })
    }

    /// Whether the rule that gave a session its roles still does.
    pub fn upholds(&self, session: &SessionRecord) -> bool {
        let Some(login) = &self.accepted.login else { return false };
        let grant = login.grant(&session.subject, &session.groups, &session.attributes);
        *login.entry.name == *session.entry
            && login.rules.issuer == session.issuer
            && grant.is_some_and(|grant| grant.digest == session.grant)
    }

    /// The caller of a request that presents a session, by the proof that it comes with.
    ///
    /// # Errors
    /// Why it is nobody's.
    pub fn session(
        &self,
        request: &Request<'_>,
        presented: &PresentedSession<'_>,
        session: &SessionEntry,
        now: Timestamp,
    ) -> Result<Caller, Nobody> {
        let record = &session.record;
        let claimed: Arc<str> = session.caller.principal().name.as_str().into();
        let entry: Arc<str> = record.entry.as_str().into();
        let nobody = |reason| Nobody {
            claimed: Some(Arc::clone(&claimed)),
            entry: Some(Arc::clone(&entry)),
            ..Nobody::new(reason)
        };
        if record.revoked_at.is_some() {
            return Err(nobody(Reason::SessionRevoked));
        }
        let Some(login) = self.accepted.login.as_ref().filter(|_| self.upholds(record)) else {
            return Err(nobody(Reason::SessionUnmapped));
        };
        if now >= record.expires_at.min(login.ends(record.created_at)) {
            return Err(nobody(Reason::SessionExpired));
        }
        if !self.accepted.control.takes_sessions() {
            return Err(nobody(Reason::CredentialElsewhere));
        }
        let bound = Some((presented.text, record.key.as_bytes()));
        let proof = self.proof(login, request, bound, now).map_err(nobody)?;
        let (seen_as, until) = (proof.seen_as, proof.until);
        self.remember(&login.entry, "dpop", seen_as, until, now, Reason::DpopReplay).map_err(nobody)?;
        Ok(session.caller.clone())
    }

    fn proof(
        &self,
        login: &LoginRule,
        request: &Request<'_>,
        token: Option<(&str, &[u8; 32])>,
        now: Timestamp,
    ) -> Result<dpop::Proof, Reason> {
        let text = request.one("dpop", Reason::DpopSeveral, Reason::DpopMalformed)?;
        let text = text.ok_or(Reason::SessionUnproved)?;
        let url = uri::join(request.scheme, request.authority, request.path());
        let url = url.ok_or(Reason::RequestMalformed)?;
        let about =
            dpop::About { method: request.method, url: &url, token, tenant: login.entry.tenant.as_str() };
        login.proofs.verify(text, &about, now)
    }
}

/// Whether the key that presents the ID token asked for it.
fn asked_for(login: &LoginRule, token: &Jws<'_>, key: &[u8; 32], seed: &str) -> Result<(), Reason> {
    let seed = BASE64URL_NOPAD.decode(seed.as_bytes()).ok().filter(|seed| seed.len() == SEED_BYTES);
    let seed = seed.ok_or(Reason::LoginNonce)?;
    let wanted = login_nonce(key, &seed);
    match token.claims.get("nonce") {
        Some(Value::String(said)) if constant_time_eq(said.as_bytes(), wanted.as_bytes()) => Ok(()),
        None if !login.device_nonce && login.flows.contains(&Flow::Device) => Ok(()),
        _ => Err(Reason::LoginNonce),
    }
}

#[cfg(test)]
mod tests;
