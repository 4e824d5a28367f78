//! The one thread that writes: it takes all commits that wait, applies each with its checks, and syncs once
//! for all of them. It never answers before the sync, and never writes again after a failure.

use std::sync::Arc;

use redb::{Database, ReadableTable, Table};
use tokio::sync::{mpsc, oneshot};

use super::{META, META_REVISION, ROWS, failed, revision_of};
use crate::{Check, Commit, CommitError, Seal, StoreError, Write, sealed_writes, watch::Watchers};

/// No group holds more commits.
const GROUP_COMMITS_MAX: usize = 1024;
/// A group that has reached this many bytes takes no more commits.
const GROUP_BYTES_MAX: usize = 32 << 20;

/// A commit and who waits for it.
pub(super) struct Job {
    pub(super) commit: Commit,
    pub(super) seal: Option<Arc<dyn Seal>>,
    pub(super) answer: oneshot::Sender<Result<u64, CommitError>>,
}

pub(super) struct Writer {
    db: Arc<Database>,
    watchers: Arc<Watchers>,
    revision: u64,
    /// Why nothing is written any more.
    stopped: Option<String>,
}

/// A commit that was applied within a transaction: its revision, and the keys that it wrote.
struct Applied {
    revision: u64,
    keys: Vec<Vec<u8>>,
}

impl Writer {
    pub(super) fn new(db: Arc<Database>, watchers: Arc<Watchers>, revision: u64) -> Self {
        Self { db, watchers, revision, stopped: None }
    }

    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Job>) {
        while let Some(first) = inbox.blocking_recv() {
            let mut bytes = size(&first.commit);
            let mut group = vec![first];
            while group.len() < GROUP_COMMITS_MAX && bytes < GROUP_BYTES_MAX {
                let Ok(job) = inbox.try_recv() else { break };
                bytes += size(&job.commit);
                group.push(job);
            }
            self.write(group);
        }
    }

    fn write(&mut self, group: Vec<Job>) {
        let done = match &self.stopped {
            Some(why) => Err(StoreError::Stopped(why.clone())),
            None => self.apply_all(&group).inspect_err(|error| {
                tracing::error!(%error, "the store takes no more writes");
                self.stopped = Some(error.to_string());
            }),
        };
        match done {
            Ok(outcomes) => {
                for (job, outcome) in group.into_iter().zip(outcomes) {
                    let told = outcome.map(|applied| {
                        self.watchers.tell(&applied.keys, applied.revision);
                        applied.revision
                    });
                    // Who no longer waits has the commit all the same.
                    let _ = job.answer.send(told);
                }
            }
            Err(error) => {
                for job in group {
                    let _ = job.answer.send(Err(error.clone().into()));
                }
            }
        }
    }

    /// One transaction for the group: each commit is applied whole or not at all, in the order of arrival.
    fn apply_all(&mut self, group: &[Job]) -> Result<Vec<Result<Applied, CommitError>>, StoreError> {
        let txn = self.db.begin_write().map_err(failed)?;
        let mut revision = self.revision;
        let mut outcomes = Vec::with_capacity(group.len());
        {
            let mut rows = txn.open_table(ROWS).map_err(failed)?;
            for job in group {
                if let Some(check) = first_conflict(&rows, &job.commit)? {
                    outcomes.push(Err(CommitError::Conflict { key: check.key.clone() }));
                    continue;
                }
                let next = revision + 1;
                let sealed = job.seal.as_ref().map(|seal| sealed_writes(&**seal, &job.commit.writes, next));
                outcomes.push(match sealed.transpose() {
                    Ok(sealed) => {
                        revision = next;
                        let writes = sealed.as_ref().unwrap_or(&job.commit.writes);
                        Ok(Applied { revision, keys: apply(&mut rows, writes, revision)? })
                    }
                    // This one alone: nothing of it was written.
                    Err(error) => Err(error.into()),
                });
            }
            let mut meta = txn.open_table(META).map_err(failed)?;
            meta.insert(META_REVISION, revision).map_err(failed)?;
        }
        if revision == self.revision {
            // Nothing but conflicts, each against what is durable already.
            txn.abort().map_err(failed)?;
            return Ok(outcomes);
        }
        // From here on the disk alone knows.
        txn.commit().map_err(|error| StoreError::Unknown(error.to_string()))?;
        self.revision = revision;
        Ok(outcomes)
    }
}

fn size(commit: &Commit) -> usize {
    let value = |write: &Write| match write {
        Write::Put(_, value) => value.len(),
        Write::Delete(_) => 0,
    };
    commit.writes.iter().map(value).sum()
}

fn first_conflict<'c>(
    rows: &Table<'_, &[u8], &[u8]>,
    commit: &'c Commit,
) -> Result<Option<&'c Check>, StoreError> {
    for check in &commit.checks {
        let found = rows.get(check.key.encode().as_slice()).map_err(failed)?;
        let found = found.map(|row| revision_of(row.value()).map(|(revision, _)| revision)).transpose()?;
        if found != check.expect {
            return Ok(Some(check));
        }
    }
    Ok(None)
}

fn apply(
    rows: &mut Table<'_, &[u8], &[u8]>,
    writes: &[Write],
    revision: u64,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut keys = Vec::with_capacity(writes.len());
    for write in writes {
        let key = write.key().encode();
        match write {
            Write::Put(_, value) => {
                let mut row = rows.insert_reserve(key.as_slice(), value.len() + 8).map_err(failed)?;
                let (head, body) = row.as_mut().split_at_mut(8);
                head.copy_from_slice(&revision.to_le_bytes());
                body.copy_from_slice(value);
            }
            Write::Delete(_) => drop(rows.remove(key.as_slice()).map_err(failed)?),
        }
        keys.push(key);
    }
    Ok(keys)
}
