//! Attacks: each text of `attacks.txt` in each wrapping, and whole requests.

use waf::Decision;

use super::{carriers, levels, run, told, unescaped};

/// Level, kind, what it is not carried in, text.
pub(crate) fn table() -> Vec<(usize, String, Vec<String>, Vec<u8>)> {
    let lines = include_str!("attacks.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let one = |line: &str| {
        let (level, rest) = line.split_once(' ').unwrap();
        let (kind, text) = rest.split_once(' ').unwrap();
        let mut words = kind.split('!').map(|word| word.replace('_', " "));
        (level.parse().unwrap(), words.next().unwrap(), words.collect(), unescaped(text))
    };
    lines.map(one).collect()
}

#[test]
fn an_attack_is_refused_at_its_level_however_it_is_carried() {
    let plans = levels();
    let mut wrong = Vec::new();
    for (level, kind, not_in, text) in table() {
        let plan = plans.get(level - 1).unwrap();
        let below = level.checked_sub(2).and_then(|below| plans.get(below));
        let ways = carriers::as_a_value(&text).into_iter().chain(carriers::in_disguise(&text));
        for (way, raw) in ways.filter(|(way, _)| !not_in.iter().any(|not| not == way)) {
            let shown = String::from_utf8_lossy(&text);
            let report = run(plan, &raw);
            if report.decision == Decision::Pass {
                wrong.push(format!("{kind}, level {level}, {way}: {shown} passes ({})", told(&report)));
            }
            let early = below.map(|plan| run(plan, &raw)).filter(|report| report.decision != Decision::Pass);
            if let Some(report) = early.filter(|_| way == "query") {
                wrong.push(format!("{kind}, {way}: {shown} is refused below {level} ({})", told(&report)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
