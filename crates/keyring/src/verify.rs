//! Signatures of others, checked with their public keys, and message authentication codes under a secret that
//! two sides share. It never signs with a private key, and picks no algorithm by itself.

use aws_lc_rs::{
    digest, hmac,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    },
};

/// How a signature is made. Each fits keys of exactly one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ECDSA over P-256 with SHA-256, the signature as r and s of 32 bytes each (RFC 7518 §3.4).
    EcdsaP256Sha256,
    /// ECDSA over P-384 with SHA-384, the signature as r and s of 48 bytes each.
    EcdsaP384Sha384,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2).
    RsaPkcs1Sha256,
    /// RSASSA-PSS with SHA-256, a salt of 32 bytes (RFC 8017 §8.1).
    RsaPssSha256,
}

/// A public key that is none, or one that is too weak to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Coordinates of another length.
    #[error("a coordinate has another length than the curve wants")]
    Length,
    /// No point of the curve.
    #[error("this is no point of the curve")]
    Point,
    /// A modulus that is too short or too long.
    #[error("an RSA key has from 2048 to 8192 bits")]
    RsaSize,
    /// An exponent that is even, too small or too large.
    #[error("an RSA key's exponent is odd, at least 65537 and at most 32 bits long")]
    RsaExponent,
}

/// A public key of one kind. It is no secret; it verifies and does nothing else.
#[derive(Clone)]
pub struct PublicKey(Kind);

#[derive(Clone)]
enum Kind {
    One { algorithm: SignatureAlgorithm, key: ParsedPublicKey },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl PublicKey {
    /// A point of P-256, by its coordinates of 32 bytes each.
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn p256(x: &[u8], y: &[u8]) -> Result<Self, PublicKeyError> {
        let point = uncompressed(x, y, 32)?;
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| PublicKeyError::Point)?;
        Ok(Self(Kind::One { algorithm: SignatureAlgorithm::EcdsaP256Sha256, key }))
    }

    /// A point of P-384, by its coordinates of 48 bytes each.
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn p384(x: &[u8], y: &[u8]) -> Result<Self, PublicKeyError> {
        let point = uncompressed(x, y, 48)?;
        let key = ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).map_err(|_| PublicKeyError::Point)?;
        Ok(Self(Kind::One { algorithm: SignatureAlgorithm::EcdsaP384Sha384, key }))
    }

    /// An Ed25519 key of 32 bytes.
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn ed25519(x: &[u8]) -> Result<Self, PublicKeyError> {
        if x.len() != 32 {
            return Err(PublicKeyError::Length);
        }
        let key = ParsedPublicKey::new(&ED25519, x).map_err(|_| PublicKeyError::Point)?;
        Ok(Self(Kind::One { algorithm: SignatureAlgorithm::Ed25519, key }))
    }

    /// An RSA key, by its modulus and exponent, big-endian and without leading zeros.
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Self, PublicKeyError> {
        let first = n.first().copied().unwrap_or(0);
        let bits = (n.len() * 8).saturating_sub(first.leading_zeros() as usize);
        if first == 0 || !(2048..=8192).contains(&bits) || n.last().is_none_or(|b| b % 2 == 0) {
            return Err(PublicKeyError::RsaSize);
        }
        let value = e.iter().fold(0_u64, |sum, b| (sum << 8) | u64::from(*b));
        if e.len() > 4 || e.first() == Some(&0) || value < 65_537 || value % 2 == 0 {
            return Err(PublicKeyError::RsaExponent);
        }
        Ok(Self(Kind::Rsa { n: n.to_vec(), e: e.to_vec() }))
    }

    /// Whether this kind of key makes signatures of that kind.
    pub fn fits(&self, wanted: SignatureAlgorithm) -> bool {
        match &self.0 {
            Kind::One { algorithm, .. } => *algorithm == wanted,
            Kind::Rsa { .. } => {
                matches!(wanted, SignatureAlgorithm::RsaPkcs1Sha256 | SignatureAlgorithm::RsaPssSha256)
            }
        }
    }

    /// Whether `signature` is one of `message` by this key and in this way. A key that does not fit the
    /// algorithm says no.
    pub fn verifies(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Kind::One { algorithm: own, key } => {
                *own == algorithm && key.verify_sig(message, signature).is_ok()
            }
            Kind::Rsa { n, e } => {
                let parameters = match algorithm {
                    SignatureAlgorithm::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
                    SignatureAlgorithm::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
                    _ => return false,
                };
                PublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
        }
    }
}

/// The point in the form that SEC 1 §2.3.3 calls uncompressed.
fn uncompressed(x: &[u8], y: &[u8], bytes: usize) -> Result<Vec<u8>, PublicKeyError> {
    if x.len() != bytes || y.len() != bytes {
        return Err(PublicKeyError::Length);
    }
    Ok([&[4], x, y].concat())
}

/// A secret that two sides share, for HMAC-SHA256 (RFC 2104). It can be neither printed nor copied out.
#[derive(Clone)]
pub struct SharedKey(Box<hmac::Key>);

impl SharedKey {
    /// The key of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// The code of all `parts`, one after the other.
    pub fn code(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        parts.iter().for_each(|part| context.update(part));
        let mut out = [0_u8; 32];
        out.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        out
    }

    /// Whether `code` is the code of all `parts`. It takes the same time however much of it is right.
    pub fn verifies(&self, parts: &[&[u8]], code: &[u8]) -> bool {
        crate::constant_time_eq(&self.code(parts), code)
    }
}

/// The SHA-512 digest (FIPS 180-4) of `bytes`.
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    let mut out = [0_u8; 64];
    let found = digest::digest(&digest::SHA512, bytes);
    out.iter_mut().zip(found.as_ref()).for_each(|(to, from)| *to = *from);
    out
}
