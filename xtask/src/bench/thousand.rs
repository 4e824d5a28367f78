//! A thousand functions on one node, none of them equal: what deploys cost as they become many, and what all of
//! them hold when nobody calls. It never removes one.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::{
    Bench,
    first_call::deploys,
    report::{Report, median},
};
use crate::{
    load,
    servers::{
        Pins,
        node::{Log, Node},
    },
};

const FUNCTIONS: usize = 1_000;
const EDGE: usize = 100;
/// Until a node counts as idle.
const REST: Duration = Duration::from_secs(10);

/// Deploys, rests, restarts, calls each once.
pub(super) fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let pins = Pins::new(all);
    let mut node = Node::start(bench.tools, &pins, Log::Away)?;
    std::thread::sleep(REST);
    report.figure("idle_rss_mib_0_functions", node.process.memory_mib().rss);
    let times = deploys(bench, &node, &pins, 0, FUNCTIONS)?;
    let edge = |part: &[f64]| median(part).context("no deploy");
    let (first, last) = (edge(&times[..EDGE])?, edge(&times[FUNCTIONS - EDGE..])?);
    report.figure("deploy_ms_p50_first_100", first);
    report.figure("deploy_ms_p50_last_100", last);
    report.figure("deploy_last_by_first", last / first);
    std::thread::sleep(REST);
    let deployed = node.process.memory_mib();
    node.restart()?;
    std::thread::sleep(REST);
    let restarted = node.process.memory_mib();
    // The larger of the two states in which a node with a thousand functions is idle.
    report.figure("idle_rss_mib_1000_functions", deployed.rss.max(restarted.rss));
    report.figure("idle_pss_mib_1000_functions", deployed.pss.max(restarted.pss));
    report.figure("restarted_rss_mib_1000_functions", restarted.rss);
    let paths: Vec<String> = (0..FUNCTIONS).map(|n| format!("/f{n}")).collect();
    let order = json!({ "order": "each-once", "to": node.to(), "paths": paths });
    load::run(bench.tools, &pins.load, &order)?;
    std::thread::sleep(REST);
    let called = node.process.memory_mib();
    report.figure("called_rss_mib_1000_functions", called.rss);
    report.figure("called_pss_mib_1000_functions", called.pss);
    Ok(())
}
