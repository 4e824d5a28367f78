//! The keys of one owner (a tenant, or the system), wrapped by the root key: a random key per version, which
//! wraps a random key per purpose. It never stores the record of them: `store` does.

use std::sync::Arc;

use model::{Entropy, EntropyError, TenantId};
use zeroize::Zeroizing;

use crate::{
    OpenError, PurposeKey, RootKey, SealError,
    envelope::{Aead, ENVELOPE_OVERHEAD_BYTES, KEY_BYTES, KeyBytes, associated, version_of},
};

macro_rules! purposes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// What a key is for. A key of one purpose opens nothing of another.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Purpose { $($(#[$doc])* $variant = $number,)* }

        impl Purpose {
            /// Every purpose, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in associated data. It is part of the format and never changes.
            const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

purposes! {
    /// Values of the store.
    Data = 1, "data";
    /// Blobs of the store.
    Blobs = 2, "blobs";
    /// The MAC of compiled code.
    Code = 3, "code";
    /// Records of the ledger.
    Ledger = 4, "ledger";
    /// Private keys of TLS.
    Tls = 5, "tls";
    /// Tokens and hop counters that the node signs for itself.
    Tokens = 6, "tokens";
}

const RECORD_FORMAT: u8 = 1;
const WRAPPED_BYTES: usize = KEY_BYTES + ENVELOPE_OVERHEAD_BYTES;
const VERSIONS_MAX: usize = 1024;

/// A record of wrapped keys could not be made or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Not such a record, or a cut one.
    #[error("the record of wrapped keys is malformed: {0}")]
    Malformed(&'static str),
    /// The root key is another one, or the record was altered or belongs to another owner.
    #[error("the wrapped keys do not open: {0}")]
    Open(#[from] OpenError),
    /// Ours.
    #[error("the keys could not be wrapped: {0}")]
    Seal(#[from] SealError),
    /// Ours: no key without randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The operator's: 1,024 versions are kept at most.
    #[error("the owner has as many key versions as it may have; seal its data anew first")]
    TooManyVersions,
}

/// All keys of one owner. Dropped, they are wiped; without their record nothing brings them back.
pub struct TenantKeys {
    owner: Option<TenantId>,
    record: Vec<u8>,
    version: u32,
    keys: Vec<(Purpose, Arc<PurposeKey>)>,
    /// What is answered where a purpose has no key, which no record that opens can lack.
    none: Arc<PurposeKey>,
}

impl TenantKeys {
    /// Draws the first keys of an owner; `None` is the system.
    ///
    /// # Errors
    /// [`KeysError`] if the source of randomness fails.
    pub fn create(
        root: &RootKey,
        owner: Option<&TenantId>,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeysError> {
        let mut record = vec![RECORD_FORMAT];
        append_version(&mut record, root, owner, 1, entropy)?;
        Self::open(root, owner, &record)
    }

    /// Opens the record that [`TenantKeys::record`] gave.
    ///
    /// # Errors
    /// [`KeysError`] if the root key or the owner is another, or any byte was altered.
    pub fn open(root: &RootKey, owner: Option<&TenantId>, record: &[u8]) -> Result<Self, KeysError> {
        let mut keys: Vec<_> = Purpose::ALL.iter().map(|p| (*p, PurposeKey::new(owner.cloned()))).collect();
        let Some((&RECORD_FORMAT, mut rest)) = record.split_first() else {
            return Err(KeysError::Malformed("its format is unknown"));
        };
        let (mut newest, mut count) = (0, 0);
        while !rest.is_empty() {
            let version = u32::from_le_bytes(take(&mut rest)?);
            count += 1;
            if version <= newest || count > VERSIONS_MAX {
                return Err(KeysError::Malformed("its versions do not ascend"));
            }
            let wrapped: [u8; WRAPPED_BYTES] = take(&mut rest)?;
            let tenant_key = Aead::new(&*unwrap(&root.wrap, owner, "tenant", version, &wrapped)?);
            let [purposes] = take::<1>(&mut rest)?;
            if usize::from(purposes) != keys.len() {
                return Err(KeysError::Malformed("it does not have a key for each purpose"));
            }
            for (purpose, key) in &mut keys {
                if take::<1>(&mut rest)? != [*purpose as u8] {
                    return Err(KeysError::Malformed("its purposes are out of order"));
                }
                let wrapped: [u8; WRAPPED_BYTES] = take(&mut rest)?;
                key.add(version, &*unwrap(&tenant_key, owner, purpose.name(), version, &wrapped)?);
            }
            newest = version;
        }
        if count == 0 {
            return Err(KeysError::Malformed("it has no version"));
        }
        Ok(Self {
            owner: owner.cloned(),
            record: record.to_vec(),
            version: newest,
            keys: keys.into_iter().map(|(p, k)| (p, Arc::new(k))).collect(),
            none: Arc::new(PurposeKey::new(owner.cloned())),
        })
    }

    /// The same keys and one version more, which new seals use. Keep its record before it is used.
    ///
    /// # Errors
    /// [`KeysError`] if `root` is not the root key of these, or there is no randomness.
    pub fn rotated(&self, root: &RootKey, entropy: &dyn Entropy) -> Result<Self, KeysError> {
        let next = self.version.checked_add(1).ok_or(KeysError::TooManyVersions)?;
        let owner = self.owner.as_ref();
        let mut record = self.record.clone();
        append_version(&mut record, root, owner, next, entropy)?;
        Self::open(root, owner, &record).map_err(|e| match e {
            KeysError::Malformed(_) => KeysError::TooManyVersions,
            other => other,
        })
    }

    /// The wrapped keys: public without the root key, and all that has to be kept.
    pub fn record(&self) -> &[u8] {
        &self.record
    }

    /// Whose they are; `None` is the system.
    pub fn owner(&self) -> Option<&TenantId> {
        self.owner.as_ref()
    }

    /// The newest version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The key of one purpose.
    pub fn purpose(&self, purpose: Purpose) -> &Arc<PurposeKey> {
        self.keys.iter().find(|(p, _)| *p == purpose).map_or(&self.none, |(_, key)| key)
    }

    /// Wipes the keys of this value. Erasing the record as well is what makes the owner's data unreadable.
    pub fn destroy(self) {
        drop(self);
    }
}

fn append_version(
    record: &mut Vec<u8>,
    root: &RootKey,
    owner: Option<&TenantId>,
    version: u32,
    entropy: &dyn Entropy,
) -> Result<(), KeysError> {
    let tenant = draw(entropy)?;
    record.extend_from_slice(&version.to_le_bytes());
    record.extend(wrap(&root.wrap, owner, "tenant", version, &tenant, entropy)?);
    record.push(u8::try_from(Purpose::ALL.len()).unwrap_or(u8::MAX));
    let tenant = Aead::new(&tenant);
    for purpose in Purpose::ALL {
        record.push(*purpose as u8);
        record.extend(wrap(&tenant, owner, purpose.name(), version, &draw(entropy)?, entropy)?);
    }
    Ok(())
}

fn draw(entropy: &dyn Entropy) -> Result<KeyBytes, EntropyError> {
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    entropy.fill(bytes.as_mut())?;
    Ok(bytes)
}

/// A wrapped key is an envelope in the space `keys` under the name of its purpose, so that it opens for that
/// owner, purpose and version alone.
fn wrap_data(owner: Option<&TenantId>, name: &str, version: u32) -> Vec<u8> {
    let owner = owner.map_or("", TenantId::as_str);
    associated(&[owner.as_bytes(), b"keys", name.as_bytes()], version)
}

fn wrap(
    by: &Aead,
    owner: Option<&TenantId>,
    name: &str,
    version: u32,
    key: &KeyBytes,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, SealError> {
    by.seal(version, &wrap_data(owner, name, version), key.as_ref(), entropy)
}

fn unwrap(
    by: &Aead,
    owner: Option<&TenantId>,
    name: &str,
    version: u32,
    wrapped: &[u8],
) -> Result<KeyBytes, KeysError> {
    // The version stands twice; that of the envelope must not be another.
    if version_of(wrapped)? != version {
        return Err(KeysError::Malformed("a wrapped key is of another version"));
    }
    let opened = Zeroizing::new(by.open(&wrap_data(owner, name, version), wrapped)?);
    let bytes: &[u8; KEY_BYTES] =
        opened.first_chunk().ok_or(KeysError::Malformed("a wrapped key is too short"))?;
    Ok(Zeroizing::new(*bytes))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], KeysError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(KeysError::Malformed("it is cut short"))?;
    *rest = tail;
    Ok(*head)
}
