//! The engines: one configuration for each world, and a pool of instances for each class of stack. It never
//! runs a guest and never decides what a guest is linked with.
//!
//! Two configurations, since an engine that need not serve 0.3 instantiates faster. The size of the stack
//! changes no compiled code: a component is compiled once for its world and may be mapped into each class.

mod publish;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, OnceLock},
};

use model::{Limits, World, limits};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

#[cfg(test)]
mod tests;

/// Memories that one component may have: enough for a composition of several languages.
pub(crate) const MEMORIES_MAX: u32 = 8;
/// Tables that one component may have.
pub(crate) const TABLES_MAX: u32 = 16;

/// The classes of stack, in bytes of Wasm stack, in rising order.
const STACKS: [usize; 2] = [1 << 20, 4 << 20];
/// Stack above the guest's for the host's own frames, in bytes.
const HOST_STACK_BYTES: usize = 512 << 10;
/// Bytes of a memory that stay mapped for the next instance, where the kernel can name the dirty pages.
const MEMORY_KEEP_BYTES: usize = 4 << 20;
/// The same of a table.
const TABLE_KEEP_BYTES: usize = 1 << 20;

/// Which pool a run comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StackClass(usize);

impl StackClass {
    /// How many there are.
    pub(crate) const COUNT: usize = STACKS.len();
    /// The class of most functions, in which code is mapped at first.
    pub(crate) const USUAL: Self = Self(0);

    /// The smallest class with `stack_bytes`, or the largest there is.
    pub(crate) fn holding(stack_bytes: u64) -> Self {
        let fits = |bytes: &usize| u64::try_from(*bytes).is_ok_and(|bytes| bytes >= stack_bytes);
        Self(STACKS.iter().position(fits).unwrap_or(STACKS.len() - 1))
    }

    /// Its place, below [`StackClass::COUNT`].
    pub(crate) const fn index(self) -> usize {
        self.0
    }

    fn bytes(self) -> usize {
        STACKS.get(self.0).copied().unwrap_or(STACKS[0])
    }
}

/// Whether the engine has let go of the code that was mapped into this range of addresses, so that it may be
/// unmapped. Not before: pools remember code that nobody runs any more.
pub(crate) fn let_go(range: std::ops::Range<usize>) -> bool {
    publish::let_go(range)
}

/// All pools of a worker. They reserve address space, not memory, and must be made before the wall: they
/// open `/proc/self/pagemap`.
#[derive(Debug)]
pub(crate) struct Engines {
    p2: [Engine; StackClass::COUNT],
    p3: [Engine; StackClass::COUNT],
}

static ENGINES: OnceLock<Result<Engines, String>> = OnceLock::new();

impl Engines {
    /// The engines of this process, made at the first call.
    ///
    /// # Errors
    /// What the engine says when the kernel refuses it the address space, say.
    pub(crate) fn of_process() -> Result<&'static Self, &'static str> {
        let made = ENGINES.get_or_init(|| Self::create().map_err(|error| format!("{error:#}")));
        made.as_ref().map_err(String::as_str)
    }

    /// One tick of CPU time: every guest that runs now yields at its next check. Safe in a signal handler:
    /// it takes no lock, allocates nothing and makes no system call.
    pub(crate) fn tick() {
        if let Some(Ok(engines)) = ENGINES.get() {
            for engine in engines.p2.iter().chain(&engines.p3) {
                engine.increment_epoch();
            }
        }
    }

    /// The engine of a world and class.
    pub(crate) fn engine(&self, world: World, class: StackClass) -> &Engine {
        let [usual, large] = match world {
            World::P2 => &self.p2,
            World::P3 => &self.p3,
        };
        if class == StackClass::USUAL { usual } else { large }
    }

    fn create() -> wasmtime::Result<Self> {
        let [usual, large] = [StackClass(0), StackClass(1)];
        Ok(Self {
            p2: [pooled(World::P2, usual)?, pooled(World::P2, large)?],
            p3: [pooled(World::P3, usual)?, pooled(World::P3, large)?],
        })
    }
}

/// An engine that compiles for `world` and holds no pool.
///
/// # Errors
/// What the engine says where this processor is none that it compiles for.
pub(crate) fn compiler(world: World) -> wasmtime::Result<Engine> {
    let mut config = base(world);
    config.parallel_compilation(true);
    // Unwinding tables are for native debuggers; traps are unwound by frame pointers.
    config.native_unwind_info(false);
    Engine::new(&config)
}

/// A name that changes whenever compiled code of `world` must be made again: version of the engine, its
/// settings, this processor.
///
/// # Errors
/// As the engine's, where this processor is none that it compiles for.
pub(crate) fn fingerprint(world: World) -> wasmtime::Result<String> {
    let engine = compiler(world)?;
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let name = match world {
        World::P2 => "p2",
        World::P3 => "p3",
    };
    Ok(format!("wasmtime-48-{name}-{:016x}", hasher.finish()))
}

/// What compiled code depends on. Compiler and pools must agree in all of it.
fn base(world: World) -> Config {
    let mut config = Config::new();
    config.concurrency_support(world == World::P3);
    config.wasm_memory64(false);
    config.epoch_interruption(true);
    config.memory_init_cow(true);
    config.generate_address_map(false);
    config
}

fn pooled(world: World, class: StackClass) -> wasmtime::Result<Engine> {
    let made = with_memories(world, class, MEMORIES_MAX);
    // Where the address space is small (39 bits on some ARM machines), take what a plain component needs.
    made.or_else(|_| with_memories(world, class, 1))
}

fn with_memories(world: World, class: StackClass, memories: u32) -> wasmtime::Result<Engine> {
    let mut config = base(world);
    config.enable_compiler(false);
    config.with_custom_code_memory(Some(Arc::new(publish::Publish)));
    config.max_wasm_stack(class.bytes());
    config.async_stack_size(class.bytes() + HOST_STACK_BYTES);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(memories)));
    Engine::new(&config)
}

fn pool(memories: u32) -> PoolingAllocationConfig {
    const RUNS: u32 = limits::WORKER_RUNS_MAX;
    const CEILING: Limits = Limits::CEILING;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(RUNS)
        .total_core_instances(RUNS * u32::try_from(CEILING.instances).unwrap_or(u32::MAX / RUNS))
        .total_stacks(RUNS)
        .total_memories(RUNS * memories)
        .max_memories_per_component(memories)
        .max_memories_per_module(memories)
        .max_memory_size(size(CEILING.memory_bytes))
        .total_tables(RUNS * TABLES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .table_elements(size(CEILING.table_elements))
        .max_component_instance_size(16 << 20)
        .max_core_instance_size(8 << 20)
        .decommit_batch_size(64);
    // Without the kernel's help, resetting a kept memory costs more than giving it back.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Auto)
            .linear_memory_keep_resident(MEMORY_KEEP_BYTES)
            .table_keep_resident(TABLE_KEEP_BYTES);
    } else {
        pool.pagemap_scan(Enabled::No);
    }
    pool
}
