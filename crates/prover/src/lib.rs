//! Proofs that a change of policies lets nobody in whom the policies before refused, or a request that shows
//! otherwise. It decides no request, and never takes a solver's word for a request: Cedar evaluates it again.
//!
//! What is asked comes from [`policy::Difference`]; Cedar's symbolic compiler turns it into SMT-LIB, and cvc5, a
//! process of its own within bounds of time and memory, answers. Without a solver nothing is proved.

mod pretty;
mod question;
mod solver;
mod witness;

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use policy::Difference;

pub use witness::Witness;

/// How long all questions of one change may take.
pub const PROOF_MAX: Duration = Duration::from_secs(20);
/// Memory of the solver's process, in bytes of address space.
pub const SOLVER_BYTES_MAX: u64 = 2 << 30;
/// Questions of one change, at most.
pub const QUESTIONS_MAX: usize = 512;

/// What is known about a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing is permitted that was refused: proved.
    Harmless,
    /// This request is permitted that was refused.
    Widens(Box<Witness>),
    /// It could not be proved, for this reason. Whoever decides takes it for a widening.
    Unproved(String),
}

/// A solver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prover(PathBuf);

impl Prover {
    /// The solver of that name or path.
    ///
    /// # Errors
    /// A sentence, if it does not run or is no cvc5 that answers.
    pub fn new(executable: &Path) -> Result<Self, String> {
        let prover = Self(executable.to_owned());
        apart(|| solver::answers(&prover))?;
        Ok(prover)
    }

    /// The solver that the environment names (`CVC5`), or the `cvc5` on the `PATH`; none if there is none that
    /// answers.
    pub fn find() -> Option<Self> {
        let named = std::env::var_os("CVC5").filter(|name| !name.is_empty());
        Self::new(Path::new(&named.unwrap_or_else(|| "cvc5".into()))).ok()
    }

    /// Proves that a change lets nobody in, or finds a request that it does let in. It blocks for at most
    /// [`PROOF_MAX`] and a little: not for a thread that serves.
    pub fn prove(&self, difference: &Difference) -> Verdict {
        if difference.asked.is_empty() {
            return Verdict::Harmless;
        }
        if difference.asked.len() > QUESTIONS_MAX {
            return Verdict::Unproved(format!(
                "there are more than {QUESTIONS_MAX} kinds of requests to look at"
            ));
        }
        let until = Instant::now() + PROOF_MAX;
        apart(|| async { Ok(question::all(self, difference, until).await) }).unwrap_or_else(Verdict::Unproved)
    }

    pub(crate) fn executable(&self) -> &Path {
        &self.0
    }
}

/// On a thread of its own: with a stack that is deep enough for the policies, and a runtime for the pipes.
fn apart<T: Send, F: Future<Output = Result<T, String>>>(
    work: impl FnOnce() -> F + Send,
) -> Result<T, String> {
    const STACK_BYTES: usize = 32 << 20;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).name("prover".into());
        let run = || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().map_err(|error| error.to_string())?;
            runtime.block_on(work())
        };
        let started = thread.spawn_scoped(scope, run).map_err(|error| error.to_string())?;
        started.join().map_err(|_| "the proof broke off".to_owned())?
    })
}

/// What is known about a change without a solver: what [`Difference`] clears by itself, and nothing else.
pub fn without_solver(difference: &Difference) -> Verdict {
    if difference.asked.is_empty() {
        return Verdict::Harmless;
    }
    Verdict::Unproved("there is no solver here (cvc5), so that it could not be proved harmless".to_owned())
}
