//! cvc5 as a child process, spoken to over its pipes in SMT-LIB. It never outlives who asked it.

use std::process::Stdio;

use cedar_policy_symcc::{
    SmtLibScript,
    solver::{Decision, DecisionWithModel, Solver, SolverError},
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Take},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{PROOF_MAX, Prover, SOLVER_BYTES_MAX};

/// All that a solver may say, in bytes.
const SAID_BYTES_MAX: u64 = 16 << 20;

type Answer<T> = Result<T, SolverError>;

/// A solver's process.
pub(crate) struct Cvc5 {
    // Killed when dropped.
    _child: Child,
    script: Vec<u8>,
    stdin: ChildStdin,
    stdout: BufReader<Take<ChildStdout>>,
}

impl Cvc5 {
    /// Starts one, within its bounds.
    pub(crate) fn start(prover: &Prover) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| {
            format!("the solver `{}` does not run: {error}", prover.executable().display())
        };
        let limit = format!("--tlimit={}", PROOF_MAX.as_millis());
        let mut command = Command::new(prover.executable());
        command.args(["--lang", "smt", "--incremental"]).arg(limit);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let bound = Rlimit { current: Some(SOLVER_BYTES_MAX), maximum: Some(SOLVER_BYTES_MAX) };
        let pid = pid.ok_or_else(|| failed(&"it ended at once"))?;
        prlimit(Some(pid), Resource::As, bound).map_err(|error| failed(&error))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| failed(&"it has no pipes"))?;
        let stdout = BufReader::new(stdout.take(SAID_BYTES_MAX));
        Ok(Self { _child: child, script: Vec::new(), stdin, stdout })
    }

    async fn send(&mut self) -> Answer<()> {
        self.stdin.write_all(&self.script).await?;
        self.script.clear();
        Ok(self.stdin.flush().await?)
    }

    async fn line(&mut self) -> Answer<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line).await? == 0 {
            return Err(SolverError::Solver("it ended, or said too much".to_owned()));
        }
        Ok(line)
    }
}

impl Solver for Cvc5 {
    fn smtlib_input(&mut self) -> &mut (dyn AsyncWrite + Unpin + Send) {
        &mut self.script
    }

    async fn enable_models(&mut self) -> Answer<()> {
        Ok(self.smtlib_input().set_option("produce-models", "true").await?)
    }

    async fn check_sat(&mut self) -> Answer<Decision> {
        self.smtlib_input().check_sat().await?;
        self.send().await?;
        match self.line().await?.trim() {
            "sat" => Ok(Decision::Sat),
            "unsat" => Ok(Decision::Unsat),
            "unknown" => Ok(Decision::Unknown),
            other => Err(SolverError::Solver(other.chars().take(200).collect())),
        }
    }

    async fn check_sat_with_model(&mut self) -> Answer<DecisionWithModel> {
        match self.check_sat().await? {
            Decision::Unsat => return Ok(DecisionWithModel::Unsat),
            Decision::Unknown => return Ok(DecisionWithModel::Unknown),
            Decision::Sat => {}
        }
        self.smtlib_input().get_model().await?;
        self.send().await?;
        let mut model = self.line().await?;
        if model.trim() != "(" {
            return Err(SolverError::Solver(model.chars().take(200).collect()));
        }
        loop {
            let line = self.line().await?;
            let ends = line.trim() == ")";
            model.push_str(&line);
            if ends {
                return Ok(DecisionWithModel::Sat { model });
            }
        }
    }
}

/// Asks for something that every solver knows.
pub(crate) async fn answers(prover: &Prover) -> Result<(), String> {
    let mut solver = Cvc5::start(prover)?;
    let asked = async {
        solver.smtlib_input().set_logic("ALL").await?;
        solver.check_sat().await
    };
    let said =
        tokio::time::timeout(PROOF_MAX, asked).await.map_err(|_| "the solver does not answer".to_owned())?;
    match said {
        Ok(Decision::Sat) => Ok(()),
        Ok(other) => Err(format!("the solver says {other:?} to nothing")),
        Err(error) => Err(format!("the solver does not answer: {error}")),
    }
}
