//! The folder of an embedded store: whose it is, whether it may be opened, its first file. It never changes
//! a folder before it knows that the folder is the store's.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError, backends::FileBackend,
};

use super::{CACHE_BYTES, FORMAT, META, META_FORMAT, META_REVISION, OpenError, ROWS, trial::Trial};
use crate::blobs::sync_folder;

pub(super) const FILE: &str = "data.redb";
/// The file while it is made: it gets its name when it is whole.
const FILE_NEW: &str = "data.redb.new";
pub(super) const BLOBS: &str = "blobs";

/// A folder with the lock on it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// INVARIANT: the lock (`flock` on the folder itself) is held as long as this is.
    _lock: File,
}

impl Folder {
    /// Checks that nobody else may enter the folder, and locks it; none if nothing is there.
    pub(super) fn claim(path: &Path) -> Result<Option<Self>, OpenError> {
        let at = |error| OpenError::Io { path: path.into(), error };
        let meta = match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(at)?,
        };
        if meta.is_symlink() {
            return Err(OpenError::Symlink(path.into()));
        }
        if !meta.is_dir() {
            return Err(OpenError::NotAFolder(path.into()));
        }
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(OpenError::Owner { path: path.into(), owner: meta.uid() });
        }
        if meta.mode() & 0o077 != 0 {
            return Err(OpenError::Mode { path: path.into(), mode: meta.mode() & 0o7777 });
        }
        let lock = File::open(path).map_err(at)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.into(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.into())),
            Err(TryLockError::Error(error)) => Err(at(error)),
        }
    }

    /// Makes the folder, and locks it.
    pub(super) fn make(path: &Path) -> Result<Self, OpenError> {
        let at = |error| OpenError::Io { path: path.into(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at)?;
        let gone = || at(io::ErrorKind::NotFound.into());
        Self::claim(path)?.ok_or_else(gone)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The database as it would be opened (verified, and repaired after a crash) and its newest revision, all
    /// in memory: what cannot be opened is left as it was found. None if there is none, and nothing else.
    pub(super) fn try_out(&self) -> Result<Option<(Database, u64)>, OpenError> {
        let file = self.path.join(FILE);
        let length = match fs::symlink_metadata(&file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.check_empty()?;
                return Ok(None);
            }
            Err(error) => return Err(OpenError::Io { path: file, error }),
            Ok(meta) if meta.is_symlink() => return Err(OpenError::Symlink(file)),
            Ok(meta) if !meta.is_file() => return Err(OpenError::NotAFile(file)),
            Ok(meta) => meta.len(),
        };
        if length == 0 {
            return Err(self.damaged("the file is empty"));
        }
        self.check_blobs()?;
        // Opened as it will be, so that a lack of permission shows before anything is changed.
        let trial = self.open_file(&file).and_then(Trial::new);
        let db = self.open(trial.map_err(|error| OpenError::Io { path: file, error })?, true)?;
        let revision = self.read_meta(&db)?;
        Ok(Some((db, revision)))
    }

    /// Opens the database that was tried out, or makes the first one.
    pub(super) fn database<B: StorageBackend>(
        &self,
        wrap: &impl Fn(FileBackend) -> B,
    ) -> Result<Database, OpenError> {
        let file = self.path.join(FILE);
        if !file.try_exists().map_err(|error| self.io(error))? {
            self.create()?;
        }
        let opened = self.open_file(&file).map_err(|e| self.io(e))?;
        self.open(wrap(FileBackend::new(opened).map_err(|e| self.refused(e))?), false)
    }

    fn open_file(&self, file: &Path) -> io::Result<File> {
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(file)
    }

    /// Folders of blobs are followed when they are written: they must not lead elsewhere.
    fn check_blobs(&self) -> Result<(), OpenError> {
        let blobs = self.path.join(BLOBS);
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| OpenError::Io { path, error }
        };
        match fs::symlink_metadata(&blobs) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(OpenError::Io { path: blobs, error }),
            Ok(meta) if meta.is_symlink() => return Err(OpenError::Symlink(blobs)),
            Ok(meta) if !meta.is_dir() => return Err(OpenError::NotAFolder(blobs)),
            Ok(_) => {}
        }
        for owner in fs::read_dir(&blobs).map_err(at(&blobs))? {
            let owner = owner.map_err(at(&blobs))?;
            if owner.file_type().map_err(at(&blobs))?.is_symlink() {
                return Err(OpenError::Symlink(owner.path()));
            }
        }
        Ok(())
    }

    /// What a start that was broken off leaves may be there, and nothing else.
    fn check_empty(&self) -> Result<(), OpenError> {
        let io = |error| self.io(error);
        for entry in fs::read_dir(&self.path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let empty = || fs::read_dir(entry.path()).is_ok_and(|mut inner| inner.next().is_none());
            match name.as_str() {
                FILE_NEW => {}
                BLOBS if empty() => {}
                BLOBS => return Err(self.damaged("the file is missing, though there are blobs")),
                _ => return Err(OpenError::Foreign { path: self.path.clone(), found: name }),
            }
        }
        Ok(())
    }

    fn create(&self) -> Result<(), OpenError> {
        let (new, file) = (self.path.join(FILE_NEW), self.path.join(FILE));
        let io = |error| self.io(error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let opened = options.open(&new).map_err(io)?;
        let db = self.open(FileBackend::new(opened).map_err(|e| self.refused(e))?, false)?;
        let made = (|| -> Result<(), redb::Error> {
            let txn = db.begin_write()?;
            txn.open_table(ROWS)?;
            let mut meta = txn.open_table(META)?;
            meta.insert(META_FORMAT, FORMAT)?;
            meta.insert(META_REVISION, 0)?;
            drop(meta);
            Ok(txn.commit()?)
        })();
        made.map_err(|e| self.io(io::Error::other(e.to_string())))?;
        drop(db);
        File::open(&new).and_then(|f| f.sync_all()).map_err(io)?;
        fs::rename(&new, &file).and_then(|()| sync_folder(&self.path)).map_err(io)
    }

    /// What redb cannot make sense of, it may panic on.
    fn open(&self, backend: impl StorageBackend, verify: bool) -> Result<Database, OpenError> {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(verify);
            builder.create_with_backend(backend)
        }));
        match opened {
            Ok(opened) => opened.map_err(|error| self.refused(error)),
            Err(_) => Err(self.damaged("its pages make no sense")),
        }
    }

    fn read_meta(&self, db: &Database) -> Result<u64, OpenError> {
        let read = (|| -> Result<_, redb::Error> {
            let txn = db.begin_read()?;
            txn.open_table(ROWS)?;
            let meta = txn.open_table(META)?;
            let value = |name| Ok::<_, redb::Error>(meta.get(name)?.map(|v| v.value()));
            Ok((value(META_FORMAT)?, value(META_REVISION)?))
        })();
        match read {
            Ok((Some(FORMAT), Some(revision))) => Ok(revision),
            Ok((Some(found), _)) if found != FORMAT => {
                Err(OpenError::Version { path: self.path.clone(), found })
            }
            Ok(_) => Err(self.damaged("it has no format record")),
            Err(redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. }) => {
                Err(self.foreign(FILE))
            }
            Err(error) => Err(self.damaged(&error.to_string())),
        }
    }

    fn refused(&self, error: DatabaseError) -> OpenError {
        match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::Locked(self.path.clone()),
            DatabaseError::Storage(StorageError::Io(e)) => match e.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => self.damaged(&e.to_string()),
                _ => self.io(e),
            },
            other => self.damaged(&other.to_string()),
        }
    }

    fn foreign(&self, found: &str) -> OpenError {
        OpenError::Foreign { path: self.path.clone(), found: found.into() }
    }

    fn damaged(&self, detail: &str) -> OpenError {
        OpenError::Damaged { path: self.path.join(FILE), detail: detail.into() }
    }

    fn io(&self, error: io::Error) -> OpenError {
        OpenError::Io { path: self.path.clone(), error }
    }
}
