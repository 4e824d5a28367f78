//! A bounded number of those who are remembered, in shards; who was seen the longest ago goes first. It never counts.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
};

use model::limits;
use parking_lot::Mutex;

use super::STEPS;

const SHARDS: usize = 16;
/// After which time no window has anything of what was seen: the longest, and a step of it.
const FORGOTTEN_MS: u64 = limits::PROBING_LONG_MS + limits::PROBING_LONG_MS / STEPS;

/// When something was seen last: what goes first where there is no room.
pub(super) trait Seen: Default {
    fn last_ms(&self) -> u64;
}

/// A bounded number of those who are remembered.
#[derive(Debug)]
pub(super) struct Shelf<K, V> {
    hasher: RandomState,
    most_per_shard: usize,
    shards: [Mutex<HashMap<K, V, RandomState>>; SHARDS],
}

impl<K: Eq + Hash + Clone, V: Seen> Shelf<K, V> {
    pub(super) fn new(most: usize) -> Self {
        let hasher = RandomState::new();
        let shards = std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(hasher.clone())));
        Self { hasher, most_per_shard: (most / SHARDS).max(1), shards }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the number of shards")]
    pub(super) fn with<T>(&self, key: &K, now_ms: u64, act: impl FnOnce(&mut V) -> T) -> T {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shards[(hash >> 40) as usize % SHARDS].lock();
        if let Some(known) = shard.get_mut(key) {
            return act(known);
        }
        if shard.len() >= self.most_per_shard {
            forget(&mut shard, now_ms);
        }
        act(shard.entry(key.clone()).or_default())
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// Makes room: drops those of whom no window is open any more, or else the eighth that was seen the longest ago.
fn forget<K, V: Seen>(shard: &mut HashMap<K, V, RandomState>, now_ms: u64) {
    let before = shard.len();
    shard.retain(|_, value| now_ms.saturating_sub(value.last_ms()) < FORGOTTEN_MS);
    let wanted = before.div_ceil(8);
    let gone = before - shard.len();
    if gone >= wanted || shard.is_empty() {
        return;
    }
    let mut seen: Vec<u64> = shard.values().map(Seen::last_ms).collect();
    let nth = (wanted - gone - 1).min(seen.len() - 1);
    let oldest = *seen.select_nth_unstable(nth).1;
    let mut excess = wanted - gone;
    shard.retain(|_, value| {
        let goes = excess > 0 && value.last_ms() <= oldest;
        excess -= usize::from(goes);
        !goes
    });
}
