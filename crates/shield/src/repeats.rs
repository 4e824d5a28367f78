//! Which of many like refusals are recorded one by one, and which are counted into one event. It never reads
//! a clock and never records.

use std::{collections::HashMap, hash::Hash, net::IpAddr};

use model::TenantId;
use parking_lot::Mutex;

/// What refusals have in common that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: Option<TenantId>,
    /// None: of many sources, for want of room.
    source: Option<IpAddr>,
    code: &'static str,
}

/// Since when, how many were told one by one, and how many were not.
#[derive(Debug)]
struct Count {
    since_ms: u64,
    told: u32,
    untold: u64,
}

/// Refusals that were counted and are due to become one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated {
    /// Whose.
    pub tenant: Option<TenantId>,
    /// From where; none where there were too many sources to tell apart.
    pub source: Option<IpAddr>,
    /// Their code.
    pub code: &'static str,
    /// How many there were beside those that were recorded one by one.
    pub count: u64,
}

/// Counts refusals by tenant, source and code. It remembers a bounded number of those; what comes beyond is
/// counted by tenant and code alone.
#[derive(Debug)]
pub struct Repeats {
    window_ms: u64,
    keys_max: usize,
    counts: Mutex<HashMap<Key, Count>>,
}

impl Repeats {
    /// Counts for `window_ms`, and remembers `keys_max` sources with their codes.
    pub fn new(window_ms: u64, keys_max: usize) -> Self {
        Self { window_ms, keys_max, counts: Mutex::default() }
    }

    /// Whether this one is to be recorded by itself: the first `alone` of a window are. The others are counted.
    pub fn is_told(
        &self,
        tenant: Option<&TenantId>,
        source: Option<IpAddr>,
        code: &'static str,
        alone: u32,
        now_ms: u64,
    ) -> bool {
        let source = source.map(crate::firewall::source);
        let mut key = Key { tenant: tenant.cloned(), source, code };
        let mut counts = self.counts.lock();
        if counts.len() >= self.keys_max && !counts.contains_key(&key) {
            key.source = None;
            // As many more kinds as there are tenants and codes may still come; they are few beside sources.
            if counts.len() >= self.keys_max * 2 && !counts.contains_key(&key) {
                key.tenant = None;
            }
        }
        let count = counts.entry(key).or_insert(Count { since_ms: now_ms, told: 0, untold: 0 });
        if count.told < alone {
            count.told += 1;
            return true;
        }
        count.untold += 1;
        false
    }

    /// What was counted in windows that are over at `now_ms`, or in all of them where it is `None`.
    pub fn take_due(&self, now_ms: Option<u64>) -> Vec<Repeated> {
        let mut due = Vec::new();
        self.counts.lock().retain(|key, count| {
            let over = now_ms.is_none_or(|now| now.saturating_sub(count.since_ms) >= self.window_ms);
            if over && count.untold > 0 {
                let Key { tenant, source, code } = key.clone();
                due.push(Repeated { tenant, source, code, count: count.untold });
            }
            !over
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const B: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    #[test]
    fn the_first_is_told_and_the_others_are_counted() {
        let repeats = Repeats::new(1_000, 10);
        assert!(repeats.is_told(None, A, "x", 1, 0));
        for _ in 0..5 {
            assert!(!repeats.is_told(None, A, "x", 1, 500));
        }
        assert!(repeats.is_told(None, A, "y", 1, 500), "another code");
        assert!(repeats.is_told(None, B, "x", 1, 500), "another source");
        assert_eq!(repeats.take_due(Some(999)), []);
        let all = Repeated { tenant: None, source: A, code: "x", count: 5 };
        assert_eq!(repeats.take_due(Some(1_000)), [all]);
        assert!(repeats.is_told(None, A, "x", 1, 1_000), "a window of its own");
        assert_eq!(repeats.take_due(None), []);
    }

    #[test]
    fn memory_is_bounded_and_nothing_goes_uncounted() {
        let repeats = Repeats::new(1_000, 4);
        let mut told = 0;
        for n in 0..1_000_u32 {
            told += u64::from(repeats.is_told(None, Some(IpAddr::V4(n.into())), "x", 1, 0));
        }
        assert!(repeats.counts.lock().len() <= 8);
        let counted: u64 = repeats.take_due(None).iter().map(|r| r.count).sum();
        assert_eq!(told + counted, 1_000);
        assert!(told <= 5, "{told}");
    }
}
