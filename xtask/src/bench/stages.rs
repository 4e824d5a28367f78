//! Where each microsecond of a request goes: by what is left when a request ends earlier, and by a profile of the
//! node and its workers where `perf` is there. It never adds a probe to what it measures.

mod profile;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    Bench,
    added::{Split, windows},
    report::{Report, Stage, median},
};
use crate::{
    load,
    servers::{
        Pins, Process,
        node::{Log, Node},
        peers,
    },
};

/// Requests a second where the refusals are measured: below what any of the servers can do.
const RATE: f64 = 8_000.0;
const CONNECTIONS: usize = 32;
/// One source may send 50,000 requests a second; the loads come from more.
const SOURCES: u8 = 8;

/// The table.
pub(super) fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let pins = Pins::new(1);
    let tools = bench.tools;
    let node = Node::start(tools, &pins, Log::Away)?;
    let component = tools.root.join("guests/built/hello.wasm");
    node.deploy("hello", &component, "")?;
    node.deploy_for("closed", &component, "nobody", "")?;
    let hyper = peers::hyper(tools, &pins)?;
    let address = hyper.url.trim_start_matches("http://").trim_end_matches('/');
    let bare = open(bench, &hyper.process, &json!({ "address": address }), "/", &pins)?;
    let mut plain = node.to_plain();
    plain["sources"] = SOURCES.into();
    let unrouted = open(bench, &node.process, &plain, "/nobody", &pins)?;
    let denied = open(bench, &node.process, &plain, "/closed", &pins)?;
    let called = open(bench, &node.process, &plain, "/hello", &pins)?;
    let over_tls = open(
        bench,
        &node.process,
        &node.to_from(SOURCES, std::slice::from_ref(&node.token)),
        "/hello",
        &pins,
    )?;
    let splits = windows(bench, &node, &format!("{}/hello", node.functions), &pins, CONNECTIONS)?;
    let column =
        |of: fn(&Split) -> f64| median(&splits.iter().map(of).collect::<Vec<_>>()).unwrap_or(f64::NAN);
    let (worker, metered) = (column(|s| s.worker), column(|s| s.metered));
    let crossing = worker - metered;
    let mut stage = |stage: &str, cpu_us: f64| report.stages.push(Stage { stage: stage.into(), cpu_us });
    let rate = format!("at {RATE:.0} requests/s, whole tree");
    stage(&format!("HTTP and sockets alone: bare hyper, {rate}"), bare);
    stage("listen, shape, route, respond: no such function, less bare hyper", unrouted - bare);
    stage("screen, identify, authorize, record: denied by policy, less no such function", denied - unrouted);
    stage("invoke, crossing, instance, guest, the run's record: called, less denied", called - denied);
    stage("TLS: called over TLS, less plain", over_tls - called);
    stage(&format!("all of it over TLS, {rate}"), over_tls);
    stage("at capacity, over TLS: the node", column(|s| s.node));
    stage("at capacity: the worker's side of the crossing (worker less its meter)", crossing);
    stage("at capacity: instance and guest, as metered", metered);
    stage("at capacity: all that Casemate adds", column(Split::added));
    match profile::run(bench, &node, &pins, column(|s| s.node), worker) {
        Ok(stages) => report.stages.extend(stages),
        Err(error) => report.absent("profile", &format!("{error:#}")),
    }
    Ok(())
}

/// CPU time of one answer of any status at a fixed rate, the median round, in microseconds.
fn open(bench: &Bench<'_>, process: &Process, to: &Value, path: &str, pins: &Pins) -> Result<f64> {
    let total = || process.cpu_us().into_iter().map(|(_, us)| us).sum::<u64>();
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        let before = total();
        let order = load::open_loop(to, path, CONNECTIONS, RATE, bench.seconds as f64);
        let answer = load::run(bench.tools, &pins.load, &order)?;
        let sent = answer["sent"].as_f64().filter(|sent| *sent > 0.0).context("nothing was sent")?;
        rounds.push(total().saturating_sub(before) as f64 / sent);
    }
    median(&rounds).context("no round")
}
