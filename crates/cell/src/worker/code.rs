//! Compiled code in a worker: mapped from the descriptor that came with it, linked once, instantiated for
//! every run. It never compiles, never opens a path, and unmaps nothing that an engine may still look at.
#![expect(unsafe_code, reason = "compiled code is mapped and believed: the node proved where it came from")]

use std::{
    cell::RefCell,
    ops::Range,
    os::fd::{AsFd, OwnedFd},
    ptr::{self, NonNull},
    rc::Rc,
};

use model::{World, limits};
use rustix::{
    fs::SealFlags,
    mm::{MapFlags, ProtFlags, mmap, munmap},
};
use wasmtime::{
    Engine,
    component::{Component, Linker},
};
use wasmtime_wasi_http::{p2::bindings::ProxyPre, p3::bindings::ServicePre};

use super::guest::Guest;
use crate::engine::{self, Engines, StackClass};

/// A component that can be started, in one class of stack.
pub(super) struct Loaded {
    pub(super) pre: Pre,
    pub(super) engine: Engine,
}

/// All code that is mapped, until no engine needs it.
#[derive(Default)]
pub(super) struct Mappings(RefCell<Vec<Mapping>>);

impl Mappings {
    /// Unmaps what no engine needs any longer.
    pub(super) fn sweep(&self) {
        self.0.borrow_mut().retain(|mapping| !engine::let_go(mapping.addresses()));
    }
}

impl Drop for Mappings {
    fn drop(&mut self) {
        // The worker ends, and its engines may outlive this by a moment.
        std::mem::forget(self.0.take());
    }
}

/// Linked, and with its entry found.
pub(super) enum Pre {
    P2(ProxyPre<Guest>),
    P3(ServicePre<Guest>),
}

/// One component's code in this worker.
pub(super) struct Code {
    world: World,
    file: OwnedFd,
    classes: RefCell<[Option<Rc<Loaded>>; StackClass::COUNT]>,
}

/// Why code cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("the code is not sealed against change")]
    NotSealed,
    #[error("the code has {0} bytes")]
    Size(u64),
    #[error("cannot be mapped: {0}")]
    Map(#[from] rustix::io::Errno),
    #[error("{0:#}")]
    Engine(wasmtime::Error),
}

impl Code {
    /// Maps the code in `file` into the usual class.
    pub(super) fn load(
        engines: &Engines,
        mappings: &Mappings,
        world: World,
        file: OwnedFd,
    ) -> Result<Self, LoadError> {
        let code = Self { world, file, classes: RefCell::default() };
        code.class(engines, mappings, StackClass::USUAL)?;
        Ok(code)
    }

    /// The code in `class`, mapped at first use.
    pub(super) fn class(
        &self,
        engines: &Engines,
        mappings: &Mappings,
        class: StackClass,
    ) -> Result<Rc<Loaded>, LoadError> {
        let known = self.classes.borrow().get(class.index()).cloned().flatten();
        if let Some(loaded) = known {
            return Ok(loaded);
        }
        let loaded = Rc::new(self.map(engines.engine(self.world, class), mappings)?);
        if let Some(slot) = self.classes.borrow_mut().get_mut(class.index()) {
            *slot = Some(Rc::clone(&loaded));
        }
        Ok(loaded)
    }

    fn map(&self, engine: &Engine, mappings: &Mappings) -> Result<Loaded, LoadError> {
        let mapping = Mapping::of(&self.file)?;
        // SAFETY: the bytes came from the node over the one socket; it gives out only what its compile child
        // wrote and what carries its own MAC. The mapping is private and its file sealed, so that nobody
        // changes it. It is unmapped here if this fails, when nothing was instantiated from it, and
        // otherwise after the engine has let go of it.
        let component = unsafe { Component::deserialize_raw(engine, mapping.bytes) };
        let component = component.map_err(LoadError::Engine)?;
        let pre = link(engine, self.world, &component).map_err(LoadError::Engine)?;
        mappings.0.borrow_mut().push(mapping);
        Ok(Loaded { pre, engine: engine.clone() })
    }
}

/// Links `component` with all that a guest of `world` may have, and finds its entry.
///
/// # Errors
/// Names the import that nothing is linked with, or the export that is not there.
pub(super) fn link(engine: &Engine, world: World, component: &Component) -> wasmtime::Result<Pre> {
    let mut linker = Linker::<Guest>::new(engine);
    // Standard libraries import these whatever the world. They are linked, and closed: see `guest`.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    if world == World::P3 {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
        super::fields::bound(&mut linker)?;
    }
    let linked = linker.instantiate_pre(component)?;
    Ok(match world {
        World::P2 => Pre::P2(ProxyPre::new(linked)?),
        World::P3 => Pre::P3(ServicePre::new(linked)?),
    })
}

/// A private mapping of a sealed file.
struct Mapping {
    bytes: NonNull<[u8]>,
}

impl Mapping {
    fn of(file: impl AsFd) -> Result<Self, LoadError> {
        let wanted = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW;
        // Another kind of file answers with an error, which is as much of a refusal.
        if !rustix::fs::fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(wanted)) {
            return Err(LoadError::NotSealed);
        }
        let size = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        let length = usize::try_from(size).unwrap_or(0);
        if size == 0 || length == 0 || size > limits::COMPILED_BYTES_MAX {
            return Err(LoadError::Size(size));
        }
        // The engine makes the code's part executable, and writes to none of it.
        let rights = ProtFlags::READ;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let start = unsafe { mmap(ptr::null_mut(), length, rights, MapFlags::PRIVATE, &file, 0)? };
        let start = NonNull::new(start.cast::<u8>()).ok_or(LoadError::Size(size))?;
        Ok(Self { bytes: NonNull::slice_from_raw_parts(start, length) })
    }

    fn addresses(&self) -> Range<usize> {
        let start = self.bytes.addr().get();
        start..start + self.bytes.len()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `of`, and no code of it runs or is referred to any longer. A
        // failure leaves it mapped, which is harmless.
        let _left = unsafe { munmap(self.bytes.as_ptr().cast(), self.bytes.len()) };
    }
}
