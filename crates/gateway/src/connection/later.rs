//! When those are heard again who were told to come back later. It never refuses anyone: it only sees to it that
//! refusals stay cheap, by reading no more of such connections than so many a second.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use model::limits;
use tokio::time::Instant;

/// Between two of them.
const STEP: Duration = Duration::from_micros(1_000_000 / limits::REFUSED_AGAIN_PER_S);
/// The longest that one of them waits.
const LONGEST: Duration = Duration::from_millis(limits::REFUSED_PAUSE_MS);

/// The next turn that is free, for all connections of a listener.
#[derive(Debug)]
pub(crate) struct Later {
    began: Instant,
    /// In microseconds since then.
    free: AtomicU64,
}

impl Later {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), free: AtomicU64::new(0) }
    }

    /// The turn of one who is refused now; none if it may be heard at once.
    pub(super) fn turn(&self, now: Instant) -> Option<Instant> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let since = micros(now.duration_since(self.began));
        let mut turn = since;
        let mut take = |free: u64| {
            turn = free.clamp(since, since.saturating_add(micros(LONGEST)));
            // Where all turns are taken, some share the last: nobody waits for longer.
            (turn == free || turn == since).then(|| turn.saturating_add(micros(STEP)))
        };
        let _shared = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, &mut take);
        (turn > since).then(|| now + Duration::from_micros(turn - since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_is_heard_at_once_and_thousands_wait_for_each_other() {
        let later = Later::new();
        let now = Instant::now() + Duration::from_secs(1);
        let wait = |now: Instant| later.turn(now).map_or(Duration::ZERO, |turn| turn - now);
        assert_eq!(wait(now), Duration::ZERO);
        for n in 1..=800 {
            assert_eq!(wait(now), STEP * n);
        }
        assert_eq!((wait(now), wait(now)), (LONGEST, LONGEST), "nobody waits for longer");
        let later_on = now + Duration::from_millis(500);
        assert_eq!(wait(later_on), Duration::from_millis(301), "turns that are taken stay taken");
        assert_eq!(wait(now + Duration::from_secs(5)), Duration::ZERO);
    }
}
