//! Whether what rules told is what a test expects. A stage that expects nothing of the rules is not judged.

use std::collections::BTreeSet;

use super::{Answer, Output, Raw, log::line};
use crate::{
    pattern::Patterns,
    plan::Plan,
    rules::Outcome,
    transaction::{Match, Report},
};

/// Whether the log is as expected; `Ok(false)` where nothing of the log is.
pub(super) fn log(plan: &Plan, output: &Output, report: &Report, raw: &Raw) -> Result<bool, String> {
    let log = &output.log;
    let ids: BTreeSet<u64> = report.matches.iter().map(|one| one.rule).collect();
    let matched = || ids.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    if let Some(missing) = log.expect_ids.iter().find(|id| !ids.contains(id)) {
        return Err(format!("{missing} did not match; what did: {}", matched()));
    }
    if let Some(extra) = log.no_expect_ids.iter().find(|id| ids.contains(id)) {
        return Err(format!("{extra} matched; all that did: {}", matched()));
    }
    if output.isolated && ids.len() != 1 {
        return Err(format!("one rule is to match alone (`isolated`); what did: {}", matched()));
    }
    let lines: Vec<String> = report.matches.iter().map(|one: &Match| line(plan, one, raw)).collect();
    let finds = |pattern: &str| -> Result<bool, String> {
        let pattern = Patterns::default().compile(pattern, false).map_err(|e| e.to_string())?;
        Ok(lines.iter().any(|line| pattern.is_match(line.as_bytes())))
    };
    for pattern in log.match_regex.iter().chain(&output.log_contains) {
        if !finds(pattern)? {
            return Err(format!("no line of the log has `{pattern}`; matched: {}", matched()));
        }
    }
    for pattern in log.no_match_regex.iter().chain(&output.no_log_contains) {
        if finds(pattern)? {
            return Err(format!("a line of the log has `{pattern}`"));
        }
    }
    Ok(output.asks_log())
}

/// Whether the status is as expected; `Ok(false)` where it is the server's, or nothing of it is expected.
///
/// Rules only tell while tests run, so that a status holds that the rule which would have refused has. A status that no
/// rule of the set refuses with is the server's. Where the log is asked too, what the server answers is as good: so CRS's
/// own tests are written.
pub(super) fn status(plan: &Plan, output: &Output, report: &Report, answer: &Answer) -> Result<bool, String> {
    let expected = &output.status.0;
    let refusals: BTreeSet<u16> = plan
        .rules
        .rules
        .iter()
        .filter_map(|rule| {
            let refuses = !matches!(rule.disruptive, Outcome::Pass | Outcome::Allow(_));
            refuses.then_some(answered(&rule.disruptive, rule.status))
        })
        .collect();
    let would = report.would_refuse.and_then(|id| plan.rules.rules.iter().find(|rule| rule.id == id));
    let would = would.map(|rule| (rule.id, answered(&rule.disruptive, rule.status)));
    if expected.is_empty() || would.is_some_and(|(_, status)| expected.contains(&status)) {
        return Ok(!expected.is_empty());
    }
    let of_server = expected.contains(&answer.status);
    if of_server && (would.is_none() || output.asks_log()) {
        return Ok(would.is_none());
    }
    // A server says 400 by itself to what is no request.
    let of_rules = expected.iter().any(|status| *status != 400 && refusals.contains(status));
    if !of_rules && !of_server {
        return Ok(false);
    }
    let list = expected.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ");
    Err(match would {
        Some((rule, status)) => format!("status {list} is expected; {rule} refuses with {status}"),
        None => format!("status {list} is expected; no rule refuses"),
    })
}

fn answered(outcome: &Outcome, status: u16) -> u16 {
    match outcome {
        Outcome::Redirect(_) if !(300..400).contains(&status) => 302,
        _ => status,
    }
}
