//! Access tokens that were proved before, by the hash of their text, so that the next request with one costs no
//! signature. It never answers for one that has ended, or whose issuer's keys are others by now; a configuration
//! has a memory of its own, so that the next one begins with none.

use std::{collections::HashMap, sync::Arc};

use model::{Digest, Timestamp};
use parking_lot::Mutex;

use crate::{Caller, bounds::PROVED_MAX, jose::jwt::Confirmation};

const SHARDS: usize = 16;
/// Tokens of one half of a shard.
const HALF: usize = PROVED_MAX / SHARDS / 2;

/// A token that was proved.
pub(crate) struct Known {
    pub(crate) caller: Caller,
    pub(crate) confirmation: Confirmation,
    /// The place of its issuer in the configuration.
    pub(crate) issuer: usize,
    /// The number of the keys that it was proved with.
    pub(crate) generation: u64,
    /// When it is good no more, the issuer's skew included.
    pub(crate) ends_at: Timestamp,
}

/// What was proved lately. Each shard has a young and an old half: what is asked for again becomes young, and
/// when the young half is full, the old one is dropped.
#[derive(Default)]
pub(crate) struct Cache([Mutex<Shard>; SHARDS]);

#[derive(Default)]
struct Shard {
    young: HashMap<Digest, Arc<Known>>,
    old: HashMap<Digest, Arc<Known>>,
}

impl Cache {
    /// The token of that hash, if it is still good at `now` and `holds` says that its keys are.
    pub(crate) fn find(
        &self,
        hash: &Digest,
        now: Timestamp,
        holds: impl Fn(&Known) -> bool,
    ) -> Option<Arc<Known>> {
        let mut shard = self.shard(hash).lock();
        let (known, is_young) = match (shard.young.get(hash), shard.old.get(hash)) {
            (Some(known), _) => (Arc::clone(known), true),
            (None, Some(known)) => (Arc::clone(known), false),
            (None, None) => return None,
        };
        if now >= known.ends_at || !holds(&known) {
            shard.young.remove(hash);
            shard.old.remove(hash);
            return None;
        }
        if !is_young {
            shard.put(*hash, Arc::clone(&known));
        }
        Some(known)
    }

    pub(crate) fn put(&self, hash: Digest, known: Arc<Known>) {
        self.shard(&hash).lock().put(hash, known);
    }

    fn shard(&self, hash: &Digest) -> &Mutex<Shard> {
        let [first, ..] = hash.as_bytes();
        let [shard, ..] = &self.0;
        self.0.get(usize::from(*first) % SHARDS).unwrap_or(shard)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        };
        self.0.iter().map(len).sum()
    }
}

impl Shard {
    fn put(&mut self, hash: Digest, known: Arc<Known>) {
        self.old.remove(&hash);
        if self.young.len() >= HALF && !self.young.contains_key(&hash) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::caller;

    fn known(ends_ms: u64) -> Arc<Known> {
        Arc::new(Known {
            caller: caller(model::Principal::anonymous()),
            confirmation: Confirmation::default(),
            issuer: 0,
            generation: 7,
            ends_at: Timestamp::from_unix_ms(ends_ms),
        })
    }

    fn hash(n: u32) -> Digest {
        keyring::sha256(&n.to_be_bytes())
    }

    #[test]
    fn it_ends_with_the_token_and_with_the_keys() {
        let (cache, at) = (Cache::default(), Timestamp::from_unix_ms);
        cache.put(hash(1), known(100));
        assert!(cache.find(&hash(1), at(99), |_| true).is_some());
        assert!(cache.find(&hash(2), at(99), |_| true).is_none());
        assert!(cache.find(&hash(1), at(100), |_| true).is_none());
        assert!(cache.find(&hash(1), at(0), |_| true).is_none(), "what ended is gone");
        cache.put(hash(1), known(100));
        assert!(cache.find(&hash(1), at(0), |known| known.generation == 8).is_none());
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let (cache, at) = (Cache::default(), Timestamp::from_unix_ms);
        for n in 0..200_000 {
            cache.put(hash(n), known(100));
            assert!(cache.find(&hash(0), at(0), |_| true).is_some(), "{n}");
        }
        assert!(cache.len() <= PROVED_MAX, "{}", cache.len());
        assert!(cache.find(&hash(199_999), at(0), |_| true).is_some());
        assert!(cache.find(&hash(1), at(0), |_| true).is_none());
    }
}
