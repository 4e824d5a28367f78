//! How many runs a tenant may have at once: a number that an administrator may change while requests run. It
//! never makes anyone wait.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The runs of one tenant.
#[derive(Debug, Clone)]
pub(crate) struct Quota(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    taken: AtomicU64,
    most: AtomicU64,
}

/// The right of a tenant to one run, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken(Arc<Counts>);

impl Quota {
    pub(crate) fn new(most: u64) -> Self {
        Self(Arc::new(Counts { taken: AtomicU64::new(0), most: AtomicU64::new(most) }))
    }

    /// How many there may be at once.
    pub(crate) fn most(&self) -> u64 {
        self.0.most.load(Ordering::Relaxed)
    }

    /// Allows another number from now on. Runs under way go on, whatever the number is.
    pub(crate) fn allow(&self, most: u64) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// One more run, if there is room for it.
    pub(crate) fn take(&self) -> Option<Taken> {
        let most = self.most();
        let more = |taken: u64| (taken < most).then_some(taken + 1);
        let taken = self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Taken(self.0.clone()))
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_are_allowed_whatever_the_number_becomes() {
        let quota = Quota::new(2);
        let (first, second) = (quota.take(), quota.take());
        assert!(first.is_some() && second.is_some() && quota.take().is_none());
        quota.allow(1);
        drop(first);
        assert!(quota.take().is_none(), "one is still under way");
        drop(second);
        assert!(quota.take().is_some());
        assert_eq!(quota.taken(), 0);
        quota.allow(0);
        assert!(quota.take().is_none());
    }
}
