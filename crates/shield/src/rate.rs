//! How often a key may come: the generic cell rate algorithm over a bounded map. It never reads a clock.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
};

use parking_lot::Mutex;

/// How often, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds between two, at the steady rate.
    interval_ns: u64,
    /// How far ahead of the steady rate a key may run, in nanoseconds.
    ahead_ns: u64,
}

impl Rate {
    /// `count` in each `period_ms`, of which up to `burst` may come at once. Zeros count as one.
    pub fn new(count: u32, period_ms: u32, burst: u32) -> Self {
        let interval_ns = (u64::from(period_ms.max(1)) * 1_000_000 / u64::from(count.max(1))).max(1);
        Self { interval_ns, ahead_ns: interval_ns.saturating_mul(u64::from(burst.max(1))) }
    }

    /// `(per second, at once)`.
    pub fn per_second((count, burst): (u32, u32)) -> Self {
        Self::new(count, 1_000, burst)
    }
}

/// One key: when it will have used nothing of its burst ("theoretical arrival time"), and when it last came.
#[derive(Debug, Clone, Copy)]
struct Slot {
    arrival_ns: u64,
    last_ms: u64,
}

const SHARDS: usize = 16;

/// Counts keys against one [`Rate`] (GCRA, ITU-T I.371). Remembers a bounded number of keys: first it drops
/// those that have nothing left to forget, then the longest idle.
#[derive(Debug)]
pub struct Limiter<K> {
    rate: Rate,
    keys_max_per_shard: usize,
    hasher: RandomState,
    shards: [Mutex<HashMap<K, Slot, RandomState>>; SHARDS],
}

impl<K: Eq + Hash> Limiter<K> {
    /// A limiter that remembers about `keys_max` keys.
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        let hasher = RandomState::new();
        let shards = std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(hasher.clone())));
        Self { rate, keys_max_per_shard: (keys_max / SHARDS).max(1), hasher, shards }
    }

    /// Takes one for `key` at `now_ms`, or says in how many milliseconds there will be one. A refused one
    /// costs nothing.
    ///
    /// # Errors
    /// The wait in milliseconds, at least 1.
    pub fn take<Q>(&self, key: &Q, now_ms: u64) -> Result<(), u64>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let now_ns = now_ms.saturating_mul(1_000_000);
        let mut shard = self.shard(key).lock();
        if let Some(slot) = shard.get_mut(key) {
            slot.last_ms = slot.last_ms.max(now_ms);
            slot.arrival_ns = self.next(slot.arrival_ns, now_ns)?;
            return Ok(());
        }
        if shard.len() >= self.keys_max_per_shard {
            forget(&mut shard, now_ns);
        }
        let arrival_ns = self.next(0, now_ns)?;
        shard.insert(key.to_owned(), Slot { arrival_ns, last_ms: now_ms });
        Ok(())
    }

    /// Takes the next one for `key`, now or later, and says in how many milliseconds it is due: those who come faster
    /// than the rate queue up, first come, first served. One that were due later than `wait_ms_max` is not taken.
    ///
    /// # Errors
    /// When the next one would be due, in milliseconds.
    pub fn book<Q>(&self, key: &Q, now_ms: u64, wait_ms_max: u64) -> Result<u64, u64>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let now_ns = now_ms.saturating_mul(1_000_000);
        let mut shard = self.shard(key).lock();
        if !shard.contains_key(key) && shard.len() >= self.keys_max_per_shard {
            forget(&mut shard, now_ns);
        }
        let slot = shard.entry(key.to_owned()).or_insert(Slot { arrival_ns: 0, last_ms: now_ms });
        slot.last_ms = slot.last_ms.max(now_ms);
        let next_ns = slot.arrival_ns.max(now_ns).saturating_add(self.rate.interval_ns);
        let due_ms = next_ns.saturating_sub(now_ns).saturating_sub(self.rate.ahead_ns).div_ceil(1_000_000);
        if due_ms > wait_ms_max {
            return Err(due_ms);
        }
        slot.arrival_ns = next_ns;
        Ok(due_ms)
    }

    /// In how many milliseconds `key` could take one, without taking it; none: now.
    pub fn wait_ms<Q>(&self, key: &Q, now_ms: u64) -> Option<u64>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let arrival_ns = self.shard(key).lock().get(key)?.arrival_ns;
        self.next(arrival_ns, now_ms.saturating_mul(1_000_000)).err()
    }

    /// How many keys it remembers.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn next(&self, arrival_ns: u64, now_ns: u64) -> Result<u64, u64> {
        let next_ns = arrival_ns.max(now_ns).saturating_add(self.rate.interval_ns);
        let over_ns = next_ns.saturating_sub(now_ns).saturating_sub(self.rate.ahead_ns);
        if over_ns == 0 { Ok(next_ns) } else { Err(over_ns.div_ceil(1_000_000)) }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the number of shards")]
    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &Mutex<HashMap<K, Slot, RandomState>> {
        // The high bits: the map inside uses the low ones and the top seven.
        &self.shards[(self.hasher.hash_one(key) >> 40) as usize % SHARDS]
    }
}

/// Makes room: drops every key whose burst is whole again (to forget it changes nothing), or else the eighth
/// that came last the longest ago. A sweep frees room for many, so that a flood of new keys pays once.
fn forget<K>(shard: &mut HashMap<K, Slot, RandomState>, now_ns: u64) {
    let before = shard.len();
    shard.retain(|_, slot| slot.arrival_ns > now_ns);
    let wanted = before.div_ceil(8);
    let gone = before - shard.len();
    if gone >= wanted || shard.is_empty() {
        return;
    }
    let mut seen: Vec<u64> = shard.values().map(|slot| slot.last_ms).collect();
    let nth = (wanted - gone - 1).min(seen.len() - 1);
    let oldest = *seen.select_nth_unstable(nth).1;
    let mut excess = wanted - gone;
    shard.retain(|_, slot| {
        let goes = excess > 0 && slot.last_ms <= oldest;
        excess -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests;
