//! What a decision costs among ten policies and among ten thousand. It never decides itself: the load does, with the
//! node's own crate.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    Bench,
    report::{Report, median, percentile},
};
use crate::{load, servers::Pins};

/// Decisions of one round.
const DECISIONS: usize = 50_000;
/// Policies and principals of the tenant.
const MANY: usize = 10_000;
const FEW: usize = 10;

/// Decisions of which half were made before, none, and all.
pub(super) fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let pins = Pins::new(1);
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        // Both in turn, so that what drifts on the machine meets both.
        rounds.push((samples(bench, &pins, FEW)?, samples(bench, &pins, MANY)?));
    }
    let figure = |many: bool, kind: &str, percent: f64| -> Result<f64> {
        let of = |(few, much): &(Value, Value)| {
            let taken = if many { &much[kind] } else { &few[kind] };
            let all: Vec<f64> = taken.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
            percentile(&all, percent).map(|ns| ns / 1_000.0)
        };
        let values: Vec<f64> = rounds.iter().filter_map(of).collect();
        median(&values).context("no sample")
    };
    for (name, kind) in
        [("decision", "mix_ns"), ("decision_fresh", "fresh_ns"), ("decision_remembered", "remembered_ns")]
    {
        let (few, many) = (figure(false, kind, 50.0)?, figure(true, kind, 50.0)?);
        report.figure(&format!("{name}_us_p50"), many);
        report.figure(&format!("{name}_us_p99"), figure(true, kind, 99.0)?);
        report.figure(&format!("{name}_of_10_us_p50"), few);
        report.ratio(&format!("{name}_10000_to_10"), Some(many), Some(few));
    }
    // How much of the mix was never asked before, and how much of the fresh ones was permitted.
    for (name, key) in [
        ("decision_mix_fresh_share", "mix_fresh_share"),
        ("decision_fresh_permitted_share", "fresh_permitted_share"),
    ] {
        let shares: Vec<f64> = rounds.iter().filter_map(|(_, many)| many[key].as_f64()).collect();
        report.figure(name, median(&shares).context("no sample")?);
    }
    Ok(())
}

fn samples(bench: &Bench<'_>, pins: &Pins, policies: usize) -> Result<Value> {
    let wanted = json!({ "policies": policies, "principals": MANY, "decisions": DECISIONS });
    load::run(bench.tools, &pins.server, &json!({ "order": "decisions", "wanted": wanted }))
}
