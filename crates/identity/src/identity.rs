//! The one way from a request to who it is from: every kind of credential that the configuration names, and
//! nothing else. It opens nothing and reads no clock; what it keeps is which proofs it has seen.

use std::sync::Arc;

use keyring::sha256;
use model::Timestamp;

use crate::{
    Bound, ConfigError, Files, IdentityConfig, KeySet, Nobody, ProofKind, Proved, Reason, Request, TokenBook,
    TokenSecret, WebhookScheme,
    bounds::TOKEN_BYTES_MAX,
    certificate::{Names, spiffe::SpiffeId},
    config::{Accepted, CertificateRule, Entry, IssuerRule, Matches},
    credentials::holds_token,
    jose::{
        dpop,
        jws::{Carrier, Jws},
        jwt::{self, Confirmation},
    },
    replay::{Replays, Seen},
    secret::TokenError,
    signature, uri,
};

/// What is accepted, proved, and what was seen. One for all requests of a node, from any number of threads.
pub struct Identity {
    accepted: Accepted,
    replays: Replays,
}

/// A credential as it stands in a request, of which nothing is proved.
enum Presented<'a> {
    Nothing,
    Bearer(&'a str),
    Dpop(&'a str),
    Webhook(WebhookScheme),
    Signature,
    Certificate(&'a [u8]),
}

type Answer = Result<Proved, Nobody>;

impl Identity {
    /// Proves a configuration; `files` reads what its `…_file` keys point to.
    ///
    /// # Errors
    /// The first key that does not hold.
    pub fn new(config: IdentityConfig, files: &Files<'_>) -> Result<Self, ConfigError> {
        let accepted = Accepted::prove(config, files)?;
        let replays = Replays::new(accepted.replays_per_tenant);
        Ok(Self { accepted, replays })
    }

    /// The API tokens that the configuration itself names.
    pub const fn known_tokens(&self) -> &TokenBook {
        &self.accepted.known
    }

    /// Hands in an issuer's keys anew, by the name of its entry. Says whether there is such an entry.
    pub fn replace_keys(&self, entry: &str, keys: KeySet) -> bool {
        let found = self.accepted.issuers.iter().find(|issuer| *issuer.entry.name == *entry);
        if let Some(issuer) = found {
            *issuer.rules.keys.write() = Arc::new(keys);
        }
        found.is_some()
    }

    /// Says who a request is from. API tokens are looked up in `book`.
    ///
    /// # Errors
    /// Why it is nobody's; [`Nobody::is_anonymous`] where it presents no credential at all. The caller is told
    /// one sentence for all of them.
    pub fn prove(&self, request: &Request<'_>, book: &TokenBook, now: Timestamp) -> Answer {
        self.refuse_target(request)?;
        match self.presented(request)? {
            Presented::Nothing => Err(Reason::CredentialNone.into()),
            Presented::Bearer(text) if text.starts_with("casemate_") => self.api_token(text, book, now),
            Presented::Bearer(text) => self.access_token(text, None, request, now),
            Presented::Dpop(text) => {
                let proof = request.one("dpop", Reason::DpopSeveral, Reason::DpopMalformed)?;
                let proof = proof.ok_or(Reason::DpopMissing)?;
                self.access_token(text, Some(proof), request, now)
            }
            Presented::Webhook(scheme) => self.webhook(scheme, request, now),
            Presented::Signature => self.signature(request, now),
            Presented::Certificate(der) => self.certificate(der, now),
        }
    }

    /// Targets end up in logs, histories and `Referer` headers (RFC 6750 §5.3).
    fn refuse_target(&self, request: &Request<'_>) -> Result<(), Reason> {
        if !(request.target.starts_with('/') || request.target == "*") {
            return Err(Reason::RequestMalformed);
        }
        if holds_token(request.target) {
            return Err(Reason::TokenInTarget);
        }
        let refused =
            |name: &str| self.accepted.query_refused.iter().any(|one| one.eq_ignore_ascii_case(name));
        let mut pairs = request.query().unwrap_or_default().split(['&', ';']);
        let named = |pair: &str| {
            let name = pair.split('=').next().unwrap_or_default();
            refused(name)
                || signature::decode(name).is_some_and(|name| refused(&String::from_utf8_lossy(&name)))
        };
        if pairs.any(named) { Err(Reason::CredentialInQuery) } else { Ok(()) }
    }

    //= RFC 6750 §2: clients must not use more than one method to transmit the token in each request
    fn presented<'a>(&self, request: &Request<'a>) -> Result<Presented<'a>, Reason> {
        let mut found = Vec::new();
        if let Some(value) =
            request.one("authorization", Reason::CredentialSeveral, Reason::CredentialMalformed)?
        {
            found.push(authorization(value)?);
        }
        if self.accepted.webhooks.iter().any(|hook| hook.paths.iter().any(|path| path == request.path())) {
            let schemes = WebhookScheme::ALL.into_iter().filter(|scheme| request.has(scheme.header()));
            found.extend(schemes.map(Presented::Webhook));
        }
        let signed = request.has("signature") || request.has("signature-input");
        if !self.accepted.signatures.is_empty() && signed {
            found.push(Presented::Signature);
        }
        if found.len() > 1 {
            return Err(Reason::CredentialSeveral);
        }
        let is_token = matches!(found.first(), Some(Presented::Bearer(_) | Presented::Dpop(_)));
        if request.has("dpop") && !matches!(found.first(), Some(Presented::Dpop(_))) {
            return Err(Reason::DpopScheme);
        }
        match request.certificate {
            // A certificate beside a token is what the token may be bound to, which is looked at there.
            Some(der) if !self.accepted.certificates.is_empty() && !is_token => {
                found.push(Presented::Certificate(der));
            }
            _ => {}
        }
        match (found.pop(), found.is_empty()) {
            (None, _) => Ok(Presented::Nothing),
            (Some(one), true) => Ok(one),
            (Some(_), false) => Err(Reason::CredentialSeveral),
        }
    }

    fn api_token(&self, text: &str, book: &TokenBook, now: Timestamp) -> Answer {
        if !self.accepted.tokens {
            return Err(Reason::CredentialRefused.into());
        }
        let secret = TokenSecret::parse(text).map_err(|e| match e {
            TokenError::Checksum => Reason::TokenChecksum,
            TokenError::Malformed => Reason::TokenMalformed,
        })?;
        let hash = secret.hash();
        let entry = book.find(&hash).or_else(|| self.accepted.known.find(&hash));
        let entry = entry.ok_or(Reason::TokenUnknown)?;
        if entry.record.revoked_at.is_some() {
            return Err(Reason::TokenRevoked.into());
        }
        if entry.record.expires_at <= now {
            return Err(Reason::TokenExpired.into());
        }
        entry.note_used(now);
        Ok(Proved {
            principal: Arc::clone(entry.caller.principal_arc()),
            kind: ProofKind::ApiToken,
            entry: "tokens".into(),
            key: Some(entry.record.id.to_string()),
            groups: Vec::new(),
            attributes: std::collections::BTreeMap::new(),
            bound: Bound::None,
            authenticated_at: now,
            expires_at: Some(entry.record.expires_at),
        })
    }

    fn access_token(&self, text: &str, proof: Option<&str>, request: &Request<'_>, now: Timestamp) -> Answer {
        if self.accepted.issuers.is_empty() {
            return Err(Reason::CredentialRefused.into());
        }
        let jws = Jws::read(text, Carrier::Token)?;
        let claimed = jwt::claimed_issuer(&jws)?;
        let issuer = self.accepted.issuers.iter().find(|issuer| issuer.rules.issuer == claimed);
        let issuer = issuer.ok_or(Reason::JwtIssuer)?;
        let entry = &issuer.entry;
        let token = issuer.rules.verify(&jws, now).map_err(|reason| entry.nobody(reason))?;
        let bound = self.bound(issuer, &token.confirmation, text, proof, request, now).map_err(|reason| {
            let nonces = self.accepted.dpop.as_ref().and_then(|rules| rules.nonces.as_ref());
            let nonce = nonces.filter(|_| reason == Reason::DpopNonce);
            Nobody { nonce: nonce.map(|made| made.issue(entry.tenant.as_str(), now)), ..entry.nobody(reason) }
        })?;
        Ok(Proved {
            principal: entry.principal(&token.subject),
            kind: ProofKind::AccessToken,
            entry: Arc::clone(&entry.name),
            key: token.kid,
            groups: token.groups,
            attributes: token.attributes,
            bound,
            authenticated_at: token.issued_at,
            expires_at: Some(token.expires_at),
        })
    }

    /// What whoever presents a token proved besides, or what is lacking.
    fn bound(
        &self,
        issuer: &IssuerRule,
        confirmation: &Confirmation,
        text: &str,
        proof: Option<&str>,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Bound, Reason> {
        match (&confirmation.certificate, request.certificate) {
            (Some(_), None) => return Err(Reason::CertificateMissing),
            (Some(wanted), Some(der)) if sha256(der).as_bytes() != wanted => {
                return Err(Reason::CertificateOther);
            }
            // It would be a second credential, of which nothing says that it is the same caller's.
            (None, Some(_)) if !self.accepted.certificates.is_empty() => {
                return Err(Reason::CredentialSeveral);
            }
            _ => {}
        }
        //= RFC 9449 §7.1, §7.2: a bound token under `Bearer` is refused, and so is the reverse
        match (&confirmation.key, proof) {
            (Some(_), None) => return Err(Reason::DpopMissing),
            (None, Some(_)) => return Err(Reason::DpopUnbound),
            (Some(key), Some(proof)) => self.possession(&issuer.entry, key, text, proof, request, now)?,
            (None, None) => {}
        }
        match (&confirmation.key, &confirmation.certificate) {
            (None, None) if issuer.require_bound => Err(Reason::JwtUnbound),
            (None, None) => Ok(Bound::None),
            (Some(_), None) => Ok(Bound::Dpop),
            (None, Some(_)) => Ok(Bound::Mtls),
            (Some(_), Some(_)) => Ok(Bound::DpopAndMtls),
        }
    }

    fn possession(
        &self,
        entry: &Entry,
        key: &[u8; 32],
        token: &str,
        proof: &str,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<(), Reason> {
        let rules = self.accepted.dpop.as_ref().ok_or(Reason::CredentialRefused)?;
        let url = uri::join(request.scheme, request.authority, request.path());
        let url = url.ok_or(Reason::RequestMalformed)?;
        let tenant = entry.tenant.as_str();
        let about = dpop::About { method: request.method, url: &url, token, key, tenant };
        let proof = rules.verify(proof, &about, now)?;
        self.remember(entry, "dpop", proof.seen_as, proof.until, now, Reason::DpopReplay)
    }

    fn certificate(&self, der: &[u8], now: Timestamp) -> Answer {
        let names = Names::read(der)?;
        if names.is_authority {
            return Err(Reason::CertificateAuthority.into());
        }
        if now < names.begins_at || now >= names.ends_at {
            return Err(Reason::CertificateDates.into());
        }
        let mut found = None;
        for rule in &self.accepted.certificates {
            if let Some(subject) = rule.subject(&names)? {
                if found.is_some() {
                    return Err(Reason::CertificateAmbiguous.into());
                }
                found = Some((rule, subject));
            }
        }
        let (rule, subject) = found.ok_or(Reason::CertificateUnknown)?;
        Ok(Proved {
            bound: Bound::Mtls,
            expires_at: Some(names.ends_at),
            ..rule.entry.proved(rule.entry.principal(subject), ProofKind::Certificate, now)
        })
    }

    fn webhook(&self, scheme: WebhookScheme, request: &Request<'_>, now: Timestamp) -> Answer {
        let host = uri::authority("https", request.authority);
        let here = |rule: &&crate::config::WebhookRule| {
            rule.scheme == scheme
                && rule.paths.iter().any(|path| path == request.path())
                && (rule.hosts.is_empty() || host.as_ref().is_some_and(|host| rule.hosts.contains(host)))
        };
        let mut last = Nobody::new(Reason::WebhookUnknown);
        for rule in self.accepted.webhooks.iter().filter(here) {
            match rule.sender.verify(request, now) {
                Ok(message) => {
                    let (seen_as, until) = (message.seen_as, message.until);
                    let noted =
                        self.remember(&rule.entry, "webhook", seen_as, until, now, Reason::WebhookReplay);
                    noted.map_err(|reason| rule.entry.nobody(reason))?;
                    return Ok(Proved {
                        authenticated_at: message.signed_at.unwrap_or(now),
                        ..rule.entry.proved(rule.entry.itself("webhook"), ProofKind::Webhook, now)
                    });
                }
                Err(reason) => last = rule.entry.nobody(reason),
            }
        }
        Err(last)
    }

    fn signature(&self, request: &Request<'_>, now: Timestamp) -> Answer {
        let claimed = signature::read(request)?;
        let rule = self.accepted.signatures.iter().find(|rule| rule.keyid == claimed.keyid);
        let rule = rule.ok_or(Reason::SignatureKeyUnknown)?;
        let signed =
            rule.signer.verify(&claimed, request, now).map_err(|reason| rule.entry.nobody(reason))?;
        if let Some(seen_as) = signed.seen_as {
            let reason = Reason::SignatureReplay;
            let noted = self.remember(&rule.entry, "signature", seen_as, signed.until, now, reason);
            noted.map_err(|reason| rule.entry.nobody(reason))?;
        }
        Ok(Proved {
            key: Some(claimed.keyid),
            authenticated_at: signed.created_at,
            expires_at: Some(signed.until),
            ..rule.entry.proved(rule.entry.itself("signature"), ProofKind::MessageSignature, now)
        })
    }

    /// Remembers a proof, last of all: what was refused for another reason leaves nothing behind.
    fn remember(
        &self,
        entry: &Entry,
        kind: &str,
        seen_as: [u8; 32],
        until: Timestamp,
        now: Timestamp,
        again: Reason,
    ) -> Result<(), Reason> {
        let id = sha256(&[kind.as_bytes(), b"\0", entry.name.as_bytes(), b"\0", &seen_as].concat());
        self.replays.note(entry.tenant.as_str(), *id.as_bytes(), until, now).map_err(|seen| match seen {
            Seen::Before => again,
            Seen::Full => Reason::ReplaysFull,
        })
    }
}

impl Entry {
    fn nobody(&self, reason: Reason) -> Nobody {
        Nobody { entry: Some(Arc::clone(&self.name)), ..Nobody::new(reason) }
    }

    fn proved(&self, principal: Arc<model::Principal>, kind: ProofKind, now: Timestamp) -> Proved {
        Proved {
            principal,
            kind,
            entry: Arc::clone(&self.name),
            key: None,
            groups: Vec::new(),
            attributes: std::collections::BTreeMap::new(),
            bound: Bound::None,
            authenticated_at: now,
            expires_at: None,
        }
    }
}

impl CertificateRule {
    /// The subject that this rule finds in a certificate, if it is one of its own.
    fn subject<'a>(&self, names: &'a Names) -> Result<Option<&'a str>, Reason> {
        let one_of = |found: &'a [String], wanted: &[String]| {
            let mut ours = found.iter().filter(|name| wanted.contains(name));
            match (ours.next(), ours.next()) {
                (Some(_), Some(_)) => Err(Reason::CertificateAmbiguous),
                (one, _) => Ok(one.map(String::as_str)),
            }
        };
        match &self.matches {
            Matches::Dns(wanted) => one_of(&names.dns, wanted),
            Matches::Subject(wanted) => one_of(&names.common, wanted),
            Matches::Spiffe { trust_domain, path } => {
                //= X509-SVID §2: exactly one URI, which is the SPIFFE ID
                if names.uris.is_empty() {
                    return Ok(None);
                }
                let [uri] = names.uris.as_slice() else { return Err(Reason::CertificateSpiffe) };
                let id = SpiffeId::parse(uri).ok_or(Reason::CertificateSpiffe)?;
                // A workload's id has a path: without one it is the trust domain's own (X509-SVID §4.1).
                let below = id.path.strip_prefix(path.as_str());
                let ours = id.trust_domain == trust_domain
                    && !id.path.is_empty()
                    && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                Ok(ours.then(|| id.path.strip_prefix('/').unwrap_or(id.path)))
            }
        }
    }
}

/// Reads `Authorization: SCHEME TOKEN` (RFC 9110 §11.4, RFC 6750 §2.1).
fn authorization(value: &str) -> Result<Presented<'_>, Reason> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    let is_bearer = scheme.eq_ignore_ascii_case("Bearer");
    if !is_bearer && !scheme.eq_ignore_ascii_case("DPoP") {
        return Err(Reason::CredentialScheme);
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Reason::JwtOversized);
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    let body = token.trim_end_matches('=');
    if body.is_empty() || !body.bytes().all(plain) {
        // What is in JSON form is told apart: people try it.
        let is_json = token.starts_with('{');
        return Err(if is_json { Reason::JwtSerialization } else { Reason::CredentialMalformed });
    }
    Ok(if is_bearer { Presented::Bearer(token) } else { Presented::Dpop(token) })
}

#[cfg(test)]
mod tests;
