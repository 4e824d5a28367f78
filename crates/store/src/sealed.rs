//! A store that seals every value and blob before a backend sees it, with keys that lie wrapped in the
//! backend. It never gives a backend a tenant's plaintext, and never opens with a wrong root key.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use keyring::{KdfError, KdfParams, Place, Purpose, PurposeKey, RootKey, TenantKeys, WrongRoot};
use model::{Digest, Entropy, EntropyError, TenantId};
use parking_lot::RwLock;
use tokio::sync::Mutex;

use crate::{
    BLOB_BYTES_MAX, Candidate, Check, Commit, CommitError, Entry, Key, Page, Pending, Range, Row, Seal,
    Space, Span, Store, StoreError, SystemStore, TenantStore, Watch, Write,
};

/// Where the wrapped keys lie. They are sealed by the root key already.
const KEYS: Space = Space::reserved("_keys");
const BLOBS: &str = "_blobs";
const CHECK_ID: &[u8] = b"check";
const KDF_ID: &[u8] = b"kdf";
const SYSTEM_ID: &[u8] = b"system";
/// Tenants' records have this before the tenant's name.
const TENANT_ID: &[u8] = b"tenant/";
/// A record's first byte: keys follow.
const LIVE: u8 = 1;
/// A record's first byte: the keys were destroyed.
const DESTROYED: u8 = 0;

/// The sealed store could not be opened. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenSealedError {
    /// The operator's: another root key.
    #[error(transparent)]
    WrongRoot(#[from] WrongRoot),
    /// The operator's: a passphrase for a store that was made with a root key file.
    #[error("this store was made with a root key file, not with a passphrase; give the root key file")]
    NotByPassphrase,
    /// The record of the passphrase's parameters was altered.
    #[error(transparent)]
    Kdf(#[from] KdfError),
    /// Ours.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// Another process is making the same store at this moment.
    #[error("another node is starting on this store; try again")]
    Contended,
    /// The backend failed, or what it holds is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CommitError> for OpenSealedError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self::Contended,
            CommitError::Failed(error) => Self::Store(error),
        }
    }
}

/// The parameters by which a passphrase becomes this store's root key; made at the first call.
///
/// # Errors
/// [`OpenSealedError`] if the store was made with a root key file, or the backend fails.
pub async fn passphrase_params(
    backend: &dyn Store,
    entropy: &dyn Entropy,
) -> Result<KdfParams, OpenSealedError> {
    let key = Key::system(KEYS, KDF_ID);
    if let Some(entry) = backend.get(&key).await? {
        return Ok(KdfParams::decode(&entry.value)?);
    }
    let check = Key::system(KEYS, CHECK_ID);
    if backend.get(&check).await?.is_some() {
        return Err(OpenSealedError::NotByPassphrase);
    }
    let params = KdfParams::generate(entropy)?;
    let checks = vec![Check { key: key.clone(), expect: None }, Check { key: check, expect: None }];
    backend.commit(Commit { checks, writes: vec![Write::Put(key, params.encode().into())] }).await?;
    Ok(params)
}

/// How a store was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedBy {
    /// With a root key file.
    File,
    /// With a passphrase, stretched by these.
    Passphrase(KdfParams),
}

impl Candidate {
    /// How the store in the folder was sealed; none if it holds no keys yet.
    ///
    /// # Errors
    /// [`OpenSealedError`] if what it holds is damaged.
    pub fn sealed_by(&self) -> Result<Option<SealedBy>, OpenSealedError> {
        let kdf = self.get(&Key::system(KEYS, KDF_ID))?;
        let check = self.get(&Key::system(KEYS, CHECK_ID))?;
        match (kdf, check) {
            (Some(kdf), _) => Ok(Some(SealedBy::Passphrase(KdfParams::decode(&kdf.value)?))),
            (None, Some(_)) => Ok(Some(SealedBy::File)),
            (None, None) => Ok(None),
        }
    }

    /// Whether the store in the folder opens with this root key, all of its keys with it; true of a folder
    /// that holds no keys yet.
    ///
    /// # Errors
    /// What [`Sealed::open`] would refuse with, while the folder is as it was.
    pub fn check_root(&self, root: &RootKey) -> Result<(), OpenSealedError> {
        let Some(kept) = self.get(&Key::system(KEYS, CHECK_ID))? else { return Ok(()) };
        root.verify(&kept.value)?;
        let (mut rows, mut next) = (Vec::new(), Some(Span::prefix(KEYS, TENANT_ID)));
        while let Some(span) = next {
            let page = self.scan(&Range { tenant: None, span }, 1000)?;
            (rows, next) = ([rows, page.rows].concat(), page.next);
        }
        open_keys(root, self.get(&record_key(None))?, &rows)?;
        Ok(())
    }
}

/// A store over any backend that seals values and blobs: each value bound to its tenant, space, key and
/// revision, each blob to its tenant and digest.
pub struct Sealed {
    inner: Arc<dyn Store>,
    root: RootKey,
    sealer: Arc<Sealer>,
    /// One change of keys at a time.
    changing: Mutex<()>,
}

impl Sealed {
    /// Opens the keys that the backend holds, or makes the first ones in a backend that holds nothing.
    ///
    /// # Errors
    /// [`OpenSealedError::WrongRoot`] if the backend was sealed under another root key; nothing is changed.
    pub async fn open(
        inner: Arc<dyn Store>,
        root: RootKey,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, OpenSealedError> {
        let check = Key::system(KEYS, CHECK_ID);
        match inner.get(&check).await? {
            Some(kept) => root.verify(&kept.value)?,
            None => {
                let keys = TenantKeys::create(&root, None, &*entropy).map_err(StoreError::from)?;
                let system = Key::system(KEYS, SYSTEM_ID);
                let checks = [&check, &system].map(|k| Check { key: k.clone(), expect: None }).to_vec();
                let writes = vec![
                    Write::Put(check, root.check_value().to_vec().into()),
                    Write::Put(system, live_record(&keys)),
                ];
                inner.commit(Commit { checks, writes }).await?;
            }
        }
        let keys = load_keys(&*inner, &root).await?;
        let sealer = Arc::new(Sealer { keys: RwLock::new(keys), entropy });
        Ok(Arc::new(Self { inner, root, sealer, changing: Mutex::new(()) }))
    }

    /// Draws a tenant's keys; `false` if it has keys already.
    ///
    /// # Errors
    /// [`StoreError::Destroyed`] if the tenant's keys were destroyed: its name is never used again.
    pub async fn create_tenant_key(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        let _one = self.changing.lock().await;
        let key = record_key(Some(tenant));
        if let Some(entry) = self.inner.get(&key).await? {
            // A write that failed half-way may have been kept: take what is there, whoever wrote it.
            let kept = open_record(&self.root, Some(tenant), &entry.value)?;
            let keys = kept.ok_or_else(|| StoreError::Destroyed(tenant.clone()))?;
            self.sealer.keys.write().insert(Some(tenant.clone()), Arc::new(keys));
            return Ok(false);
        }
        let keys = TenantKeys::create(&self.root, Some(tenant), &*self.sealer.entropy)?;
        self.keep(key, None, keys).await?;
        Ok(true)
    }

    /// Adds a version to an owner's keys, which new seals use; what is sealed stays readable.
    ///
    /// # Errors
    /// [`StoreError::NoKey`] if the owner has no keys.
    pub async fn rotate_key(&self, owner: Option<&TenantId>) -> Result<u32, StoreError> {
        let _one = self.changing.lock().await;
        let key = record_key(owner);
        let none = || StoreError::NoKey(owner.cloned());
        let entry = self.inner.get(&key).await?.ok_or_else(none)?;
        let kept = open_record(&self.root, owner, &entry.value)?.ok_or_else(none)?;
        let keys = kept.rotated(&self.root, &*self.sealer.entropy)?;
        let version = keys.version();
        self.keep(key, Some(entry.revision), keys).await?;
        Ok(version)
    }

    /// Destroys a tenant's keys for good: nothing that was sealed with them opens again, here or from a copy
    /// of the sealed values. A tombstone keeps its name from being used again.
    ///
    /// # Errors
    /// [`StoreError`] if the backend fails; the keys are then still there.
    pub async fn destroy_tenant_key(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let _one = self.changing.lock().await;
        let write = Write::Put(record_key(Some(tenant)), Bytes::from_static(&[DESTROYED]));
        let done = self.inner.commit(Commit { checks: Vec::new(), writes: vec![write] }).await;
        done.map_err(failure)?;
        self.sealer.keys.write().remove(&Some(tenant.clone()));
        Ok(())
    }

    /// The tenants that have keys, in order.
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut all: Vec<TenantId> = self.sealer.keys.read().keys().flatten().cloned().collect();
        all.sort();
        all
    }

    /// The store of one tenant. It cannot be turned into another's.
    ///
    /// # Errors
    /// [`StoreError::NoKey`] if the tenant has no keys.
    pub fn tenant(self: &Arc<Self>, tenant: &TenantId) -> Result<TenantStore, StoreError> {
        self.keys_of(Some(tenant))?;
        Ok(TenantStore::bind(self.clone(), tenant.clone()))
    }

    /// The store of the system's own values.
    pub fn system(self: &Arc<Self>) -> SystemStore {
        SystemStore::bind(self.clone())
    }

    /// A key of the system for one purpose: to authenticate compiled code, say.
    ///
    /// # Errors
    /// [`StoreError::NoKey`] never in a store that opened.
    pub fn system_key(&self, purpose: Purpose) -> Result<Arc<PurposeKey>, StoreError> {
        Ok(self.keys_of(None)?.purpose(purpose).clone())
    }

    async fn keep(&self, key: Key, expect: Option<u64>, keys: TenantKeys) -> Result<(), StoreError> {
        let write = Write::Put(key.clone(), live_record(&keys));
        let commit = Commit { checks: vec![Check { key, expect }], writes: vec![write] };
        self.inner.commit(commit).await.map_err(failure)?;
        self.sealer.keys.write().insert(keys.owner().cloned(), Arc::new(keys));
        Ok(())
    }

    fn keys_of(&self, owner: Option<&TenantId>) -> Result<Arc<TenantKeys>, StoreError> {
        self.sealer.keys_of(owner)
    }
}

/// The keys that are open, and how a value is sealed with them.
struct Sealer {
    keys: RwLock<Keys>,
    entropy: Arc<dyn Entropy>,
}

impl Sealer {
    fn keys_of(&self, owner: Option<&TenantId>) -> Result<Arc<TenantKeys>, StoreError> {
        let owner = owner.cloned();
        self.keys.read().get(&owner).cloned().ok_or(StoreError::NoKey(owner))
    }
}

impl Seal for Sealer {
    fn seal(&self, key: &Key, value: &[u8], revision: u64) -> Result<Bytes, StoreError> {
        let keys = self.keys_of(key.tenant.as_ref())?;
        let stand = stand(key, revision);
        let place = Place { space: key.space.as_str(), key: &stand };
        Ok(keys.purpose(Purpose::Data).seal(place, value, &*self.entropy)?.into())
    }
}

/// Where and when a value stands: its id and its revision, u64 LE.
fn stand(key: &Key, revision: u64) -> Vec<u8> {
    [key.id.as_slice(), &revision.to_le_bytes()].concat()
}

/// Two seals, the second over the first.
struct Both(Arc<dyn Seal>, Arc<dyn Seal>);

impl Seal for Both {
    fn seal(&self, key: &Key, value: &[u8], revision: u64) -> Result<Bytes, StoreError> {
        self.1.seal(key, &self.0.seal(key, value, revision)?, revision)
    }
}

/// The keys of a record; none if they were destroyed.
fn open_record(
    root: &RootKey,
    owner: Option<&TenantId>,
    record: &[u8],
) -> Result<Option<TenantKeys>, StoreError> {
    match record.split_first() {
        Some((&LIVE, record)) => Ok(Some(TenantKeys::open(root, owner, record)?)),
        Some((&DESTROYED, [])) => Ok(None),
        _ => Err(StoreError::Damaged("a record of keys is malformed".into())),
    }
}

fn live_record(keys: &TenantKeys) -> Bytes {
    [&[LIVE], keys.record()].concat().into()
}

fn record_key(owner: Option<&TenantId>) -> Key {
    match owner {
        Some(tenant) => Key::system(KEYS, [TENANT_ID, tenant.as_str().as_bytes()].concat()),
        None => Key::system(KEYS, SYSTEM_ID),
    }
}

fn failure(error: CommitError) -> StoreError {
    match error {
        CommitError::Conflict { key } => StoreError::Io(format!("`{key}` was changed by another node")),
        CommitError::Failed(error) => error,
    }
}

type Keys = HashMap<Option<TenantId>, Arc<TenantKeys>>;

async fn load_keys(inner: &dyn Store, root: &RootKey) -> Result<Keys, StoreError> {
    let system = inner.get(&record_key(None)).await?;
    let (mut rows, mut next) = (Vec::new(), Some(Span::prefix(KEYS, TENANT_ID)));
    while let Some(span) = next {
        let page = inner.scan(&Range { tenant: None, span }, 1000).await?;
        rows.extend(page.rows);
        next = page.next;
    }
    open_keys(root, system, &rows)
}

/// Opens the records of the system's keys and of each tenant's.
fn open_keys(root: &RootKey, system: Option<Entry>, rows: &[Row]) -> Result<Keys, StoreError> {
    let damaged = |what: &str| StoreError::Damaged(what.into());
    let system = system.ok_or_else(|| damaged("the system's keys are missing"))?;
    let opened = open_record(root, None, &system.value)?;
    let opened = opened.ok_or_else(|| damaged("the system's keys were destroyed"))?;
    let mut out = HashMap::from([(None, Arc::new(opened))]);
    for row in rows {
        let name = row.id.strip_prefix(TENANT_ID).and_then(|n| std::str::from_utf8(n).ok());
        let tenant: TenantId =
            name.and_then(|n| n.parse().ok()).ok_or_else(|| damaged("a key record has no tenant"))?;
        if let Some(keys) = open_record(root, Some(&tenant), &row.value)? {
            out.insert(Some(tenant), Arc::new(keys));
        }
    }
    Ok(out)
}

fn open_value(keys: &TenantKeys, key: &Key, sealed: &[u8], revision: u64) -> Result<Bytes, StoreError> {
    let stand = stand(key, revision);
    let place = Place { space: key.space.as_str(), key: &stand };
    let opened = keys.purpose(Purpose::Data).open(place, sealed);
    opened.map(Bytes::from).map_err(|error| StoreError::Unreadable { place: key.to_string(), error })
}

impl Store for Sealed {
    fn get<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Entry>> {
        Box::pin(async move {
            let keys = self.keys_of(key.tenant.as_ref())?;
            let Some(entry) = self.inner.get(key).await? else { return Ok(None) };
            let value = open_value(&keys, key, &entry.value, entry.revision)?;
            Ok(Some(Entry { value, revision: entry.revision }))
        })
    }

    fn scan<'a>(&'a self, range: &'a Range, limit: usize) -> Pending<'a, Page> {
        Box::pin(async move {
            let keys = self.keys_of(range.tenant.as_ref())?;
            let mut page = self.inner.scan(range, limit).await?;
            let mut key = Key { tenant: range.tenant.clone(), space: range.span.space, id: Vec::new() };
            for row in &mut page.rows {
                key.id.clone_from(&row.id);
                row.value = open_value(&keys, &key, &row.value, row.revision)?;
            }
            Ok(page)
        })
    }

    fn commit_sealed(&self, commit: Commit, seal: Option<Arc<dyn Seal>>) -> Pending<'_, u64, CommitError> {
        Box::pin(async move {
            commit.validate(0)?;
            for write in &commit.writes {
                self.keys_of(write.key().tenant.as_ref())?;
            }
            let own = self.sealer.clone();
            let seal: Arc<dyn Seal> = match seal {
                Some(first) => Arc::new(Both(first, own)),
                None => own,
            };
            self.inner.commit_sealed(commit, Some(seal)).await
        })
    }

    fn watch(&self, range: &Range) -> Watch {
        self.inner.watch(range)
    }

    fn put_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest, bytes: Bytes) -> Pending<'a, ()> {
        Box::pin(async move {
            if bytes.len() > BLOB_BYTES_MAX {
                return Err(StoreError::TooLarge { what: "a blob", max: BLOB_BYTES_MAX });
            }
            if keyring::sha256(&bytes) != name {
                return Err(StoreError::WrongDigest(name));
            }
            let keys = self.keys_of(owner)?;
            let place = Place { space: BLOBS, key: name.as_bytes() };
            let sealed = keys.purpose(Purpose::Blobs).seal(place, &bytes, &*self.sealer.entropy)?;
            drop(bytes);
            self.inner.put_blob(owner, name, sealed.into()).await
        })
    }

    fn get_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest) -> Pending<'a, Option<Bytes>> {
        Box::pin(async move {
            let keys = self.keys_of(owner)?;
            let Some(sealed) = self.inner.get_blob(owner, name).await? else { return Ok(None) };
            let place = Place { space: BLOBS, key: name.as_bytes() };
            let opened = keys.purpose(Purpose::Blobs).open(place, &sealed);
            let plain = opened.map_err(|error| StoreError::Unreadable { place: name.to_string(), error })?;
            Ok(Some(plain.into()))
        })
    }

    fn delete_blob<'a>(&'a self, owner: Option<&'a TenantId>, name: Digest) -> Pending<'a, ()> {
        self.inner.delete_blob(owner, name)
    }
}
