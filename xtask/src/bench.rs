//! `cargo xtask bench`: Casemate with everything on beside its peers, in one run. It never asserts a figure.

mod added;
mod first_call;
mod flood;
mod identity;
mod neighbour;
mod overload;
mod policy;
mod report;
mod stages;
mod thousand;
mod throughput;
mod waf;
mod wrk;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{guests, servers::Tools};
use report::Report;

pub use report::percentile;

/// How long and how often.
pub struct Options {
    /// Seconds of each round.
    pub seconds: u64,
    /// Rounds; the median counts.
    pub rounds: usize,
    /// Machine-readable answer.
    pub json: bool,
    /// One part by its name; all without it.
    pub part: Option<String>,
    /// An executable to measure instead of building one.
    pub exe: Option<PathBuf>,
}

/// What a part is given.
pub struct Bench<'a> {
    tools: &'a Tools,
    seconds: u64,
    rounds: usize,
}

type Part = fn(&Bench<'_>, &mut Report) -> Result<()>;

/// Name, what it measures, and how.
const PARTS: &[(&str, &str, Part)] = &[
    (
        "rust_one_core",
        "requests/s of the Rust function on one core, beside all peers",
        throughput::rust_one_core,
    ),
    ("rust_two_cores", "the same on two", throughput::rust_two_cores),
    ("javascript", "the JavaScript function on one core", throughput::javascript),
    ("python", "the Python function on one core", throughput::python),
    (
        "reuse",
        "the Rust function of WASI 0.3, beside `wasmtime serve` with its reuse of instances",
        throughput::reuse,
    ),
    ("added", "CPU time that Casemate adds to a function", added::run),
    ("stages", "where each microsecond of a request goes", stages::run),
    ("identity", "proving a caller: an access token, the same again, an API token", identity::run),
    ("access", "a token and a policy, beside a public route", throughput::access),
    (
        "shield",
        "all of the shield, beside the same function with its rules and its watch off",
        throughput::shield,
    ),
    ("first_call", "first calls of functions that are on disk and not in memory", first_call::run),
    ("overload", "twice the capacity: goodput, refusals, memory", overload::run),
    ("flood", "a function's latency for one source while another sends a hundred times as much", flood::run),
    ("neighbour", "a function's latency while another misbehaves", neighbour::run),
    ("policy", "decisions in a tenant of 10,000 policies and 10,000 principals, beside 10", policy::run),
    ("thousand", "a thousand functions: deploys, and memory when idle", thousand::run),
    ("waf", "rules on requests, beside libmodsecurity: time, memory, agreement", waf::run),
];

/// Parts that start no server and load none.
const ALONE: [&str; 1] = ["waf"];

/// The parts, for `--help`.
pub fn parts() -> String {
    let widest = PARTS.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let lines = PARTS.iter().map(|(name, what, _)| format!("  {name:widest$}  {what}"));
    format!("Parts:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Builds the executable as it ships.
pub fn build(root: &Path) -> Result<PathBuf> {
    let mut build = crate::test::cargo(root);
    build.args(["build", "--quiet", "--profile", "dist", "-p", "casemate"]).stdout(Stdio::null());
    if !build.status()?.success() {
        bail!("casemate does not build");
    }
    Ok(root.join("target/dist/casemate"))
}

/// Runs the parts and prints tables, or one JSON object and nothing else on stdout.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let chosen: Vec<_> = PARTS.iter().filter(|(name, ..)| chosen(options.part.as_deref(), name)).collect();
    if chosen.is_empty() {
        bail!("no part is called `{}`\n{}", options.part.as_deref().unwrap_or_default(), parts());
    }
    let mut out = take_stdout()?;
    let tools = if chosen.iter().all(|(name, ..)| ALONE.contains(name)) {
        Tools::none(root)
    } else {
        servers(root, options)?
    };
    let mut report = Report { machine: machine(options), ..Report::default() };
    let bench = Bench { tools: &tools, seconds: options.seconds.max(1), rounds: options.rounds.max(1) };
    for (name, _, part) in chosen {
        eprintln!("── {name}");
        part(&bench, &mut report).with_context(|| (*name).to_owned())?;
    }
    let text = if options.json { serde_json::to_string(&report)? } else { report.text() };
    writeln!(out, "{text}")?;
    Ok(())
}

/// What parts with servers want: the load, the executables, the functions.
fn servers(root: &Path, options: &Options) -> Result<Tools> {
    wrk::require()?;
    let tools = Tools::build(root, options.exe.as_deref())?;
    // Guests of other languages, where their toolchains are.
    if let Err(error) = guests::for_tests(root) {
        eprintln!("   guests: {error:#}");
    }
    Ok(tools)
}

/// `rust` stands for all that begin with it; a part's own name for itself alone.
fn chosen(wanted: Option<&str>, name: &str) -> bool {
    let Some(wanted) = wanted else { return true };
    let wanted = wanted.replace('-', "_");
    let exact = PARTS.iter().any(|(known, ..)| *known == wanted);
    if exact {
        name == wanted
    } else {
        name.starts_with(&format!("{wanted}_")) || wanted == format!("{name}_one_core")
    }
}

/// Stdout for the result alone: what anything else prints goes to stderr from here on.
fn take_stdout() -> Result<fs::File> {
    let own = rustix::io::dup(rustix::stdio::stdout())?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(own.into())
}

/// What this was measured on, without a name of the machine.
pub fn machine(options: &Options) -> BTreeMap<String, String> {
    let mut machine = crate::bench::surroundings();
    machine.insert("seconds".into(), options.seconds.to_string());
    machine.insert("rounds".into(), options.rounds.to_string());
    machine
}

/// Cores, kernel, memory and date.
pub fn surroundings() -> BTreeMap<String, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let kib = memory.lines().next().and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let date = date.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
    BTreeMap::from([
        ("cores".into(), std::thread::available_parallelism().map_or(0, usize::from).to_string()),
        ("kernel".into(), read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("memory_gib".into(), format!("{:.0}", kib.unwrap_or(0.0) / 1048576.0)),
        ("date".into(), date),
    ])
}

#[cfg(test)]
mod tests {
    use super::{PARTS, chosen, parts};

    #[test]
    fn parts_are_chosen_by_name() {
        let names = |wanted| -> Vec<&str> {
            PARTS.iter().map(|(name, ..)| *name).filter(|name| chosen(wanted, name)).collect()
        };
        assert_eq!(names(None).len(), PARTS.len());
        for (wanted, expect) in [
            ("rust", &["rust_one_core", "rust_two_cores"][..]),
            ("rust-one-core", &["rust_one_core"]),
            ("javascript", &["javascript"]),
            ("javascript_one_core", &["javascript"]),
            ("python_one_core", &["python"]),
            ("stages", &["stages"]),
            ("nothing", &[]),
        ] {
            assert_eq!(names(Some(wanted)), expect, "{wanted}");
        }
        assert!(PARTS.iter().all(|(name, ..)| parts().contains(name)));
    }
}
