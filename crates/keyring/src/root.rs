//! The root key: from a file that nobody else can read, or from a passphrase. It wraps keys and nothing
//! else; it never takes a file that others could have read, and never guesses.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use model::{Entropy, EntropyError};
use zeroize::Zeroizing;

use crate::{
    KdfError, KdfParams, SystemEntropy,
    envelope::{Aead, KEY_BYTES, KeyBytes, derive},
};

/// The key under which all others lie. 256 bits; wiped when dropped; it can be neither printed nor copied.
pub struct RootKey {
    pub(crate) wrap: Aead,
    check: KeyBytes,
}

/// No root key: each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The operator's: a symbolic link could point anywhere.
    #[error("`{0}` is a symbolic link; give the path of the root key file itself")]
    Symlink(PathBuf),
    /// The operator's: a folder, a device or a socket.
    #[error("`{0}` is not a regular file; give the path of the root key file")]
    NotAFile(PathBuf),
    /// The operator's: not a folder.
    #[error("`{0}` is not a folder; the root key file needs a folder of its own")]
    NotAFolder(PathBuf),
    /// The operator's: others may read or write it.
    #[error("`{path}` has mode {mode:04o}, which lets others at it; run `chmod {want:04o} {path}`")]
    Mode {
        /// The file or folder.
        path: PathBuf,
        /// The mode it has.
        mode: u32,
        /// The widest mode it may have.
        want: u32,
    },
    /// The operator's: it belongs to somebody else.
    #[error("`{path}` belongs to user {owner}; run `chown {me} {path}` or run as that user")]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// The user id it belongs to.
        owner: u32,
        /// The user id of this process.
        me: u32,
    },
    /// The operator's: a second name of the same file may lie where others can read it.
    #[error("`{0}` has more than one hard link; copy it to a file of its own")]
    Linked(PathBuf),
    /// Not a root key, or a damaged one.
    #[error("`{path}` has {bytes} bytes where a root key has 32; restore it from a backup")]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The operator's: [`RootKey::load`] creates none.
    #[error("`{0}` is not there; restore the root key from a backup, nothing opens without it")]
    Missing(PathBuf),
    /// The passphrase or its parameters were refused.
    #[error(transparent)]
    Kdf(#[from] KdfError),
    /// Ours: no key without randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The system refused.
    #[error("`{path}`: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The root key is not the one under which this data was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not the root key of this data; give the right root key file or passphrase, nothing was changed"
)]
pub struct WrongRoot;

impl RootKey {
    /// Reads the root key, or makes one of 32 random bytes where no file is: mode 0600, in a folder of mode
    /// 0700 (made if it is not there), written whole and synced before it has its name.
    ///
    /// # Errors
    /// [`RootError`]; nothing that is already there is changed.
    pub fn load_or_create(path: &Path) -> Result<Self, RootError> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match fs::symlink_metadata(folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
            }
            _ => check_folder(folder)?,
        }
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => create(folder, path)?,
            _ => {}
        }
        Self::load(path)
    }

    /// Reads the root key and makes none.
    ///
    /// # Errors
    /// [`RootError`] if it is not there, or its file or folder is open to others.
    pub fn load(path: &Path) -> Result<Self, RootError> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = open(path)?;
        check_folder(folder)?;
        let meta = file.metadata().map_err(at(path))?;
        if !meta.is_file() {
            return Err(RootError::NotAFile(path.into()));
        }
        check_mode(path, &meta, 0o600)?;
        if meta.nlink() != 1 {
            return Err(RootError::Linked(path.into()));
        }
        if meta.len() != KEY_BYTES as u64 {
            return Err(RootError::Length { path: path.into(), bytes: meta.len() });
        }
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        file.read_exact(bytes.as_mut()).map_err(at(path))?;
        Ok(Self::from_bytes(&bytes))
    }

    /// The root key of a passphrase. The parameters are public and stored beside the data; the passphrase is
    /// the caller's to wipe. Takes about a tenth of a second and `params.memory_kib` of memory, by design.
    ///
    /// # Errors
    /// [`RootError::Kdf`] if the passphrase is shorter than 12 bytes, or the parameters are out of bounds.
    pub fn from_passphrase(passphrase: &str, params: &KdfParams) -> Result<Self, RootError> {
        Ok(Self::from_bytes(&params.stretch(passphrase.as_bytes())?))
    }

    /// A root key that lives as long as this value: for tests and for a demonstration that keeps nothing.
    ///
    /// # Errors
    /// If the source of randomness fails.
    pub fn ephemeral(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        entropy.fill(bytes.as_mut())?;
        Ok(Self::from_bytes(&bytes))
    }

    pub(crate) fn from_bytes(bytes: &KeyBytes) -> Self {
        Self {
            wrap: Aead::new(&derive(bytes, b"casemate/root/wrap/1")),
            check: derive(bytes, b"casemate/root/check/1"),
        }
    }

    /// The public value by which this root key is recognised; it is kept beside the data.
    pub fn check_value(&self) -> [u8; 32] {
        *crate::sha256(self.check.as_ref()).as_bytes()
    }

    /// Whether this root key is the one whose check value was kept.
    ///
    /// # Errors
    /// [`WrongRoot`] if it is not.
    pub fn verify(&self, kept: &[u8]) -> Result<(), WrongRoot> {
        if crate::constant_time_eq(&self.check_value(), kept) { Ok(()) } else { Err(WrongRoot) }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RootError + '_ {
    move |error| RootError::Io { path: path.into(), error }
}

fn open(path: &Path) -> Result<File, RootError> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let opened = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
    opened.map_err(|error| match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => RootError::Symlink(path.into()),
        Ok(meta) if !meta.is_file() => RootError::NotAFile(path.into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => RootError::Missing(path.into()),
        _ => RootError::Io { path: path.into(), error },
    })
}

fn check_folder(folder: &Path) -> Result<(), RootError> {
    let meta = fs::metadata(folder).map_err(at(folder))?;
    if !meta.is_dir() {
        return Err(RootError::NotAFolder(folder.into()));
    }
    check_mode(folder, &meta, 0o700)
}

fn check_mode(path: &Path, meta: &fs::Metadata, want: u32) -> Result<(), RootError> {
    let (mode, me) = (meta.mode() & 0o7777, rustix::process::geteuid().as_raw());
    if meta.uid() != me {
        return Err(RootError::Owner { path: path.into(), owner: meta.uid(), me });
    }
    if mode & !want != 0 {
        return Err(RootError::Mode { path: path.into(), mode, want });
    }
    Ok(())
}

/// Writes a new key under a temporary name, syncs it, and links it to its own name, which must be free.
fn create(folder: &Path, path: &Path) -> Result<(), RootError> {
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    SystemEntropy.fill(bytes.as_mut())?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = folder.join(name);
    let _ = fs::remove_file(&temporary);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes.as_ref())?;
        file.sync_all()?;
        match fs::hard_link(&temporary, path) {
            // Another process was first: its key is the key.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    })();
    let removed = fs::remove_file(&temporary);
    written.and(removed).map_err(at(path))?;
    File::open(folder).and_then(|f| f.sync_all()).map_err(at(folder))
}
