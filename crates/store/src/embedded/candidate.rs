//! A folder before it is opened: locked, verified and read in memory, so that whatever is wrong with it is
//! known while it is still as it was. It never changes a byte of the folder before [`Candidate::open`].

use std::path::{Path, PathBuf};

use redb::{Database, StorageBackend, backends::FileBackend};

use super::{Embedded, OpenError, folder::Folder, page, patiently, read};
use crate::{Entry, Key, Page, Range, StoreError};

/// A folder that can become a store. While this lives, no other process opens the folder.
pub struct Candidate {
    path: PathBuf,
    /// None: nothing is there yet.
    folder: Option<Folder>,
    /// The rows, as opening would find them; none: there is no database yet.
    trial: Option<Database>,
    revision: u64,
}

impl Candidate {
    /// Locks and verifies what is in a folder; a folder that is not there is made later. Reads every page.
    /// Blocks: call it outside of async code.
    ///
    /// # Errors
    /// [`OpenError`], each saying what to do; a folder that is refused is left as it was.
    pub fn examine(path: &Path) -> Result<Self, OpenError> {
        let path = path.to_owned();
        let Some(folder) = patiently(|| Folder::claim(&path))? else {
            return Ok(Self { path, folder: None, trial: None, revision: 0 });
        };
        let (trial, revision) = folder.try_out()?.unzip();
        Ok(Self { path, folder: Some(folder), trial, revision: revision.unwrap_or(0) })
    }

    /// Opens the store, or makes one where nothing was.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(self) -> Result<Embedded, OpenError> {
        self.open_on(|file| file)
    }

    pub(super) fn open_on<B: StorageBackend>(
        self,
        wrap: impl Fn(FileBackend) -> B,
    ) -> Result<Embedded, OpenError> {
        drop(self.trial);
        let folder = match self.folder {
            Some(folder) => folder,
            None => patiently(|| Folder::make(&self.path))?,
        };
        Embedded::start(folder, self.revision, &wrap)
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.trial.as_ref().map_or(Ok(None), |db| read(db, key))
    }

    pub(crate) fn scan(&self, range: &Range, limit: usize) -> Result<Page, StoreError> {
        self.trial.as_ref().map_or(Ok(Page::default()), |db| page(db, range, limit))
    }
}
