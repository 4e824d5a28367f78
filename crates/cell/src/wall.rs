//! How a child process walls itself in before it sees a guest's code. It never opens anything afterwards.
//!
//! A child is spawned with an empty environment, with one descriptor on its standard input (a worker: the
//! socket to its node; a compiler: the component in a sealed memfd) and for a compiler one on its standard
//! output (a memfd for the result). First of all, in `main`, before any thread, it calls [`enter`]; then it
//! opens what it must (engines, the runtime); then it calls [`seal`], after which no path, no socket and no
//! other process exists for it.

mod calls;
mod filter;
mod fork;
mod space;

use std::{fs, io, os::fd::OwnedFd};

use model::limits;
use rustix::{
    process::{DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior, setrlimit},
    thread::{CapabilitySet, CapabilitySets},
};

use crate::Walls;

/// What the child is: it decides which system calls and how much memory it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WallKind {
    /// Runs guests.
    Worker,
    /// Compiles one component.
    Compiler,
}

/// What a child holds after [`enter`]: all other descriptors are closed, standard input and output are on
/// `/dev/null`, and standard error is what the node gave (a pipe that it reads a bounded amount of).
#[derive(Debug)]
pub struct Entered {
    /// The walls that stand already.
    pub walls: Walls,
    /// What was standard input: a worker's socket, a compiler's component (read it from its start).
    pub input: OwnedFd,
    /// What was standard output: a compiler's result.
    pub output: OwnedFd,
    kind: WallKind,
}

/// A wall failed, for another reason than that the kernel does not have it. The child must end.
#[derive(Debug, thiserror::Error)]
pub enum WallError {
    /// A step failed.
    #[error("{step}: {source}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The process has more threads than one where it must have one.
    #[error("{0} threads where there must be one")]
    Threads(usize),
    /// Whoever started this process is gone.
    #[error("the parent is gone")]
    ParentGone,
}

impl WallError {
    fn step(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Step { step, source }
    }

    fn kernel(step: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |error| Self::Step { step, source: error.into() }
    }

    fn other(step: &'static str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Step { step, source: io::Error::other(error) }
    }
}

/// The first stage, at the start of `main`, with one thread: a descriptor on standard input, and all else
/// that was inherited closed; parent-death signal, resource limits, another user, namespaces of its own.
///
/// Where the kernel gives a process namespace this forks: the caller goes on as its first process, and the
/// process that was started waits for it and ends as it ends.
///
/// # Errors
/// [`WallError`]; the process must end then. A namespace that the kernel withholds is no error.
pub fn enter(kind: WallKind) -> Result<Entered, WallError> {
    fork::alone()?;
    fork::close_from(3)?;
    // Both ends that the node gave, away from the numbers that library code writes to.
    let input =
        rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3).map_err(WallError::kernel("standard input"))?;
    let output =
        rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3).map_err(WallError::kernel("standard output"))?;
    let null = fs::File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(WallError::step("/dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(WallError::kernel("standard input"))?;
    rustix::stdio::dup2_stdout(&null).map_err(WallError::kernel("standard output"))?;
    drop(null);

    rustix::thread::set_no_new_privs(true).map_err(WallError::kernel("no-new-privs"))?;
    // If memory runs out the kernel ends workers before their node. Where it may not be said, it is not.
    let _unsaid = fs::write("/proc/self/oom_score_adj", "1000");
    space::leave_root()?;
    limit(kind)?;
    // After the change of user, which clears it.
    die_with_parent()?;
    let mut walls = Walls::NO_NEW_PRIVS.with(Walls::RLIMITS).with(Walls::PARENT_DEATH);
    walls = walls.with(space::leave()?);
    Ok(Entered { walls, input, output, kind })
}

/// The second stage, once engines and runtime are made: nothing of the file system is left in reach, all
/// capabilities go, then Landlock, then `threads` (what must run beside the caller is started there, and
/// nowhere later), then seccomp for all threads. Nothing can be opened, connected or started from here on.
///
/// # Errors
/// [`WallError`]; the process must end then. `walls` of the result says which stand.
pub fn seal<T>(entered: &Entered, threads: impl FnOnce() -> T) -> Result<(Walls, T), WallError> {
    // Namespaces, capabilities and Landlock are each thread's own.
    fork::alone()?;
    let mut walls = entered.walls;
    if walls.has(Walls::MOUNT_NS) && !space::empty() {
        walls = Walls(walls.0 & !Walls::MOUNT_NS.0);
    }
    drop_capabilities()?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(WallError::kernel("dumpable"))?;
    if filter::forbid_paths()? {
        walls = walls.with(Walls::LANDLOCK);
    }
    let started = threads();
    if entered.kind == WallKind::Worker {
        set(Resource::Nproc, 0)?;
    }
    filter::forbid_calls(entered.kind)?;
    Ok((walls.with(Walls::SECCOMP), started))
}

/// Both stages at once, for a process that needs nothing in between.
///
/// # Errors
/// As [`enter`] and [`seal`].
pub fn raise(kind: WallKind) -> Result<(Walls, Entered), WallError> {
    let entered = enter(kind)?;
    let (walls, ()) = seal(&entered, || ())?;
    Ok((walls, entered))
}

fn die_with_parent() -> Result<(), WallError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(WallError::kernel("parent-death signal"))?;
    // The node may have died before the signal was asked for: nobody holds the other end then.
    if fork::hung_up(&io::stderr())? { Err(WallError::ParentGone) } else { Ok(()) }
}

fn limit(kind: WallKind) -> Result<(), WallError> {
    set(Resource::Core, 0)?;
    set(Resource::Memlock, 0)?;
    set(Resource::Msgqueue, 0)?;
    match kind {
        WallKind::Worker => {
            // No file but memory, and of that no more than a component's image takes.
            set(Resource::Fsize, limits::COMPILED_BYTES_MAX)?;
            set(Resource::Nofile, WORKER_DESCRIPTORS_MAX)?;
            // Writable private memory. The address space stays open: pools of instances reserve terabytes
            // of it, which no guest can write to before the engine says so.
            set(Resource::Data, limits::WORKER_DATA_BYTES_MAX)
        }
        WallKind::Compiler => {
            set(Resource::Fsize, limits::COMPILED_BYTES_MAX)?;
            set(Resource::Nofile, COMPILER_DESCRIPTORS_MAX)?;
            set(Resource::As, limits::COMPILE_MEMORY_BYTES)?;
            // One second between the signal that says why and the one that ends.
            let (soft, hard) = (limits::COMPILE_CPU_S, limits::COMPILE_CPU_S + 1);
            setrlimit(Resource::Cpu, Rlimit { current: Some(soft), maximum: Some(hard) })
                .map_err(WallError::kernel("resource limits"))
        }
    }
}

const WORKER_DESCRIPTORS_MAX: u64 = 4_096;
const COMPILER_DESCRIPTORS_MAX: u64 = 64;

/// The lower of `most` and what the process may have already.
fn set(resource: Resource, most: u64) -> Result<(), WallError> {
    let most = rustix::process::getrlimit(resource).maximum.map_or(most, |m| m.min(most));
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
        .map_err(WallError::kernel("resource limits"))
}

fn drop_capabilities() -> Result<(), WallError> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(WallError::kernel("drop capabilities"))
}
