//! Operators made ready: patterns and lists of phrases compiled, addresses and ranges read, once for all rules alike.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::check::{Check, Comparison, Digits, Phrases, TextTest};
use crate::{
    operator::{AddressSet, ByteRange, ByteRangeError},
    pattern::Patterns,
    seclang::{
        Files, Reason,
        operator::{Operator, Test},
    },
};

/// Compiles operators, each only once.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    pub(super) patterns: Patterns,
    phrases: HashMap<Vec<Vec<u8>>, Arc<Phrases>>,
    phrases_bytes: usize,
}

/// All lists of phrases of a set of rules, in bytes; each takes about 25 when it is ready.
const PHRASES_BYTES_MAX: usize = 2 << 20;

impl Compiler {
    /// The operator made ready.
    pub(super) fn check(&mut self, test: &Test, file: &str, files: &dyn Files) -> Result<Check, Reason> {
        let text = test.text.as_str();
        Ok(match test.operator {
            Operator::UnconditionalMatch => Check::Always,
            Operator::NoMatch | Operator::Rbl | Operator::GeoLookup => Check::Never,
            Operator::Rx if test.argument.has_macro() => Check::PatternMade(Arc::default()),
            Operator::Rx => Check::Pattern(self.patterns.compile(text, false)?),
            Operator::RxGlobal => Check::PatternGlobal(self.patterns.compile(text, false)?),
            Operator::Pm => Check::Phrases(self.phrases(words(text))?),
            Operator::PmFromFile => Check::Phrases(self.phrases(lists(text, file, files, true)?)?),
            Operator::IpMatch => Check::Addresses(Arc::new(addresses(text)?)),
            Operator::IpMatchFromFile => {
                let lines = lists(text, file, files, true)?;
                Check::Addresses(Arc::new(addresses(&String::from_utf8_lossy(&lines.join(&b',')))?))
            }
            Operator::ValidateByteRange => {
                let wrong = |e: ByteRangeError| argument("@validateByteRange", e.to_string());
                Check::ByteRange(Arc::new(ByteRange::parse(text).map_err(wrong)?))
            }
            Operator::ValidateUrlEncoding => Check::UrlEncoding,
            Operator::ValidateUtf8Encoding => Check::Utf8Encoding,
            Operator::DetectSqli => Check::Sqli,
            Operator::DetectXss => Check::Xss,
            Operator::VerifyCc => self.digits(Digits::Card, text)?,
            Operator::VerifyCpf => self.digits(Digits::Cpf, text)?,
            Operator::VerifySsn => self.digits(Digits::Ssn, text)?,
            Operator::VerifySvnr => self.digits(Digits::Svnr, text)?,
            Operator::BeginsWith => Check::Text(TextTest::BeginsWith),
            Operator::Contains | Operator::StrMatch => Check::Text(TextTest::Contains),
            Operator::ContainsWord => Check::Text(TextTest::ContainsWord),
            Operator::EndsWith => Check::Text(TextTest::EndsWith),
            Operator::StrEq => Check::Text(TextTest::Equals),
            Operator::Within => Check::Text(TextTest::Within),
            Operator::Eq => Check::Number(Comparison::Equal),
            Operator::Ge => Check::Number(Comparison::AtLeast),
            Operator::Gt => Check::Number(Comparison::Greater),
            Operator::Le => Check::Number(Comparison::AtMost),
            Operator::Lt => Check::Number(Comparison::Less),
        })
    }

    fn digits(&mut self, kind: Digits, text: &str) -> Result<Check, Reason> {
        Ok(Check::Digits(kind, self.patterns.compile(text, false)?))
    }

    fn phrases(&mut self, mut phrases: Vec<Vec<u8>>) -> Result<Arc<Phrases>, Reason> {
        // The automaton takes time that grows with the square of how often one phrase stands in the list.
        let mut known = HashSet::new();
        phrases.retain(|phrase| known.insert(phrase.to_ascii_lowercase()));
        if let Some(known) = self.phrases.get(&phrases) {
            return Ok(Arc::clone(known));
        }
        self.phrases_bytes += phrases.iter().map(|phrase| phrase.len() + 1).sum::<usize>();
        if self.phrases_bytes > PHRASES_BYTES_MAX {
            let why = format!("all lists together have more than {PHRASES_BYTES_MAX} bytes");
            return Err(Reason::Pattern { pattern: "a list of phrases".to_owned(), why });
        }
        let compiled = Arc::new(Phrases::compile(&phrases)?);
        self.phrases.insert(phrases, Arc::clone(&compiled));
        Ok(compiled)
    }
}

/// The phrases of `@pm`: by white space; `|7c 20|` stands for bytes.
fn words(text: &str) -> Vec<Vec<u8>> {
    let bytes = hexadecimal(text).unwrap_or_else(|| text.as_bytes().to_vec());
    bytes.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The text with `|…|` of hexadecimal pairs as bytes; nothing where there is none of it.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let parts: Vec<&str> = text.split('|').collect();
    if parts.len() < 3 || parts.len().is_multiple_of(2) {
        return None;
    }
    let mut found = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if index % 2 == 0 {
            found.extend_from_slice(part.as_bytes());
            continue;
        }
        for pair in part.split_ascii_whitespace() {
            found.push(u8::from_str_radix(pair, 16).ok().filter(|_| pair.len() == 2)?);
        }
    }
    Some(found)
}

/// The lines of files, by white space, without comments and empty ones.
fn lists(names: &str, from: &str, files: &dyn Files, comments: bool) -> Result<Vec<Vec<u8>>, Reason> {
    let mut found = Vec::new();
    for name in names.split_whitespace() {
        let read = files.read(from, name);
        let bytes = read.map_err(|why| Reason::File { name: name.to_owned(), why })?;
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if !(line.is_empty() || comments && line.starts_with(b"#")) {
                found.push(line.to_vec());
            }
        }
    }
    Ok(found)
}

fn addresses(text: &str) -> Result<AddressSet, Reason> {
    AddressSet::parse(text).map_err(|e| argument("@ipMatch", e.to_string()))
}

fn argument(what: &str, value: String) -> Reason {
    Reason::Argument { what: what.to_owned(), why: "the argument is not understood", value }
}
