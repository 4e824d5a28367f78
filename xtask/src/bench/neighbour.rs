//! A friendly function's latency while something misbehaves on the same node, beside its latency when nothing
//! does. It never calls the friendly one faster than it is surely served.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::{
    Bench,
    report::{Report, median},
};
use crate::{
    attacks::{self, Attack},
    load,
    servers::{
        Pins,
        node::{Log, Node},
    },
};

/// What is tried here; `cargo xtask soak` tries everything there is.
const GUESTS: [&str; 8] = [
    "loop",
    "hostcall-loop",
    "memory-bomb",
    "recursion",
    "log-flood",
    "endless-answer",
    "trap",
    "headers-10000",
];

/// Each attack's p99 by the quiet p99 just before it.
pub(super) fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let pins = Pins::new(1);
    let node = Node::start(bench.tools, &pins, Log::Away)?;
    attacks::friendly(bench.tools, &node)?;
    node.deploy("hostile", &bench.tools.root.join("guests/built/hostile.wasm"), attacks::LIMITS)?;
    let guests = GUESTS.iter().map(|name| Attack::guest(name, &format!("/hostile/{name}")));
    let all: Vec<Attack> = guests.chain(attacks::clients()).collect();
    let (mut quiet, mut worst) = (Vec::new(), 0.0_f64);
    for attack in &all {
        let mut ratios = Vec::new();
        for _ in 0..bench.rounds {
            let without = friendly_p99(bench, &node, &pins, "/hello")?;
            let running = attack.start(bench.tools, &node, &pins, bench.seconds as f64 + 1.0)?;
            std::thread::sleep(Duration::from_millis(500));
            let during = friendly_p99(bench, &node, &pins, "/hello")?;
            drop(running);
            quiet.push(without);
            ratios.push(during / without);
            // What the attack left behind goes its own way.
            std::thread::sleep(Duration::from_millis(500));
        }
        let ratio = median(&ratios).unwrap_or(f64::NAN);
        eprintln!("   {}: p99 × {ratio:.2}", attack.name);
        report.figure(&format!("neighbour_p99_ratio_{}", attack.name.replace('-', "_")), ratio);
        worst = worst.max(ratio);
    }
    report.figure("neighbour_p99_ratio_max", worst);
    report.figure("neighbour_quiet_ms_p99", median(&quiet).unwrap_or(f64::NAN) / 1000.0);
    Ok(())
}

/// The p99 of a function's friendly callers in microseconds.
pub(super) fn friendly_p99(bench: &Bench<'_>, node: &Node, pins: &Pins, path: &str) -> Result<f64> {
    let order = attacks::friendly_order(node, path, bench.seconds as f64);
    let answer = load::run(bench.tools, &pins.load, &order)?;
    Ok(answer["answered_us_p99"].as_f64().unwrap_or(f64::NAN).max(answer_lost(&answer)))
}

/// A lost request is slower than any.
fn answer_lost(answer: &Value) -> f64 {
    if answer["lost"].as_u64().unwrap_or(0) > 0 { f64::INFINITY } else { 0.0 }
}
