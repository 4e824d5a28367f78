//! Sessions of people who logged in: what is kept of one, and how a request presents it. It never holds a secret, and
//! never stores itself.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use model::{Digest, Principal, PrincipalKind, Role, TenantId, Timestamp, TokenId};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{
    Bound, Caller, ProofKind, Proved, Reason, Request, TokenSecret, caller, credentials::holds_token,
};

/// A session as it is stored: its public id, the hash of its secret, the key that it is bound to, who logged in, and
/// by which rule they have their roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its public name.
    pub id: TokenId,
    /// SHA-256 of the secret's 256 bits.
    pub hash: Digest,
    /// The thumbprint (RFC 7638) of the key that signs its proofs.
    pub key: Digest,
    /// Whose it is.
    pub tenant: TenantId,
    /// The name of the login's entry, which stands before the colon in the principal's name.
    pub entry: String,
    /// The provider.
    pub issuer: String,
    /// Who logged in there.
    pub subject: String,
    /// The groups that the provider named.
    pub groups: Vec<String>,
    /// What else it said.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// Roles in the tenant.
    pub roles: Vec<Role>,
    /// What it may be used for: names of actions, or `*`.
    pub scopes: Vec<String>,
    /// The rule that gave them.
    pub grant: Digest,
    /// When the provider said so.
    pub authenticated_at: Timestamp,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

impl SessionRecord {
    /// The principal that it stands for.
    pub fn principal(&self) -> Principal {
        Principal {
            kind: PrincipalKind::User,
            tenant: Some(self.tenant.clone()),
            name: format!("{}:{}", self.entry, self.subject),
            roles: self.roles.clone(),
            scopes: self.scopes.clone(),
            token: None,
        }
    }

    /// Whether it is neither over nor revoked.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }

    fn caller(&self) -> Caller {
        caller::proved(Arc::new(Proved {
            principal: Arc::new(self.principal()),
            kind: ProofKind::Session,
            entry: self.entry.as_str().into(),
            issuer: Some(self.issuer.as_str().into()),
            key: Some(self.id.to_string()),
            groups: self.groups.clone(),
            attributes: self.attributes.clone(),
            bound: Bound::Dpop,
            authenticated_at: self.authenticated_at,
            expires_at: Some(self.expires_at),
        }))
    }
}

/// A session that is known. Whoever presents it has yet to prove its key.
#[derive(Debug)]
pub struct SessionEntry {
    pub(crate) record: SessionRecord,
    pub(crate) caller: Caller,
}

impl SessionEntry {
    /// What is kept of it.
    pub const fn record(&self) -> &SessionRecord {
        &self.record
    }
}

#[derive(Debug, Default)]
struct Shelves {
    by_hash: HashMap<Digest, Arc<SessionEntry>>,
    by_id: HashMap<TokenId, Digest>,
}

/// All sessions, by the hash of their secret and by their id.
#[derive(Debug, Default)]
pub struct SessionBook(RwLock<Shelves>);

impl SessionBook {
    /// Puts a session in, or in place of the one with the same id.
    pub fn put(&self, record: SessionRecord) {
        let mut shelves = self.0.write();
        if let Some(hash) = shelves.by_id.remove(&record.id) {
            shelves.by_hash.remove(&hash);
        }
        shelves.by_id.insert(record.id.clone(), record.hash);
        let entry = SessionEntry { caller: record.caller(), record };
        shelves.by_hash.insert(entry.record.hash, Arc::new(entry));
    }

    /// Forgets a session; whoever presents it is then unknown.
    pub fn remove(&self, id: &TokenId) {
        let mut shelves = self.0.write();
        if let Some(hash) = shelves.by_id.remove(id) {
            shelves.by_hash.remove(&hash);
        }
    }

    /// The session with this id.
    pub fn session(&self, id: &TokenId) -> Option<SessionRecord> {
        let shelves = self.0.read();
        shelves.by_id.get(id).and_then(|hash| shelves.by_hash.get(hash)).map(|entry| entry.record.clone())
    }

    /// A tenant's sessions, the oldest first.
    pub fn sessions(&self, tenant: &TenantId) -> Vec<SessionRecord> {
        let shelves = self.0.read();
        let own = shelves.by_hash.values().filter(|entry| entry.record.tenant == *tenant);
        let mut sessions: Vec<_> = own.map(|entry| entry.record.clone()).collect();
        sessions.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        sessions
    }

    /// The session whose secret has this hash.
    pub fn find(&self, hash: &Digest) -> Option<Arc<SessionEntry>> {
        self.0.read().by_hash.get(hash).cloned()
    }
}

/// A session as it stands in a request, of which nothing is proved.
pub struct PresentedSession<'a> {
    pub(crate) text: &'a str,
    hash: Digest,
}

impl<'a> PresentedSession<'a> {
    /// Reads `Authorization: DPoP casemate_…` (RFC 9449 §7.1); none where the request presents anything else.
    ///
    /// # Errors
    /// It is two credentials, or a text that is no session's.
    pub fn read(request: &Request<'a>) -> Result<Option<Self>, Reason> {
        let value = request.one("authorization", Reason::CredentialSeveral, Reason::CredentialMalformed)?;
        let Some((scheme, text)) = value.and_then(|value| value.split_once(' ')) else { return Ok(None) };
        if !scheme.eq_ignore_ascii_case("DPoP") {
            return Ok(None);
        }
        // Targets end up in logs and histories (RFC 6750 §5.3).
        if holds_token(request.target) {
            return Err(Reason::TokenInTarget);
        }
        let secret = TokenSecret::parse(text).map_err(|_| Reason::TokenMalformed)?;
        Ok(Some(Self { text, hash: secret.hash() }))
    }

    /// What to look it up by.
    pub const fn hash(&self) -> &Digest {
        &self.hash
    }
}

#[cfg(test)]
mod tests;
