//! The digests that rules ask for, as raw bytes; they are never used to prove anything.

use md5::{Digest, Md5};
use sha1::Sha1;

/// MD5 (RFC 1321).
pub(super) fn md5(input: &[u8]) -> Vec<u8> {
    Md5::digest(input).to_vec()
}

/// SHA-1 (FIPS 180-4).
pub(super) fn sha1(input: &[u8]) -> Vec<u8> {
    Sha1::digest(input).to_vec()
}
