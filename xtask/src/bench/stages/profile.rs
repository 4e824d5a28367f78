//! Samples of the node and of its workers under load, summed up by who owns the code. It never names single
//! functions: `perf report` does that better.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    bench::{Bench, report::Stage, wrk::Load},
    servers::{Pins, node::Node, there},
};

/// The beginning of a symbol's path → whose code it is. The first that fits counts.
const OWNERS: &[(&str, &str)] = &[
    ("aws_lc", "TLS: rustls, aws-lc"),
    ("rustls", "TLS: rustls, aws-lc"),
    ("tokio_rustls", "TLS: rustls, aws-lc"),
    ("hyper", "HTTP: hyper, http, h2"),
    ("httparse", "HTTP: hyper, http, h2"),
    ("http", "HTTP: hyper, http, h2"),
    ("h2", "HTTP: hyper, http, h2"),
    ("gateway", "gateway"),
    ("shield", "shield"),
    ("identity", "identity"),
    ("policy", "policy: cache, Cedar"),
    ("cedar_policy", "policy: cache, Cedar"),
    ("platform", "platform"),
    ("ledger", "ledger"),
    ("store", "store: redb, sealing"),
    ("redb", "store: redb, sealing"),
    ("keyring", "store: redb, sealing"),
    ("cell", "cell: protocol, pool, worker"),
    ("wasmtime", "wasmtime: instance, host calls"),
    ("cranelift", "wasmtime: instance, host calls"),
    ("wasmparser", "wasmtime: instance, host calls"),
    ("tokio", "runtime: tokio, mio, futures"),
    ("mio", "runtime: tokio, mio, futures"),
    ("futures", "runtime: tokio, mio, futures"),
    ("tracing", "log: tracing"),
    ("prometheus", "metrics"),
];

/// Loads the node over TLS while `perf` looks, once at the node and once at its workers, and splits the CPU time of
/// a request (`node_us`, `worker_us`) by the shares of samples.
pub(super) fn run(
    bench: &Bench<'_>,
    node: &Node,
    pins: &Pins,
    node_us: f64,
    worker_us: f64,
) -> Result<Vec<Stage>> {
    if !there("perf") {
        bail!("`perf` is not there");
    }
    let root = node.process.id();
    let workers: Vec<u32> = node.process.tree().into_iter().filter(|id| *id != root).collect();
    let file = bench.tools.root.join(format!("target/bench/perf-{root}.data"));
    let mut stages = Vec::new();
    for (whose, ids, us) in [("node", vec![root], node_us), ("worker", workers, worker_us)] {
        let shares = sample(bench, node, pins, &ids, &file);
        let _gone = std::fs::remove_file(&file);
        for (owner, share) in shares? {
            stages.push(Stage { stage: format!("profile, {whose}: {owner}"), cpu_us: us * share });
        }
    }
    Ok(stages)
}

fn sample(
    bench: &Bench<'_>,
    node: &Node,
    pins: &Pins,
    ids: &[u32],
    file: &Path,
) -> Result<Vec<(String, f64)>> {
    let ids = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let seconds = bench.seconds.max(2);
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-e", "cpu-clock", "-F", "1999", "-p", &ids, "-o"]).arg(file);
    perf.args(["--", "sleep", &seconds.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut perf = perf.spawn().context("perf")?;
    let url = format!("{}/hello", node.functions);
    let load = Load { url: &url, token: Some(&node.token), pins };
    load.run(Duration::from_secs(seconds + 1))?;
    if !perf.wait()?.success() {
        bail!("`perf record` failed: the kernel may not allow it");
    }
    let mut report = Command::new("perf");
    report.args(["report", "-q", "--stdio", "--no-children", "-F", "overhead,dso,sym", "-t", "\t", "-i"]);
    let output = report.arg(file).stderr(Stdio::null()).output()?;
    let shares = shares(&String::from_utf8_lossy(&output.stdout));
    if shares.is_empty() { bail!("`perf report` said nothing") } else { Ok(shares) }
}

/// Shares by owner, the largest first; they add up to one.
fn shares(text: &str) -> Vec<(String, f64)> {
    let mut sums: BTreeMap<&'static str, f64> = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split('\t').map(str::trim);
        let (Some(percent), Some(dso), Some(symbol)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let Ok(percent) = percent.trim_end_matches('%').parse::<f64>() else { continue };
        *sums.entry(owner(dso, symbol)).or_default() += percent;
    }
    let all: f64 = sums.values().sum();
    let mut shares: Vec<_> = sums.into_iter().map(|(owner, sum)| (owner.to_owned(), sum / all)).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

fn owner(dso: &str, symbol: &str) -> &'static str {
    if symbol.starts_with("[k]") || dso.starts_with("[kernel") {
        return "kernel: sockets, wake-ups, memory";
    }
    if dso.starts_with("libc") || dso.starts_with("ld-") {
        return "libc: memory, copies";
    }
    let path = symbol.trim_start_matches("[.]").trim();
    if path.starts_with("0x") && dso.starts_with("casemate") {
        return "Casemate's executable, symbols unread";
    }
    if dso.contains("memfd") || dso.starts_with("[JIT") || dso.starts_with("[unknown") || dso == "anon" {
        return "guest code";
    }
    // `<cell::node::Pool as …>::f`, `core::ptr::drop_in_place<http::Request>`: the first name that somebody owns.
    let words =
        path.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    for word in words {
        if let Some((_, owner)) = OWNERS.iter().find(|(begin, _)| word.starts_with(begin)) {
            return owner;
        }
    }
    "else: std, hashing, copies"
}

#[cfg(test)]
mod tests {
    use super::{owner, shares};

    #[test]
    fn samples_have_owners() {
        for (dso, symbol, expect) in [
            ("casemate", "[.] <cell::node::pool::Pool>::take", "cell: protocol, pool, worker"),
            ("casemate", "[.] core::ptr::drop_in_place<http::header::HeaderMap>", "HTTP: hyper, http, h2"),
            ("casemate", "[.] aws_lc_0_45_0_EVP_AEAD_CTX_seal", "TLS: rustls, aws-lc"),
            ("[kernel.kallsyms]", "[k] tcp_sendmsg", "kernel: sockets, wake-ups, memory"),
            ("libc.so.6", "[.] malloc", "libc: memory, copies"),
            ("casemate", "[.] core::hash::BuildHasher::hash_one", "else: std, hashing, copies"),
            ("memfd:code (deleted)", "[.] 0x0000000000001234", "guest code"),
        ] {
            assert_eq!(owner(dso, symbol), expect, "{symbol}");
        }
    }

    #[test]
    fn shares_add_up() {
        let text = "    30.00%\tcasemate\t[.] hyper::proto::h1::dispatch\n    10.00%\tlibc.so.6\t[.] malloc\nnonsense\n";
        let shares = shares(text);
        assert_eq!(shares[0], ("HTTP: hyper, http, h2".to_owned(), 0.75));
        assert!((shares.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(super::shares("").is_empty());
    }
}
