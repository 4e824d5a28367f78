//! `shield explain`: what rules say to one request, and what a node says before it asks them. It sends nothing.

use std::{
    io::Read,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use waf::{
    BodyOverLimit, Cause, Decision, Plan, Report, Rules, Settings, World,
    ftw::{self, Raw},
    memory::Memory,
    seclang::action::RuleEngine,
};

use super::{
    clock, load, plan,
    request::{self, Request},
};
use crate::{
    cli,
    exit::Failure,
    output::{Ink, Output, harmless},
};

/// More than any request that is read.
const REQUEST_BYTES_MAX: u64 = 17 * 1024 * 1024;
/// How often a request is run to tell what it costs.
const ROUNDS: usize = 20;

/// What rules say to a request.
#[derive(Debug, Serialize)]
pub(super) struct Explained {
    /// Why a node refuses it before it asks the rules.
    pub(super) refused_before: Option<String>,
    /// The rule that refuses it, in the state that the rules' set-up asks for; 0 where it is a bound.
    pub(super) refused_by: Option<u64>,
    /// The rule that would refuse it if rules did more than tell, and no `allow` came before.
    pub(super) would_refuse: Option<u64>,
    /// `On`, `DetectionOnly` or `Off`: the set-up's `SecRuleEngine`.
    pub(super) engine: &'static str,
    /// The body is over the bound: a node answers 413, and the rules did not see it.
    pub(super) body_over_limit: bool,
    /// The time or the bytes of a transaction were used up: not all rules ran.
    pub(super) exhausted: bool,
    pub(super) inbound_score: i64,
    pub(super) body_error: Option<String>,
    /// All phases, microseconds, the best of several runs.
    pub(super) time_us: f64,
    /// What was mended of what was typed, or left out.
    pub(super) notes: Vec<String>,
    pub(super) matches: Vec<Matched>,
}

#[derive(Debug, Serialize)]
pub(super) struct Matched {
    pub(super) rule: u64,
    pub(super) phase: u8,
    file: String,
    line: u32,
    severity: Option<u8>,
    message: String,
    data: String,
    tags: Vec<String>,
    pub(super) variable: String,
    value: String,
}

/// `shield explain`
pub(super) fn explain(out: &Output, args: &cli::ShieldExplain) -> Result<(), Failure> {
    let rules = load(out, &args.files)?;
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(REQUEST_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|e| Failure::file("read", Path::new("-"), &e))?;
    let request = request::read(&bytes)?;
    let explained = explained(&rules, args.paranoia, request)?;
    for note in &explained.notes {
        out.note(format!("note: {}", harmless(note)));
    }
    out.answer(&explained, |explained| explained_text(out, explained));
    Ok(())
}

/// Runs the rules twice: only telling, for all that matches, and as their set-up has it, for the decision.
pub(super) fn explained(
    rules: &Arc<Rules>,
    paranoia: Option<u8>,
    request: Request,
) -> Result<Explained, Failure> {
    let settings = paranoia.map_or_else(Settings::default, Settings::paranoia);
    let telling = plan(rules, &settings.clone().detection_only())?;
    let deciding = plan(rules, &settings)?;
    let Request { mut raw, mut notes, refused } = request;
    let limits = rules.limits();
    let over = limits.request_body && raw.body.len() > limits.request_body_bytes_max;
    let body_over_limit = over && limits.request_over_limit == BodyOverLimit::Refuse;
    if body_over_limit {
        let (has, most) = (raw.body.len(), limits.request_body_bytes_max);
        let over = format!("the body has {has} bytes, over the bound of {most}");
        notes.push(format!("{over}: the node answers 413; only the head was inspected"));
        raw.body.clear();
    } else if over {
        notes.push(format!("the body was inspected up to its first {} bytes", limits.request_body_bytes_max));
    }
    let report = run(&telling, &raw);
    let decided = run(&deciding, &raw);
    let best_ns = (0..ROUNDS).map(|_| run(&telling, &raw).time_ns).min().unwrap_or(report.time_ns);
    let refused_by = match &decided.decision {
        Decision::Pass => body_over_limit.then_some(0),
        Decision::Refuse(refusal) => match refusal.cause {
            Cause::Rule(rule) => Some(rule),
            Cause::BodyTooLong | Cause::Exhausted => Some(0),
        },
    };
    Ok(Explained {
        refused_before: refused,
        refused_by,
        would_refuse: report.would_refuse,
        engine: match rules.engine() {
            RuleEngine::On => "On",
            RuleEngine::DetectionOnly => "DetectionOnly",
            RuleEngine::Off => "Off",
        },
        body_over_limit,
        exhausted: report.exhausted || decided.exhausted,
        inbound_score: report.inbound_score,
        body_error: report.body_error,
        time_us: f64::from(u32::try_from(best_ns).unwrap_or(u32::MAX)) / 1000.0,
        notes,
        matches: report.matches.into_iter().map(matched).collect(),
    })
}

/// One run, with a memory of its own, now.
fn run(plan: &Plan, raw: &Raw) -> Report {
    let memory = Memory::new(16);
    let epoch_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let world = World { clock: &clock, epoch_s, memory: Some(&memory) };
    ftw::send(plan, raw, SocketAddr::from(([192, 0, 2, 1], 40_000)), world, None)
}

fn matched(one: waf::Match) -> Matched {
    Matched {
        rule: one.rule,
        phase: one.phase,
        file: one.file.to_string(),
        line: one.line,
        severity: one.severity,
        message: one.message,
        data: one.data,
        tags: one.tags,
        variable: one.variable,
        value: one.value,
    }
}

fn decision(out: &Output, explained: &Explained) -> String {
    if let Some(why) = &explained.refused_before {
        return out.paint(Ink::Bad, &format!("the node refuses it before rules: {why}"));
    }
    if explained.body_over_limit {
        return out.paint(Ink::Bad, "refused: the body is over its bound (413)");
    }
    match (explained.refused_by, explained.would_refuse, explained.engine) {
        (Some(0), _, _) => {
            out.paint(Ink::Bad, "refused: the time or the bytes of a request are used up (503)")
        }
        (Some(rule), _, _) => out.paint(Ink::Bad, &format!("refused by {rule}")),
        (None, _, "Off") => out.paint(Ink::Warn, "passes: `SecRuleEngine Off`, no rule runs"),
        (None, Some(rule), "On") => {
            out.paint(Ink::Warn, &format!("passes: an `allow` comes before {rule}, which would refuse it"))
        }
        (None, Some(rule), _) => {
            out.paint(Ink::Warn, &format!("passes: rules only tell; {rule} would refuse it"))
        }
        (None, None, _) => out.paint(Ink::Good, "passes"),
    }
}

fn explained_text(out: &Output, explained: &Explained) -> String {
    let mut fields = vec![
        ("decision", decision(out, explained)),
        ("score", explained.inbound_score.to_string()),
        ("time", format!("{:.1} µs", explained.time_us)),
    ];
    if explained.exhausted {
        fields.push(("exhausted", out.paint(Ink::Warn, "not all rules ran: time or bytes were used up")));
    }
    fields.extend(explained.body_error.iter().map(|error| ("body", harmless(error))));
    let row = |one: &Matched| {
        let value: String = one.value.chars().take(60).collect();
        vec![
            one.rule.to_string(),
            one.phase.to_string(),
            harmless(&one.variable).replace('\n', " "),
            harmless(&value).replace('\n', " "),
            harmless(&one.message).replace('\n', " "),
        ]
    };
    let rows: Vec<Vec<String>> = explained.matches.iter().map(row).collect();
    let mut text = out.fields(&fields);
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&out.table(&["RULE", "PHASE", "VARIABLE", "VALUE", "MESSAGE"], &rows));
    }
    text
}
