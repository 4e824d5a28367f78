//! All persistence behind one small trait: ordered keys, conditional atomic commit, watch, blobs by digest.
//! A tenant's plaintext never reaches a backend: what the platform holds is [`Sealed`] over one.

mod blobs;
#[cfg(test)]
mod conformance;
mod embedded;
mod handle;
mod key;
mod memory;
mod sealed;
mod watch;

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use model::{Digest, TenantId};

pub use embedded::{Candidate, Embedded, OpenError};
pub use handle::{Batch, SystemStore, TenantStore};
pub use key::{Key, Range, Space, Span};
pub use memory::{Faults, Memory};
pub use sealed::{OpenSealedError, Sealed, SealedBy, passphrase_params};
pub use watch::Watch;

/// The longest id of a key, in bytes.
pub const ID_BYTES_MAX: usize = 1024;
/// The longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 4 << 20;
/// The most values of one commit together, in bytes.
pub const COMMIT_BYTES_MAX: usize = 16 << 20;
/// The most checks and writes of one commit.
pub const COMMIT_OPS_MAX: usize = 4096;
/// The most rows of one page of a scan.
pub const PAGE_ROWS_MAX: usize = 4096;
/// A page of a scan ends after the row that takes it beyond these bytes.
pub const PAGE_BYTES_MAX: usize = 8 << 20;
/// The longest blob, in bytes.
pub const BLOB_BYTES_MAX: usize = 256 << 20;

/// How much longer than the maxima above a value or blob is when it is sealed, with room to spare.
const SEALED_SLACK_BYTES: usize = 64;

/// An answer on its way.
pub type Pending<'a, T, E = StoreError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Ordered keys with revisions, and blobs. Every backend passes the same conformance suite.
pub trait Store: Send + Sync + 'static {
    /// The value at a key, or none.
    fn get<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Entry>>;

    /// Up to `limit` rows of a range in order (at most [`PAGE_ROWS_MAX`] and about [`PAGE_BYTES_MAX`]).
    /// Each page is of one moment; two pages may be of two.
    fn scan<'a>(&'a self, range: &'a Range, limit: usize) -> Pending<'a, Page>;

    /// All writes or none, and only if every check holds: durable when answered. The answer is the commit's
    /// revision, which is larger than any before and becomes that of each key it puts. A future that is
    /// dropped may still have committed.
    fn commit(&self, commit: Commit) -> Pending<'_, u64, CommitError> {
        self.commit_sealed(commit, None)
    }

    /// The same, with each value made into what is kept once the revision is known. A commit whose values
    /// cannot be sealed fails and writes nothing.
    fn commit_sealed(&self, commit: Commit, seal: Option<Arc<dyn Seal>>) -> Pending<'_, u64, CommitError>;

    /// Tells of each commit from now on that writes within the range; several are told as the last of them.
    fn watch(&self, range: &Range) -> Watch;

    /// Keeps bytes under a name, durable when answered; what was under it is replaced. `None` is the system.
    fn put_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest, bytes: Bytes) -> Pending<'a, ()>;

    /// The bytes under a name, or none.
    fn get_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest) -> Pending<'a, Option<Bytes>>;

    /// Removes a blob; one that is not there is removed already.
    fn delete_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest) -> Pending<'a, ()>;
}

/// Makes of a value what a backend keeps: for one key, at one revision.
pub trait Seal: Send + Sync {
    /// What is kept.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be made; the commit then fails.
    fn seal(&self, key: &Key, value: &[u8], revision: u64) -> Result<Bytes, StoreError>;
}

/// The writes of a commit with their values sealed.
pub(crate) fn sealed_writes(
    seal: &dyn Seal,
    writes: &[Write],
    revision: u64,
) -> Result<Vec<Write>, StoreError> {
    let sealed = writes.iter().map(|write| match write {
        Write::Put(key, value) => Ok(Write::Put(key.clone(), seal.seal(key, value, revision)?)),
        Write::Delete(key) => Ok(Write::Delete(key.clone())),
    });
    sealed.collect()
}

/// A value and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// The revision of the commit that put it.
    pub revision: u64,
}

/// One row of a scan. Its tenant and space are those of the range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The id within the space.
    pub id: Vec<u8>,
    /// The value.
    pub value: Bytes,
    /// The revision of the commit that put it.
    pub revision: u64,
}

/// Rows in order, and where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// The rest of the range; none when the page reached its end.
    pub next: Option<Span>,
}

/// A condition of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The key.
    pub key: Key,
    /// The revision it must have; `None`: it must not be there.
    pub expect: Option<u64>,
}

/// One write of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Puts a value, whatever was there.
    Put(Key, Bytes),
    /// Removes a key, if it is there.
    Delete(Key),
}

impl Write {
    /// The key that it writes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// Checks and writes that hold together or not at all. Writes to one key apply in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// All of these must hold.
    pub checks: Vec<Check>,
    /// Then all of these are written.
    pub writes: Vec<Write>,
}

impl Commit {
    fn validate(&self, slack: usize) -> Result<(), StoreError> {
        let over = |what, max| Err(StoreError::TooLarge { what, max });
        if self.checks.len() + self.writes.len() > COMMIT_OPS_MAX {
            return over("a commit's count of checks and writes", COMMIT_OPS_MAX);
        }
        let mut keys = self.checks.iter().map(|c| &c.key).chain(self.writes.iter().map(Write::key));
        if keys.any(|key| key.id.len() > ID_BYTES_MAX) {
            return over("a key", ID_BYTES_MAX);
        }
        let mut sum = 0_usize;
        for write in &self.writes {
            if let Write::Put(_, value) = write {
                if value.len() > VALUE_BYTES_MAX + slack {
                    return over("a value", VALUE_BYTES_MAX);
                }
                sum += value.len().saturating_sub(slack);
            }
        }
        if sum > COMMIT_BYTES_MAX {
            return over("a commit", COMMIT_BYTES_MAX);
        }
        Ok(())
    }
}

/// The store could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The caller's: beyond a bound.
    #[error("{what} is larger than {max} allows")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The bound, in bytes or as a count.
        max: usize,
    },
    /// The caller's: the bytes are not those of their name.
    #[error("the blob's bytes are not those of `{0}`")]
    WrongDigest(Digest),
    /// The operator's: no space left. Nothing was written.
    #[error("the disk is full; free some space, then start the node again")]
    Full,
    /// The system's: nothing was written.
    #[error("the store failed: {0}")]
    Io(String),
    /// The system's: the write may or may not have been kept. Read before writing it again.
    #[error("the store failed in the middle of a write, which may or may not have been kept: {0}")]
    Unknown(String),
    /// An earlier write failed; nothing is written until the store is opened again.
    #[error("the store takes no writes since one failed; start the node again: {0}")]
    Stopped(String),
    /// What is stored is not what was written.
    #[error("the store is damaged: {0}; restore it from a backup")]
    Damaged(String),
    /// The owner has no key: it was never made, or it was destroyed.
    #[error("`{}` has no key: it does not exist, or its data was destroyed", owner_name(.0.as_ref()))]
    NoKey(Option<TenantId>),
    /// The name was used and its key destroyed. A name is never used twice.
    #[error("the tenant `{0}` was destroyed; choose another name")]
    Destroyed(TenantId),
    /// A value does not open in its place: altered, moved, or sealed with another key.
    #[error("the value at `{place}` does not open: {error}")]
    Unreadable {
        /// Tenant, space and the id in hex.
        place: String,
        /// Why.
        error: keyring::OpenError,
    },
    /// Ours: keys could not be made or opened.
    #[error(transparent)]
    Keys(#[from] keyring::KeysError),
    /// Ours: a value could not be sealed.
    #[error(transparent)]
    Seal(#[from] keyring::SealError),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

fn owner_name(owner: Option<&TenantId>) -> &str {
    owner.map_or("system", TenantId::as_str)
}

/// A commit was not made: because a check did not hold, or because the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The key does not have the revision that a check names. Nothing was written: read again, and decide.
    #[error("`{key}` was changed meanwhile")]
    Conflict {
        /// The key of the first check that did not hold.
        key: Key,
    },
    /// The store failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
}
