//! The tokens that a node knows, by the hash of their secret. It never holds a secret, and never stores
//! itself: whoever stores tokens fills it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use model::{Digest, Principal, TenantId, Timestamp, TokenId};
use parking_lot::RwLock;

use crate::{
    TokenRecord,
    caller::{Caller, caller},
};

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: TokenRecord,
    pub(crate) caller: Caller,
    last_used_ms: AtomicU64,
    used: AtomicBool,
}

impl Entry {
    /// Two plain stores: the time of last use is for people, and a lost race costs a millisecond of it.
    pub(crate) fn note_used(&self, now: Timestamp) {
        self.last_used_ms.store(now.unix_ms(), Ordering::Relaxed);
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    fn current(&self) -> TokenRecord {
        let last = self.last_used_ms.load(Ordering::Relaxed);
        let mut record = self.record.clone();
        record.last_used_at = (last > 0).then_some(Timestamp::from_unix_ms(last));
        record
    }
}

#[derive(Debug, Default)]
struct Shelves {
    by_hash: HashMap<Digest, Arc<Entry>>,
    by_id: HashMap<TokenId, Digest>,
}

/// All tokens, ready to be looked up from many threads at once.
#[derive(Debug)]
pub struct TokenBook {
    shelves: RwLock<Shelves>,
    anonymous: Caller,
}

impl Default for TokenBook {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenBook {
    /// A book without tokens, to which everyone is anonymous.
    pub fn new() -> Self {
        Self { shelves: RwLock::default(), anonymous: caller(Principal::anonymous()) }
    }

    /// Puts a token in, or in place of the one with the same id. The newer time of last use stays.
    pub fn put(&self, record: TokenRecord) {
        let mut shelves = self.shelves.write();
        let before = shelves.by_id.remove(&record.id).and_then(|hash| shelves.by_hash.remove(&hash));
        let known = before.as_ref().map_or(0, |entry| entry.last_used_ms.load(Ordering::Relaxed));
        let used = before.is_some_and(|entry| entry.used.load(Ordering::Relaxed));
        let last = record.last_used_at.map_or(0, Timestamp::unix_ms).max(known);
        let entry = Entry {
            caller: caller(record.principal()),
            last_used_ms: AtomicU64::new(last),
            used: AtomicBool::new(used),
            record,
        };
        shelves.by_id.insert(entry.record.id.clone(), entry.record.hash);
        shelves.by_hash.insert(entry.record.hash, Arc::new(entry));
    }

    /// Forgets a token; whoever presents it is then unknown. Says whether it was there.
    pub fn remove(&self, id: &TokenId) -> bool {
        let mut shelves = self.shelves.write();
        shelves.by_id.remove(id).and_then(|hash| shelves.by_hash.remove(&hash)).is_some()
    }

    /// The token with this id, with its time of last use.
    pub fn token(&self, id: &TokenId) -> Option<TokenRecord> {
        let shelves = self.shelves.read();
        shelves.by_id.get(id).and_then(|hash| shelves.by_hash.get(hash)).map(|entry| entry.current())
    }

    /// A tenant's tokens with their times of last use, the oldest first.
    pub fn tokens(&self, tenant: &TenantId) -> Vec<TokenRecord> {
        let shelves = self.shelves.read();
        let own = shelves.by_hash.values().filter(|entry| entry.record.tenant == *tenant);
        let mut tokens: Vec<_> = own.map(|entry| entry.current()).collect();
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        tokens
    }

    /// The tokens used since this was last asked, with their times of last use: what is to be stored now and
    /// then, not at each request.
    pub fn take_used(&self) -> Vec<TokenRecord> {
        let shelves = self.shelves.read();
        let used = shelves.by_hash.values().filter(|entry| entry.used.swap(false, Ordering::Relaxed));
        used.map(|entry| entry.current()).collect()
    }

    /// How many tokens it holds.
    pub fn len(&self) -> usize {
        self.shelves.read().by_hash.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn find(&self, hash: &Digest) -> Option<Arc<Entry>> {
        self.shelves.read().by_hash.get(hash).cloned()
    }

    /// Who presents no credential.
    pub fn nobody(&self) -> Caller {
        self.anonymous.clone()
    }

    pub(crate) const fn anonymous(&self) -> &Caller {
        &self.anonymous
    }
}
