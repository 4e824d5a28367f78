//! Makes mapped code executable, and nothing else so. It never maps anything.
#![expect(unsafe_code, reason = "the rights of a mapping have no safe interface")]

use std::{collections::BTreeSet, ops::Range};

use parking_lot::Mutex;
use rustix::mm::{MprotectFlags, mprotect};
use wasmtime::CustomCodeMemory;

/// For code that a worker mapped by itself, read-only, from a sealed file.
pub(super) struct Publish;

/// Where code began that the engine has let go of. An engine holds on to code for longer than anyone who runs
/// it: the slots of its pools remember what they were filled from.
static LET_GO: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// Whether the code within this range of addresses was published once and is now of no use to any engine.
pub(super) fn let_go(range: Range<usize>) -> bool {
    LET_GO.lock().range(range).next().is_some()
}

impl CustomCodeMemory for Publish {
    fn required_alignment(&self) -> usize {
        rustix::param::page_size()
    }

    fn publish_executable(&self, start: *const u8, length: usize) -> wasmtime::Result<()> {
        LET_GO.lock().remove(&start.addr());
        set(start, length, MprotectFlags::READ | MprotectFlags::EXEC)
    }

    fn unpublish_executable(&self, start: *const u8, length: usize) -> wasmtime::Result<()> {
        set(start, length, MprotectFlags::READ)?;
        LET_GO.lock().insert(start.addr());
        Ok(())
    }
}

fn set(start: *const u8, length: usize, rights: MprotectFlags) -> wasmtime::Result<()> {
    // SAFETY: the engine names a range of whole pages that it owns, in which no code runs yet or any more;
    // no right to write is ever given.
    unsafe { mprotect(start.cast_mut().cast(), length, rights)? };
    Ok(())
}
