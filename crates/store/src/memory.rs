//! A store in memory, with faults on demand: for tests and for what keeps nothing. It never writes a file.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use model::{Digest, TenantId};
use parking_lot::Mutex;

use crate::{
    BLOB_BYTES_MAX, Commit, CommitError, Entry, Key, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page, Pending, Range,
    Row, SEALED_SLACK_BYTES, Seal, Store, StoreError, Watch, Write, sealed_writes, watch::Watchers,
};

/// A store in memory. Clones share what it holds: a clone is what a backend that is opened again would be.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    watchers: Watchers,
    faults: Faults,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    rows: BTreeMap<Vec<u8>, Entry>,
    blobs: HashMap<(Option<TenantId>, Digest), Bytes>,
}

/// What goes wrong next. Clones steer the same store.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    before: u64,
    after: u64,
    full: bool,
    slow: Duration,
}

impl Faults {
    /// The next `count` commits and blob writes fail, and nothing of them is kept.
    pub fn fail_before(&self, count: u64) {
        self.0.lock().before = count;
    }

    /// The next `count` commits and blob writes are kept, and fail nevertheless.
    pub fn fail_after(&self, count: u64) {
        self.0.lock().after = count;
    }

    /// Whether the disk is full: writes fail, deletes too.
    pub fn full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// Each commit takes so long. Needs a tokio runtime with its clock on.
    pub fn slow(&self, by: Duration) {
        self.0.lock().slow = by;
    }

    /// Applies a write amid the faults that are planned.
    fn around<T, E: From<StoreError>>(&self, apply: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let after = {
            let mut plan = self.0.lock();
            if plan.full {
                return Err(StoreError::Full.into());
            }
            if plan.before > 0 {
                plan.before -= 1;
                return Err(StoreError::Io("injected before the write".into()).into());
            }
            let after = plan.after > 0;
            plan.after = plan.after.saturating_sub(1);
            after
        };
        let done = apply();
        if after { Err(StoreError::Unknown("injected after the write".into()).into()) } else { done }
    }
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The handle that makes it fail.
    pub fn faults(&self) -> Faults {
        self.shared.faults.clone()
    }

    /// Every value and blob that it holds, as it holds them: so that a test can look for what must not be
    /// there.
    pub fn raw(&self) -> Vec<Bytes> {
        let state = self.shared.state.lock();
        state.rows.values().map(|e| e.value.clone()).chain(state.blobs.values().cloned()).collect()
    }

    fn apply(&self, commit: &Commit, seal: Option<&dyn Seal>) -> Result<u64, CommitError> {
        let keys: Vec<Vec<u8>> = commit.writes.iter().map(|w| w.key().encode()).collect();
        let mut state = self.shared.state.lock();
        for check in &commit.checks {
            let found = state.rows.get(&check.key.encode()).map(|e| e.revision);
            if found != check.expect {
                return Err(CommitError::Conflict { key: check.key.clone() });
            }
        }
        let revision = state.revision + 1;
        let sealed = seal.map(|seal| sealed_writes(seal, &commit.writes, revision)).transpose()?;
        state.revision = revision;
        for (write, encoded) in sealed.as_ref().unwrap_or(&commit.writes).iter().zip(&keys) {
            match write {
                Write::Put(_, value) => {
                    state.rows.insert(encoded.clone(), Entry { value: value.clone(), revision });
                }
                Write::Delete(_) => {
                    state.rows.remove(encoded);
                }
            }
        }
        drop(state);
        self.shared.watchers.tell(&keys, revision);
        Ok(revision)
    }

    fn page(&self, range: &Range, limit: usize) -> Page {
        let (low, high) = range.bounds();
        let state = self.shared.state.lock();
        let rows = state.rows.range(low..high);
        let rows: &mut dyn Iterator<Item = _> =
            if range.span.descending { &mut rows.rev() } else { &mut { rows } };
        let rows = rows.map(|(key, e)| Ok((range.id_of(key).to_vec(), e.value.clone(), e.revision)));
        fill(range, limit, rows).unwrap_or_default()
    }
}

/// Makes a page of rows in order, up to the bounds.
pub(crate) fn fill(
    range: &Range,
    limit: usize,
    rows: impl Iterator<Item = Result<(Vec<u8>, Bytes, u64), StoreError>>,
) -> Result<Page, StoreError> {
    let (mut page, mut bytes) = (Page::default(), 0);
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    for row in rows {
        if page.rows.len() == limit || bytes > PAGE_BYTES_MAX {
            page.next = page.rows.last().map(|row: &Row| range.span.rest(&row.id));
            break;
        }
        let (id, value, revision) = row?;
        bytes += id.len() + value.len();
        page.rows.push(Row { id, value, revision });
    }
    Ok(page)
}

impl Store for Memory {
    fn get<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Entry>> {
        Box::pin(async move { Ok(self.shared.state.lock().rows.get(&key.encode()).cloned()) })
    }

    fn scan<'a>(&'a self, range: &'a Range, limit: usize) -> Pending<'a, Page> {
        Box::pin(async move { Ok(self.page(range, limit)) })
    }

    fn commit_sealed(&self, commit: Commit, seal: Option<Arc<dyn Seal>>) -> Pending<'_, u64, CommitError> {
        Box::pin(async move {
            commit.validate(SEALED_SLACK_BYTES)?;
            let slow = self.shared.faults.0.lock().slow;
            if !slow.is_zero() {
                tokio::time::sleep(slow).await;
            }
            self.shared.faults.around(|| self.apply(&commit, seal.as_deref()))
        })
    }

    fn watch(&self, range: &Range) -> Watch {
        self.shared.watchers.add(range)
    }

    fn put_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest, bytes: Bytes) -> Pending<'a, ()> {
        Box::pin(async move {
            if bytes.len() > BLOB_BYTES_MAX + SEALED_SLACK_BYTES {
                return Err(StoreError::TooLarge { what: "a blob", max: BLOB_BYTES_MAX });
            }
            self.shared.faults.around(|| {
                self.shared.state.lock().blobs.insert((owner.cloned(), name), bytes);
                Ok(())
            })
        })
    }

    fn get_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest) -> Pending<'a, Option<Bytes>> {
        Box::pin(async move { Ok(self.shared.state.lock().blobs.get(&(owner.cloned(), name)).cloned()) })
    }

    fn delete_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest) -> Pending<'a, ()> {
        Box::pin(async move {
            self.shared.faults.around(|| {
                self.shared.state.lock().blobs.remove(&(owner.cloned(), name));
                Ok(())
            })
        })
    }
}
