//! The compiler's half: one component in, its compiled code or one sentence out, behind a wall of its own. It
//! never runs what it compiles, and believes nothing about what it is given.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    process::ExitCode,
};

use model::{Limits, World, limits};
use wasmtime::{
    Engine,
    component::{
        Component,
        types::{ComponentItem, Type},
    },
};

use crate::{
    engine::{self, MEMORIES_MAX, TABLES_MAX},
    wall::{self, WallKind},
    worker,
};

#[cfg(test)]
mod tests;

/// Why there is no compiled code. Whoever deploys the component reads it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChildError {
    /// It is no component at all.
    #[error("{0}")]
    NotAComponent(&'static str),
    /// It is larger than a component may be.
    #[error("more than {} bytes", limits::COMPONENT_BYTES_MAX)]
    TooLarge,
    /// The bytes are no valid component, or the compiler gave up.
    #[error("invalid: {0}")]
    Invalid(String),
    /// It does not export its world's entry, or imports what no function has.
    #[error("{0}")]
    Links(String),
    /// It needs more at its very start than any function may have.
    #[error("needs {0}")]
    Needs(String),
    /// The child itself failed.
    #[error("the compiler failed: {0}")]
    Broken(String),
}

/// The whole life of a compiler process, to be called first of all in `main`: the component (from its start)
/// on standard input, an empty memfd on standard output. Ends with success and the code in the memfd, or with
/// failure and one sentence on standard error.
pub fn compile_main(world: World) -> ExitCode {
    match live(world) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _unheard = write!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn live(world: World) -> Result<(), ChildError> {
    let broken = |error: &dyn std::error::Error| ChildError::Broken(error.to_string());
    let entered = wall::enter(WallKind::Compiler).map_err(|error| broken(&error))?;
    let threads = || {
        // The compiler's own threads; made later they would stand outside the wall, or not at all.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        rayon::ThreadPoolBuilder::new().num_threads(cores).build_global()
    };
    let (_walls, started) = wall::seal(&entered, threads).map_err(|error| broken(&error))?;
    started.map_err(|error| broken(&error))?;
    let component = read(entered.input)?;
    let code = compile(world, &component)?;
    File::from(entered.output).write_all(&code).map_err(|error| broken(&error))
}

fn read(input: OwnedFd) -> Result<Vec<u8>, ChildError> {
    let mut bytes = Vec::new();
    let read = File::from(input).take(limits::COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| ChildError::Broken(error.to_string()))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limits::COMPONENT_BYTES_MAX {
        return Err(ChildError::TooLarge);
    }
    Ok(bytes)
}

/// Compiles `bytes` for `world` and proves that it links.
///
/// # Errors
/// [`ChildError`], in words for whoever made the component.
pub(crate) fn compile(world: World, bytes: &[u8]) -> Result<Vec<u8>, ChildError> {
    is_component(bytes)?;
    let engine = engine::compiler(world).map_err(|error| ChildError::Broken(format!("{error:#}")))?;
    let component =
        Component::from_binary(&engine, bytes).map_err(|error| ChildError::Invalid(format!("{error:#}")))?;
    worker::check_links(&engine, world, &component)
        .map_err(|error| ChildError::Links(format!("{error:#}")))?;
    if !has_entry(&engine, world, &component) {
        return Err(ChildError::Links("its `handle` is not that of `wasi:http`".to_owned()));
    }
    fits(&component)?;
    component.serialize().map_err(|error| ChildError::Invalid(format!("{error:#}")))
}

/// Tells apart what people upload by mistake. The engine alone would also take compiled code, which may come
/// from nowhere but here.
fn is_component(bytes: &[u8]) -> Result<(), ChildError> {
    let why = match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => "a core module, not a component",
        [0, b'a', b's', b'm', ..] => "a component of another version of the format",
        [0x7f, b'E', b'L', b'F', ..] => "native code, not a component",
        _ => "not WebAssembly",
    };
    Err(ChildError::NotAComponent(why))
}

/// Whether the entry takes and gives what that of `world` does. Linking looks at its name alone.
fn has_entry(engine: &Engine, world: World, component: &Component) -> bool {
    let (interface, params) = match world {
        World::P2 => ("wasi:http/incoming-handler@0.2.", 2),
        World::P3 => ("wasi:http/handler@0.3.", 1),
    };
    let component = component.component_type();
    let mut exports = component.exports(engine).filter(|(name, _)| name.starts_with(interface));
    exports.any(|(_, export)| {
        let ComponentItem::ComponentInstance(handler) = export.ty else { return false };
        let Some(ComponentItem::ComponentFunc(handle)) =
            handler.get_export(engine, "handle").map(|handle| handle.ty)
        else {
            return false;
        };
        let results: Vec<_> = handle.results().collect();
        let results_fit = match world {
            World::P2 => results.is_empty(),
            World::P3 => matches!(*results, [Type::Result(_)]),
        };
        let params_fit = handle.params().all(|(_, of)| matches!(of, Type::Own(_)));
        results_fit && params_fit && handle.params().len() == params
    })
}

/// What the pools of a worker could never hold.
fn fits(component: &Component) -> Result<(), ChildError> {
    const CEILING: Limits = Limits::CEILING;
    const PAGE_BYTES: u64 = 64 << 10;
    // Without it the component instantiates modules that it imports, and those it cannot.
    let Some(needs) = component.resources_required() else { return Ok(()) };
    let memory = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE_BYTES);
    let table = needs.max_initial_table_size.unwrap_or(0);
    for (what, need, most) in [
        ("memories", u64::from(needs.num_memories), u64::from(MEMORIES_MAX)),
        ("bytes of memory", memory, CEILING.memory_bytes),
        ("tables", u64::from(needs.num_tables), u64::from(TABLES_MAX)),
        ("table elements", table, CEILING.table_elements),
    ] {
        if need > most {
            return Err(ChildError::Needs(format!("{need} {what} where at most {most} are possible")));
        }
    }
    Ok(())
}
