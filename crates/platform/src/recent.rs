//! Requests of the last hour, some of each function, in memory alone and without what proves their callers: what other
//! rules would have said to them can be asked. It never writes one anywhere.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use cell::RequestBody;
use http::{HeaderName, header};
use model::{FunctionName, RequestId, TenantId, limits};
use parking_lot::Mutex;
use shield::{
    Screened,
    inspect::{Asked, Seen},
};

use crate::catalog::Target;

/// Headers whose values prove somebody, and are left out.
const SECRET: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// A request that was kept.
pub(crate) struct Kept {
    pub(crate) id: RequestId,
    pub(crate) tenant: TenantId,
    pub(crate) function: FunctionName,
    pub(crate) asked: Asked,
    at_ms: u64,
    bytes: usize,
}

/// The requests of a node that are kept.
#[derive(Default)]
pub(crate) struct Recent(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    kept: VecDeque<Arc<Kept>>,
    bytes: usize,
}

/// How many requests of one function were kept in this second.
#[derive(Debug, Default)]
pub(crate) struct Sampled([std::sync::atomic::AtomicU64; 2]);

impl Sampled {
    /// Whether one more may be kept. The upper bits hold the second, the lower ones the count; a lost race keeps one more.
    fn takes(&self, refused: bool, now_ms: u64) -> bool {
        use std::sync::atomic::Ordering::Relaxed;
        let [passed, withheld] = &self.0;
        let slot = if refused { withheld } else { passed };
        let (second, seen) = (now_ms / 1_000 + 1, slot.load(Relaxed));
        let count = if seen >> 32 == second { seen & u64::from(u32::MAX) } else { 0 };
        if count >= u64::from(limits::RECENT_PER_S) {
            return false;
        }
        slot.store(second << 32 | (count + 1), Relaxed);
        true
    }
}

impl Recent {
    /// Keeps a request, if its function has not had enough of them in this second.
    pub(crate) fn keep(
        &self,
        now_ms: u64,
        id: RequestId,
        target: &Target,
        screened: &Screened<RequestBody>,
        seen: Seen<'_>,
        was_refused: bool,
    ) {
        if !target.life.sampled.takes(was_refused, now_ms) {
            return;
        }
        let body = seen.bytes();
        let body = body.get(..limits::RECENT_BODY_BYTES).unwrap_or(body);
        let is_whole = matches!(seen, Seen::Whole(all) if all.len() == body.len());
        let asked = Asked::of(screened.head(), screened.peer(), Bytes::copy_from_slice(body), is_whole);
        let asked = SECRET.iter().fold(asked, Asked::without);
        let (tenant, function) = (target.tenant().clone(), target.function().clone());
        let bytes = asked.bytes();
        let kept = Kept { id, tenant, function, asked, at_ms: now_ms, bytes };
        let mut ring = self.0.lock();
        ring.bytes += kept.bytes;
        ring.kept.push_back(Arc::new(kept));
        ring.shrink(now_ms);
    }

    /// All that are not older than an hour, the oldest first.
    pub(crate) fn all(&self, now_ms: u64) -> Vec<Arc<Kept>> {
        let mut ring = self.0.lock();
        ring.shrink(now_ms);
        ring.kept.iter().cloned().collect()
    }
}

impl Ring {
    fn shrink(&mut self, now_ms: u64) {
        while let Some(oldest) = self.kept.front() {
            let is_old = now_ms.saturating_sub(oldest.at_ms) > limits::RECENT_MS;
            if !is_old && self.bytes <= limits::RECENT_BYTES_MAX {
                return;
            }
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_room_for_some() {
        let sampled = Sampled::default();
        let taken = |refused, now_ms| (0..100).filter(|_| sampled.takes(refused, now_ms)).count();
        let most = usize::try_from(limits::RECENT_PER_S).unwrap();
        assert_eq!(taken(false, 5_000), most);
        assert_eq!(taken(true, 5_000), most, "those that are refused have room of their own");
        assert_eq!(taken(false, 5_999), 0);
        assert_eq!(taken(false, 6_000), most);
    }
}
