//! Signed JSON (JOSE): keys, access tokens and proofs of possession. It never signs, and never fetches a key.
//!
//! The forms are read here and not by a general library: those that there are bring other cryptography, and
//! read members that stand twice, which is where two readers of one token part.

pub(crate) mod dpop;
pub(crate) mod json;
pub(crate) mod jwk;
pub(crate) mod jws;
pub(crate) mod jwt;
pub(crate) mod nonce;
#[cfg(test)]
mod tests;
