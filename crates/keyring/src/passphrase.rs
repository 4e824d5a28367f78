//! The public parameters by which a passphrase becomes a root key. It never keeps the passphrase.

use argon2::{Algorithm, Argon2, Params, Version};
use model::{Entropy, EntropyError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::envelope::{KEY_BYTES, KeyBytes};

/// How a passphrase is stretched: Argon2id, version 1.3 (RFC 9106). Not secret; stored beside the data, as
/// without the salt no passphrase opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KdfParams {
    /// Memory in KiB: 65,536 to 4,194,304.
    pub memory_kib: u32,
    /// Passes over that memory: 3 to 64.
    pub passes: u32,
    /// Lanes: 1 to 64.
    pub lanes: u32,
    /// 128 random bits.
    pub salt: [u8; 16],
}

/// No root key can be made of this passphrase and these parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KdfError {
    /// The operator's: too short to be worth stretching.
    #[error("the passphrase is shorter than {PASSPHRASE_BYTES_MIN} bytes; take a longer one")]
    PassphraseShort,
    /// The operator's: too long.
    #[error("the passphrase is longer than {PASSPHRASE_BYTES_MAX} bytes")]
    PassphraseLong,
    /// The stored parameters were altered or belong to another version.
    #[error("the passphrase parameter `{0}` is out of bounds; restore the record from a backup")]
    Bounds(&'static str),
    /// The stored parameters are not what was written.
    #[error("the record of the passphrase parameters is malformed; restore it from a backup")]
    Malformed,
    /// Ours: Argon2 refused, for want of memory say.
    #[error("stretching the passphrase failed: {0}")]
    Failed(String),
}

const PASSPHRASE_BYTES_MIN: usize = 12;
const PASSPHRASE_BYTES_MAX: usize = 1024;

impl KdfParams {
    /// RFC 9106 §4, second recommended option: 3 passes, 4 lanes, 64 MiB, and a fresh 128-bit salt.
    ///
    /// # Errors
    /// If the source of randomness fails.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut salt = [0_u8; 16];
        entropy.fill(&mut salt)?;
        Ok(Self { memory_kib: 65_536, passes: 3, lanes: 4, salt })
    }

    /// The public record of these parameters: JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`KdfParams::encode`] wrote.
    ///
    /// # Errors
    /// [`KdfError`] if it is no such record, or a parameter is out of bounds.
    pub fn decode(record: &[u8]) -> Result<Self, KdfError> {
        let params: Self = serde_json::from_slice(record).map_err(|_| KdfError::Malformed)?;
        params.check()?;
        Ok(params)
    }

    fn check(&self) -> Result<(), KdfError> {
        let within = [
            ("memory_kib", self.memory_kib, 65_536..=4_194_304),
            ("passes", self.passes, 3..=64),
            ("lanes", self.lanes, 1..=64),
        ];
        match within.into_iter().find(|(_, value, range)| !range.contains(value)) {
            Some((name, ..)) => Err(KdfError::Bounds(name)),
            None => Ok(()),
        }
    }

    pub(crate) fn stretch(&self, passphrase: &[u8]) -> Result<KeyBytes, KdfError> {
        self.check()?;
        if passphrase.len() < PASSPHRASE_BYTES_MIN {
            return Err(KdfError::PassphraseShort);
        }
        if passphrase.len() > PASSPHRASE_BYTES_MAX {
            return Err(KdfError::PassphraseLong);
        }
        let failed = |e: argon2::Error| KdfError::Failed(e.to_string());
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(KEY_BYTES)).map_err(failed)?;
        let mut out = Zeroizing::new([0_u8; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, &self.salt, out.as_mut())
            .map_err(failed)?;
        Ok(out)
    }
}
