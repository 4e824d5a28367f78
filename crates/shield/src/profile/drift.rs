//! Whether a window of runs uses more than the learned ones did, by a test whose false alarms are bounded whatever the
//! distribution of the number is. It never assumes a shape.
//!
//! Let a bound lie above all but `r` of `n` learned values. If the `k` values of a window come from the same distribution
//! as the learned ones, each order of the `n + k` is as likely as any other, so that the chance of `c` or more of the
//! window above the `r + 1`-th largest of the learned is that of the negative hypergeometric distribution (the test of
//! exceedances; Gumbel and von Schelling, Annals of Mathematical Statistics 21 (1950), 247–262). `c` is the smallest
//! number for which that chance is at most one in [`limits::DRIFT_FALSE_ALARM_ONE_IN`]. A bound further up, values that
//! are equal and values that are rounded only make alarms rarer.

use std::collections::BTreeMap;

use model::limits;
use serde::{Deserialize, Serialize};

/// How often values came up, each to within an eighth of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Histogram {
    count: u64,
    buckets: BTreeMap<u16, u64>,
}

/// Buckets of one power of two.
const PARTS_BITS: u32 = 3;

/// The bucket of a value: exact below 8, then eight for each power of two.
fn bucket(value: u64) -> u16 {
    let power = 63 - value.max(1).leading_zeros();
    if power < PARTS_BITS {
        return value as u16;
    }
    let part = (value >> (power - PARTS_BITS)) & ((1 << PARTS_BITS) - 1);
    (((power - PARTS_BITS + 1) << PARTS_BITS) as u16) + part as u16
}

/// The largest value of a bucket.
fn largest(bucket: u16) -> u64 {
    let (power, part) = (u32::from(bucket) >> PARTS_BITS, u64::from(bucket) & ((1 << PARTS_BITS) - 1));
    if power == 0 {
        return part;
    }
    let base = (1_u128 << PARTS_BITS) + u128::from(part) + 1;
    u64::try_from((base << (power - 1)) - 1).unwrap_or(u64::MAX)
}

impl Histogram {
    pub(super) fn add(&mut self, value: u64) {
        self.count += 1;
        *self.buckets.entry(bucket(value)).or_default() += 1;
    }

    /// The value that so many in a thousand are not above; 0 where there are none.
    pub(super) fn quantile(&self, per_mille: u64) -> u64 {
        let wanted = (self.count * per_mille).div_ceil(1_000).max(1);
        let mut before = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            before += **count;
            before >= wanted
        });
        found.map_or(0, |(bucket, _)| largest(*bucket))
    }

    /// How many are in buckets above that of a value.
    fn above(&self, value: u64) -> u64 {
        self.buckets.range(bucket(value) + 1..).map(|(_, count)| count).sum()
    }
}

/// What runs are held against: above almost all that was learned, at least twice the median, and never less than what is
/// not worth an alarm.
pub(super) fn bound(learned: &Histogram, floor: u64) -> u64 {
    let wanted = learned.quantile(950).max(learned.quantile(500).saturating_mul(2)).max(floor);
    largest(bucket(wanted))
}

/// One number's bound, and what came since the window began.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Baseline {
    bound: u64,
    critical: u32,
    above: u32,
    runs: u32,
}

impl Baseline {
    pub(super) fn of(learned: &Histogram, floor: u64) -> Self {
        let bound = bound(learned, floor);
        let (above, chance) = (learned.above(bound), 1.0 / limits::DRIFT_FALSE_ALARM_ONE_IN as f64);
        let critical = critical(learned.count, above, limits::DRIFT_RUNS, chance);
        Self { bound, critical, above: 0, runs: 0 }
    }

    pub(super) const fn bound(&self) -> u64 {
        self.bound
    }

    /// Takes in a value. At the end of a window with too many above the bound it says how many there were.
    pub(super) fn add(&mut self, value: u64) -> Option<u32> {
        self.runs += 1;
        self.above += u32::from(value > self.bound);
        if self.runs < limits::DRIFT_RUNS {
            return None;
        }
        let above = std::mem::take(&mut self.above);
        self.runs = 0;
        (above >= self.critical).then_some(above)
    }
}

/// The smallest number of `k` new values that may not lie above a bound, of `n` learned values below all but `r`, if
/// false alarms are to be no likelier than `chance`. It is more than `k` where so few were learned that none is.
pub fn critical(n: u64, r: u64, k: u32, chance: f64) -> u32 {
    if r >= n {
        return k + 1;
    }
    let (below, r, k_all) = ((n - r - 1) as f64, r as f64, f64::from(k));
    // The chance that none of the new ones is above, then that one is, and so on.
    let mut one = (1..=k).map(|i| (below + f64::from(i)) / (n as f64 + f64::from(i))).product::<f64>();
    let mut chances = Vec::with_capacity(k as usize + 1);
    for x in 0..=k {
        chances.push(one);
        let (x, left) = (f64::from(x), k_all - f64::from(x));
        one *= (x + 1.0 + r) / (x + 1.0) * left / (left + below).max(1.0);
    }
    let mut tail = 0.0;
    let mut smallest = k + 1;
    for (c, chance_of_one) in chances.iter().enumerate().rev() {
        tail += chance_of_one;
        if tail > chance {
            break;
        }
        smallest = u32::try_from(c).unwrap_or(k + 1);
    }
    // None at all is no alarm, whatever its chance.
    smallest.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_tight() {
        let mut last = None;
        for value in (0..70_000).chain([1 << 20, (1 << 40) + 7, u64::MAX - 1, u64::MAX]) {
            let found = bucket(value);
            assert!(last.is_none_or(|last| last <= found), "{value}");
            assert!(largest(found) >= value && largest(found) - value <= value / 8, "{value}");
            assert_eq!(bucket(largest(found)), found, "{value}");
            last = Some(found);
        }
    }

    #[test]
    fn quantiles() {
        let mut learned = Histogram::default();
        assert_eq!(learned.quantile(500), 0);
        (1..=1_000).for_each(|value| learned.add(value));
        let near =
            |found: u64, expect: u64| assert!(found >= expect && found <= expect + expect / 8, "{found}");
        near(learned.quantile(500), 500);
        near(learned.quantile(950), 950);
        near(learned.quantile(1_000), 1_000);
    }

    /// By counting all orders of 3 learned and 2 new values: both new ones are above the largest learned one in 1 of 10.
    #[test]
    fn small_cases_by_hand() {
        assert_eq!(critical(3, 0, 2, 0.11), 2);
        assert_eq!(critical(3, 0, 2, 0.09), 3);
        assert_eq!(critical(3, 0, 2, 0.41), 1);
        assert_eq!(critical(3, 3, 2, 1.0), 3, "nothing to compare with");
    }

    #[test]
    fn more_that_was_learned_makes_it_sharper() {
        let found: Vec<u32> = [100, 1_000, 10_000].map(|n| critical(n, n / 20, 100, 1e-6)).to_vec();
        assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
        assert!(found.first().is_some_and(|c| *c < 50), "{found:?}");
    }
}
