//! Servers as child processes: started on the cores given, measured as a whole tree, ended when they are dropped
//! or when this program ends in any way. It never loads one.

pub mod node;
pub mod peers;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::test::cargo;

/// How long a server may take to come up, or to end.
const WAIT: Duration = Duration::from_secs(60);

/// What is run: the executable that is measured, and the one that loads it.
pub struct Tools {
    /// The work tree.
    pub root: PathBuf,
    /// The executable under measurement.
    pub casemate: PathBuf,
    /// The load.
    pub load: PathBuf,
}

impl Tools {
    /// The work tree alone, for what starts no server.
    pub fn none(root: &Path) -> Self {
        Self { root: root.to_owned(), casemate: PathBuf::new(), load: PathBuf::new() }
    }

    /// Builds both as `cargo xtask test` does. With `exe` that is measured, and the load is the one of the last build.
    pub fn build(root: &Path, exe: Option<&Path>) -> Result<Self> {
        let built = root.join("target/release");
        if exe.is_none() || !built.join("load").exists() {
            let mut build = cargo(root);
            build.args(["build", "--quiet", "--release", "--workspace", "--bins"]).stdout(Stdio::null());
            if !build.status()?.success() {
                bail!("the workspace does not build");
            }
        }
        let casemate = std::path::absolute(exe.unwrap_or(&built.join("casemate")))?;
        if !casemate.exists() {
            bail!("`{}` is not there", casemate.display());
        }
        Ok(Self { root: root.to_owned(), casemate, load: built.join("load") })
    }
}

/// Which cores the server and the load have, as `taskset` writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    /// How many the server has.
    pub cores: usize,
    /// Its cores.
    pub server: String,
    /// The load's.
    pub load: String,
}

impl Pins {
    /// The first `cores` for the server and the next for the load; where the machine has no more, the load
    /// shares the server's.
    pub fn new(cores: usize) -> Self {
        Self::of(cores, std::thread::available_parallelism().map_or(2, usize::from))
    }

    fn of(cores: usize, all: usize) -> Self {
        let range =
            |from: usize, to: usize| if from == to { from.to_string() } else { format!("{from}-{to}") };
        let load = if all >= 2 * cores { range(cores, 2 * cores - 1) } else { range(0, all - 1) };
        Self { cores, server: range(0, cores - 1), load }
    }

    /// Whether server and load have no core in common.
    pub fn apart(&self) -> bool {
        self.server != self.load && self.server.split('-').next_back() < self.load.split('-').next()
    }
}

/// A command that runs on these cores and dies with us, whatever ends us.
pub fn pinned(cores: &str, exe: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "-c", cores]).arg(exe).env_remove("RUST_BACKTRACE");
    command
}

/// A running process and all below it.
pub struct Process {
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("{command:?} does not start"))?;
        Ok(Self { child })
    }

    /// Its own id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) -> Result<()> {
        let id = i32::try_from(self.child.id())?;
        let id = rustix::process::Pid::from_raw(id).context("a process id")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        wait_for("the server's end", || self.child.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// CPU time of each process of the tree so far, in microseconds: the first is its root.
    pub fn cpu_us(&self) -> Vec<(u32, u64)> {
        self.tree().into_iter().filter_map(|id| Some((id, cpu_us(id)?))).collect()
    }

    /// Memory of the tree in MiB: resident (a shared page counts in each process that has it) and proportional
    /// (it counts once).
    pub fn memory_mib(&self) -> Memory {
        let mut sum = Memory::default();
        for id in self.tree() {
            let Ok(text) = fs::read_to_string(format!("/proc/{id}/smaps_rollup")) else { continue };
            let (rss, pss) = (kib(&text, "Rss:"), kib(&text, "Pss:"));
            sum.rss += rss / 1024.0;
            sum.pss += pss / 1024.0;
        }
        sum
    }

    /// Resident memory of the tree in MiB, from what costs the kernel nothing to say.
    pub fn resident_mib(&self) -> f64 {
        let pages = |id| {
            let text = fs::read_to_string(format!("/proc/{id}/statm")).unwrap_or_default();
            text.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0)
        };
        self.tree().into_iter().map(pages).sum::<f64>() * 4096.0 / 1048576.0
    }

    /// Open files of the tree.
    pub fn files(&self) -> usize {
        let count = |id| fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
        self.tree().into_iter().map(count).sum()
    }

    /// Its id and those of everything below it.
    pub fn tree(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let mut at = 0;
        while let Some(id) = found.get(at).copied() {
            at += 1;
            for task in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                found.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
            }
        }
        found
    }
}

/// Memory in MiB.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Memory {
    /// Resident, summed over processes.
    pub rss: f64,
    /// Proportional.
    pub pss: f64,
}

fn cpu_us(id: u32) -> Option<u64> {
    ticks(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?).map(|ticks| ticks * 10_000)
}

/// User and system time of `/proc/PID/stat` (proc(5), fields 14 and 15), in ticks of 10 ms.
fn ticks(stat: &str) -> Option<u64> {
    let after = stat.rsplit(')').next()?;
    let mut fields = after.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn kib(rollup: &str, field: &str) -> f64 {
    let line = rollup.lines().find(|line| line.starts_with(field));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0.0)
}

/// Waits until something is so.
pub fn wait_for(what: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !ready() {
        if started.elapsed() > WAIT {
            bail!("{what}: not in {} s", WAIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Whether a program can be started at all.
pub fn there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Pins, kib, ticks};

    #[test]
    fn cores_are_shared_only_where_there_are_no_more() {
        for (cores, all, server, load, apart) in [
            (1, 2, "0", "1", true),
            (2, 2, "0-1", "0-1", false),
            (2, 4, "0-1", "2-3", true),
            (1, 1, "0", "0", false),
        ] {
            let pins = Pins::of(cores, all);
            assert_eq!((pins.server.as_str(), pins.load.as_str()), (server, load));
            assert_eq!(pins.apart(), apart, "{pins:?}");
        }
    }

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 100 0 0 0 70 30 5 5 20 0 4 0 100 1000 50";
        assert_eq!(ticks(stat), Some(100));
        assert_eq!(ticks("42 (short"), None);
        let rollup = "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:      2048 kB\nPss:       512 kB\n";
        assert_eq!((kib(rollup, "Rss:"), kib(rollup, "Pss:"), kib(rollup, "Swap:")), (2048.0, 512.0, 0.0));
    }
}
