//! The rules' side of `cargo xtask bench waf`: writes the requests, and does with them what `bench/waf/driver.c` does with
//! libmodsecurity, one JSON line each. It judges nothing.
//!
//!     beside corpus|kinds|hostile REQUESTS CRS
//!     beside decide|time|patient MILLISECONDS LEVEL REQUESTS CONF...
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "a measurement, not a product")]

mod kinds;
mod requests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use waf::{Cause, Decision, Files, Limits, Plan, Report, Rules, Settings, Source, ftw};

use requests::Request;

struct Beside;

impl Files for Beside {
    fn read(&self, from: &str, name: &str) -> Result<Vec<u8>, String> {
        let folder = Path::new(from).parent().unwrap();
        std::fs::read(folder.join(name)).map_err(|e| e.to_string())
    }
    fn expand(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }
}

fn cpu_us() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn load(files: &[PathBuf], level: u8, patient: bool) -> Plan {
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect();
    let sources: Vec<Source<'_>> = texts.iter().map(|(name, text)| Source { name, text }).collect();
    let rules = Rules::load(&sources, &Beside).unwrap_or_else(|e| panic!("{e}"));
    let mut settings = Settings::paranoia(level);
    if patient {
        // Decisions are compared whatever else the machine does; the rest is what `setup.conf` says.
        settings.limits = Some(Limits {
            time_ns_max: 10_000_000_000,
            bytes_max: 256 << 20,
            request_body_bytes_max: 13_107_200,
            response_body: true,
            response_types: ["text/plain", "text/html", "text/xml", "application/json"]
                .map(str::to_owned)
                .to_vec(),
            depth_max: 512,
            ..Limits::default()
        });
    }
    Plan::new(&Arc::new(rules), &settings).unwrap()
}

fn send(plan: &Plan, request: &Request, start: Instant) -> Report {
    let clock = || u64::try_from(start.elapsed().as_nanos()).unwrap();
    let peer = std::net::SocketAddr::from(([172, 18, 0, 1], 40_000));
    ftw::examine(plan, &request.raw, peer, &clock, request.answer.as_ref())
}

fn decide(plan: &Plan, requests: &[Request]) {
    for request in requests {
        let report = send(plan, request, Instant::now());
        let (status, by) = match &report.decision {
            Decision::Pass => (0, 0),
            Decision::Refuse(refusal) => {
                (refusal.status, if let Cause::Rule(id) = refusal.cause { id } else { 0 })
            }
        };
        let rules: Vec<u64> = report.matches.iter().map(|one| one.rule).collect();
        println!("{}", json!({ "name": request.name, "status": status, "by": by, "rules": rules }));
    }
}

/// Requests of one name stand behind each other and are one kind: the median batch counts.
fn measure(plan: &Plan, requests: &[Request], milliseconds: f64) {
    for kind in requests.chunk_by(|a, b| a.name == b.name) {
        let (mut batches, mut exhausted) = (Vec::new(), false);
        let begun = cpu_us();
        let repeat = if kind.iter().any(|one| one.raw.body.len() > 8192) { 1 } else { 20 };
        while batches.len() < 5 || cpu_us() - begun < milliseconds * 1000.0 {
            let start = cpu_us();
            for _ in 0..repeat {
                for request in kind {
                    exhausted |= std::hint::black_box(send(plan, request, Instant::now())).exhausted;
                }
            }
            let requests = u32::try_from(kind.len() * repeat).unwrap();
            batches.push((cpu_us() - start) / f64::from(requests));
        }
        batches.sort_by(f64::total_cmp);
        let us = batches.get(batches.len() / 2).unwrap();
        let name = &kind.first().unwrap().name;
        let most = batches.last().unwrap();
        println!("{}", json!({ "name": name, "us": us, "us_max": most, "exhausted": exhausted }));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["corpus", to, crs] => requests::write(Path::new(to), &requests::corpus(Path::new(crs))),
        ["kinds", to, _] => requests::write(Path::new(to), &kinds::kinds()),
        ["hostile", to, _] => requests::write(Path::new(to), &kinds::hostile()),
        [what, milliseconds, level, requests, files @ ..] => {
            let requests = requests::read(Path::new(requests));
            let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
            let (before, start) = (resident_mib(), cpu_us());
            let plan = load(&files, level.parse().unwrap(), *what != "time");
            let load_ms = (cpu_us() - start) / 1000.0;
            println!("{}", json!({ "load_ms": load_ms, "resident_mib": resident_mib() - before }));
            if *what == "decide" {
                decide(&plan, &requests);
            } else {
                measure(&plan, &requests, milliseconds.parse().unwrap());
            }
        }
        _ => panic!("beside corpus|kinds|hostile REQUESTS CRS, or decide|time|patient MILLISECONDS …"),
    }
}
