//! Compilation as the node sees it: a component goes into a child process, compiled code or a reason comes
//! out. It never looks into either.

pub(crate) mod child;

use std::{
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{ChildStderr, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use model::{World, limits};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::node::{Cells, Held, Priority, WORDS_BYTES_MAX, sealed};

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler says what is wrong with it: no component, invalid, an import that no function has.
    #[error("{0}")]
    Component(String),
    /// It is larger than a component may be.
    #[error("the component has {0} bytes, {max} are allowed", max = limits::COMPONENT_BYTES_MAX)]
    TooLarge(u64),
    /// Its compiled code is larger than it may be.
    #[error("the compiled code has more than {max} bytes", max = limits::COMPILED_BYTES_MAX)]
    OutputTooLarge,
    /// It took too long.
    #[error("compiling took longer than {} ms", .0.as_millis())]
    Time(Duration),
    /// It took too much CPU time.
    #[error("compiling took more than {max} s of CPU time", max = limits::COMPILE_CPU_S)]
    Cpu,
    /// It took too much memory.
    #[error("compiling took more than {max} bytes of memory", max = limits::COMPILE_MEMORY_BYTES)]
    Memory,
    /// The compiler ended otherwise than it may: a bug of it, or a component that made it do what its wall
    /// forbids.
    #[error("the compiler ended by {0}")]
    Crashed(String),
    /// The child process could not be worked with.
    #[error("the compiler could not be started: {0}")]
    Io(#[from] std::io::Error),
}

/// A name that changes whenever code for `world` must be compiled anew: what is kept compiled is kept under
/// it.
///
/// # Errors
/// A sentence, if this processor is none that the engine compiles for.
pub fn fingerprint(world: World) -> Result<String, String> {
    crate::engine::fingerprint(world).map_err(|error| format!("{error:#}"))
}

impl CompileError {
    /// Whether it met a bound of compilations: what it is made of may be in order.
    pub const fn is_limit(&self) -> bool {
        matches!(self, Self::OutputTooLarge | Self::Time(_) | Self::Cpu | Self::Memory)
    }
}

impl Cells {
    /// Compiles `component` for `world`, in a child process behind walls of its own and under hard limits of
    /// time and memory. Waits while others are compiled.
    ///
    /// # Errors
    /// [`CompileError`], in words for whoever made the component.
    pub async fn compile(&self, component: &[u8], world: World) -> Result<Vec<u8>, CompileError> {
        if component.len() as u64 > limits::COMPONENT_BYTES_MAX {
            return Err(CompileError::TooLarge(component.len() as u64));
        }
        // INVARIANT: the semaphore is never closed.
        let _turn = self.compiling().acquire().await.ok();
        let input = Stdio::from(sealed("casemate-component", component)?);
        let output = memfd_create("casemate-compiled", MemfdFlags::CLOEXEC).map_err(std::io::Error::from)?;
        let output = File::from(output);
        let theirs = Stdio::from(OwnedFd::from(output.try_clone()?));
        let mut arguments = self.config().compile_args.clone();
        arguments.push(name(world).into());
        let program = &self.config().program;
        let child = self.spawner().spawn(Priority::Behind, program, &arguments, input, theirs).await?;
        let mut held = Held { child: Some(child), spawner: self.spawner() };
        let words = held.child.as_mut().and_then(|child| child.stderr.take());

        let started = Instant::now();
        let most = self.config().compile_wall.min(Duration::from_millis(limits::COMPILE_WALL_MS));
        let status = ended(&mut held, most).await?.ok_or(CompileError::Time(most))?;
        let words = last_words(words);
        if !status.success() {
            return Err(reason(status, started.elapsed(), words));
        }
        tokio::task::spawn_blocking(move || read(output)).await.map_err(std::io::Error::other)?
    }
}

fn name(world: World) -> &'static str {
    match world {
        World::P2 => "wasi-0.2",
        World::P3 => "wasi-0.3",
    }
}

/// Waits for the child, or until it took too long: it is killed then.
async fn ended(held: &mut Held<'_>, most: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + most;
    let mut pause = Duration::from_millis(1);
    while let Some(child) = &mut held.child {
        if let Some(status) = child.try_wait()? {
            held.child = None;
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    Ok(None)
}

/// What the child wrote to its standard error, up to a bound. The child is gone, so that nothing is waited
/// for; the pipe holds more than the bound.
fn last_words(pipe: Option<ChildStderr>) -> String {
    let Some(pipe) = pipe else { return String::new() };
    let nonblocking = rustix::fs::fcntl_setfl(&pipe, rustix::fs::OFlags::NONBLOCK);
    let mut words = Vec::new();
    if nonblocking.is_ok() {
        // What was read before an error counts.
        let _partly = pipe.take(WORDS_BYTES_MAX).read_to_end(&mut words);
    }
    String::from_utf8_lossy(&words).trim().to_owned()
}

fn reason(status: ExitStatus, took: Duration, words: String) -> CompileError {
    // The process that waits in an outer namespace passes a signal on, or says it with its status.
    let signal = status.signal().or_else(|| status.code().filter(|code| *code > 128).map(|code| code - 128));
    match signal {
        Some(libc::SIGXCPU) => CompileError::Cpu,
        Some(libc::SIGXFSZ) => CompileError::OutputTooLarge,
        // Nobody but the kernel kills it: at the hard limit of CPU time, which takes a while, or when memory
        // runs out.
        Some(libc::SIGKILL) if took >= cpu_could_be_used_up() => CompileError::Cpu,
        Some(libc::SIGKILL) => CompileError::Memory,
        Some(libc::SIGABRT | libc::SIGSEGV) if is_memory(&words) => CompileError::Memory,
        Some(signal) => CompileError::Crashed(format!("signal {signal}: {words}")),
        None if is_memory(&words) => CompileError::Memory,
        None if words.is_empty() => CompileError::Crashed(status.to_string()),
        None => CompileError::Component(words),
    }
}

/// The least time in which all cores together use up what a compilation may use.
fn cpu_could_be_used_up() -> Duration {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    Duration::from_secs(limits::COMPILE_CPU_S / cores)
}

fn is_memory(words: &str) -> bool {
    ["memory allocation of", "Cannot allocate memory", "out of memory"].iter().any(|w| words.contains(w))
}

fn read(mut output: File) -> Result<Vec<u8>, CompileError> {
    use std::io::Seek as _;
    output.rewind()?;
    let mut code = Vec::new();
    (&mut output).take(limits::COMPILED_BYTES_MAX + 1).read_to_end(&mut code)?;
    match code.len() as u64 {
        0 => Err(CompileError::Crashed("an end without compiled code".into())),
        length if length > limits::COMPILED_BYTES_MAX => Err(CompileError::OutputTooLarge),
        _ => Ok(code),
    }
}
