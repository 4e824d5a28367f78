//! Who waits for changes of which keys. It never queues: several changes are told as the last of them.

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{Range, StoreError};

/// Tells of commits within a range.
#[derive(Debug)]
pub struct Watch(watch::Receiver<u64>);

impl Watch {
    /// Waits for a commit within the range, and gives the revision of the newest. What came since the last
    /// call (or since the watch was made) is told at once. Safe to drop and call again.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the store is gone.
    pub async fn changed(&mut self) -> Result<u64, StoreError> {
        self.0.changed().await.map_err(|_| StoreError::Closed)?;
        Ok(*self.0.borrow_and_update())
    }
}

#[derive(Debug)]
struct Watcher {
    low: Vec<u8>,
    high: Vec<u8>,
    tell: watch::Sender<u64>,
}

/// All watches of one backend.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Vec<Watcher>>);

impl Watchers {
    pub(crate) fn add(&self, range: &Range) -> Watch {
        let (low, high) = range.bounds();
        let (tell, told) = watch::channel(0);
        let mut all = self.0.lock();
        all.retain(|w| !w.tell.is_closed());
        all.push(Watcher { low, high, tell });
        Watch(told)
    }

    /// Tells everyone who watches one of the encoded `keys`.
    pub(crate) fn tell(&self, keys: &[Vec<u8>], revision: u64) {
        for watcher in self.0.lock().iter() {
            if keys.iter().any(|key| *key >= watcher.low && *key < watcher.high) {
                watcher.tell.send_replace(revision);
            }
        }
    }
}
