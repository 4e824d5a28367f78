//! SHA-256, the system's generator and a comparison that takes the same time. It never holds a key.

use aws_lc_rs::{constant_time, digest, rand};
use model::{Digest, Entropy, EntropyError};

/// The SHA-256 digest (FIPS 180-4) of `bytes`.
pub fn sha256(bytes: &[u8]) -> Digest {
    to_digest(&digest::digest(&digest::SHA256, bytes))
}

fn to_digest(found: &digest::Digest) -> Digest {
    let mut out = [0_u8; 32];
    out.iter_mut().zip(found.as_ref()).for_each(|(to, from)| *to = *from);
    Digest::from_bytes(out)
}

/// SHA-256 of bytes that come in pieces.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes taken.
    pub fn finish(self) -> Digest {
        to_digest(&self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether two byte strings are the same, in a time that depends on their lengths alone.
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// The cryptographic generator of AWS-LC, seeded by the kernel: what a node draws from.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        rand::fill(out).map_err(|_| EntropyError)
    }
}
