//! The key by which a command line proves that a session is its own: made for one login, kept in a file that nobody
//! else can read, and gone with the session. It never leaves its file otherwise.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use model::{Entropy, EntropyError};
use zeroize::Zeroizing;

const SEED_BYTES: usize = 32;

/// An Ed25519 key pair (RFC 8032). It can be neither printed nor copied.
pub struct ProofKey {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; SEED_BYTES]>,
}

/// No key: each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ProofKeyError {
    /// The user's: others may read it.
    #[error("`{path}` has mode {mode:03o}, which lets others at it; run `chmod 600 {path}`")]
    Mode {
        /// The file.
        path: PathBuf,
        /// The mode it has.
        mode: u32,
    },
    /// Not a key, or a damaged one.
    #[error("`{0}` holds no key")]
    Malformed(PathBuf),
    /// The system refused.
    #[error("`{path}`: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Ours: no key without randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl ProofKey {
    /// A fresh key that lives as long as this value, until it is saved.
    ///
    /// # Errors
    /// [`ProofKeyError::Entropy`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, ProofKeyError> {
        let mut seed = Zeroizing::new([0_u8; SEED_BYTES]);
        entropy.fill(seed.as_mut())?;
        Self::of(seed).ok_or(ProofKeyError::Entropy(EntropyError))
    }

    /// Reads a key that was saved.
    ///
    /// # Errors
    /// [`ProofKeyError`]: others may read it, or it is none.
    pub fn load(path: &Path) -> Result<Self, ProofKeyError> {
        let io = |error| ProofKeyError::Io { path: path.into(), error };
        let mut file = fs::File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if meta.mode() & 0o077 != 0 {
            return Err(ProofKeyError::Mode { path: path.into(), mode: meta.mode() & 0o777 });
        }
        if meta.len() != SEED_BYTES as u64 {
            return Err(ProofKeyError::Malformed(path.into()));
        }
        let mut seed = Zeroizing::new([0_u8; SEED_BYTES]);
        file.read_exact(seed.as_mut()).map_err(io)?;
        Self::of(seed).ok_or_else(|| ProofKeyError::Malformed(path.into()))
    }

    /// Saves the key with mode 0600, whole or not at all, in place of the one that was there.
    ///
    /// # Errors
    /// [`ProofKeyError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), ProofKeyError> {
        let beside = path.with_extension(format!("new-{}", std::process::id()));
        let _absent = fs::remove_file(&beside);
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(self.seed.as_ref())?;
            file.sync_all()?;
            fs::rename(&beside, path)
        })();
        written.map_err(|error| ProofKeyError::Io { path: path.into(), error })
    }

    /// The public half, 32 bytes.
    pub fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The signature of a message, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    fn of(seed: Zeroizing<[u8; SEED_BYTES]>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).ok()?;
        Some(Self { pair, seed })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{PublicKey, SignatureAlgorithm, SystemEntropy};

    #[test]
    fn it_signs_before_and_after_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.key");
        let key = ProofKey::generate(&SystemEntropy).unwrap();
        key.save(&path).unwrap();
        ProofKey::generate(&SystemEntropy).unwrap().save(&folder.path().join("other")).unwrap();
        let again = ProofKey::load(&path).unwrap();
        assert_eq!(key.public(), again.public());
        let public = PublicKey::ed25519(again.public()).unwrap();
        assert!(public.verifies(SignatureAlgorithm::Ed25519, b"said", &again.sign(b"said")));
        assert!(!public.verifies(SignatureAlgorithm::Ed25519, b"other", &again.sign(b"said")));
        let other = ProofKey::load(&folder.path().join("other")).unwrap();
        assert!(!public.verifies(SignatureAlgorithm::Ed25519, b"said", &other.sign(b"said")));
    }

    #[test]
    fn what_others_may_read_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.key");
        assert!(matches!(ProofKey::load(&path), Err(ProofKeyError::Io { .. })));
        ProofKey::generate(&SystemEntropy).unwrap().save(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(ProofKey::load(&path), Err(ProofKeyError::Mode { mode: 0o640, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, [1; 31]).unwrap();
        assert!(matches!(ProofKey::load(&path), Err(ProofKeyError::Malformed(_))));
    }
}
