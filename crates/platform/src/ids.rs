//! The ids of requests, from random bytes that are drawn many at a time. It never gives the same bytes twice,
//! and never to anything that has to be secret.

use std::sync::Arc;

use model::{Entropy, RequestId, Timestamp};
use parking_lot::Mutex;

/// Random bytes of one id.
const ID_BYTES: usize = 10;
/// Ids of one draw.
const DRAW: usize = 128;

/// Makes the ids of requests.
pub(crate) struct RequestIds {
    entropy: Arc<dyn Entropy>,
    drawn: Mutex<Drawn>,
}

struct Drawn {
    bytes: [[u8; ID_BYTES]; DRAW],
    used: usize,
}

impl RequestIds {
    pub(crate) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, drawn: Mutex::new(Drawn { bytes: [[0; ID_BYTES]; DRAW], used: DRAW }) }
    }

    /// A fresh id. Where the source of randomness fails, the id is of the time alone, which still names the
    /// request in the log.
    pub(crate) fn next(&self, now: Timestamp) -> RequestId {
        let mut drawn = self.drawn.lock();
        if drawn.used >= DRAW {
            if self.entropy.fill(drawn.bytes.as_flattened_mut()).is_err() {
                return RequestId::from_parts(now, 0);
            }
            drawn.used = 0;
        }
        let bytes = drawn.bytes.get(drawn.used).copied().unwrap_or_default();
        drawn.used += 1;
        drop(drawn);
        let random = bytes.iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
        RequestId::from_parts(now, random)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::atomic::{AtomicU8, AtomicUsize, Ordering},
    };

    use model::EntropyError;

    use super::*;

    /// Counts its draws, and fails after as many as it is told.
    struct Counting(AtomicU8, AtomicUsize);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
            let draws = self.1.fetch_sub(1, Ordering::Relaxed);
            if draws == 0 {
                return Err(EntropyError);
            }
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = if at % ID_BYTES == 0 { self.0.fetch_add(1, Ordering::Relaxed) } else { 7 };
            }
            Ok(())
        }
    }

    #[test]
    fn no_bytes_are_given_twice() {
        let ids = RequestIds::new(Arc::new(Counting(AtomicU8::new(0), AtomicUsize::new(2))));
        let now = Timestamp::from_unix_ms(1);
        let given: HashSet<_> = (0..2 * DRAW).map(|_| ids.next(now)).collect();
        assert_eq!(given.len(), 2 * DRAW, "256 different first bytes");
        assert_eq!(ids.next(now), RequestId::from_parts(now, 0), "without randomness: the time alone");
    }
}
