//! Sealed values and MACs: one key per purpose, AES-256-GCM-SIV (RFC 8452), everything that names the place
//! of a value bound as associated data. It never reads, writes or hands out a key.

use std::collections::BTreeMap;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac,
};
use model::{Entropy, EntropyError, TenantId};
use zeroize::Zeroizing;

/// The first byte of every envelope.
const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 1 + 4 + NONCE_LEN;
const TAG_BYTES: usize = 16;

/// How many bytes an envelope is longer than what it holds: format 1, key version 4, nonce 12, tag 16.
pub const ENVELOPE_OVERHEAD_BYTES: usize = HEAD_BYTES + TAG_BYTES;

/// The bytes of a MAC: key version 4 (little endian) and HMAC-SHA-256 32 (RFC 2104).
pub const MAC_BYTES: usize = 4 + 32;

pub(crate) const KEY_BYTES: usize = 32;

/// A key's bytes on the way from one holder to the next, wiped when dropped.
pub(crate) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// Where a value stands. A value that is sealed in one place opens in no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The space (table) of the value.
    pub space: &'a str,
    /// The value's key in that space.
    pub key: &'a [u8],
}

/// A value could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Ours: no nonce without randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The caller's: a value or a name beyond 4 GiB.
    #[error("the value is too large to seal")]
    TooLarge,
    /// Ours: there is no key of this purpose.
    #[error("there is no key to seal with")]
    NoKey,
}

/// A sealed value or a MAC was refused. Nothing of what it held is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than an empty envelope.
    #[error("the sealed value is cut short")]
    Short,
    /// Its first byte is not a format that this version reads.
    #[error("the sealed value has the unknown format {0}")]
    Format(u8),
    /// Sealed with a version of the key that is not held (any more).
    #[error("the sealed value needs version {0} of its key, which is not there")]
    Version(u32),
    /// Altered, moved from another place or tenant, or sealed with another key.
    #[error("the sealed value is not authentic: altered, moved, or sealed with another key")]
    Forged,
}

/// The key of one owner for one purpose, in all its versions: new seals use the newest.
pub struct PurposeKey {
    owner: Option<TenantId>,
    newest: u32,
    versions: BTreeMap<u32, Version>,
}

struct Version {
    aead: Aead,
    mac: hmac::Key,
}

impl PurposeKey {
    pub(crate) fn new(owner: Option<TenantId>) -> Self {
        Self { owner, newest: 0, versions: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, version: u32, key: &[u8; KEY_BYTES]) {
        let mac = hmac::Key::new(hmac::HMAC_SHA256, derive(key, b"casemate/purpose/mac/1").as_ref());
        let aead = Aead::new(&derive(key, b"casemate/purpose/aead/1"));
        self.versions.insert(version, Version { aead, mac });
        self.newest = self.newest.max(version);
    }

    /// The version that new seals use.
    pub fn version(&self) -> u32 {
        self.newest
    }

    /// Seals `plain` for one place: [`ENVELOPE_OVERHEAD_BYTES`] longer, different each time.
    ///
    /// # Errors
    /// [`SealError`] if there is no randomness for the nonce, or the value is beyond 4 GiB.
    pub fn seal(&self, place: Place<'_>, plain: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, SealError> {
        let version = self.versions.get(&self.newest).ok_or(SealError::NoKey)?;
        version.aead.seal(self.newest, &self.associated(place, self.newest), plain, entropy)
    }

    /// Opens what [`PurposeKey::seal`] made for the same owner, purpose and place.
    ///
    /// # Errors
    /// [`OpenError`] for anything else; there is no partial answer.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let number = version_of(sealed)?;
        let version = self.versions.get(&number).ok_or(OpenError::Version(number))?;
        version.aead.open(&self.associated(place, number), sealed)
    }

    /// Authenticates bytes that need no secrecy: [`MAC_BYTES`] bytes over a context (what it is for) and
    /// parts, each length-prefixed, so that parts cannot flow into each other.
    pub fn mac(&self, context: &str, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let mut out = [0_u8; MAC_BYTES];
        if let Some(version) = self.versions.get(&self.newest) {
            let tag = self.mac_state(version, context, parts).sign();
            let bytes = self.newest.to_le_bytes().into_iter().chain(tag.as_ref().iter().copied());
            out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        }
        out
    }

    /// Checks what [`PurposeKey::mac`] made, in constant time.
    ///
    /// # Errors
    /// [`OpenError`] if it was not made by this key over the same context and parts.
    pub fn verify_mac(&self, context: &str, parts: &[&[u8]], tag: &[u8]) -> Result<(), OpenError> {
        let (number, tag) = tag.split_first_chunk::<4>().ok_or(OpenError::Short)?;
        let number = u32::from_le_bytes(*number);
        let version = self.versions.get(&number).ok_or(OpenError::Version(number))?;
        let expect = self.mac_state(version, context, parts).sign();
        if crate::constant_time_eq(expect.as_ref(), tag) { Ok(()) } else { Err(OpenError::Forged) }
    }

    fn mac_state(&self, version: &Version, context: &str, parts: &[&[u8]]) -> hmac::Context {
        let owner = self.owner.as_ref().map_or("", TenantId::as_str);
        let mut state = hmac::Context::with_key(&version.mac);
        for part in [owner.as_bytes(), context.as_bytes()].iter().chain(parts) {
            state.update(&(part.len() as u64).to_le_bytes());
            state.update(part);
        }
        state
    }

    /// The associated data of a value: owner (empty for the system), space and key, each with its length as
    /// u32 LE before it, then the key's version as u32 LE and the format byte.
    fn associated(&self, place: Place<'_>, version: u32) -> Vec<u8> {
        let owner = self.owner.as_ref().map_or("", TenantId::as_str);
        associated(&[owner.as_bytes(), place.space.as_bytes(), place.key], version)
    }
}

pub(crate) fn associated(fields: &[&[u8]], version: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(fields.iter().map(|f| f.len() + 4).sum::<usize>() + 5);
    for field in fields {
        // A field beyond 4 GiB cannot be made: keys and names are bounded far below by `store`.
        out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(field);
    }
    out.extend_from_slice(&version.to_le_bytes());
    out.push(FORMAT);
    out
}

/// HKDF-Expand with SHA-256 (RFC 5869 §2.3): keys are uniform already, so there is nothing to extract.
pub(crate) fn derive(key: &[u8; KEY_BYTES], label: &[u8]) -> KeyBytes {
    let mut out = Zeroizing::new([0_u8; KEY_BYTES]);
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, key);
    // INVARIANT: expanding to one block of the hash cannot fail (RFC 5869 allows 255).
    let filled = prk.expand(&[label], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(out.as_mut()));
    debug_assert!(filled.is_ok());
    out
}

/// The key version that an envelope names.
pub(crate) fn version_of(sealed: &[u8]) -> Result<u32, OpenError> {
    match sealed {
        _ if sealed.len() < ENVELOPE_OVERHEAD_BYTES => Err(OpenError::Short),
        [FORMAT, a, b, c, d, ..] => Ok(u32::from_le_bytes([*a, *b, *c, *d])),
        [format, ..] => Err(OpenError::Format(*format)),
        [] => Err(OpenError::Short),
    }
}

/// AES-256-GCM-SIV with one key. AWS-LC wipes the key's schedule when it is dropped.
pub(crate) struct Aead(Option<LessSafeKey>);

impl Aead {
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Self {
        // INVARIANT: 32 bytes are a key of this algorithm; were they not, every seal and open would refuse.
        Self(UnboundKey::new(&AES_256_GCM_SIV, key).ok().map(LessSafeKey::new))
    }

    pub(crate) fn seal(
        &self,
        version: u32,
        associated: &[u8],
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0_u8; NONCE_LEN];
        entropy.fill(&mut nonce)?;
        let mut out = Vec::with_capacity(plain.len() + ENVELOPE_OVERHEAD_BYTES);
        out.push(FORMAT);
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let body = out.get_mut(HEAD_BYTES..).ok_or(SealError::TooLarge)?;
        let tag = self.seal_in_place(nonce, associated, body).ok_or(SealError::TooLarge)?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// Encrypts in place and gives the tag; apart, so that published vectors can be run against it.
    pub(crate) fn seal_in_place(
        &self,
        nonce: [u8; NONCE_LEN],
        associated: &[u8],
        body: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.as_ref()?.seal_in_place_separate_tag(nonce, Aad::from(associated), body).ok()?;
        tag.as_ref().try_into().ok()
    }

    pub(crate) fn open(&self, associated: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        version_of(sealed)?;
        let (head, rest) = sealed.split_at_checked(HEAD_BYTES).ok_or(OpenError::Short)?;
        let nonce = head.last_chunk::<NONCE_LEN>().ok_or(OpenError::Short)?;
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(OpenError::Short)?;
        let mut plain = body.to_vec();
        let key = self.0.as_ref().ok_or(OpenError::Forged)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.open_in_place_separate_tag(nonce, Aad::from(associated), tag, &mut plain);
        match opened {
            Ok(_) => Ok(plain),
            Err(_) => Err(OpenError::Forged),
        }
    }
}
