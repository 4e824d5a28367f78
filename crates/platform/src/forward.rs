//! The node's time, which never goes back: what has expired stays so, whatever becomes of the machine's clock. It
//! never decides what a time means.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
};

use model::{Clock, Timestamp};

/// So much behind is no step: clocks are nudged.
const NUDGE_MS: i64 = 1_000;
/// A clock that is further behind the latest time that this node has seen, when it starts, is wrong now or was
/// then: somebody has to say which.
const BEHIND_MS_MAX: u64 = 3_600_000;

/// The machine's clock is far behind what the node has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) now: Timestamp,
    pub(crate) seen: Timestamp,
}

/// Time since some start, which goes on at the pace of the world, and how far the world's time is ahead of that at
/// the most. Where the machine's clock steps back, the node's goes on from where it was; where it steps ahead, the
/// node's follows, since to expire early is safe.
pub(crate) struct Forward {
    machine: Arc<dyn Clock>,
    ahead_ms: AtomicI64,
    told: AtomicBool,
}

impl Forward {
    /// Goes on from the latest time `seen` by the node before, where there was one; from the machine's where
    /// `accept` says that this is right whatever was seen.
    ///
    /// # Errors
    /// [`Behind`].
    pub(crate) fn new(
        machine: Arc<dyn Clock>,
        seen: Option<Timestamp>,
        accept: bool,
    ) -> Result<Self, Behind> {
        let now = machine.now();
        let seen = seen.filter(|_| !accept).unwrap_or(now);
        if seen.since_ms(now) > BEHIND_MS_MAX {
            return Err(Behind { now, seen });
        }
        let ahead_ms = difference(seen.max(now).unix_ms(), machine.monotonic_ms());
        Ok(Self { machine, ahead_ms: AtomicI64::new(ahead_ms), told: AtomicBool::new(false) })
    }

    fn tell(&self, behind_ms: i64) {
        if behind_ms > NUDGE_MS {
            if !self.told.swap(true, Relaxed) {
                tracing::warn!(
                    behind_s = behind_ms / 1_000,
                    "the machine's clock stepped back; the node's goes on from where it was"
                );
            }
        } else if self.told.load(Relaxed) {
            self.told.store(false, Relaxed);
        }
    }
}

impl Clock for Forward {
    fn now(&self) -> Timestamp {
        let elapsed = self.machine.monotonic_ms();
        let ahead_ms = difference(self.machine.now().unix_ms(), elapsed);
        let most = self.ahead_ms.load(Relaxed);
        if ahead_ms > most {
            self.ahead_ms.fetch_max(ahead_ms, Relaxed);
        }
        self.tell(most.saturating_sub(ahead_ms));
        Timestamp::from_unix_ms(elapsed.saturating_add_signed(most.max(ahead_ms)))
    }

    fn monotonic_ms(&self) -> u64 {
        self.machine.monotonic_ms()
    }

    fn monotonic_ns(&self) -> u64 {
        self.machine.monotonic_ns()
    }
}

fn difference(wall_ms: u64, elapsed_ms: u64) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(wall_ms).saturating_sub(signed(elapsed_ms))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// A machine whose clock steps about.
    #[derive(Default)]
    struct Machine {
        wall_ms: AtomicU64,
        elapsed_ms: AtomicU64,
    }

    impl Machine {
        fn at(wall_ms: u64) -> Arc<Self> {
            Arc::new(Self { wall_ms: wall_ms.into(), elapsed_ms: 7.into() })
        }

        fn pass(&self, ms: u64) {
            self.wall_ms.fetch_add(ms, Relaxed);
            self.elapsed_ms.fetch_add(ms, Relaxed);
        }

        fn step(&self, to_ms: u64) {
            self.wall_ms.store(to_ms, Relaxed);
        }
    }

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_ms(self.wall_ms.load(Relaxed))
        }

        fn monotonic_ms(&self) -> u64 {
            self.elapsed_ms.load(Relaxed)
        }
    }

    const DAY: u64 = 86_400_000;

    #[test]
    fn it_follows_ahead_and_goes_on_when_the_machine_steps_back() {
        let machine = Machine::at(100 * DAY);
        let clock = Forward::new(machine.clone(), None, false).unwrap();
        let now = || clock.now().unix_ms();
        assert_eq!(now(), 100 * DAY);
        machine.pass(5);
        assert_eq!(now(), 100 * DAY + 5);
        machine.step(103 * DAY);
        assert_eq!(now(), 103 * DAY);
        for back in [102 * DAY, 1, 0] {
            machine.step(back);
            assert_eq!(now(), 103 * DAY, "{back}");
        }
        machine.pass(9);
        assert_eq!(now(), 103 * DAY + 9, "it goes on all the same");
        machine.step(103 * DAY + 8);
        assert_eq!(now(), 103 * DAY + 9);
        machine.step(104 * DAY);
        assert_eq!(now(), 104 * DAY);
    }

    #[test]
    fn what_was_seen_before_counts() {
        let open = |wall: u64, seen: u64, accept: bool| {
            Forward::new(Machine::at(wall), Some(Timestamp::from_unix_ms(seen)), accept)
                .map(|clock| clock.now().unix_ms())
        };
        assert_eq!(open(5 * DAY, 4 * DAY, false), Ok(5 * DAY));
        assert_eq!(open(5 * DAY, 5 * DAY + 60_000, false), Ok(5 * DAY + 60_000));
        let behind = open(5 * DAY, 7 * DAY, false).unwrap_err();
        assert_eq!((behind.now.unix_ms(), behind.seen.unix_ms()), (5 * DAY, 7 * DAY));
        assert_eq!(open(5 * DAY, 7 * DAY, true), Ok(5 * DAY));
    }
}
