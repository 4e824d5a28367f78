//! Handles that are bound to one owner: the keys are made inside, so that no caller can name another
//! owner's. A handle can never be widened.

use std::sync::Arc;

use bytes::Bytes;
use model::{Digest, TenantId};

use crate::{
    Check, Commit, CommitError, Entry, Key, Page, Range, Sealed, Space, Span, Store, StoreError, Watch, Write,
};

/// Checks and writes within one owner, for [`TenantStore::commit`] and [`SystemStore::commit`].
#[derive(Debug, Clone, Default)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    checks: Vec<(Space, Vec<u8>, Option<u64>)>,
    writes: Vec<(Space, Vec<u8>, Option<Bytes>)>,
}

impl Batch {
    /// No check and no write.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key must have this revision; `None`: it must not be there.
    pub fn check(mut self, space: Space, id: impl Into<Vec<u8>>, expect: Option<u64>) -> Self {
        self.checks.push((space, id.into(), expect));
        self
    }

    /// Puts a value.
    pub fn put(mut self, space: Space, id: impl Into<Vec<u8>>, value: impl Into<Bytes>) -> Self {
        self.writes.push((space, id.into(), Some(value.into())));
        self
    }

    /// Removes a key.
    pub fn delete(mut self, space: Space, id: impl Into<Vec<u8>>) -> Self {
        self.writes.push((space, id.into(), None));
        self
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.writes.is_empty()
    }

    fn bind(self, tenant: Option<&TenantId>) -> Commit {
        let key = |space, id| Key { tenant: tenant.cloned(), space, id };
        let checks = self.checks.into_iter();
        let writes = self.writes.into_iter();
        Commit {
            checks: checks.map(|(space, id, expect)| Check { key: key(space, id), expect }).collect(),
            writes: writes
                .map(|(space, id, value)| match value {
                    Some(value) => Write::Put(key(space, id), value),
                    None => Write::Delete(key(space, id)),
                })
                .collect(),
        }
    }
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $owner:ty) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name {
            sealed: Arc<Sealed>,
            owner: $owner,
        }

        impl $name {
            /// The value at a key, or none.
            ///
            /// # Errors
            /// [`StoreError`] if the store fails or the value does not open.
            pub async fn get(&self, space: Space, id: &[u8]) -> Result<Option<Entry>, StoreError> {
                self.sealed.get(&Key { tenant: self.owner().cloned(), space, id: id.to_vec() }).await
            }

            /// Up to `limit` rows of a span, and where to go on.
            ///
            /// # Errors
            /// [`StoreError`] if the store fails or a value does not open.
            pub async fn scan(&self, span: Span, limit: usize) -> Result<Page, StoreError> {
                self.sealed.scan(&Range { tenant: self.owner().cloned(), span }, limit).await
            }

            /// All writes or none, if every check holds; durable when answered.
            ///
            /// # Errors
            /// [`CommitError::Conflict`] if a check does not hold, otherwise the store failed.
            pub async fn commit(&self, batch: Batch) -> Result<u64, CommitError> {
                self.sealed.commit(batch.bind(self.owner())).await
            }

            /// Tells of each commit from now on that writes within the span.
            pub fn watch(&self, span: Span) -> Watch {
                self.sealed.watch(&Range { tenant: self.owner().cloned(), span })
            }

            /// Keeps a blob under the digest of its bytes; durable when answered.
            ///
            /// # Errors
            /// [`StoreError::WrongDigest`] if the bytes are not those of `name`.
            pub async fn put_blob(&self, name: Digest, bytes: Bytes) -> Result<(), StoreError> {
                self.sealed.put_blob(self.owner(), name, bytes).await
            }

            /// The bytes of a digest, or none.
            ///
            /// # Errors
            /// [`StoreError`] if the store fails or the blob does not open.
            pub async fn get_blob(&self, name: Digest) -> Result<Option<Bytes>, StoreError> {
                self.sealed.get_blob(self.owner(), name).await
            }

            /// Removes a blob.
            ///
            /// # Errors
            /// [`StoreError`] if the store fails.
            pub async fn delete_blob(&self, name: Digest) -> Result<(), StoreError> {
                self.sealed.delete_blob(self.owner(), name).await
            }
        }
    };
}

handle! {
    /// All that one tenant stores, and nothing of anyone else. Made by [`Sealed::tenant`].
    TenantStore, TenantId
}

handle! {
    /// What the platform stores for itself. Made by [`Sealed::system`].
    SystemStore, ()
}

impl TenantStore {
    pub(crate) fn bind(sealed: Arc<Sealed>, tenant: TenantId) -> Self {
        Self { sealed, owner: tenant }
    }

    /// Whose it is.
    pub fn tenant(&self) -> &TenantId {
        &self.owner
    }

    fn owner(&self) -> Option<&TenantId> {
        Some(&self.owner)
    }
}

impl SystemStore {
    pub(crate) fn bind(sealed: Arc<Sealed>) -> Self {
        Self { sealed, owner: () }
    }

    fn owner(&self) -> Option<&TenantId> {
        let () = self.owner;
        None
    }
}
