//! Requests a second: every server of a group is up at once and loaded in turn, round after round, so that what
//! drifts on the machine meets all of them. It never loads two at a time.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result};

use super::{
    Bench,
    report::{Report, Row, median},
    wrk::{Load, Round},
};
use crate::servers::{
    Pins, Process,
    node::{Log, Node},
    peers::{self, Peer, Serve},
};

const TLS: &str = "Casemate, TLS, everything on";
const PLAIN: &str = "Casemate, plain HTTP, everything on";
const FRESH: &str = "`wasmtime serve`, a fresh instance each";
const REUSE: &str = "`wasmtime serve`, its default (reuse)";
const HYPER: &str = "bare hyper";

/// One server of a group.
struct Entry<'a> {
    name: &'static str,
    /// How figures name it.
    key: &'static str,
    process: &'a Process,
    url: String,
    token: Option<&'a str>,
}

/// A function, as a node and as a peer have it.
struct Guest {
    name: &'static str,
    component: PathBuf,
    p3: bool,
}

/// Everyone, on one core.
pub(super) fn rust_one_core(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let guest = built(bench, "hello", "guests/built/hello.wasm", false);
    let pins = Pins::new(1);
    let (node, fresh) = pair(bench, &guest, &pins)?;
    let hyper = peers::hyper(bench.tools, &pins)?;
    let mut entries = entries(&node, &fresh, &guest);
    entries.push(of(HYPER, "hyper", &hyper));
    let rows = rounds(bench, report, &entries, "rust", &pins)?;
    report.ratio("rust_one_core", rate(&rows, TLS), rate(&rows, FRESH));
    report.ratio("rust_plain_one_core", rate(&rows, PLAIN), rate(&rows, FRESH));
    report.ratio("rust_vs_hyper", rate(&rows, TLS), rate(&rows, HYPER));
    Ok(())
}

/// On two cores; of a machine with no more, load and server share them, all servers alike.
pub(super) fn rust_two_cores(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let pins = Pins::new(2);
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        report.absent("rust_two_cores", "the machine has one core");
        return Ok(());
    }
    if !pins.apart() {
        eprintln!("   the load shares the servers' two cores: the machine has no more");
    }
    report.figure("two_cores_load_apart", f64::from(u8::from(pins.apart())));
    let guest = built(bench, "hello", "guests/built/hello.wasm", false);
    let (node, fresh) = pair(bench, &guest, &pins)?;
    let rows = rounds(bench, report, &entries(&node, &fresh, &guest), "rust", &pins)?;
    report.ratio("rust_two_cores", rate(&rows, TLS), rate(&rows, FRESH));
    report.ratio("rust_plain_two_cores", rate(&rows, PLAIN), rate(&rows, FRESH));
    Ok(())
}

/// The JavaScript function, and servers that run JavaScript themselves.
pub(super) fn javascript(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let guest = built(bench, "hello-js", "target/guests/hello-js.wasm", false);
    if !guest.component.exists() {
        report.absent(
            "javascript_one_core",
            "`target/guests/hello-js.wasm` is not built: it wants node and npm",
        );
        return Ok(());
    }
    let pins = Pins::new(1);
    let (node, fresh) = pair(bench, &guest, &pins)?;
    let folder = peers::javascript(&bench.tools.root);
    let mut start = |name: &'static str, start: fn(&std::path::Path, &Pins) -> Result<Peer>| {
        let peer = folder.as_ref().map_err(|e| format!("{e:#}")).cloned();
        let peer = peer.and_then(|folder| start(&folder, &pins).map_err(|e| format!("{e:#}")));
        peer.map_err(|why| report.absent(name, &why)).ok()
    };
    let (workerd, deno) = (start("workerd", peers::workerd), start("deno", peers::deno));
    let mut entries = entries(&node, &fresh, &guest);
    entries.extend(workerd.iter().map(|peer| of("workerd", "workerd", peer)));
    entries.extend(deno.iter().map(|peer| of("Deno", "deno", peer)));
    let rows = rounds(bench, report, &entries, "javascript", &pins)?;
    report.ratio("javascript_one_core", rate(&rows, TLS), rate(&rows, FRESH));
    report.ratio("javascript_vs_workerd", rate(&rows, TLS), rate(&rows, "workerd"));
    report.ratio("javascript_vs_deno", rate(&rows, TLS), rate(&rows, "Deno"));
    Ok(())
}

/// The Python function.
pub(super) fn python(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let guest = built(bench, "hello-py", "target/guests/hello-py.wasm", false);
    if !guest.component.exists() {
        report.absent("python_one_core", "`target/guests/hello-py.wasm` is not built: it wants python3");
        return Ok(());
    }
    let pins = Pins::new(1);
    let (node, fresh) = pair(bench, &guest, &pins)?;
    let rows = rounds(bench, report, &entries(&node, &fresh, &guest), "python", &pins)?;
    report.ratio("python_one_core", rate(&rows, TLS), rate(&rows, FRESH));
    Ok(())
}

/// Casemate's fresh instances beside instances that serve up to 128 requests each. `rust_vs_reuse` is the
/// function as it is best served here (WASI 0.2) by the peer as it is best served there (0.3, reuse).
pub(super) fn reuse(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let p3 = built(bench, "hello-p3", "guests/built/hello-p3.wasm", true);
    let pins = Pins::new(1);
    let (node, fresh) = pair(bench, &p3, &pins)?;
    let p2 = built(bench, "hello", "guests/built/hello.wasm", false);
    node.deploy(p2.name, &p2.component, "")?;
    let wasmtime = peers::wasmtime(&bench.tools.root)?;
    let reusing = peers::serve(&wasmtime, &p3.component, &pins, Serve { p3: true, reuse: true })?;
    let mut entries = entries(&node, &fresh, &p3);
    entries.push(of(REUSE, "wasmtime_reuse", &reusing));
    let best = "Casemate, TLS, everything on, WASI 0.2";
    let url = format!("{}/{}", node.functions, p2.name);
    entries.push(Entry {
        name: best,
        key: "casemate_p2",
        process: &node.process,
        url,
        token: Some(&node.token),
    });
    let rows = rounds(bench, report, &entries, "rust-p3", &pins)?;
    report.ratio("rust_vs_reuse", rate(&rows, best), rate(&rows, REUSE));
    report.ratio("rust_p3_vs_reuse", rate(&rows, TLS), rate(&rows, REUSE));
    report.ratio("rust_p3_one_core", rate(&rows, TLS), rate(&rows, FRESH));
    Ok(())
}

/// One function for everyone and for whom its tenant's policies permit, called without and with a token.
pub(super) fn access(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let pins = Pins::new(1);
    let node = Node::start(bench.tools, &pins, Log::Away)?;
    let component = bench.tools.root.join("guests/built/hello.wasm");
    node.deploy("hello", &component, "")?;
    // A waiver ends within a year.
    let until = Command::new("date").args(["-u", "-d", "+30 days", "+%Y-%m-%d"]).output()?;
    let until = String::from_utf8(until.stdout)?;
    let waiver = format!("waiver = {{ reason = \"a measurement\", until = \"{}\" }}\n", until.trim());
    node.deploy_for("open", &component, "public", &waiver)?;
    let (public, proved) = ("Casemate, a public route", "Casemate, a token and a policy");
    let entry = |name, key, function: &str, token| Entry {
        name,
        key,
        process: &node.process,
        url: format!("{}/{function}", node.functions),
        token,
    };
    let entries = [
        entry(public, "casemate_public", "open", None),
        entry(proved, "casemate_proved", "hello", Some(node.token.as_str())),
    ];
    let rows = rounds(bench, report, &entries, "rust", &pins)?;
    report.ratio("authorized_to_public", rate(&rows, proved), rate(&rows, public));
    Ok(())
}

/// One function with all of the shield, beside the same one that nobody looks at: with the rules in the box, and with
/// OWASP's Core Rule Set where it is there (`CASEMATE_CRS` names its folder).
pub(super) fn shield(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let pins = Pins::new(1);
    let node = Node::start(bench.tools, &pins, Log::Away)?;
    let component = bench.tools.root.join("guests/built/hello.wasm");
    node.deploy("hello", &component, "")?;
    node.deploy("bare", &component, "[shield]\nmode = \"off\"\n[shield.profile]\nmode = \"off\"\n")?;
    const QUERY: &str = "page=2&sort=name&q=a+lamp&lang=en";
    let entry = |name, key, path: String| Entry {
        name,
        key,
        process: &node.process,
        url: format!("{}/{path}", node.functions),
        token: Some(&node.token),
    };
    let measure = |report: &mut Report, set: &'static str, guest: &'static str| -> Result<()> {
        let (shielded, bare) = ("Casemate, the shield on", "Casemate, rules and watch off");
        let plain = [
            entry(shielded, "casemate_shielded", "hello".to_owned()),
            entry(bare, "casemate_bare", "bare".to_owned()),
        ];
        let rows = rounds(bench, report, &plain, guest, &pins)?;
        report.ratio(&format!("shield_{set}"), rate(&rows, shielded), rate(&rows, bare));
        let cpu = |rows: &[Row], server: &str| {
            rows.iter().find(|row| row.server == server).map(|row| row.cpu_us_per_request)
        };
        let more = |rows: &[Row]| Some(cpu(rows, shielded)? - cpu(rows, bare)?);
        report.figure(&format!("shield_{set}_cpu_us"), more(&rows).unwrap_or(f64::NAN));
        let queried = [
            entry(shielded, "casemate_shielded_query", format!("hello?{QUERY}")),
            entry(bare, "casemate_bare_query", format!("bare?{QUERY}")),
        ];
        let rows = rounds(bench, report, &queried, guest, &pins)?;
        report.ratio(&format!("shield_{set}_query"), rate(&rows, shielded), rate(&rows, bare));
        report.figure(&format!("shield_{set}_query_cpu_us"), more(&rows).unwrap_or(f64::NAN));
        Ok(())
    };
    measure(report, "base", "rust")?;
    match super::waf::crs(&bench.tools.root) {
        Some(crs) => {
            node.run(&["shield", "rules", "add", &crs.display().to_string()])?;
            measure(report, "crs", "rust-crs")
        }
        None => {
            report.absent("shield_crs", "no Core Rule Set: `CASEMATE_CRS` names its folder");
            Ok(())
        }
    }
}

fn built(bench: &Bench<'_>, name: &'static str, component: &str, p3: bool) -> Guest {
    Guest { name, component: bench.tools.root.join(component), p3 }
}

/// A node with the function, and `wasmtime serve` with a fresh instance for each request.
fn pair(bench: &Bench<'_>, guest: &Guest, pins: &Pins) -> Result<(Node, Peer)> {
    let node = Node::start(bench.tools, pins, Log::Away)?;
    node.deploy(guest.name, &guest.component, "")?;
    let wasmtime = peers::wasmtime(&bench.tools.root)?;
    let fresh = peers::serve(&wasmtime, &guest.component, pins, Serve { p3: guest.p3, reuse: false })?;
    Ok((node, fresh))
}

fn entries<'a>(node: &'a Node, fresh: &'a Peer, guest: &Guest) -> Vec<Entry<'a>> {
    let ours = |name, key, base: &str| Entry {
        name,
        key,
        process: &node.process,
        url: format!("{base}/{}", guest.name),
        token: Some(&node.token),
    };
    vec![
        ours(TLS, "casemate", &node.functions),
        ours(PLAIN, "casemate_plain", &node.plain),
        of(FRESH, "wasmtime_fresh", fresh),
    ]
}

fn of<'a>(name: &'static str, key: &'static str, peer: &'a Peer) -> Entry<'a> {
    Entry { name, key, process: &peer.process, url: peer.url.clone(), token: None }
}

/// Warms each, then loads them in turn, and gives each one's median round by requests a second.
fn rounds(
    bench: &Bench<'_>,
    report: &mut Report,
    entries: &[Entry<'_>],
    guest: &'static str,
    pins: &Pins,
) -> Result<Vec<Row>> {
    let load = |entry: &Entry<'_>, seconds| -> Result<(Round, f64)> {
        let before = total(entry.process);
        let round = Load { url: &entry.url, token: entry.token, pins }.run(Duration::from_secs(seconds));
        let round = round.with_context(|| entry.name.to_owned())?;
        let cpu = total(entry.process).saturating_sub(before) as f64 / round.requests.max(1) as f64;
        Ok((round, cpu))
    };
    let mut seen: Vec<Vec<(Round, f64)>> = entries.iter().map(|_| Vec::new()).collect();
    for entry in entries {
        load(entry, bench.seconds.min(2))?;
    }
    for _ in 0..bench.rounds {
        for (entry, seen) in entries.iter().zip(&mut seen) {
            seen.push(load(entry, bench.seconds)?);
        }
    }
    let mut rows = Vec::new();
    for (entry, seen) in entries.iter().zip(seen) {
        let row = row(entry, &seen, guest, pins).context("no round")?;
        eprintln!("   {} ({guest}): {:.0} requests/s", row.server, row.requests_per_s);
        figures(report, entry.key, &row);
        rows.push(row);
    }
    report.rows.extend(rows.iter().cloned());
    Ok(rows)
}

/// The row again, by names that programs look for: `rust_1_casemate_requests_per_s`.
fn figures(report: &mut Report, key: &str, row: &Row) {
    let begin = format!("{}_{}_{key}", row.guest.replace('-', "_"), row.cores);
    for (unit, value) in [
        ("requests_per_s", row.requests_per_s),
        ("ms_p50", row.latency_us_p50 / 1000.0),
        ("ms_p99", row.latency_us_p99 / 1000.0),
        ("cpu_us_per_request", row.cpu_us_per_request),
        ("rss_mib", row.rss_mib),
        ("pss_mib", row.pss_mib),
    ] {
        report.figure(&format!("{begin}_{unit}"), value);
    }
}

/// The CPU time of a whole tree, in microseconds.
fn total(process: &Process) -> u64 {
    process.cpu_us().into_iter().map(|(_, us)| us).sum()
}

/// Each column's median over the rounds.
fn row(entry: &Entry<'_>, seen: &[(Round, f64)], guest: &'static str, pins: &Pins) -> Option<Row> {
    let column = |of: &dyn Fn(&(Round, f64)) -> f64| median(&seen.iter().map(of).collect::<Vec<_>>());
    let memory = entry.process.memory_mib();
    Some(Row {
        server: entry.name.to_owned(),
        guest,
        cores: pins.cores,
        requests_per_s: column(&|(round, _)| round.requests_per_s)?,
        latency_us_p50: column(&|(round, _)| round.p50_us)?,
        latency_us_p99: column(&|(round, _)| round.p99_us)?,
        cpu_us_per_request: column(&|(_, cpu)| *cpu)?,
        rss_mib: memory.rss,
        pss_mib: memory.pss,
        errors: seen.iter().map(|(round, _)| round.errors).sum(),
    })
}

fn rate(rows: &[Row], server: &str) -> Option<f64> {
    rows.iter().find(|row| row.server == server).map(|row| row.requests_per_s)
}
