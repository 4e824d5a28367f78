//! What rules keep from request to request under an address (`IP`, `GLOBAL`, `SESSION`, `USER`, `RESOURCE`), bounded
//! in number and time. The time is handed in; nothing is written anywhere.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::seclang::variable::Collection;

type Record = HashMap<Vec<u8>, Kept>;

#[derive(Clone, Debug)]
struct Kept {
    value: Vec<u8>,
    ends_s: u64,
}

#[derive(Debug, Default)]
struct Records {
    by_key: HashMap<(Collection, Vec<u8>), (Record, u64)>,
    turn: u64,
}

/// What rules keep by address.
#[derive(Debug)]
pub struct Memory {
    records: Mutex<Records>,
    addresses_max: usize,
}

/// Variables of one address.
const VARIABLES_MAX: usize = 64;
/// Bytes of a name, a value or an address.
const BYTES_MAX: usize = 1024;

impl Memory {
    /// Room for that many addresses; beyond, what was not changed for longest makes room.
    #[must_use]
    pub fn new(addresses_max: usize) -> Self {
        Self { records: Mutex::default(), addresses_max: addresses_max.max(1) }
    }

    /// How many addresses something is kept for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().by_key.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self, collection: Collection, key: &[u8], now_s: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
        let records = self.lock();
        let Some((record, _)) = records.by_key.get(&(collection, key.to_vec())) else { return Vec::new() };
        let living = record.iter().filter(|(_, kept)| kept.ends_s > now_s);
        let mut all: Vec<_> = living.map(|(name, kept)| (name.clone(), kept.value.clone())).collect();
        all.sort();
        all
    }

    /// Changes one variable; `times` are now and when it ends, seconds.
    pub(crate) fn change(
        &self,
        collection: Collection,
        key: &[u8],
        name: &[u8],
        times: (u64, u64),
        new: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>>,
    ) {
        if key.len() > BYTES_MAX || name.len() > BYTES_MAX {
            return;
        }
        let (now_s, ends_s) = times;
        let mut records = self.lock();
        records.turn += 1;
        let turn = records.turn;
        let place = (collection, key.to_vec());
        if !records.by_key.contains_key(&place) && records.by_key.len() >= self.addresses_max {
            make_room(&mut records, now_s);
        }
        let (record, used) = records.by_key.entry(place).or_default();
        *used = turn;
        record.retain(|_, kept| kept.ends_s > now_s);
        let value = new(record.get(name).map(|kept| kept.value.as_slice()));
        match value.filter(|value| value.len() <= BYTES_MAX) {
            None => drop(record.remove(name)),
            Some(value) if record.len() < VARIABLES_MAX || record.contains_key(name) => {
                let ends_s = record.get(name).map_or(ends_s, |kept| kept.ends_s.max(now_s));
                record.insert(name.to_vec(), Kept { value, ends_s });
            }
            Some(_) => {}
        }
    }

    pub(crate) fn expire(&self, collection: Collection, key: &[u8], name: &[u8], ends_s: u64) {
        let mut records = self.lock();
        let record = records.by_key.get_mut(&(collection, key.to_vec()));
        if let Some(kept) = record.and_then(|(record, _)| record.get_mut(name)) {
            kept.ends_s = ends_s;
        }
    }
}

/// Drops what has ended, and where that is nothing, the quarter that was not changed for longest.
fn make_room(records: &mut Records, now_s: u64) {
    let before = records.by_key.len();
    records.by_key.retain(|_, (record, _)| record.values().any(|kept| kept.ends_s > now_s));
    if records.by_key.len() < before {
        return;
    }
    let mut turns: Vec<u64> = records.by_key.values().map(|(_, turn)| *turn).collect();
    turns.sort_unstable();
    let oldest = turns.get(turns.len() / 4).copied().unwrap_or(u64::MAX);
    records.by_key.retain(|_, (_, turn)| *turn > oldest);
}
