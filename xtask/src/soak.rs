//! `cargo xtask soak`: a node under a steady friendly load while everything hostile has its turn, then the long forms
//! of the crash tests. It never fails because of a latency, and always because of a friendly request that was lost.

mod crashes;
mod document;
mod windows;

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    attacks::{self, Attack, Refused},
    bench,
    load::{self, Running},
    servers::{
        Pins, Tools,
        node::{Log, Node},
    },
};
use crashes::Crash;
use windows::{Phase, Windows};

/// Minutes from which on the crash tests run in their long form.
const LONG_MINUTES: u64 = 30;
/// The share of the time that the attacks have; the crash tests take what they take.
const ATTACKS_SHARE: f64 = 0.7;
/// Of one attack's turn: the quiet before it, and the rest after it that nobody counts.
const QUIET_SHARE: f64 = 0.3;
const REST_SHARE: f64 = 0.2;
/// What an attack leaves behind has run into its limits by then.
const REST_S_MIN: f64 = 1.0;

/// How long the friendly caller would go on: it is ended with the soak, however long that took.
const FRIENDLY_S: f64 = 86_400.0;

/// How long, and what to do with the result.
pub struct Options {
    /// Minutes in all, about.
    pub minutes: u64,
    /// Write `docs/reliability.md`.
    pub write: bool,
    /// Leave the crash tests out.
    pub no_crashes: bool,
}

/// One attack and what came of it.
pub struct Turn {
    name: String,
    quiet: Phase,
    during: Phase,
    /// What the attacker was answered, by status or what else happened.
    answers: Value,
    rss_mib: f64,
    files: usize,
}

/// All that is to be told.
pub struct Soak {
    minutes: u64,
    turns: Vec<Turn>,
    refused: Vec<Refused>,
    before: (f64, usize),
    after: (f64, usize),
    answered: u64,
    /// Friendly requests without their answer, by status or that none came.
    lost: BTreeMap<String, u64>,
    crashes: Vec<Crash>,
}

/// Attacks, crashes, tells.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let tools = Tools::build(root, None)?;
    let mut soak = attack_all(&tools, options)?;
    // What was measured is kept, whatever becomes of the crash tests.
    tell(root, options, &soak)?;
    if !options.no_crashes {
        soak.crashes = crashes::run(root, options.minutes >= LONG_MINUTES)?;
        tell(root, options, &soak)?;
    }
    let lost: u64 = soak.lost.values().sum();
    if lost > 0 {
        bail!("{lost} friendly requests were lost: {:?}", soak.lost);
    }
    if let Some(failed) = soak.crashes.iter().find(|crash| !crash.passed) {
        bail!("{} failed", failed.what);
    }
    Ok(())
}

fn tell(root: &Path, options: &Options, soak: &Soak) -> Result<()> {
    let text = document::text(soak, &bench::surroundings());
    println!("{text}");
    if options.write {
        std::fs::write(root.join("docs/reliability.md"), text)?;
        println!("── wrote docs/reliability.md");
    }
    Ok(())
}

/// A node, its friendly caller, and each attack in turn.
fn attack_all(tools: &Tools, options: &Options) -> Result<Soak> {
    let pins = Pins::new(1);
    let node = Node::start(tools, &pins, Log::Kept)?;
    attacks::friendly(tools, &node)?;
    let (mut all, refused) = attacks::guests(tools, &node)?;
    all.extend(attacks::clients());
    let turn = (options.minutes * 60) as f64 * ATTACKS_SHARE / all.len() as f64;
    let mut order = attacks::friendly_order(&node, "/hello", FRIENDLY_S);
    order["run"]["windows_ms"] = 250.into();
    let mut friendly = load::start(tools, &pins.load, &order, load::Turn::Usual)?;
    let windows = Windows::follow(friendly.lines()?);
    rest(turn.max(2.0));
    let before = held(&node);
    println!(
        "── {} attacks, {turn:.1} s each; a friendly function is called {:.0} times a second",
        all.len(),
        attacks::FRIENDLY_RATE
    );
    let mut turns = Vec::new();
    for attack in &all {
        turns.push(one(tools, &node, &pins, attack, turn, &windows)?);
    }
    rest(turn.max(5.0));
    let after = held(&node);
    let (answered, lost) = windows.totals();
    drop(friendly);
    Ok(Soak { minutes: options.minutes, turns, refused, before, after, answered, lost, crashes: Vec::new() })
}

/// A quiet while, the attack, and a rest.
fn one(
    tools: &Tools,
    node: &Node,
    pins: &Pins,
    attack: &Attack,
    turn: f64,
    windows: &Windows,
) -> Result<Turn> {
    let quiet_from = now_ms();
    rest(turn * QUIET_SHARE);
    let from = now_ms();
    let seconds = turn * (1.0 - QUIET_SHARE - REST_SHARE);
    let running = attack.start(tools, node, pins, seconds)?;
    let (rss_mib, files, answers) = watch(node, running, seconds)?;
    let until = now_ms();
    rest((turn * REST_SHARE).max(REST_S_MIN));
    let quiet = windows.between(quiet_from, from);
    let during = windows.between(from, until);
    println!("   {}: p99 {:.2} → {:.2} ms", attack.name, quiet.p99_ms(), during.p99_ms());
    Ok(Turn { name: attack.name.clone(), quiet, during, answers, rss_mib, files })
}

/// The most that the node held while an attack went on, and what the attacker was told.
fn watch(node: &Node, running: Running, seconds: f64) -> Result<(f64, usize, Value)> {
    let started = Instant::now();
    let (mut rss_mib, mut files) = (0_f64, 0);
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(move || running.finish());
        while !answer.is_finished() && started.elapsed().as_secs_f64() < seconds + 30.0 {
            rss_mib = rss_mib.max(node.process.resident_mib());
            files = files.max(node.process.files());
            std::thread::sleep(Duration::from_millis(200));
        }
        answer.join().ok().context("the attack's reader")?
    })?;
    Ok((rss_mib, files, answer["statuses"].clone()))
}

fn held(node: &Node) -> (f64, usize) {
    (node.process.resident_mib(), node.process.files())
}

fn rest(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
