//! What a transaction tells when it ends, and the lines of matches, which are made only when something matched.

use std::sync::Arc;

use super::{Decision, Span, Transaction};
use crate::{
    plan::program::{Part, Step, Text},
    rules::Rule,
    seclang::{operator::Piece, variable::Collection},
};

/// A rule that matched and is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The rule's id.
    pub rule: u64,
    /// Its phase, 1 to 5.
    pub phase: u8,
    /// The file of rules.
    pub file: Arc<str>,
    /// The line in it.
    pub line: u32,
    /// `msg`, expanded.
    pub message: String,
    /// `logdata`, expanded.
    pub data: String,
    /// `severity`, 0 (emergency) to 7 (debug)
    pub severity: Option<u8>,
    /// `tag`s
    pub tags: Vec<String>,
    /// `ver`
    pub version: Option<String>,
    /// The last variable that matched, such as `ARGS:name`.
    pub variable: String,
    /// Its value after transformations, at most 512 bytes; stars where the rule says that it is not to be shown.
    pub value: String,
    /// The rule refuses, or would if rules did more than tell.
    pub disruptive: bool,
}

/// What a transaction tells when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was decided.
    pub decision: Decision,
    /// The first rule that would have refused, where rules only tell; also set where it did.
    pub would_refuse: Option<u64>,
    /// Rules that matched and are told, in order.
    pub matches: Vec<Match>,
    /// How many rules matched, with those that are not told.
    pub matched_rules: usize,
    /// The score of what came in, as CRS keeps it.
    pub inbound_score: i64,
    /// The score of what went out, as CRS keeps it.
    pub outbound_score: i64,
    /// Why the body could not be read as what it said it was.
    pub body_error: Option<String>,
    /// The time or the bytes were used up.
    pub exhausted: bool,
    /// Time from beginning to end, nanoseconds.
    pub time_ns: u64,
}

/// Bytes of a value that a match shows.
const VALUE_MAX: usize = 512;
/// Bytes of a message or its data.
const TEXT_MAX: usize = 2048;

impl<'p> Transaction<'p> {
    pub(super) fn report(&mut self) -> Report {
        // The last name is CRS 3's.
        let score = |name: &str, old: &str| {
            self.tx(&format!("detection_{name}_anomaly_score"))
                .or_else(|| self.tx(&format!("{name}_anomaly_score")))
                .or_else(|| self.tx(old))
                .map_or(0, |text| crate::rules::number(&text))
        };
        Report {
            inbound_score: score("inbound", "anomaly_score"),
            outbound_score: score("outbound", "outbound_anomaly_score"),
            decision: self.decision.clone(),
            would_refuse: self.would_refuse,
            matched_rules: self.matched_rules,
            body_error: self.body.error.take(),
            exhausted: self.exhausted,
            time_ns: (self.world.clock)().saturating_sub(self.started_ns),
            matches: std::mem::take(&mut self.matches),
        }
    }

    /// Writes the line of a match.
    pub(super) fn tell(&mut self, step: &'p Step, rule: &'p Rule, disruptive: bool) {
        if self.matches.len() >= self.plan.limits.matches_max {
            return;
        }
        let last = self.last_matched().copied();
        let hidden =
            self.sanitise_matched || last.is_some_and(|last| self.is_hidden(last.collection, last.name));
        self.sanitise_matched = false;
        let variable = last.map(|last| self.full_name(&last));
        let variable = variable.map(|span| self.lossy(span, VALUE_MAX)).unwrap_or_default();
        let value = match last {
            Some(last) if hidden => "*".repeat(last.text.len().min(VALUE_MAX)),
            Some(last) => self.lossy(last.text, VALUE_MAX),
            None => String::new(),
        };
        let first = step.message.as_ref();
        let message = first.or_else(|| step.links.iter().find_map(|link| link.message.as_ref()));
        let data = step.links.iter().find_map(|link| link.data.as_ref());
        let message = message.map(|text| self.line(text, hidden)).unwrap_or_default();
        let data = data.map(|text| self.line(text, hidden)).unwrap_or_default();
        let tag = |piece: &Piece| if let Piece::Text(text) = piece { text.clone() } else { String::new() };
        let tags = if step.tags.is_empty() {
            rule.tags.iter().map(|text| text.0.iter().map(tag).collect()).collect()
        } else {
            step.tags.iter().map(|text| self.line(text, hidden)).collect()
        };
        self.matches.push(Match {
            rule: rule.id,
            phase: rule.phase,
            file: Arc::clone(&rule.place.file),
            line: rule.place.line,
            message,
            data,
            severity: rule.severity,
            tags,
            version: rule.version.clone(),
            variable,
            value,
            disruptive,
        });
    }

    fn line(&mut self, text: &'p Text, hidden: bool) -> String {
        let reads =
            matches!(text, Text::Made(parts) if parts.iter().any(|part| matches!(part, Part::Read(_))));
        if hidden && reads {
            return "(not shown)".to_owned();
        }
        let made = self.owned(text);
        String::from_utf8_lossy(made.get(..TEXT_MAX).unwrap_or(&made)).into_owned()
    }

    fn is_hidden(&self, collection: Collection, name: Span) -> bool {
        let same = |known: Collection| {
            known == collection
                || known == Collection::Args
                    && matches!(collection, Collection::ArgsGet | Collection::ArgsPost)
        };
        let name = self.scratch.bytes(name);
        self.sanitised.iter().any(|(known, hidden)| same(*known) && name.eq_ignore_ascii_case(hidden))
    }

    fn lossy(&self, span: Span, most: usize) -> String {
        let bytes = self.scratch.bytes(span);
        String::from_utf8_lossy(bytes.get(..most).unwrap_or(bytes)).into_owned()
    }
}
