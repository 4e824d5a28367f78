//! `docs/reliability.md`, from one run. It never says more than was measured.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Soak, Turn, windows::Phase};
use crate::attacks::{self, Refused};

/// The whole page.
pub fn text(soak: &Soak, machine: &BTreeMap<String, String>) -> String {
    let of = |key: &str| machine.get(key).map_or("?", String::as_str);
    let quiet = Phase::together(soak.turns.iter().map(|turn| &turn.quiet));
    let during = Phase::together(soak.turns.iter().map(|turn| &turn.during));
    let mut text = format!(
        "# Reliability\n\nMade by `cargo xtask soak --minutes {} --write` on {} ({} cores, {} GiB, Linux {}).\n\n",
        soak.minutes,
        of("date"),
        of("cores"),
        of("memory_gib"),
        of("kernel"),
    );
    text.push_str(&format!(
        "One node, pinned to one core, serves a friendly function over TLS, {:.0} calls a second; the callers and\n\
        the attackers share the next core. Each attack follows a quiet while that it is compared with.\n\
        Hostile guests have four callers each, in the friendly function's own tenant and worker.\n\n",
        attacks::FRIENDLY_RATE,
    ));
    text.push_str("| in all | |\n|---|---|\n");
    let mut row = |name: &str, value: String| text.push_str(&format!("| {name} | {value} |\n"));
    row("friendly requests answered", soak.answered.to_string());
    row("friendly requests lost", lost(soak));
    row("friendly p50 / p99, quiet", format!("{:.2} / {:.2} ms", quiet.p50_ms(), quiet.p99_ms()));
    row("friendly p50 / p99, attacked", format!("{:.2} / {:.2} ms", during.p50_ms(), during.p99_ms()));
    let within = soak.turns.iter().filter(|turn| ratio(turn) <= 2.0).count();
    row("attacks within 2× of the quiet p99", format!("{within} of {}", soak.turns.len()));
    row("resident memory before / after", format!("{:.0} / {:.0} MiB", soak.before.0, soak.after.0));
    row("open files before / after", format!("{} / {}", soak.before.1, soak.after.1));
    text.push_str(
        "\n## Attacks\n\nThe answers are what the attacker got: a status, or how the connection ended.\n\n\
        | attack | answers | p99 ms, quiet → attacked | × | lost | most MiB | most files |\n\
        |---|---|---|---|---|---|---|\n",
    );
    for turn in &soak.turns {
        text.push_str(&line(turn));
    }
    if !soak.refused.is_empty() {
        text.push_str("\n## Refused at deploy\n\n| component | why |\n|---|---|\n");
    }
    for Refused { name, why } in &soak.refused {
        text.push_str(&format!("| `{name}` | {} |\n", why.replace('|', "\\|")));
    }
    if !soak.crashes.is_empty() {
        text.push_str("\n## Sudden death\n\n| test | what it does | form | tests | seconds | |\n");
        text.push_str("|---|---|---|---|---|---|\n");
    }
    for crash in &soak.crashes {
        let form = if crash.long { "long" } else { "short" };
        let ended = if crash.passed { "passed" } else { "**failed**" };
        let (what, about) = (&crash.what, crash.about.replace('|', "\\|"));
        let (tests, seconds) = (crash.tests, crash.seconds);
        text.push_str(&format!("| {what} | {about} | {form} | {tests} | {seconds} | {ended} |\n"));
    }
    text
}

fn lost(soak: &Soak) -> String {
    let sum: u64 = soak.lost.values().sum();
    if sum == 0 { "0".to_owned() } else { format!("**{sum}** ({})", said(soak.lost.iter())) }
}

fn line(turn: &Turn) -> String {
    format!(
        "| `{}` | {} | {:.2} → {:.2} | {:.1} | {} | {:.0} | {} |\n",
        turn.name,
        answers(&turn.answers),
        turn.quiet.p99_ms(),
        turn.during.p99_ms(),
        ratio(turn),
        turn.quiet.failed + turn.during.failed,
        turn.rss_mib,
        turn.files
    )
}

fn ratio(turn: &Turn) -> f64 {
    turn.during.p99_ms() / turn.quiet.p99_ms()
}

fn answers(statuses: &Value) -> String {
    said(statuses.as_object().into_iter().flatten())
}

/// `502 × 12, cut off × 3`.
fn said<K: std::fmt::Display, V: std::fmt::Display>(pairs: impl Iterator<Item = (K, V)>) -> String {
    let said: Vec<String> = pairs.map(|(what, count)| format!("{what} × {count}")).collect();
    if said.is_empty() { "none yet".to_owned() } else { said.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn answers_are_told() {
        assert_eq!(super::answers(&json!({ "502": 12, "cut off": 3 })), "502 × 12, cut off × 3");
        assert_eq!(super::answers(&json!({})), "none yet");
    }
}
