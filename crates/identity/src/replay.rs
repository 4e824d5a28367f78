//! What was seen before: ids of proofs and messages, for as long as their age alone would not refuse them.
//! It never forgets an id early, and never holds more than it may: where one tenant's room is full, that
//! tenant's next one is refused.

use std::collections::{BTreeMap, HashMap};

use model::Timestamp;
use parking_lot::Mutex;

/// Why an id is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It was there before.
    Before,
    /// There is no room to remember it.
    Full,
}

/// The ids of all tenants, each in a room of its own.
#[derive(Default)]
pub(crate) struct Replays {
    rooms: Mutex<HashMap<String, Room>>,
}

#[derive(Default)]
struct Room {
    ids: HashMap<[u8; 32], u64>,
    /// Each id again, in the order in which they end.
    ends: BTreeMap<(u64, [u8; 32]), ()>,
}

impl Replays {
    /// Remembers `id` until the time `until`, in a room for `most`, or says why not. Only tenants of the
    /// configuration are named here, so that the number of rooms is theirs.
    pub(crate) fn note(
        &self,
        tenant: &str,
        id: [u8; 32],
        until: Timestamp,
        now: Timestamp,
        most: usize,
    ) -> Result<(), Seen> {
        let mut rooms = self.rooms.lock();
        if !rooms.contains_key(tenant) {
            rooms.insert(tenant.to_owned(), Room::default());
        }
        let Some(room) = rooms.get_mut(tenant) else { return Err(Seen::Full) };
        room.forget(now.unix_ms());
        if room.ids.contains_key(&id) {
            return Err(Seen::Before);
        }
        if room.ids.len() >= most {
            return Err(Seen::Full);
        }
        room.ids.insert(id, until.unix_ms());
        room.ends.insert((until.unix_ms(), id), ());
        Ok(())
    }
}

impl Room {
    fn forget(&mut self, now_ms: u64) {
        while let Some(first) = self.ends.first_entry() {
            let (until_ms, id) = *first.key();
            if until_ms > now_ms {
                return;
            }
            first.remove();
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    #[test]
    fn once_within_its_time() {
        let replays = Replays::default();
        assert_eq!(replays.note("a", [1; 32], at(100), at(0), 8), Ok(()));
        assert_eq!(replays.note("a", [1; 32], at(100), at(0), 8), Err(Seen::Before));
        assert_eq!(replays.note("a", [1; 32], at(500), at(99), 8), Err(Seen::Before));
        assert_eq!(replays.note("b", [1; 32], at(100), at(0), 8), Ok(()), "another tenant's room");
        assert_eq!(replays.note("a", [1; 32], at(200), at(100), 8), Ok(()), "its age refuses it elsewhere");
    }

    #[test]
    fn a_full_room_refuses_and_empties_with_time() {
        let replays = Replays::default();
        for n in 0..3 {
            assert_eq!(replays.note("a", [n; 32], at(100 + u64::from(n)), at(0), 3), Ok(()));
        }
        assert_eq!(replays.note("a", [9; 32], at(100), at(0), 3), Err(Seen::Full));
        assert_eq!(replays.note("a", [0; 32], at(100), at(0), 3), Err(Seen::Before), "nothing was forgotten");
        assert_eq!(replays.note("b", [9; 32], at(100), at(0), 3), Ok(()), "one tenant's flood is its own");
        assert_eq!(replays.note("a", [9; 32], at(300), at(100), 3), Ok(()));
        assert_eq!(replays.note("a", [8; 32], at(300), at(100), 3), Err(Seen::Full));
    }
}
