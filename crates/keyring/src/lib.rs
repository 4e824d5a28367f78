//! The only holder of key bytes: root → tenant → purpose, seal, open, rotate, destroy; and the house's hash
//! and generator; and the check of what others sign. It never prints, copies or serialises a key, and no other
//! crate can name a key's bytes.

mod envelope;
mod hash;
mod passphrase;
mod proof;
mod root;
mod tenant;
#[cfg(test)]
mod tests;
mod verify;

pub use envelope::{ENVELOPE_OVERHEAD_BYTES, MAC_BYTES, OpenError, Place, PurposeKey, SealError};
pub use hash::{Sha256, SystemEntropy, constant_time_eq, sha256};
pub use passphrase::{KdfError, KdfParams};
pub use proof::{ProofKey, ProofKeyError};
pub use root::{RootError, RootKey, WrongRoot};
pub use tenant::{KeysError, Purpose, TenantKeys};
pub use verify::{PublicKey, PublicKeyError, SharedKey, SignatureAlgorithm, sha512};
