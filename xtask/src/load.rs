//! Orders for the load, as JSON, and what it answers. It never sends a request itself.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::servers::{Tools, pinned};

/// A load that is under way.
pub struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A rate that does not wait for answers, as an order.
pub fn open_loop(to: &Value, path: &str, connections: usize, rate_per_s: f64, seconds: f64) -> Value {
    let run = json!({
        "path": path, "connections": connections, "rate_per_s": rate_per_s, "seconds": seconds,
    });
    json!({ "order": "open-loop", "to": to, "run": run })
}

/// A misbehaviour, as an order; `path` is what a hostile guest is called by.
pub fn attack(to: &Value, kind: &str, path: &str, connections: usize, seconds: f64) -> Value {
    let run = json!({ "kind": kind, "path": path, "connections": connections, "seconds": seconds });
    json!({ "order": "attack", "to": to, "run": run })
}

/// Runs an order to its end on the cores given.
pub fn run(tools: &Tools, cores: &str, order: &Value) -> Result<Value> {
    start(tools, cores, order, Turn::Usual)?.finish()
}

/// Who goes first on the load's cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Like any other process.
    Usual,
    /// With what nobody else wants (`SCHED_IDLE`), as if it ran on a machine of its own.
    Last,
}

/// Starts an order.
pub fn start(tools: &Tools, cores: &str, order: &Value, turn: Turn) -> Result<Running> {
    let mut command = match turn {
        Turn::Usual => pinned(cores, &tools.load),
        Turn::Last => {
            let mut command = pinned(cores, "chrt".as_ref());
            command.args(["--idle", "0"]).arg(&tools.load);
            command
        }
    };
    Running::of(command.arg(order.to_string()))
}

impl Running {
    fn of(command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("the load")?;
        Ok(Self { child })
    }

    /// Each line as it comes, to the end; the last is the answer.
    pub fn lines(&mut self) -> Result<impl Iterator<Item = Value> + Send + use<>> {
        let out = self.child.stdout.take().context("the load's answer is taken once")?;
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        Ok(lines.filter_map(|line| serde_json::from_str(&line).ok()))
    }

    /// Waits for the end, and gives the last line.
    pub fn finish(mut self) -> Result<Value> {
        let last = self.lines()?.last();
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the load ended with {status}");
        }
        last.context("the load said nothing")
    }
}
