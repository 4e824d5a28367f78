//! A function's latency for one source while another sends a hundred times as much: calls that are permitted, and what
//! each stage refuses. It never asks the two for different functions.

use std::time::Duration;

use anyhow::Result;

use super::{
    Bench, neighbour,
    report::{Report, median},
};
use crate::{
    attacks::{self, FRIENDLY_RATE},
    load::{self, Turn},
    servers::{
        Pins,
        node::{Log, Node},
    },
};

/// How many times as much.
const TIMES: f64 = 100.0;
/// Connections of the source that floods.
const CONNECTIONS: usize = 64;

/// A function that takes twice what its friends send from one source.
const LIMITED: &str = "[shield.rate]\nsource = { requests = 400, seconds = 1 }\n";

/// What is sent, where to, and whether with a token that holds, one that does not, or none.
const FLOODS: [(&str, &str, Token); 6] = [
    ("permitted", "/hello", Token::Own),
    ("above-rate", "/limited", Token::Own),
    ("attacks", "/hello?id=1%27%20or%201=1--%20", Token::Own),
    ("strangers", "/hello", Token::None),
    ("wrong-tokens", "/hello", Token::Wrong),
    ("not-there", "/no/such/function", Token::None),
];

#[derive(Clone, Copy)]
enum Token {
    Own,
    Wrong,
    None,
}

/// Each flood's p99 by the quiet p99 just before it.
pub(super) fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let pins = Pins::new(1);
    let node = Node::start(bench.tools, &pins, Log::Away)?;
    attacks::friendly(bench.tools, &node)?;
    node.deploy("limited", &bench.tools.root.join("guests/built/hello.wasm"), LIMITED)?;
    let own = node.make_token("flood")?;
    let seconds = bench.seconds as f64;
    let (mut quiet, mut worst) = (Vec::new(), 0.0_f64);
    for (name, path, token) in FLOODS {
        let to = node.to_from(1, &token.of(&own));
        let friends = if path == "/limited" { path } else { "/hello" };
        let order = load::open_loop(&to, path, CONNECTIONS, TIMES * FRIENDLY_RATE, seconds + 1.0);
        let (mut ratios, mut sent) = (Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            let without = neighbour::friendly_p99(bench, &node, &pins, friends)?;
            let flood = load::start(bench.tools, &pins.load, &order, Turn::Last)?;
            std::thread::sleep(Duration::from_millis(500));
            let during = neighbour::friendly_p99(bench, &node, &pins, friends)?;
            sent.push(flood.finish()?["sent_per_s"].as_f64().unwrap_or(f64::NAN) / FRIENDLY_RATE);
            quiet.push(without);
            ratios.push(during / without);
        }
        let ratio = median(&ratios).unwrap_or(f64::NAN);
        eprintln!("   {name}: p99 × {ratio:.2}");
        let key = name.replace('-', "_");
        report.figure(&format!("flood_p99_ratio_{key}"), ratio);
        report.figure(&format!("flood_sent_ratio_{key}"), median(&sent).unwrap_or(f64::NAN));
        worst = worst.max(ratio);
    }
    report.figure("flood_p99_ratio_max", worst);
    report.figure("flood_quiet_ms_p99", median(&quiet).unwrap_or(f64::NAN) / 1000.0);
    Ok(())
}

impl Token {
    fn of(self, own: &str) -> Vec<String> {
        match self {
            Self::Own => vec![own.to_owned()],
            Self::Wrong => vec![format!("{own}x")],
            Self::None => Vec::new(),
        }
    }
}
