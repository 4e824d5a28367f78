//! Proofs that are no tokens: certificates, webhooks, signed messages. They remember what may be proved once.

use std::{hint::black_box, sync::Arc};

use keyring::sha256;
use model::Timestamp;

use super::{Answer, Identity};
use crate::{
    Accept, Bound, Nobody, ProofKind, Proved, Reason, Request, WebhookScheme,
    caller::proved,
    certificate::{Names, spiffe::SpiffeId},
    config::{CertificateRule, Entry, Matches, WebhookRule},
    replay::Seen,
    signature, uri,
};

impl Identity {
    /// Whether what proves a request is over its body, so that the whole of it must be there: a webhook that is
    /// taken on its path, or a signature.
    pub fn wants_body(&self, path: &str, headers: &http::HeaderMap, accept: &Accept) -> bool {
        let hook = |rule: &WebhookRule| {
            accept.takes("webhook", &rule.entry.name)
                && headers.contains_key(rule.scheme.header())
                && rule.paths.iter().any(|one| one == path)
        };
        let signed = headers.contains_key("signature") || headers.contains_key("signature-input");
        self.accepted.webhooks.iter().any(hook)
            || (signed
                && self.accepted.signatures.iter().any(|rule| accept.takes("signature", &rule.entry.name)))
    }

    pub(super) fn certificate(
        &self,
        der: &[u8],
        vouched: Option<&[Arc<str>]>,
        accept: &Accept,
        now: Timestamp,
    ) -> Answer {
        let names = Names::read(der)?;
        if names.is_authority {
            return Err(Reason::CertificateAuthority.into());
        }
        if now < names.begins_at || now >= names.ends_at {
            return Err(Reason::CertificateDates.into());
        }
        let mut found = None;
        let vouches = |rule: &&CertificateRule| vouched.is_none_or(|all| all.contains(&rule.entry.name));
        for rule in self.accepted.certificates.iter().filter(vouches) {
            if let Some(subject) = rule.subject(&names)? {
                if found.is_some() {
                    return Err(Reason::CertificateAmbiguous.into());
                }
                found = Some((rule, subject));
            }
        }
        let (rule, subject) = found.ok_or(Reason::CertificateUnknown)?;
        if !accept.takes("", &rule.entry.name) {
            return Err(rule.entry.nobody(Reason::CredentialElsewhere));
        }
        let proof = Proved {
            bound: Bound::Mtls,
            expires_at: Some(names.ends_at),
            ..rule.entry.proved(rule.entry.principal(subject), ProofKind::Certificate, now)
        };
        Ok(proved(Arc::new(proof)))
    }

    pub(super) fn webhook(
        &self,
        scheme: WebhookScheme,
        request: &Request<'_>,
        accept: &Accept,
        now: Timestamp,
    ) -> Answer {
        let host = uri::authority("https", request.authority);
        let here = |rule: &&WebhookRule| {
            rule.scheme == scheme
                && rule.paths.iter().any(|path| path == request.path())
                && (rule.hosts.is_empty() || host.as_ref().is_some_and(|host| rule.hosts.contains(host)))
        };
        let mut last = Nobody::new(Reason::WebhookUnknown);
        for rule in self.accepted.webhooks.iter().filter(here) {
            let nobody = |reason| Nobody {
                claimed: Some(rule.entry.itself("webhook").name.as_str().into()),
                ..rule.entry.nobody(reason)
            };
            if !accept.takes("webhook", &rule.entry.name) {
                last = nobody(Reason::CredentialElsewhere);
                continue;
            }
            match rule.sender.verify(request, now) {
                Ok(message) => {
                    let (seen_as, until) = (message.seen_as, message.until);
                    self.remember(&rule.entry, "webhook", seen_as, until, now, Reason::WebhookReplay)
                        .map_err(nobody)?;
                    let proof = Proved {
                        authenticated_at: message.signed_at.unwrap_or(now),
                        ..rule.entry.proved(rule.entry.itself("webhook"), ProofKind::Webhook, now)
                    };
                    return Ok(proved(Arc::new(proof)));
                }
                Err(reason) => last = nobody(reason),
            }
        }
        Err(last)
    }

    pub(super) fn signature(&self, request: &Request<'_>, accept: &Accept, now: Timestamp) -> Answer {
        let claimed = signature::read(request)?;
        let rules = &self.accepted.signatures;
        let Some(rule) = rules.iter().find(|rule| rule.keyid == claimed.keyid) else {
            // Whoever guesses ids learns nothing by the time that it takes, nor by how often it may be tried:
            // somebody's key is tried in place of the one that is not there.
            let alike = rules.iter().find(|rule| rule.signer.is_of(&claimed)).or(rules.first());
            if let Some(rule) = alike {
                let _in_vain = black_box(rule.signer.verify(&claimed, request, now));
            }
            return Err(Nobody {
                claimed: Some(claimed.keyid.as_str().into()),
                ..Nobody::new(Reason::SignatureKeyUnknown)
            });
        };
        let nobody = |reason| Nobody {
            claimed: Some(rule.entry.itself("signature").name.as_str().into()),
            ..rule.entry.nobody(reason)
        };
        let signed = rule.signer.verify(&claimed, request, now);
        if !accept.takes("signature", &rule.entry.name) {
            return Err(nobody(Reason::CredentialElsewhere));
        }
        let signed = signed.map_err(nobody)?;
        if let Some(seen_as) = signed.seen_as {
            let reason = Reason::SignatureReplay;
            self.remember(&rule.entry, "signature", seen_as, signed.until, now, reason).map_err(nobody)?;
        }
        let proof = Proved {
            key: Some(claimed.keyid),
            authenticated_at: signed.created_at,
            expires_at: Some(signed.until),
            ..rule.entry.proved(rule.entry.itself("signature"), ProofKind::MessageSignature, now)
        };
        Ok(proved(Arc::new(proof)))
    }

    /// Remembers a proof, last of all: what was refused for another reason leaves nothing behind.
    pub(super) fn remember(
        &self,
        entry: &Entry,
        kind: &str,
        seen_as: [u8; 32],
        until: Timestamp,
        now: Timestamp,
        again: Reason,
    ) -> Result<(), Reason> {
        let id = sha256(&[kind.as_bytes(), b"\0", entry.name.as_bytes(), b"\0", &seen_as].concat());
        let most = self.accepted.replays_per_tenant;
        let noted = self.replays.note(entry.tenant.as_str(), *id.as_bytes(), until, now, most);
        noted.map_err(|seen| match seen {
            Seen::Before => again,
            Seen::Full => Reason::ReplaysFull,
        })
    }
}

impl Entry {
    pub(super) fn nobody(&self, reason: Reason) -> Nobody {
        Nobody { entry: Some(Arc::clone(&self.name)), ..Nobody::new(reason) }
    }

    pub(super) fn proved(&self, principal: Arc<model::Principal>, kind: ProofKind, now: Timestamp) -> Proved {
        Proved {
            principal,
            kind,
            entry: Arc::clone(&self.name),
            issuer: None,
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
