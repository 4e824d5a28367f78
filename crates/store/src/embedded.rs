//! The store of one node: redb in a folder of its own, with group commit. It never acknowledges what is not
//! on the disk, never guesses after a failed write, and never changes a folder that it refuses.

mod candidate;
mod folder;
#[cfg(test)]
mod tests;
mod trial;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use model::{Digest, TenantId};
use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition, backends::FileBackend};
use tokio::sync::{mpsc, oneshot};

use crate::{
    BLOB_BYTES_MAX, Commit, CommitError, Entry, Key, Page, Pending, Range, SEALED_SLACK_BYTES, Seal, Store,
    StoreError, Watch,
    blobs::{Blobs, io_error},
    memory::fill,
    watch::Watchers,
};
pub use candidate::Candidate;
use folder::{BLOBS, Folder};
use writer::{Job, Writer};

/// Encoded key → revision (u64 LE) and value.
const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
/// `format` and `revision`.
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
const META_FORMAT: &str = "format";
const META_REVISION: &str = "revision";
const FORMAT: u64 = 2;

const CACHE_BYTES: usize = 64 << 20;
/// Commits that wait for the writer; more wait for a place.
const COMMITS_WAITING_MAX: usize = 1024;
const BLOB_JOBS_WAITING_MAX: usize = 64;
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// The folder cannot be the store's. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operator's: another node, or this one twice.
    #[error("`{0}` is in use by another node; stop that one, or choose another folder")]
    Locked(PathBuf),
    /// The operator's.
    #[error("`{0}` is not a folder; choose another")]
    NotAFolder(PathBuf),
    /// The operator's: a symbolic link could point anywhere.
    #[error("`{0}` is a symbolic link, which the store does not follow; put what it names in its place")]
    Symlink(PathBuf),
    /// The operator's: a folder, a device or a socket.
    #[error("`{0}` is not a regular file; choose another folder, or restore this one from a backup")]
    NotAFile(PathBuf),
    /// The operator's: others may read or write it.
    #[error("`{path}` has mode {mode:04o}, which lets others at it; run `chmod 0700 {path}`")]
    Mode {
        /// The folder.
        path: PathBuf,
        /// The mode it has.
        mode: u32,
    },
    /// The operator's: it belongs to somebody else.
    #[error("`{path}` belongs to user {owner}; run as that user, or choose another folder")]
    Owner {
        /// The folder.
        path: PathBuf,
        /// The user id it belongs to.
        owner: u32,
    },
    /// The operator's: something else lives there.
    #[error("`{path}` holds `{found}` and no store; choose an empty folder or one that does not exist")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The name of what is in it.
        found: String,
    },
    /// The operator's: written by another version.
    #[error("`{path}` has the format {found}, this version reads {FORMAT}; use the version that wrote it")]
    Version {
        /// The folder.
        path: PathBuf,
        /// The format it has.
        found: u64,
    },
    /// The disk's, or somebody's: not what was written.
    #[error("`{path}` is damaged: {detail}; restore it from a backup")]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The system refused.
    #[error("`{path}`: {error}; {}", advice(.error))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

fn advice(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::PermissionDenied => "run as the user that owns it, or choose another folder",
        ErrorKind::ReadOnlyFilesystem => "mount it writable, or choose another folder",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space, then start again",
        _ => "check the disk and the folder, then start again",
    }
}

type BlobJob = Box<dyn FnOnce(&Blobs) + Send>;

/// The store of one node, in a folder that only this process has open. Dropped, it finishes what it was
/// told and closes.
pub struct Embedded {
    db: Arc<Database>,
    watchers: Arc<Watchers>,
    commits: Option<mpsc::Sender<Job>>,
    blobs: Option<mpsc::Sender<BlobJob>>,
    threads: Vec<JoinHandle<()>>,
    /// The lock on the folder, held to the end.
    _folder: Folder,
}

impl Embedded {
    /// Opens the store in a folder, or makes one where nothing is. The folder (mode 0700) is the store's
    /// alone. Opening reads all rows to verify their checksums. Blocks: call it outside of async code.
    ///
    /// # Errors
    /// [`OpenError`], each saying what to do; a folder that is refused is left as it was.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Candidate::examine(path)?.open()
    }

    fn start<B: StorageBackend>(
        folder: Folder,
        revision: u64,
        wrap: &impl Fn(FileBackend) -> B,
    ) -> Result<Self, OpenError> {
        let path = folder.path();
        let db = patiently(|| folder.database(wrap))?;
        let at = path.join(BLOBS);
        let blobs = Blobs::open(at.clone()).map_err(|error| OpenError::Io { path: at, error })?;
        let (db, watchers) = (Arc::new(db), Arc::new(Watchers::default()));
        let (commits, inbox) = mpsc::channel(COMMITS_WAITING_MAX);
        let writer = Writer::new(db.clone(), watchers.clone(), revision);
        let (blob_jobs, mut blob_inbox) = mpsc::channel::<BlobJob>(BLOB_JOBS_WAITING_MAX);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(work);
            thread.map_err(|error| OpenError::Io { path: path.into(), error })
        };
        let threads = vec![
            spawn("store-writer", Box::new(move || writer.run(inbox)))?,
            spawn(
                "store-blobs",
                Box::new(move || {
                    while let Some(job) = blob_inbox.blocking_recv() {
                        job(&blobs);
                    }
                }),
            )?,
        ];
        let (commits, blobs) = (Some(commits), Some(blob_jobs));
        Ok(Self { db, watchers, commits, blobs, threads, _folder: folder })
    }

    async fn blob<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Blobs) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: BlobJob = Box::new(move |blobs| drop(answer.send(work(blobs))));
        let inbox = self.blobs.as_ref().ok_or(StoreError::Closed)?;
        inbox.send(job).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

fn read(db: &Database, key: &Key) -> Result<Option<Entry>, StoreError> {
    let table = db.begin_read().map_err(failed)?.open_table(ROWS).map_err(failed)?;
    let found = table.get(key.encode().as_slice()).map_err(failed)?;
    found.map(|row| split(row.value())).transpose()
}

fn page(db: &Database, range: &Range, limit: usize) -> Result<Page, StoreError> {
    let (low, high) = range.bounds();
    let table = db.begin_read().map_err(failed)?.open_table(ROWS).map_err(failed)?;
    let mut rows = table.range(low.as_slice()..high.as_slice()).map_err(failed)?;
    let rows = std::iter::from_fn(|| if range.span.descending { rows.next_back() } else { rows.next() });
    let rows = rows.map(|row| {
        let (key, value) = row.map_err(failed)?;
        let entry = split(value.value())?;
        Ok((range.id_of(key.value()).to_vec(), entry.value, entry.revision))
    });
    fill(range, limit, rows)
}

/// Tries again for a moment where the lock is taken: by a node that is just ending, or by a child process of
/// this one between its fork and its exec.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match attempt() {
            Err(OpenError::Locked(_)) if tries < LOCK_TRIES => std::thread::sleep(LOCK_PAUSE),
            done => return done,
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        (self.commits, self.blobs) = (None, None);
        for thread in self.threads.drain(..) {
            // A thread that panicked has told those who waited for it, and there is nothing left to save.
            let _ = thread.join();
        }
    }
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => io_error(&error),
        redb::Error::Corrupted(detail) => StoreError::Damaged(detail),
        other => StoreError::Io(other.to_string()),
    }
}

fn revision_of(row: &[u8]) -> Result<(u64, &[u8]), StoreError> {
    let (revision, value) =
        row.split_first_chunk::<8>().ok_or_else(|| StoreError::Damaged("a row has no revision".into()))?;
    Ok((u64::from_le_bytes(*revision), value))
}

fn split(row: &[u8]) -> Result<Entry, StoreError> {
    let (revision, value) = revision_of(row)?;
    Ok(Entry { value: Bytes::copy_from_slice(value), revision })
}

impl Store for Embedded {
    fn get<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Entry>> {
        Box::pin(async move { read(&self.db, key) })
    }

    fn scan<'a>(&'a self, range: &'a Range, limit: usize) -> Pending<'a, Page> {
        Box::pin(async move { page(&self.db, range, limit) })
    }

    fn commit_sealed(&self, commit: Commit, seal: Option<Arc<dyn Seal>>) -> Pending<'_, u64, CommitError> {
        Box::pin(async move {
            commit.validate(SEALED_SLACK_BYTES)?;
            let (answer, answered) = oneshot::channel();
            let inbox = self.commits.as_ref().ok_or(StoreError::Closed)?;
            inbox.send(Job { commit, seal, answer }).await.map_err(|_| StoreError::Closed)?;
            answered.await.map_err(|_| StoreError::Unknown("the writer ended".into()))?
        })
    }

    fn watch(&self, range: &Range) -> Watch {
        self.watchers.add(range)
    }

    fn put_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest, bytes: Bytes) -> Pending<'a, ()> {
        Box::pin(async move {
            if bytes.len() > BLOB_BYTES_MAX + SEALED_SLACK_BYTES {
                return Err(StoreError::TooLarge { what: "a blob", max: BLOB_BYTES_MAX });
            }
            let owner = owner.cloned();
            self.blob(move |blobs| blobs.put(owner.as_ref(), name, &bytes)).await
        })
    }

    fn get_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest) -> Pending<'a, Option<Bytes>> {
        let owner = owner.cloned();
        Box::pin(self.blob(move |blobs| blobs.get(owner.as_ref(), name)))
    }

    fn delete_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest) -> Pending<'a, ()> {
        let owner = owner.cloned();
        Box::pin(self.blob(move |blobs| blobs.delete(owner.as_ref(), name)))
    }
}
