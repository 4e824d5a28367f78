//! Decisions already made, by all that they depend on. It never keeps more than a bound.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::RwLock;

use crate::permit::Why;

/// How a question was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Permitted { principal: Arc<str>, policies: Arc<[Arc<str>]> },
    Denied(Arc<Why>),
}

/// Decisions of one slice that are kept. When there are more, the oldest goes.
const DECISIONS_MAX: usize = 1_024;
/// A longer key is not kept, so that long paths cannot fill memory.
const KEY_BYTES_MAX: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Cache(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    decisions: HashMap<Arc<[u8]>, Decision>,
    /// The keys, the oldest first.
    order: VecDeque<Arc<[u8]>>,
}

impl Cache {
    pub(crate) fn get(&self, key: &[u8]) -> Option<Decision> {
        self.0.read().decisions.get(key).cloned()
    }

    pub(crate) fn put(&self, key: &[u8], decision: Decision) {
        if key.len() > KEY_BYTES_MAX {
            return;
        }
        let key: Arc<[u8]> = key.into();
        let mut kept = self.0.write();
        // One for one, so that no question pays for all that were asked before it.
        let oldest = if kept.order.len() >= DECISIONS_MAX { kept.order.pop_front() } else { None };
        let gone = oldest.and_then(|oldest| kept.decisions.remove(&oldest));
        if kept.decisions.insert(Arc::clone(&key), decision).is_none() {
            kept.order.push_back(key);
        }
        drop(kept);
        drop(gone);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.read().decisions.len()
    }
}
