//! Twice what a node can do, from clients that neither wait nor go away. It never counts an answer that came after
//! the load had ended.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    Bench,
    report::{Report, median},
    wrk::Load,
};
use crate::{
    load,
    servers::{
        Pins,
        node::{Log, Node},
    },
};

/// More than the tenant's places (500), in which a function's queue is counted too, so that the rest must be refused.
const CONNECTIONS: usize = 2_048;
/// Over which the peak is measured: as many as are served without a refusal. Over 32 it would be higher, by what
/// the processor's caches hold of them, which is no measure of what becomes of an overload.
const PEAK_CONNECTIONS: usize = 400;
/// A source has at most 1,000 connections and 50,000 requests a second, a caller as many.
const SOURCES: u8 = 8;
const TOKENS: usize = 4;

/// The peak by a closed loop, then twice its rate by an open one, in turn.
pub(super) fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let pins = Pins::new(1);
    let node = Node::start(bench.tools, &pins, Log::Away)?;
    node.deploy("hello", &bench.tools.root.join("guests/built/hello.wasm"), "")?;
    let tokens: Result<Vec<String>> = (0..TOKENS).map(|n| node.make_token(&format!("load-{n}"))).collect();
    let to = node.to_from(SOURCES, &tokens?);
    let url = format!("{}/hello", node.functions);
    let closed = Load { url: &url, token: Some(&node.token), pins: &pins };
    closed.with(PEAK_CONNECTIONS, Duration::from_secs(2))?;
    let (mut peaks, mut answers, mut most) = (Vec::new(), Vec::new(), 0_f64);
    let before = node.process.resident_mib();
    for _ in 0..bench.rounds {
        let peak = closed.with(PEAK_CONNECTIONS, Duration::from_secs(bench.seconds))?.requests_per_s;
        peaks.push(peak);
        let order = load::open_loop(&to, "/hello", CONNECTIONS, 2.0 * peak, bench.seconds as f64);
        let running = load::start(bench.tools, &pins.load, &order, load::Turn::Usual)?;
        let answer = std::thread::scope(|scope| {
            let answer = scope.spawn(move || running.finish());
            while !answer.is_finished() {
                most = most.max(node.process.resident_mib());
                std::thread::sleep(Duration::from_millis(500));
            }
            answer.join().ok().context("the load's reader")?
        })?;
        answers.push(answer);
    }
    let peak = median(&peaks).context("no round")?;
    report.figure("overload_peak_per_s", peak);
    let column = |key: &str| {
        let values: Vec<f64> = answers.iter().filter_map(|answer| answer[key].as_f64()).collect();
        median(&values).unwrap_or(f64::NAN)
    };
    let sum = |key: &str| answers.iter().filter_map(|answer| answer[key].as_f64()).sum::<f64>();
    report.figure("overload_offered_ratio", column("sent_per_s") / peak);
    report.figure("overload_goodput_ratio", column("answered_per_s") / peak);
    for (name, key) in [
        ("overload_refusal_ms_p50", "refused_us_p50"),
        ("overload_refusal_ms_p99", "refused_us_p99"),
        ("overload_answer_ms_p50", "answered_us_p50"),
        ("overload_answer_ms_p99", "answered_us_p99"),
    ] {
        report.figure(name, column(key) / 1000.0);
    }
    for (name, key) in [
        ("overload_refusals", "refused"),
        ("overload_refusals_without_retry_after", "refused_without_retry_after"),
        ("overload_lost", "lost"),
        ("overload_not_sent", "not_sent"),
    ] {
        report.figure(name, sum(key));
    }
    report.figure("overload_other_answers", answers.iter().map(others).fold(0.0, |sum, n| sum + n));
    report.figure("overload_rss_mib_before", before);
    report.figure("overload_rss_mib", most);
    report.figure("overload_rss_mib_after", node.process.resident_mib());
    Ok(())
}

/// Answers that were neither 200 nor 503.
fn others(answer: &Value) -> f64 {
    answer["other"].as_object().map_or(0.0, |other| other.values().filter_map(Value::as_f64).sum())
}
