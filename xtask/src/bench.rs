//! `cargo xtask bench`: Casemate with everything on beside its peers, in one run. It never asserts a figure.

mod server;
mod wrk;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use serde::Serialize;

use server::{Pins, Server};
use wrk::Load;

/// One server under one load.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    name: String,
    guest: &'static str,
    cores: u32,
    requests_per_s: f64,
    latency_us_p50: f64,
    latency_us_p99: f64,
    cpu_us_per_request: f64,
    rss_mib: f64,
    errors: u64,
}

/// What machines read.
#[derive(Debug, Default, Serialize)]
struct Report {
    ratios: std::collections::BTreeMap<String, f64>,
    figures: std::collections::BTreeMap<String, f64>,
    rows: Vec<Figure>,
    absent: Vec<String>,
}

/// How long and how often.
pub struct Options {
    /// Seconds of each round.
    pub seconds: u64,
    /// Rounds; the median counts.
    pub rounds: usize,
    /// Machine-readable answer.
    pub json: bool,
    /// One part: `rust`, `javascript`, `python`; all without it.
    pub part: Option<String>,
    /// An executable to measure instead of building one.
    pub exe: Option<std::path::PathBuf>,
}

/// A guest in every form that a peer needs.
struct Guest {
    part: &'static str,
    function: &'static str,
    component: &'static str,
    two_cores: bool,
}

const GUESTS: &[Guest] = &[
    Guest { part: "rust", function: "hello", component: "guests/built/hello.wasm", two_cores: true },
    Guest {
        part: "rust-p3",
        function: "hello-p3",
        component: "guests/built/hello-p3.wasm",
        two_cores: false,
    },
    Guest {
        part: "javascript",
        function: "hello-js",
        component: "target/guests/hello-js.wasm",
        two_cores: false,
    },
    Guest {
        part: "python",
        function: "hello-py",
        component: "target/guests/hello-py.wasm",
        two_cores: false,
    },
];

/// Builds the executable as it ships.
pub fn build(root: &Path) -> Result<std::path::PathBuf> {
    server::build_casemate(root, "dist")
}

/// Runs the parts and prints a table, or one JSON object.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    wrk::require()?;
    let mut report = Report::default();
    let casemate = match &options.exe {
        Some(exe) => exe.clone(),
        None => server::build_casemate(root, "release")?,
    };
    let wasmtime = server::wasmtime(root)?;
    for guest in GUESTS {
        if options.part.as_deref().is_some_and(|part| !guest.part.starts_with(part)) {
            continue;
        }
        let component = root.join(guest.component);
        if !component.exists() {
            report.absent.push(format!("{}: `{}` is not built", guest.part, guest.component));
            continue;
        }
        for cores in if guest.two_cores { &[1_u32, 2][..] } else { &[1][..] } {
            let pins = Pins::new(*cores);
            let start = || Server::casemate(root, &casemate, guest.function, &component, &pins);
            let name = "casemate, TLS, token, policy, ledger";
            let ours = measure(name, guest.part, options, &pins, start)?;
            let start = || Server::wasmtime(&wasmtime, &component, &pins, guest.part == "rust-p3", false);
            let theirs = measure("wasmtime serve, fresh instance", guest.part, options, &pins, start)?;
            let cores_name = if *cores == 1 { "one_core" } else { "two_cores" };
            let key = format!("{}_{cores_name}", guest.part.replace('-', "_"));
            report.ratios.insert(key, ours.requests_per_s / theirs.requests_per_s);
            if guest.part == "rust-p3" {
                let start = || Server::wasmtime(&wasmtime, &component, &pins, true, true);
                let reuse =
                    measure("wasmtime serve, its default (reuse)", guest.part, options, &pins, start)?;
                report.ratios.insert("rust_vs_reuse".into(), ours.requests_per_s / reuse.requests_per_s);
                report.rows.push(reuse);
            }
            report.rows.extend([ours, theirs]);
        }
    }
    print(&report, options.json)
}

/// Starts a server, warms it, loads it, and takes the median round by requests per second.
fn measure(
    name: &str,
    guest: &'static str,
    options: &Options,
    pins: &Pins,
    start: impl Fn() -> Result<Server>,
) -> Result<Figure> {
    let server = start().with_context(|| name.to_owned())?;
    let warm = Duration::from_secs(2);
    Load::new(&server, pins).run(warm)?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds.max(1) {
        let cpu_before = server.cpu_us()?;
        let round = Load::new(&server, pins).run(Duration::from_secs(options.seconds))?;
        let cpu = server.cpu_us()?.saturating_sub(cpu_before) as f64 / (round.requests.max(1)) as f64;
        rounds.push((round, cpu));
    }
    rounds.sort_by(|a, b| a.0.requests_per_s.total_cmp(&b.0.requests_per_s));
    let (round, cpu) = rounds.swap_remove(rounds.len() / 2);
    let figure = Figure {
        name: name.into(),
        guest,
        cores: pins.cores,
        requests_per_s: round.requests_per_s,
        latency_us_p50: round.p50_us,
        latency_us_p99: round.p99_us,
        cpu_us_per_request: cpu,
        rss_mib: server.rss_mib()?,
        errors: round.errors,
    };
    eprintln!("   {name} ({guest}, {} core): {:.0} requests/s", pins.cores, figure.requests_per_s);
    Ok(figure)
}

fn print(report: &Report, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    println!("| server | guest | cores | requests/s | p50 ms | p99 ms | CPU µs/request | MiB | errors |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in &report.rows {
        println!(
            "| {} | {} | {} | {:.0} | {:.2} | {:.2} | {:.1} | {:.0} | {} |",
            row.name,
            row.guest,
            row.cores,
            row.requests_per_s,
            row.latency_us_p50 / 1000.0,
            row.latency_us_p99 / 1000.0,
            row.cpu_us_per_request,
            row.rss_mib,
            row.errors
        );
    }
    for (name, ratio) in &report.ratios {
        println!("{name}: {ratio:.2} ×");
    }
    for absent in &report.absent {
        println!("absent: {absent}");
    }
    Ok(())
}
