//! The base rules: what they refuse, in every wrapping and at which level, and what they must let through.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod attacks;
mod carriers;
mod ordinary;
mod settings;

use std::sync::Arc;

use waf::{
    Limits, Plan, Report, Rules, Settings,
    ftw::{Answer, Raw, examine},
};

fn rules() -> Arc<Rules> {
    Arc::new(shield::base_rules().unwrap_or_else(|e| panic!("{e}")))
}

fn plan_with(rules: &Arc<Rules>, mut settings: Settings) -> Plan {
    // Only time is as patient as a loaded machine wants it.
    let text = Limits { time_ns_max: 60_000_000_000, ..Limits::default() };
    let limits = settings.limits.take().unwrap_or(text);
    settings.limits = Some(Limits { values_max: 5000, ..limits });
    Plan::new(rules, &settings).unwrap()
}

/// A plan for each level from 1 to 4.
fn levels() -> Vec<Plan> {
    let rules = rules();
    (1..=4).map(|level| plan_with(&rules, Settings::paranoia(level))).collect()
}

fn run(plan: &Plan, raw: &Raw) -> Report {
    examine(plan, raw, ([172, 18, 0, 1], 40_000).into(), &|| 0, None)
}

fn answered(plan: &Plan, raw: &Raw, answer: &Answer) -> Report {
    examine(plan, raw, ([172, 18, 0, 1], 40_000).into(), &|| 0, Some(answer))
}

/// The rules that matched, for a message.
fn told(report: &Report) -> String {
    let one = |one: &waf::Match| format!("{} {}={}", one.rule, one.variable, one.value);
    report.matches.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// `\n`, `\r`, `\t`, `\0`, `\\` and `\xHH` as they are in Rust.
fn unescaped(text: &str) -> Vec<u8> {
    let mut made = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            made.push(byte);
            continue;
        }
        made.push(match bytes.next().unwrap() {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0' => 0,
            b'x' => {
                let mut digit = || char::from(bytes.next().unwrap()).to_digit(16).unwrap();
                u8::try_from(digit() * 16 + digit()).unwrap()
            }
            other => other,
        });
    }
    made
}
