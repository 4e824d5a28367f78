//! Where runs enter workers that may retire: it lets them in until it is shut, and is never shut on one that
//! is on its way. It never looks at a run.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

pub(super) struct Door {
    shut: AtomicBool,
    /// Runs that are being taken in.
    entering: AtomicUsize,
    used: Mutex<Instant>,
}

impl Door {
    pub(super) fn open() -> Self {
        Self { shut: AtomicBool::new(false), entering: AtomicUsize::new(0), used: Mutex::new(Instant::now()) }
    }

    /// Lets `what` in, or gives it back where the door is shut.
    pub(super) fn enter<T>(&self, what: T, take: impl FnOnce(T)) -> Result<(), T> {
        // INVARIANT: either this sees that the door is shut, or who shuts it sees this.
        self.entering.fetch_add(1, SeqCst);
        let entered = if self.shut.load(SeqCst) {
            Err(what)
        } else {
            self.touch();
            take(what);
            Ok(())
        };
        self.entering.fetch_sub(1, SeqCst);
        entered
    }

    /// Holds the door open while something that is inside already moves from one place to another.
    pub(super) fn hold<T>(&self, act: impl FnOnce() -> T) -> T {
        self.entering.fetch_add(1, SeqCst);
        self.touch();
        let done = act();
        self.entering.fetch_sub(1, SeqCst);
        done
    }

    /// Shuts it for good, if nothing came for so long and nothing is inside.
    pub(super) fn shut(&self, idle: Duration, is_busy: impl Fn() -> bool) -> bool {
        if self.used.lock().elapsed() < idle {
            return false;
        }
        self.shut.store(true, SeqCst);
        // What is on its way is inside by the time that it is no longer counted, so one looks there twice.
        let busy = is_busy() || self.entering.load(SeqCst) > 0 || is_busy();
        if busy {
            self.shut.store(false, SeqCst);
        }
        !busy
    }

    fn touch(&self) {
        *self.used.lock() = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shut_on_nobody() {
        let door = Door::open();
        assert!(!door.shut(Duration::from_secs(60), || false));
        assert!(!door.shut(Duration::ZERO, || true));
        let mut taken = 0;
        door.enter(1, |n| {
            assert!(!door.shut(Duration::ZERO, || false));
            taken += n;
        })
        .unwrap();
        door.hold(|| assert!(!door.shut(Duration::ZERO, || false)));
        assert!(door.shut(Duration::ZERO, || false));
        assert_eq!(door.enter(2, |n| taken += n), Err(2));
        assert_eq!(taken, 1);
    }
}
