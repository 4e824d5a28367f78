//! Compiled code: made at deploy, sealed in the store, mapped when it is first called, let go when it is
//! long unused. It never runs any.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use cell::{Cells, Code, CompileError};
use model::{Digest, TenantId, World};
use parking_lot::{Mutex, RwLock};
use store::{Batch, StoreError, TenantStore};

use crate::{
    refused::ControlError,
    shelf::{self, CODE, CodeRecord},
};

/// Compiled code that is mapped at once, in bytes; beyond it the longest unused is let go.
const MAPPED_BYTES_MAX: u64 = 1 << 30;

type Name = (TenantId, Digest, World);

/// All compiled code of a node.
pub(crate) struct CodeRoom {
    cells: Arc<Cells>,
    slots: Mutex<HashMap<Name, Arc<CodeSlot>>>,
    uses: AtomicU64,
    /// What the engines of this node are, for WASI 0.2 and 0.3.
    engines: [String; 2],
}

/// The compiled code of one component: mapped, or waiting on disk.
pub(crate) struct CodeSlot {
    name: Name,
    store: TenantStore,
    mapped: RwLock<Option<(Code, u64)>>,
    loading: tokio::sync::Mutex<()>,
    used: AtomicU64,
}

/// Why code could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodeError {
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("the component `{0}` is gone from the store")]
    Gone(Digest),
    #[error("{0}")]
    Compile(String),
    #[error("{0}")]
    CompileLimit(String),
    #[error("{0}")]
    Compiler(String),
    #[error("the code cannot be mapped: {0}")]
    Map(#[from] std::io::Error),
}

impl From<CodeError> for ControlError {
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::Store(error) => Self::Store(error),
            CodeError::Compile(message) => Self::Compile(message),
            CodeError::CompileLimit(message) => Self::Invalid { code: "compile-limit", message },
            other => Self::Internal(other.to_string()),
        }
    }
}

impl CodeRoom {
    /// A room without any code.
    ///
    /// # Errors
    /// The engine cannot be configured.
    pub(crate) fn new(cells: Arc<Cells>) -> Result<Self, String> {
        let engines = [cell::fingerprint(World::P2)?, cell::fingerprint(World::P3)?];
        Ok(Self { cells, slots: Mutex::new(HashMap::new()), uses: AtomicU64::new(0), engines })
    }

    /// The engines' fingerprints, of WASI 0.2 and 0.3.
    pub(crate) const fn engines(&self) -> &[String; 2] {
        &self.engines
    }

    fn fingerprint(&self, world: World) -> &str {
        let [p2, p3] = &self.engines;
        match world {
            World::P2 => p2,
            World::P3 => p3,
        }
    }

    /// The place of a component's code, mapped or not.
    pub(crate) fn slot(&self, store: &TenantStore, component: Digest, world: World) -> Arc<CodeSlot> {
        let name = (store.tenant().clone(), component, world);
        let slot = || {
            Arc::new(CodeSlot {
                name: name.clone(),
                store: store.clone(),
                mapped: RwLock::new(None),
                loading: tokio::sync::Mutex::new(()),
                used: AtomicU64::new(0),
            })
        };
        self.slots.lock().entry(name.clone()).or_insert_with(slot).clone()
    }

    /// Compiles a component unless its code for this engine is in the store. Durable when it returns; the
    /// answer is whether it was compiled.
    ///
    /// # Errors
    /// [`CodeError::Compile`] if the component does not compile within its bounds.
    pub(crate) async fn prepare(&self, slot: &CodeSlot, component: &[u8]) -> Result<bool, CodeError> {
        let _one = slot.loading.lock().await;
        if slot.kept(self.fingerprint(slot.name.2)).await?.is_some() {
            return Ok(false);
        }
        self.compile(slot, component).await?;
        Ok(true)
    }

    /// The code, mapped. The first call after a start or a long pause reads it from the store; code of
    /// another version of the engine is compiled again.
    ///
    /// # Errors
    /// [`CodeError`] if it is neither mapped nor to be had.
    pub(crate) async fn code(&self, slot: &CodeSlot) -> Result<Code, CodeError> {
        slot.used.store(self.uses.fetch_add(1, Relaxed), Relaxed);
        if let Some((code, _)) = &*slot.mapped.read() {
            return Ok(code.clone());
        }
        let _one = slot.loading.lock().await;
        if let Some((code, _)) = &*slot.mapped.read() {
            return Ok(code.clone());
        }
        let compiled = match slot.kept(self.fingerprint(slot.name.2)).await? {
            Some(bytes) => bytes,
            None => {
                let component = slot.store.get_blob(slot.name.1).await?;
                self.compile(slot, &component.ok_or(CodeError::Gone(slot.name.1))?).await?
            }
        };
        let code = Code::new(&compiled, slot.name.2)?;
        *slot.mapped.write() = Some((code.clone(), compiled.len() as u64));
        self.make_room(slot);
        Ok(code)
    }

    /// Removes the compiled code of a component that is gone.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub(crate) async fn forget(&self, store: &TenantStore, component: Digest) -> Result<(), StoreError> {
        for world in [World::P2, World::P3] {
            self.slots.lock().remove(&(store.tenant().clone(), component, world));
            let id = row(component, world);
            let Some(entry) = store.get(CODE, &id).await? else { continue };
            let record: CodeRecord = shelf::decode(CODE, &entry.value)?;
            let gone = store.commit(Batch::new().delete(CODE, id)).await;
            gone.map_err(|e| StoreError::Io(e.to_string()))?;
            store.delete_blob(record.code).await?;
        }
        Ok(())
    }

    async fn compile(&self, slot: &CodeSlot, component: &[u8]) -> Result<Bytes, CodeError> {
        let (_, digest, world) = &slot.name;
        let compiled = self.cells.compile(component, *world).await;
        let compiled = Bytes::from(compiled.map_err(|error| {
            let message = error.to_string();
            match error {
                CompileError::Io(_) => CodeError::Compiler(message),
                error if error.is_limit() => CodeError::CompileLimit(message),
                _ => CodeError::Compile(message),
            }
        })?);
        let code = keyring::sha256(&compiled);
        let fingerprint = self.fingerprint(*world).to_owned();
        let record = CodeRecord { fingerprint, code, bytes: compiled.len() as u64 };
        slot.store.put_blob(code, compiled.clone()).await?;
        let batch = Batch::new().put(CODE, row(*digest, *world), shelf::encode(&record)?);
        slot.store.commit(batch).await.map_err(|e| StoreError::Io(e.to_string()))?;
        Ok(compiled)
    }

    /// Lets go of what was used longest ago until the rest fits. Runs under way keep what they have.
    fn make_room(&self, keep: &CodeSlot) {
        let slots: Vec<Arc<CodeSlot>> = self.slots.lock().values().cloned().collect();
        let mut mapped: Vec<(u64, u64, Arc<CodeSlot>)> = slots
            .into_iter()
            .filter_map(|slot| {
                let bytes = slot.mapped.read().as_ref().map(|(_, bytes)| *bytes)?;
                Some((slot.used.load(Relaxed), bytes, slot))
            })
            .collect();
        let mut sum: u64 = mapped.iter().map(|(_, bytes, _)| bytes).sum();
        mapped.sort_by_key(|(used, _, _)| *used);
        for (_, bytes, slot) in mapped {
            if sum <= MAPPED_BYTES_MAX {
                return;
            }
            if slot.name != keep.name {
                *slot.mapped.write() = None;
                sum = sum.saturating_sub(bytes);
            }
        }
    }
}

impl CodeSlot {
    /// The code in the store, if it is there, opens, and was made by this engine. What does not open was
    /// altered: it is not used, and compiled again.
    async fn kept(&self, engine: &str) -> Result<Option<Bytes>, StoreError> {
        match self.read(engine).await {
            Err(
                error @ (StoreError::Unreadable { .. } | StoreError::WrongDigest(_) | StoreError::Damaged(_)),
            ) => {
                let component = self.name.1;
                tracing::warn!(%component, %error, "compiled code was altered on disk; refused");
                Ok(None)
            }
            other => other,
        }
    }

    async fn read(&self, engine: &str) -> Result<Option<Bytes>, StoreError> {
        let (_, digest, world) = &self.name;
        let Some(entry) = self.store.get(CODE, &row(*digest, *world)).await? else { return Ok(None) };
        let record: CodeRecord = shelf::decode(CODE, &entry.value)?;
        if record.fingerprint != engine {
            tracing::info!(component = %digest, was = record.fingerprint, "another engine compiled this; again");
            return Ok(None);
        }
        self.store.get_blob(record.code).await
    }
}

fn row(component: Digest, world: World) -> Vec<u8> {
    let mut id = component.as_bytes().to_vec();
    id.push(match world {
        World::P2 => 2,
        World::P3 => 3,
    });
    id
}
