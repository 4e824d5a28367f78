//! First calls of functions whose code is on disk and not in memory: a node is started on a folder that holds
//! them, and each is called once. It never calls one twice without a restart between.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    Bench,
    report::{Report, percentile},
};
use crate::{
    load,
    servers::{
        Pins,
        node::{Log, Node},
    },
};

/// Functions with code of their own: enough for a 99th percentile of each round.
const FUNCTIONS: usize = 200;

/// Deploys, and for each round restarts and calls.
pub(super) fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let pins = Pins::new(1);
    let mut node = Node::start(bench.tools, &pins, Log::Away)?;
    deploys(bench, &node, &pins, 0, FUNCTIONS)?;
    let paths: Vec<String> = (0..FUNCTIONS).map(|n| format!("/f{n}")).collect();
    let mut samples = Vec::new();
    for _ in 0..bench.rounds {
        node.restart()?;
        let order = json!({ "order": "each-once", "to": node.to(), "paths": paths });
        samples.extend(times(&load::run(bench.tools, &pins.load, &order)?)?);
    }
    for (name, percent) in
        [("first_call_ms_p50", 50.0), ("first_call_ms_p99", 99.0), ("first_call_ms_max", 100.0)]
    {
        report.figure(name, percentile(&samples, percent).context("no sample")?);
    }
    report.figure("first_call_samples", samples.len() as f64);
    Ok(())
}

/// Deploys functions `f…` of distinct components, and gives the milliseconds of each.
pub(super) fn deploys(
    bench: &Bench<'_>,
    node: &Node,
    pins: &Pins,
    first: usize,
    count: usize,
) -> Result<Vec<f64>> {
    let component = bench.tools.root.join("guests/built/hello.wasm");
    let run = json!({ "component": component, "prefix": "f", "first": first, "count": count });
    let order = json!({ "order": "deploys", "to": node.to_control(), "run": run });
    times(&load::run(bench.tools, &pins.load, &order)?)
}

/// The milliseconds in an answer of the load.
fn times(answer: &Value) -> Result<Vec<f64>> {
    let list = answer["ms"].as_array().context("no times")?;
    Ok(list.iter().filter_map(Value::as_f64).collect())
}
