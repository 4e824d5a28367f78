//! Decisions already made, by all that they depend on. It never keeps more than a bound.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;

use crate::permit::Why;

/// How a question was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Permitted { principal: Arc<str>, policies: Arc<[Arc<str>]> },
    Denied(Arc<Why>),
}

/// Decisions of one slice that are kept. When there are more, all are dropped: to decide anew costs some ten
/// microseconds.
const DECISIONS_MAX: usize = 1_024;
/// A longer key is not kept, so that long paths cannot fill memory.
const KEY_BYTES_MAX: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Cache(RwLock<HashMap<Box<[u8]>, Decision>>);

impl Cache {
    pub(crate) fn get(&self, key: &[u8]) -> Option<Decision> {
        self.0.read().get(key).cloned()
    }

    pub(crate) fn put(&self, key: &[u8], decision: Decision) {
        if key.len() > KEY_BYTES_MAX {
            return;
        }
        let mut decisions = self.0.write();
        if decisions.len() >= DECISIONS_MAX {
            decisions.clear();
        }
        decisions.insert(key.into(), decision);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }
}
