//! How much CPU time the runs of one code use, as a decaying average without a lock. It never decides where a
//! run goes: `pool` does.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use model::limits;

/// Above this, code is heavy.
const BOUND_US: u64 = limits::HEAVY_CPU_US;
/// What a worn run makes of the average at once, and the most that a run counts for: whatever its past was,
/// code is light again after a dozen runs that cost next to nothing.
const MOST_US: u64 = 4 * BOUND_US;
/// A run counts for one part in so many.
const RUNS: u64 = 8;
/// In which time the average falls by half where no run ends.
const HALF_LIFE: Duration = Duration::from_secs(30);

/// The average, and when it was last touched.
#[derive(Debug)]
pub(super) struct Weight {
    mean_us: AtomicU64,
    touched_ms: AtomicU64,
    born: Instant,
}

impl Default for Weight {
    fn default() -> Self {
        Self { mean_us: AtomicU64::new(0), touched_ms: AtomicU64::new(0), born: Instant::now() }
    }
}

impl Weight {
    /// One load for code that is light.
    pub(super) fn is_heavy(&self) -> bool {
        let mean = self.mean_us.load(Relaxed);
        mean > BOUND_US && self.faded(mean, self.now_ms()) > BOUND_US
    }

    /// A run is worn, and nobody knows how long it goes on.
    pub(super) fn wore(&self) {
        self.mean_us.store(MOST_US, Relaxed);
        self.touched_ms.store(self.now_ms(), Relaxed);
    }

    /// A run ended. Two that end at once may count as one.
    pub(super) fn spent(&self, cpu_us: u64) {
        let (mean, spent) = (self.mean_us.load(Relaxed), cpu_us.min(MOST_US));
        if mean <= BOUND_US {
            // Light code needs no clock: its past is no reason for anything.
            let next = averaged(mean, spent);
            self.mean_us.store(next, Relaxed);
            if next > BOUND_US {
                self.touched_ms.store(self.now_ms(), Relaxed);
            }
            return;
        }
        let now = self.now_ms();
        self.mean_us.store(averaged(self.faded(mean, now), spent), Relaxed);
        self.touched_ms.store(now, Relaxed);
    }

    fn faded(&self, mean: u64, now_ms: u64) -> u64 {
        let still = Duration::from_millis(now_ms.saturating_sub(self.touched_ms.load(Relaxed)));
        let halves = still.as_millis() / HALF_LIFE.as_millis();
        mean.checked_shr(u32::try_from(halves).unwrap_or(u32::MAX)).unwrap_or(0)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

const fn averaged(mean: u64, spent: u64) -> u64 {
    (mean * (RUNS - 1) + spent) / RUNS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worn_run_is_enough_and_a_dozen_cheap_ones_are() {
        let weight = Weight::default();
        assert!(!weight.is_heavy());
        weight.wore();
        assert!(weight.is_heavy());
        weight.spent(60_000_000);
        let cheap = (0..100).take_while(|_| {
            weight.spent(100);
            weight.is_heavy()
        });
        let cheap = cheap.count();
        assert!((6..12).contains(&cheap), "{cheap}");
    }

    #[test]
    fn what_is_just_below_the_bound_is_light_for_ever() {
        let weight = Weight::default();
        for _ in 0..1_000 {
            weight.spent(BOUND_US);
            assert!(!weight.is_heavy());
        }
        for _ in 0..RUNS * 4 {
            weight.spent(BOUND_US * 2);
        }
        assert!(weight.is_heavy());
    }

    #[test]
    fn time_alone_makes_it_light() {
        let weight = Weight::default();
        weight.wore();
        let halves = |n: u64| n * u64::try_from(HALF_LIFE.as_millis()).unwrap();
        assert_eq!(weight.faded(MOST_US, halves(1)), MOST_US / 2);
        assert!(weight.faded(MOST_US, halves(3)) <= BOUND_US);
        assert_eq!(weight.faded(MOST_US, halves(1_000_000)), 0);
    }
}
