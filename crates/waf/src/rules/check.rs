//! Operators at work: one text against what was made ready, and what of it matched. Macros are expanded before.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::{
    injection,
    operator::{self, AddressSet, ByteRange, number},
    pattern::{Exceeded, GROUPS_MAX, Pattern, Patterns},
    seclang::Reason,
};

/// An operator made ready.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    Always,
    Never,
    Pattern(Arc<Pattern>),
    PatternGlobal(Arc<Pattern>),
    /// A pattern with macros, compiled when they are known.
    PatternMade(Arc<MadePatterns>),
    Phrases(Arc<Phrases>),
    Text(TextTest),
    Number(Comparison),
    Addresses(Arc<AddressSet>),
    ByteRange(Arc<ByteRange>),
    UrlEncoding,
    Utf8Encoding,
    Sqli,
    Xss,
    Digits(Digits, Arc<Pattern>),
}

/// How two texts are compared: the text of a request with the operator's argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextTest {
    BeginsWith,
    Contains,
    ContainsWord,
    EndsWith,
    Equals,
    Within,
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    AtLeast,
    Greater,
    AtMost,
    Less,
}

/// Numbers with check digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digits {
    Card,
    Cpf,
    Ssn,
    Svnr,
}

/// A list of phrases, searched at once without regard to case.
#[derive(Debug)]
pub(crate) struct Phrases {
    automaton: AhoCorasick,
    /// As they were written.
    pub(crate) list: Vec<Vec<u8>>,
}

impl Phrases {
    /// Makes the list ready.
    pub(super) fn compile(list: &[Vec<u8>]) -> Result<Self, Reason> {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .prefilter(false)
            .build(list)
            .map_err(|e| Reason::Pattern { pattern: "a list of phrases".to_owned(), why: e.to_string() })?;
        Ok(Self { automaton, list: list.to_vec() })
    }
}

/// A part of what matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    /// A group that took no part.
    Absent,
    /// Of the text.
    Within(std::ops::Range<usize>),
    /// Told by the operator.
    Made(Vec<u8>),
}

/// What matched, for `TX:0` and those that follow; empty where the operator tells none.
pub(crate) type Captures = Vec<Capture>;

impl Check {
    /// Whether it is work worth saving: it reads its text with more than a comparison.
    pub(crate) fn is_heavy(&self) -> bool {
        !matches!(
            self,
            Self::Always
                | Self::Never
                | Self::Text(_)
                | Self::Number(_)
                | Self::Addresses(_)
                | Self::ByteRange(_)
        )
    }

    /// Whether the operator (not negated) holds, and with `capture` what of the text matched.
    ///
    /// # Errors
    /// Where a search was given up.
    pub(crate) fn holds(
        &self,
        text: &[u8],
        argument: &[u8],
        capture: Option<&mut Captures>,
    ) -> Result<bool, Exceeded> {
        Ok(match self {
            Self::Always => true,
            Self::Never => false,
            Self::Pattern(pattern) => match capture {
                None => pattern.search(text)?,
                Some(captures) => match_pattern(pattern, text, captures)?,
            },
            Self::PatternGlobal(pattern) => match capture {
                None => pattern.search(text)?,
                Some(captures) => match_all(pattern, text, captures)?,
            },
            Self::PatternMade(patterns) => match (patterns.of(argument), capture) {
                (None, _) => return Ok(false),
                (Some(pattern), None) => pattern.search(text)?,
                (Some(pattern), Some(captures)) => match_pattern(&pattern, text, captures)?,
            },
            Self::Phrases(phrases) => {
                let found = phrases.automaton.find(text);
                if let (Some(found), Some(captures)) = (found, capture) {
                    captures.push(Capture::Within(found.range()));
                }
                found.is_some()
            }
            Self::Text(test) => test.holds(text, argument),
            Self::Number(comparison) => comparison.holds(number(text), number(argument)),
            Self::Addresses(list) => list.contains(text),
            Self::ByteRange(allowed) => allowed.violation(text).is_some(),
            Self::UrlEncoding => operator::invalid_url_encoding(text).is_some(),
            Self::Utf8Encoding => operator::invalid_utf8(text).is_some(),
            Self::Sqli => {
                let found = injection::sqli(text);
                if let (Some(print), Some(captures)) = (&found, capture) {
                    captures.push(Capture::Made(print.as_bytes().to_vec()));
                }
                found.is_some()
            }
            Self::Xss => {
                let found = injection::xss(text);
                if let Some(captures) = capture.filter(|_| found) {
                    captures.push(Capture::Within(0..text.len()));
                }
                found
            }
            Self::Digits(kind, pattern) => {
                let found = first_digits(*kind, pattern, text)?;
                let holds = found.is_some();
                if let (Some(found), Some(captures)) = (found, capture) {
                    captures.push(Capture::Within(found));
                }
                holds
            }
        })
    }
}

fn match_pattern(pattern: &Pattern, text: &[u8], captures: &mut Captures) -> Result<bool, Exceeded> {
    // Most texts do not match, which is known for less than what groups hold; a long one is not read twice.
    if text.len() < 4096 && !pattern.search(text)? {
        return Ok(false);
    }
    let Some(found) = pattern.groups(text, 0)? else { return Ok(false) };
    let part = |part: Option<Range<usize>>| part.map_or(Capture::Absent, Capture::Within);
    captures.extend(found.into_iter().map(part));
    Ok(true)
}

/// All matches of a pattern, each with its groups, one after the other.
fn match_all(pattern: &Pattern, text: &[u8], captures: &mut Captures) -> Result<bool, Exceeded> {
    let mut start = 0;
    while start <= text.len() && captures.len() < GROUPS_MAX {
        let Some(found) = pattern.groups(text, start)? else { break };
        let Some(Some(whole)) = found.first().cloned() else { break };
        let part = |part: Option<Range<usize>>| part.map_or(Capture::Absent, Capture::Within);
        captures.extend(found.into_iter().take(GROUPS_MAX - captures.len()).map(part));
        start = if whole.is_empty() { whole.end + 1 } else { whole.end };
    }
    Ok(!captures.is_empty())
}

/// The first match whose check digits are right.
fn first_digits(kind: Digits, pattern: &Pattern, text: &[u8]) -> Result<Option<Range<usize>>, Exceeded> {
    let mut start = 0;
    while start <= text.len() {
        let Some(found) = pattern.groups(text, start)? else { break };
        let Some(Some(whole)) = found.first().cloned() else { break };
        if text.get(whole.clone()).is_some_and(|digits| kind.holds(digits)) {
            return Ok(Some(whole));
        }
        start = if whole.is_empty() { whole.end + 1 } else { whole.end };
    }
    Ok(None)
}

/// Patterns of one rule whose macros were known only when a request came, each compiled once.
#[derive(Debug, Default)]
pub(crate) struct MadePatterns {
    known: Mutex<HashMap<Vec<u8>, Option<Arc<Pattern>>>>,
}

/// How many of them are kept.
const MADE_MAX: usize = 32;
/// Bytes of one of them.
const MADE_BYTES_MAX: usize = 4096;

impl MadePatterns {
    /// The pattern of that text; none where it is none, or is too long.
    fn of(&self, text: &[u8]) -> Option<Arc<Pattern>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(text) {
            return known.clone();
        }
        let written = std::str::from_utf8(text).ok().filter(|text| text.len() <= MADE_BYTES_MAX);
        let made = written.and_then(|text| Patterns::default().compile(text, false).ok());
        if known.len() >= MADE_MAX {
            known.clear();
        }
        known.insert(text.to_vec(), made.clone());
        made
    }
}

impl TextTest {
    fn holds(self, text: &[u8], argument: &[u8]) -> bool {
        match self {
            Self::BeginsWith => text.starts_with(argument),
            Self::EndsWith => text.ends_with(argument),
            Self::Equals => text == argument,
            Self::Contains => operator::contains(text, argument),
            Self::Within => operator::within(text, argument),
            Self::ContainsWord => operator::contains_word(text, argument),
        }
    }
}

impl Comparison {
    fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::AtLeast => left >= right,
            Self::Greater => left > right,
            Self::AtMost => left <= right,
            Self::Less => left < right,
        }
    }
}

impl Digits {
    fn holds(self, digits: &[u8]) -> bool {
        match self {
            Self::Card => operator::is_card_number(digits),
            Self::Cpf => operator::is_cpf(digits),
            Self::Ssn => operator::is_ssn(digits),
            Self::Svnr => operator::is_svnr(digits),
        }
    }
}
