//! How clients come back without a whole handshake (RFC 8446 §2.2): tickets under a key that changes, and for clients
//! with certificates a memory of sessions. Neither takes what is older than twice [`limits::TICKET_KEY_S`].

use std::{fmt, sync::Arc, time::Duration};

use model::limits;
use parking_lot::Mutex;
use rustls::{
    crypto::aws_lc_rs::Ticketer,
    server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions},
};
use tokio::time::Instant;

/// How long the present one of two is used, and then the one before it.
const TURN: Duration = Duration::from_secs(limits::TICKET_KEY_S);

/// The present one, which is used, and the one before, which is still honoured. What was before that is gone.
struct Turning<T> {
    present: Option<T>,
    before: Option<T>,
    since: Instant,
}

impl<T> Turning<T> {
    fn new(present: Option<T>) -> Self {
        Self { present, before: None, since: Instant::now() }
    }

    /// Puts a fresh one in the place of a present one whose time is over.
    fn turn(&mut self, fresh: impl FnOnce() -> Option<T>) {
        let age = self.since.elapsed();
        if age >= TURN {
            self.before = self.present.take().filter(|_| age < 2 * TURN);
            self.present = fresh();
            self.since = Instant::now();
        }
    }
}

/// Tickets that hold the session themselves, sealed: no client costs the node memory by having been there.
pub(super) struct Tickets(Mutex<Turning<Arc<dyn ProducesTickets>>>);

impl Tickets {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Turning::new(key())))
    }

    /// Takes no ticket that was given out until now.
    pub(super) fn forget(&self) {
        *self.0.lock() = Turning::new(key());
    }
}

/// Keys of one turn. Without randomness there are none, and no tickets.
fn key() -> Option<Arc<dyn ProducesTickets>> {
    Ticketer::new().inspect_err(|error| tracing::error!(%error, "no key for session tickets")).ok()
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    /// In seconds: what a ticket is good for at least, so that no client brings one in vain.
    fn lifetime(&self) -> u32 {
        u32::try_from(limits::TICKET_KEY_S).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let present = {
            let mut keys = self.0.lock();
            keys.turn(key);
            keys.present.clone()?
        };
        present.encrypt(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let keys = {
            let mut keys = self.0.lock();
            keys.turn(key);
            [keys.present.clone(), keys.before.clone()]
        };
        keys.into_iter().flatten().find_map(|key| key.decrypt(ticket))
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

/// Sessions in memory, each good for one return: they hold what a client's certificate proved, and end with whoever
/// owns the memory.
pub(super) struct Sessions(Mutex<Turning<Arc<ServerSessionMemoryCache>>>);

impl Sessions {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Turning::new(Some(memory()))))
    }

    fn all(&self) -> [Option<Arc<ServerSessionMemoryCache>>; 2] {
        let mut memories = self.0.lock();
        memories.turn(|| Some(memory()));
        [memories.present.clone(), memories.before.clone()]
    }
}

fn memory() -> Arc<ServerSessionMemoryCache> {
    ServerSessionMemoryCache::new(limits::CLIENT_SESSIONS_MAX)
}

impl StoresServerSessions for Sessions {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        let [present, _] = self.all();
        present.is_some_and(|memory| memory.put(id, session))
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.all().into_iter().flatten().find_map(|memory| memory.get(id))
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.all().into_iter().flatten().find_map(|memory| memory.take(id))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_outlives_one_turn_and_not_two() {
        let tickets = Tickets::new();
        let sealed = |tickets: &Tickets| tickets.encrypt(b"session").unwrap();
        let (early, other) = (sealed(&tickets), sealed(&Tickets::new()));
        assert_ne!(early, b"session");
        advance(TURN - Duration::from_secs(1)).await;
        let late = sealed(&tickets);
        advance(Duration::from_secs(2)).await;
        let opens = |ticket: &[u8]| tickets.decrypt(ticket).as_deref() == Some(b"session");
        assert!(opens(&early) && opens(&late), "the key before is honoured");
        assert!(!opens(&other) && !opens(b"") && !opens(&early[1..]), "another's, none, a broken one");
        let next = sealed(&tickets);
        advance(TURN).await;
        assert!(!opens(&early) && !opens(&late), "nothing is older than two turns");
        assert!(opens(&next));
        advance(3 * TURN).await;
        assert!(!opens(&next), "a node that nobody asked meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn all_tickets_can_be_forgotten() {
        let tickets = Tickets::new();
        let before = tickets.encrypt(b"session").unwrap();
        tickets.forget();
        assert_eq!(tickets.decrypt(&before), None);
        let after = tickets.encrypt(b"session").unwrap();
        assert_eq!(tickets.decrypt(&after).as_deref(), Some(&b"session"[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_in_memory_outlives_one_turn_and_not_two() {
        let sessions = Sessions::new();
        for id in [b"a", b"b", b"c"] {
            assert!(sessions.put(id.to_vec(), b"session".to_vec()));
        }
        assert_eq!(sessions.take(b"a").as_deref(), Some(&b"session"[..]));
        assert_eq!(sessions.take(b"a"), None, "it is good once");
        advance(TURN).await;
        assert_eq!(sessions.take(b"b").as_deref(), Some(&b"session"[..]));
        advance(TURN).await;
        assert_eq!(sessions.get(b"c"), None);
    }
}
