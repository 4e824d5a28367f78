//! Blobs as files named by digest, each written whole under a temporary name, synced, then renamed. It never
//! leaves half a blob under its name.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use model::{Digest, TenantId};

use crate::{BLOB_BYTES_MAX, SEALED_SLACK_BYTES, StoreError};

/// No tenant is called so: the system's folder.
const SYSTEM: &str = "_system";
/// No digest starts so: a blob that is being written.
const TEMPORARY: &str = ".new-";

/// The folder of blobs: `OWNER/HEX`.
#[derive(Debug)]
pub(crate) struct Blobs {
    folder: PathBuf,
}

pub(crate) fn io_error(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Io(error.to_string()),
    }
}

impl Blobs {
    /// Opens the folder, made if it is not there, and removes what an earlier process did not finish.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        make_folder(&folder)?;
        for owner in fs::read_dir(&folder)? {
            let owner = owner?;
            if !owner.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(owner.path())? {
                let file = file?;
                if file.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
                    fs::remove_file(file.path())?;
                }
            }
        }
        Ok(Self { folder })
    }

    fn owner(&self, owner: Option<&TenantId>) -> PathBuf {
        self.folder.join(owner.map_or(SYSTEM, TenantId::as_str))
    }

    pub(crate) fn put(&self, owner: Option<&TenantId>, name: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let folder = self.owner(owner);
        let temporary = folder.join(format!("{TEMPORARY}{}", name.hex()));
        let written = (|| {
            if make_folder(&folder)? {
                sync_folder(&self.folder)?;
            }
            // Puts come one at a time, so that what lies under the temporary name is nobody's.
            let _ = fs::remove_file(&temporary);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, folder.join(name.hex()))?;
            sync_folder(&folder)
        })();
        written.map_err(|error: io::Error| {
            let _ = fs::remove_file(&temporary);
            io_error(&error)
        })
    }

    pub(crate) fn get(&self, owner: Option<&TenantId>, name: Digest) -> Result<Option<Bytes>, StoreError> {
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
        let path = self.owner(owner).join(name.hex());
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(StoreError::Damaged(format!("the blob `{name}` is a symbolic link")));
            }
            other => other.map_err(|e| io_error(&e))?,
        };
        let most = BLOB_BYTES_MAX + SEALED_SLACK_BYTES;
        let meta = file.metadata().map_err(|e| io_error(&e))?;
        let length = meta.len();
        if !meta.is_file() {
            return Err(StoreError::Damaged(format!("the blob `{name}` is not a regular file")));
        }
        if length > most as u64 {
            return Err(StoreError::Damaged(format!("the blob `{name}` has {length} bytes")));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(most as u64).read_to_end(&mut bytes).map_err(|e| io_error(&e))?;
        Ok(Some(bytes.into()))
    }

    pub(crate) fn delete(&self, owner: Option<&TenantId>, name: Digest) -> Result<(), StoreError> {
        let folder = self.owner(owner);
        match fs::remove_file(folder.join(name.hex())) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.and_then(|()| sync_folder(&folder)).map_err(|e| io_error(&e)),
        }
    }
}

/// Makes a folder that only its owner may enter; whether it was not there.
pub(crate) fn make_folder(folder: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
