//! Compiled code, ready to be sent to workers. It never maps it: only workers do.

mod weight;

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use model::World;
use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::link::Link;
use crate::protocol::CodeId;
use weight::Weight;

/// Compiled code of one component, in memory that nobody can change any longer. Cheap to clone; when the
/// last clone is dropped, the workers that mapped it forget it.
#[derive(Debug, Clone)]
pub struct Code(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: CodeId,
    world: World,
    file: Arc<OwnedFd>,
    bytes: u64,
    weight: Weight,
    loaded_by: Mutex<Vec<Weak<Link>>>,
}

impl Code {
    /// Copies `compiled` into a sealed memfd.
    ///
    /// The caller answers for it: compiled code is run as it is. It comes from [`crate::Cells::compile`], and
    /// what lay on a disk in between carries a MAC.
    ///
    /// # Errors
    /// If the kernel has no memory or no descriptor left.
    pub fn new(compiled: &[u8], world: World) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = CodeId(NEXT.fetch_add(1, Ordering::Relaxed));
        let file = Arc::new(sealed("casemate-code", compiled)?);
        let bytes = compiled.len() as u64;
        let weight = Weight::default();
        Ok(Self(Arc::new(Inner { id, world, file, bytes, weight, loaded_by: Mutex::default() })))
    }

    /// Which world it was compiled for.
    pub fn world(&self) -> World {
        self.0.world
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    pub(super) fn id(&self) -> CodeId {
        self.0.id
    }

    pub(super) fn file(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.0.file)
    }

    /// Whether its runs use so much CPU time of late that they get workers of their own.
    pub fn is_heavy(&self) -> bool {
        self.0.weight.is_heavy()
    }

    /// One of its runs is worn, and goes on.
    pub(super) fn wore(&self) {
        self.0.weight.wore();
    }

    /// One of its runs ended.
    pub(super) fn spent(&self, cpu_us: u64) {
        self.0.weight.spent(cpu_us);
    }

    /// Remembers that `link` maps it, so that it can be told to forget it.
    pub(super) fn loaded_by(&self, link: &Arc<Link>) {
        let mut links = self.0.loaded_by.lock();
        links.retain(|l| l.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for link in self.loaded_by.get_mut().drain(..).filter_map(|l| l.upgrade()) {
            link.unload(self.id);
        }
    }
}

/// A memfd with these bytes, read from its start, that can neither be written nor resized.
pub(crate) fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(bytes)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file.into())
}
