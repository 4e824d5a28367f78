//! How often a key may come: the generic cell rate algorithm over a bounded map. It never reads a clock.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
};

use parking_lot::Mutex;

/// How often, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// How one key stands with a rate, for whoever is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// How many may come at once.
    pub remaining: u64,
    /// In how many milliseconds the whole burst may come again; or, where nothing remains, the next one.
    pub reset_ms: u64,
}

/// One key: when it will have used nothing of its burst ("theoretical arrival time"), how far that may be away, and
/// when it last came.
#[derive(Debug, Clone, Copy)]
struct Slot {
    arrival_ns: u64,
    ahead_ns: u64,
    last_ms: u64,
}

const SHARDS: usize = 16;

/// Counts keys, each against a rate that comes with it (GCRA, ITU-T I.371). Remembers a bounded number of them.
///
/// Where there is no room, those are forgotten first that have used the least of their burst, and of those that have
/// used as much the longest idle. So to make it forget somebody who has used up all, one must bring seven eighths of
/// what it can remember to the same point; those who use one request each and never come back only push each other out.
#[derive(Debug)]
pub struct Rated<K> {
    keys_max_per_shard: usize,
    hasher: RandomState,
    shards: [Mutex<HashMap<K, Slot, RandomState>>; SHARDS],
}

impl<K: Eq + Hash> Rated<K> {
    /// One that remembers about `keys_max` keys.
    pub fn new(keys_max: usize) -> Self {
        let hasher = RandomState::new();
        let shards = std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(hasher.clone())));
        Self { keys_max_per_shard: (keys_max / SHARDS).max(1), hasher, shards }
    }

    /// Takes the next one for `key`, now or later, and says in how many milliseconds it is due: those who come faster
    /// than the rate queue up, first come, first served. One that were due later than `wait_ms_max` is not taken.
    ///
    /// # Errors
    /// When the next one would be due, in milliseconds, at least 1.
    pub fn book<Q>(&self, rate: Rate, key: &Q, now_ms: u64, wait_ms_max: u64) -> Result<u64, u64>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let now_ns = now_ms.saturating_mul(1_000_000);
        let mut shard = self.shard(key).lock();
        if let Some(slot) = shard.get_mut(key) {
            slot.last_ms = slot.last_ms.max(now_ms);
            let (next_ns, due_ms) = rate.next(slot.arrival_ns, now_ns);
            if due_ms > wait_ms_max {
                return Err(due_ms);
            }
            (slot.arrival_ns, slot.ahead_ns) = (next_ns, rate.ahead_ns);
            return Ok(due_ms);
        }
        if shard.len() >= self.keys_max_per_shard {
            forget(&mut shard, now_ns);
        }
        let (arrival_ns, due_ms) = rate.next(0, now_ns);
        shard.insert(key.to_owned(), Slot { arrival_ns, ahead_ns: rate.ahead_ns, last_ms: now_ms });
        Ok(due_ms)
    }

    /// Takes one for `key` at `now_ms`, or says in how many milliseconds there will be one. A refused one
    /// costs nothing.
    ///
    /// # Errors
    /// The wait in milliseconds, at least 1.
    pub fn take<Q>(&self, rate: Rate, key: &Q, now_ms: u64) -> Result<(), u64>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.book(rate, key, now_ms, 0).map(drop)
    }

    /// In how many milliseconds `key` could take one, without taking it; none: now.
    pub fn wait_ms<Q>(&self, rate: Rate, key: &Q, now_ms: u64) -> Option<u64>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let arrival_ns = self.shard(key).lock().get(key)?.arrival_ns;
        Some(rate.next(arrival_ns, now_ms.saturating_mul(1_000_000)).1).filter(|wait_ms| *wait_ms > 0)
    }

    /// How `key` stands with a rate.
    pub fn standing<Q>(&self, rate: Rate, key: &Q, now_ms: u64) -> Left
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let now_ns = now_ms.saturating_mul(1_000_000);
        let arrival_ns = self.shard(key).lock().get(key).map_or(now_ns, |slot| slot.arrival_ns);
        let used_ns = arrival_ns.saturating_sub(now_ns);
        let remaining = rate.ahead_ns.saturating_sub(used_ns) / rate.interval_ns;
        let reset_ms = match remaining {
            0 => rate.next(arrival_ns, now_ns).1,
            _ => used_ns.div_ceil(1_000_000),
        };
        Left { remaining, reset_ms }
    }

    /// How many keys it remembers.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the number of shards")]
    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &Mutex<HashMap<K, Slot, RandomState>> {
        // The high bits: the map inside uses the low ones and the top seven.
        &self.shards[(self.hasher.hash_one(key) >> 40) as usize % SHARDS]
    }
}

impl Rate {
    /// When a key is whole again that takes one more, and in how many milliseconds that one is due.
    fn next(self, arrival_ns: u64, now_ns: u64) -> (u64, u64) {
        let next_ns = arrival_ns.max(now_ns).saturating_add(self.interval_ns);
        let over_ns = next_ns.saturating_sub(now_ns).saturating_sub(self.ahead_ns);
        (next_ns, over_ns.div_ceil(1_000_000))
    }

    /// What may come at once, and in how many whole seconds that much comes at the steady rate, at least 1.
    pub const fn quota(self) -> (u64, u64) {
        let seconds = self.ahead_ns.div_ceil(1_000_000_000);
        (self.ahead_ns / self.interval_ns, if seconds == 0 { 1 } else { seconds })
    }
}

/// Counts keys against one [`Rate`].
#[derive(Debug)]
pub struct Limiter<K> {
    rate: Rate,
    keys: Rated<K>,
}

impl<K: Eq + Hash> Limiter<K> {
    /// A limiter that remembers about `keys_max` keys.
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        Self { rate, keys: Rated::new(keys_max) }
    }

    /// As [`Rated::take`].
    ///
    /// # Errors
    /// The wait in milliseconds, at least 1.
    pub fn take<Q>(&self, key: &Q, now_ms: u64) -> Result<(), u64>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.keys.take(self.rate, key, now_ms)
    }

    /// As [`Rated::book`].
    ///
    /// # Errors
    /// When the next one would be due, in milliseconds.
    pub fn book<Q>(&self, key: &Q, now_ms: u64, wait_ms_max: u64) -> Result<u64, u64>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.keys.book(self.rate, key, now_ms, wait_ms_max)
    }

    /// As [`Rated::wait_ms`].
    pub fn wait_ms<Q>(&self, key: &Q, now_ms: u64) -> Option<u64>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.keys.wait_ms(self.rate, key, now_ms)
    }

    /// How many keys it remembers.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Makes room: drops every key whose burst is whole again (to forget it changes nothing), or else the eighth that has
/// used the least, and of those that have used as much the longest idle. A sweep frees room for many, so that a flood
/// of new keys pays once.
fn forget<K>(shard: &mut HashMap<K, Slot, RandomState>, now_ns: u64) {
    let before = shard.len();
    shard.retain(|_, slot| slot.arrival_ns > now_ns);
    let wanted = before.div_ceil(8);
    let gone = before - shard.len();
    if gone >= wanted || shard.is_empty() {
        return;
    }
    // How much of the burst is used, in 256ths: rates of another length are compared too.
    let worth = |slot: &Slot| {
        let used =
            u128::from(slot.arrival_ns.saturating_sub(now_ns)) * 256 / u128::from(slot.ahead_ns.max(1));
        (used, slot.last_ms)
    };
    let mut seen: Vec<(u128, u64)> = shard.values().map(worth).collect();
    let nth = (wanted - gone - 1).min(seen.len() - 1);
    let least = *seen.select_nth_unstable(nth).1;
    let mut excess = wanted - gone;
    shard.retain(|_, slot| {
        let goes = excess > 0 && worth(slot) <= least;
        excess -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests;
