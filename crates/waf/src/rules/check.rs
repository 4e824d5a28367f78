//! Operators at work: one text against what was made ready, and what of it matched. Macros are expanded before.

use std::{net::IpAddr, sync::Arc};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::{
    injection, operator,
    pattern::Pattern,
    seclang::Reason,
    transform::ByteSet,
};

/// An operator made ready.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    Always,
    Never,
    Pattern(Arc<Pattern>),
    PatternGlobal(Arc<Pattern>),
    Phrases(Arc<Phrases>),
    Text(TextTest),
    Number(Comparison),
    Addresses(Arc<Vec<Address>>),
    ByteRange(Arc<ByteSet>),
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

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    network: IpAddr,
    bits: u8,
}

impl Address {
    /// Reads `192.0.2.0/24` or an address.
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        let wrong = || Reason::Argument {
            what: "@ipMatch".to_owned(),
            why: "addresses and networks are expected",
            value: text.to_owned(),
        };
        let (network, bits) = text.split_once('/').unwrap_or((text, ""));
        let network: IpAddr = network.parse().map_err(|_| wrong())?;
        let most = if network.is_ipv4() { 32 } else { 128 };
        let bits = if bits.is_empty() { most } else { bits.parse().map_err(|_| wrong())? };
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { network, bits })
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let shift = 32 - u32::from(self.bits);
                u32::from(a).checked_shr(shift) == u32::from(b).checked_shr(shift)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let shift = 128 - u32::from(self.bits);
                u128::from(a).checked_shr(shift) == u128::from(b).checked_shr(shift)
            }
            _ => false,
        }
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

/// The number at the start of a text, as C's `atoi` reads it; 0 where there is none.
pub(crate) fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut value = 0i64;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        value = value.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    }
    if negative { -value } else { value }
}

impl Check {
    /// Whether it is work worth saving: it reads its text with more than a comparison.
    pub(crate) fn is_heavy(&self) -> bool {
        !matches!(
            self,
            Self::Always | Self::Never | Self::Text(_) | Self::Number(_) | Self::Addresses(_) | Self::ByteRange(_)
        )
    }

    /// Whether the operator (not negated) holds, and with `capture` what of the text matched.
    pub(crate) fn holds(&self, text: &[u8], argument: &[u8], capture: Option<&mut Captures>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Pattern(pattern) | Self::PatternGlobal(pattern) => match capture {
                None => pattern.regex.is_match(text),
                Some(captures) => match_pattern(pattern, text, captures),
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
            Self::Addresses(list) => in_list(list, text),
            Self::ByteRange(allowed) => text.iter().any(|byte| !allowed.contains(*byte)),
            Self::UrlEncoding => operator::validate_url_encoding(text),
            Self::Utf8Encoding => operator::validate_utf8_encoding(text),
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
                let found = pattern.regex.find_iter(text).find(|found| kind.holds(found.as_bytes()));
                if let (Some(found), Some(captures)) = (found, capture) {
                    captures.push(Capture::Within(found.range()));
                }
                found.is_some()
            }
        }
    }
}

fn match_pattern(pattern: &Pattern, text: &[u8], captures: &mut Captures) -> bool {
    let Some(found) = pattern.regex.captures(text) else { return false };
    let part = |part: Option<regex::bytes::Match<'_>>| match part {
        Some(part) => Capture::Within(part.range()),
        None => Capture::Absent,
    };
    captures.extend(found.iter().take(10).map(part));
    true
}

fn in_list(list: &[Address], text: &[u8]) -> bool {
    let address = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<IpAddr>().ok());
    address.is_some_and(|address| list.iter().any(|network| network.holds(address)))
}

impl TextTest {
    fn holds(self, text: &[u8], argument: &[u8]) -> bool {
        match self {
            Self::BeginsWith => text.starts_with(argument),
            Self::EndsWith => text.ends_with(argument),
            Self::Equals => text == argument,
            Self::Contains => memchr::memmem::find(text, argument).is_some(),
            Self::Within => memchr::memmem::find(argument, text).is_some(),
            Self::ContainsWord => contains_word(text, argument),
        }
    }
}

fn contains_word(text: &[u8], word: &[u8]) -> bool {
    if word.is_empty() {
        return true;
    }
    let is_word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    memchr::memmem::find_iter(text, word).any(|at| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        !is_word(before) && !is_word(text.get(at + word.len()))
    })
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
            Self::Card => operator::verify_cc(digits),
            Self::Cpf => operator::verify_cpf(digits),
            Self::Ssn => operator::verify_ssn(digits),
            Self::Svnr => operator::verify_svnr(digits),
        }
    }
}
