//! The one way from a request to who it is from: every kind of credential that the configuration names, and
//! nothing else. It opens nothing and reads no clock; what it keeps is which proofs it has seen.

use std::sync::Arc;

mod login;
mod others;

pub use login::{LoggedIn, LoginAsked, Offer, login_nonce};

use keyring::sha256;
use model::{Principal, Timestamp};

use crate::{
    Accept, Bound, Caller, ConfigError, Files, IdentityConfig, KeySet, Nobody, ProofKind, Proved, Reason,
    Request, TokenBook, TokenSecret, WebhookScheme, book,
    bounds::{SUBJECT_BYTES_MAX, TOKEN_BYTES_MAX},
    cache::{Cache, Known},
    caller,
    config::{Accepted, Entry, IssuerRule},
    credentials::holds_token,
    jose::{
        dpop,
        jws::{Carrier, Jws},
        jwt::{self, Confirmation},
    },
    replay::Replays,
    secret::TokenError,
    signature, uri,
};

/// What is accepted, proved, and what was seen. One for all requests of a node, from any number of threads.
pub struct Identity {
    accepted: Accepted,
    /// The same for each configuration that follows this one.
    replays: Arc<Replays>,
    proved: Cache,
}

/// Who vouches for the clients of one entry of certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// The entry's name.
    pub entry: Arc<str>,
    /// Their certificates (PEM).
    pub ca: String,
    /// Their lists of revoked certificates (PEM), if there are some.
    pub crl: Option<String>,
}

/// Whom an entry of the configuration proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proves {
    /// The name by which functions take it, as [`crate::Accept`] has it.
    pub word: String,
    /// Its principal: the one that it is, or one of a name that nobody has.
    pub principal: Arc<Principal>,
    /// Whether there are many, of whom this one is any.
    pub many: bool,
    /// Whether an issuer says of each what groups it is in, and more.
    pub claims: bool,
}

/// Who was found: by an API token, which has a proof where somebody wants one, or by another credential.
enum Found {
    Token(Arc<book::Entry>),
    Caller(Caller),
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

type Answer = Result<Caller, Nobody>;

impl Identity {
    /// Proves a configuration; `files` reads what its `…_file` keys point to.
    ///
    /// # Errors
    /// The first key that does not hold.
    pub fn new(config: IdentityConfig, files: &Files<'_>) -> Result<Self, ConfigError> {
        Self::with(config, files, Arc::default())
    }

    /// The configuration that takes this one's place: what was seen before stays seen.
    ///
    /// # Errors
    /// The first key that does not hold.
    pub fn followed_by(&self, config: IdentityConfig, files: &Files<'_>) -> Result<Self, ConfigError> {
        Self::with(config, files, Arc::clone(&self.replays))
    }

    fn with(config: IdentityConfig, files: &Files<'_>, replays: Arc<Replays>) -> Result<Self, ConfigError> {
        Ok(Self { accepted: Accepted::prove(config, files)?, replays, proved: Cache::default() })
    }

    /// The API tokens that the configuration itself names.
    pub const fn known_tokens(&self) -> &TokenBook {
        &self.accepted.known
    }

    /// The issuers whose keys are to be fetched: the entry's name, and the issuer.
    pub fn remote_issuers(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        let remote = self.accepted.issuers.iter().filter(|issuer| issuer.remote);
        let remote = remote.map(|issuer| (&issuer.entry.name, issuer.rules.issuer.as_str()));
        let login = self.accepted.login.iter().filter(|login| login.remote);
        remote.chain(login.map(|login| (&login.entry.name, login.rules.issuer.as_str())))
    }

    /// Who vouches for clients' certificates, entry by entry.
    pub fn trusted(&self) -> Vec<Trusted> {
        let trusted = |rule: &crate::config::CertificateRule| {
            let (entry, crl) = (Arc::clone(&rule.entry.name), rule.crl.clone());
            rule.ca.clone().map(|ca| Trusted { entry, ca, crl })
        };
        self.accepted.certificates.iter().filter_map(trusted).collect()
    }

    /// The names by which functions take what this configuration proves, as [`Accept`] has them.
    pub fn accepted_names(&self) -> Vec<String> {
        let accepted = &self.accepted;
        let plain = accepted.issuers.iter().map(|rule| &rule.entry);
        let plain = plain.chain(accepted.certificates.iter().map(|rule| &rule.entry));
        let mut names: Vec<String> = plain.map(|entry| entry.name.to_string()).collect();
        names.extend(accepted.webhooks.iter().map(|rule| format!("webhook:{}", rule.entry.name)));
        names.extend(accepted.signatures.iter().map(|rule| format!("signature:{}", rule.entry.name)));
        names.extend(accepted.login.iter().map(|_| "session".to_owned()));
        names
    }

    /// Whom it proves for functions, entry by entry.
    pub fn proves(&self) -> Vec<Proves> {
        /// A subject that nobody has: it holds a space.
        const ANYONE: &str = "any one";
        let accepted = &self.accepted;
        let many = |entry: &Entry, claims| Proves {
            word: entry.name.to_string(),
            principal: entry.principal(ANYONE),
            many: true,
            claims,
        };
        let one = |entry: &Entry, word: &str| {
            let (principal, word) = (entry.itself(word), format!("{word}:{}", entry.name));
            Proves { word, principal, many: false, claims: false }
        };
        let issuers = accepted.issuers.iter().map(|rule| many(&rule.entry, true));
        let certificates = accepted.certificates.iter().map(|rule| many(&rule.entry, false));
        let webhooks = accepted.webhooks.iter().map(|rule| one(&rule.entry, "webhook"));
        let signatures = accepted.signatures.iter().map(|rule| one(&rule.entry, "signature"));
        issuers.chain(certificates).chain(webhooks).chain(signatures).collect()
    }

    /// Hands in an issuer's keys anew, by the name of its entry; none where they are not to be had any more.
    /// What was proved by the keys before is proved no longer. Says whether there is such an entry.
    pub fn replace_keys(&self, entry: &str, keys: Option<KeySet>) -> bool {
        let issuers = self.accepted.issuers.iter().map(|issuer| (&issuer.entry, &issuer.rules));
        let login = self.accepted.login.iter().map(|login| (&login.entry, &login.rules));
        let found = issuers.chain(login).find(|(of, _)| *of.name == *entry);
        if let Some((_, rules)) = found {
            rules.keys.replace(keys);
        }
        found.is_some()
    }

    /// Says who a request is from, and by what proof. API tokens are looked up in `book`.
    ///
    /// # Errors
    /// Why it is nobody's; [`Nobody::is_anonymous`] where it presents no credential at all. The caller is told
    /// one sentence for all of them.
    pub fn prove(&self, request: &Request<'_>, book: &TokenBook, now: Timestamp) -> Result<Proved, Nobody> {
        match self.find(request, book, &Accept::all(), now)? {
            Found::Token(entry) => Ok(of_token(&entry, now)),
            Found::Caller(caller) => caller.proof().cloned().ok_or_else(|| Reason::CredentialNone.into()),
        }
    }

    /// Says who a request is from, where the credentials of `accept` alone are taken.
    ///
    /// # Errors
    /// As [`Identity::prove`].
    pub fn identify(
        &self,
        request: &Request<'_>,
        book: &TokenBook,
        accept: &Accept,
        now: Timestamp,
    ) -> Result<Caller, Nobody> {
        match self.find(request, book, accept, now)? {
            Found::Token(entry) => Ok(entry.caller.clone()),
            Found::Caller(caller) => Ok(caller),
        }
    }

    fn find(
        &self,
        request: &Request<'_>,
        book: &TokenBook,
        accept: &Accept,
        now: Timestamp,
    ) -> Result<Found, Nobody> {
        self.refuse_target(request)?;
        let caller = match self.presented(request)? {
            Presented::Nothing => return Err(Reason::CredentialNone.into()),
            Presented::Bearer(text) if text.starts_with("casemate_") => {
                return self.api_token(text, book, accept, now).map(Found::Token);
            }
            Presented::Bearer(text) => self.access_token(text, None, request, accept, now),
            Presented::Dpop(text) => {
                let proof = request.one("dpop", Reason::DpopSeveral, Reason::DpopMalformed)?;
                let proof = proof.ok_or(Reason::DpopMissing)?;
                self.access_token(text, Some(proof), request, accept, now)
            }
            Presented::Webhook(scheme) => self.webhook(scheme, request, accept, now),
            Presented::Signature => self.signature(request, accept, now),
            Presented::Certificate(der) => self.certificate(der, request.vouched, accept, now),
        };
        caller.map(Found::Caller)
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

    fn api_token(
        &self,
        text: &str,
        book: &TokenBook,
        accept: &Accept,
        now: Timestamp,
    ) -> Result<Arc<book::Entry>, Nobody> {
        if !self.accepted.tokens {
            return Err(Reason::CredentialRefused.into());
        }
        if !accept.takes_tokens() {
            return Err(Reason::CredentialElsewhere.into());
        }
        let secret = TokenSecret::parse(text).map_err(|e| match e {
            TokenError::Checksum => Reason::TokenChecksum,
            TokenError::Malformed => Reason::TokenMalformed,
        })?;
        let hash = secret.hash();
        let entry = book.find(&hash).or_else(|| self.accepted.known.find(&hash));
        let entry = entry.ok_or(Reason::TokenUnknown)?;
        let claimed = |reason| Nobody {
            claimed: Some(entry.caller.principal().name.as_str().into()),
            ..Nobody::new(reason)
        };
        if entry.record.revoked_at.is_some() {
            return Err(claimed(Reason::TokenRevoked));
        }
        if entry.record.expires_at <= now {
            return Err(claimed(Reason::TokenExpired));
        }
        entry.note_used(now);
        Ok(entry)
    }

    fn access_token(
        &self,
        text: &str,
        proof: Option<&str>,
        request: &Request<'_>,
        accept: &Accept,
        now: Timestamp,
    ) -> Answer {
        let issuers = &self.accepted.issuers;
        if issuers.is_empty() {
            return Err(Reason::CredentialRefused.into());
        }
        let hash = sha256(text.as_bytes());
        let holds = |known: &Known| {
            issuers.get(known.issuer).is_some_and(|issuer| issuer.rules.keys.generation() == known.generation)
        };
        let known = match self.proved.find(&hash, now, holds) {
            Some(known) => known,
            None => {
                let known = Arc::new(self.verified(text, accept, now)?);
                self.proved.put(hash, Arc::clone(&known));
                known
            }
        };
        let issuer = issuers.get(known.issuer).ok_or(Reason::JwtIssuer)?;
        let entry = &issuer.entry;
        let nobody = |reason| Nobody {
            claimed: Some(known.caller.principal().name.as_str().into()),
            ..entry.nobody(reason)
        };
        if !accept.takes("", &entry.name) {
            return Err(nobody(Reason::CredentialElsewhere));
        }
        self.bound(issuer, &known.confirmation, text, proof, request, now).map_err(|reason| {
            let nonces = self.accepted.dpop.as_ref().and_then(|rules| rules.nonces.as_ref());
            let nonce = nonces.filter(|_| reason == Reason::DpopNonce);
            Nobody { nonce: nonce.map(|made| made.issue(entry.tenant.as_str(), now)), ..nobody(reason) }
        })?;
        Ok(known.caller.clone())
    }

    /// Proves an access token by its issuer's keys; what it is bound to is not looked at yet.
    fn verified(&self, text: &str, accept: &Accept, now: Timestamp) -> Result<Known, Nobody> {
        let jws = Jws::read(text, Carrier::Token)?;
        let claimed = jwt::claimed_issuer(&jws)?;
        let mut issuers = self.accepted.issuers.iter().enumerate();
        let found = issuers.find(|(_, issuer)| issuer.rules.issuer == claimed);
        let (at, issuer) = found.ok_or(Reason::JwtIssuer)?;
        let entry = &issuer.entry;
        let nobody = |reason| {
            let subject = jws.claims.get("sub").and_then(serde_json::Value::as_str);
            let subject = subject.filter(|subject| subject.len() <= SUBJECT_BYTES_MAX);
            let claimed = subject.map(|subject| format!("{}:{subject}", entry.name).into());
            Nobody { claimed, ..entry.nobody(reason) }
        };
        if !accept.takes("", &entry.name) {
            return Err(nobody(Reason::CredentialElsewhere));
        }
        let (keys, generation) = issuer.rules.keys.now();
        let token = issuer.rules.verify(&jws, jwt::Use::Access, keys.as_deref(), now).map_err(nobody)?;
        let bound = match (&token.confirmation.key, &token.confirmation.certificate) {
            (None, None) => Bound::None,
            (Some(_), None) => Bound::Dpop,
            (None, Some(_)) => Bound::Mtls,
            (Some(_), Some(_)) => Bound::DpopAndMtls,
        };
        let proof = Proved {
            principal: entry.principal(&token.subject),
            kind: ProofKind::AccessToken,
            entry: Arc::clone(&entry.name),
            issuer: Some(issuer.rules.issuer.as_str().into()),
            key: token.kid,
            groups: token.groups,
            attributes: token.attributes,
            bound,
            authenticated_at: token.issued_at,
            expires_at: Some(token.expires_at),
        };
        Ok(Known {
            caller: caller::proved(Arc::new(proof)),
            confirmation: token.confirmation,
            issuer: at,
            generation,
            ends_at: token.expires_at.plus_ms(issuer.rules.skew_ms),
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
    ) -> Result<(), Reason> {
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
        let bound = confirmation.key.is_some() || confirmation.certificate.is_some();
        if issuer.require_bound && !bound { Err(Reason::JwtUnbound) } else { Ok(()) }
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
        let about = dpop::About { method: request.method, url: &url, token: Some((token, key)), tenant };
        let proof = rules.verify(proof, &about, now)?;
        self.remember(entry, "dpop", proof.seen_as, proof.until, now, Reason::DpopReplay)
    }
}

/// What an API token proves.
fn of_token(entry: &book::Entry, now: Timestamp) -> Proved {
    Proved {
        principal: Arc::clone(entry.caller.principal_arc()),
        kind: ProofKind::ApiToken,
        entry: "tokens".into(),
        issuer: None,
        key: Some(entry.record.id.to_string()),
        groups: Vec::new(),
        attributes: std::collections::BTreeMap::new(),
        bound: Bound::None,
        authenticated_at: now,
        expires_at: Some(entry.record.expires_at),
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
