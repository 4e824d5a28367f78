//! Patterns of `@rx`: PCRE's syntax rewritten for a regular expression engine over bytes that never backtracks, with
//! ModSecurity's flags (`DOTALL`, `DOLLAR_ENDONLY`). The few that only a backtracking engine can match get one, whose steps
//! are bounded.

pub(crate) mod literals;
mod size;
#[cfg(test)]
mod tests;
mod translate;

use std::{collections::HashMap, ops::Range, sync::Arc};

use fancy_regex::BytesMode;
use regex::bytes::{Regex, RegexBuilder};

use self::literals::Requirement;
use crate::seclang::Reason;

/// The largest program of one pattern, bytes.
const SIZE_MAX: usize = 8 << 20;
/// The most states of one pattern, and of them those that repetitions with a count write out: what can make a search slow.
const STATES_MAX: usize = 10_000;
const COUNTED_MAX: usize = 5_000;
/// The most states of all patterns of a set of rules; each takes about 110 bytes.
const ALL_STATES_MAX: usize = 500_000;
/// What a pattern's states may take at run time, bytes, for each thread that uses it.
const CACHE_MAX: usize = 1 << 20;

/// How often one search may go back, in a pattern that needs it.
const BACKTRACKS_MAX: usize = 100_000;
/// The size of such a pattern's parts that need none of it, bytes.
const PARTS_MAX: usize = 1 << 20;

/// A compiled pattern and what every match of it must hold.
#[derive(Debug)]
pub(crate) struct Pattern {
    program: Program,
    /// What a text must hold to match, where that is known.
    pub(crate) required: Option<Requirement>,
}

#[derive(Debug)]
enum Program {
    /// Its time grows with the text alone.
    Linear(Regex),
    /// Its steps are bounded.
    Backtracking(Box<fancy_regex::Regex>),
}

/// A search that went back more often than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded;

/// What the groups of a match took part with.
pub(crate) type Groups = Vec<Option<Range<usize>>>;

impl Pattern {
    /// Whether it matches; no where the search takes too long.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.search(text).unwrap_or(false)
    }

    pub(crate) fn search(&self, text: &[u8]) -> Result<bool, Exceeded> {
        match &self.program {
            Program::Linear(regex) => Ok(regex.is_match(text)),
            Program::Backtracking(regex) => regex.is_match(text).map_err(|_| Exceeded),
        }
    }

    /// The first match from `start` on, and what its groups are.
    pub(crate) fn groups(&self, text: &[u8], start: usize) -> Result<Option<Groups>, Exceeded> {
        Ok(match &self.program {
            Program::Linear(regex) => {
                let found = regex.captures_at(text, start);
                found.map(|found| found.iter().map(|part| part.map(|part| part.range())).collect())
            }
            Program::Backtracking(regex) => {
                let found = regex.captures_from_pos(text, start).map_err(|_| Exceeded)?;
                found
                    .map(|found| found.iter().map(|part| part.map(|part| part.start()..part.end())).collect())
            }
        })
    }
}

/// Patterns compiled once, however many rules have them.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    known: HashMap<(String, bool), Arc<Pattern>>,
    states: usize,
}

impl Patterns {
    /// The compiled form of `text`; `folded` where case is ignored.
    pub(crate) fn compile(&mut self, text: &str, folded: bool) -> Result<Arc<Pattern>, Reason> {
        let key = (text.to_owned(), folded);
        if let Some(known) = self.known.get(&key) {
            return Ok(Arc::clone(known));
        }
        let wrong = |why: String| {
            let cut = text.chars().take(80).collect();
            Reason::Pattern { pattern: cut, why }
        };
        let translated = translate::translate(text).map_err(|why| wrong(why.to_owned()))?;
        if translated.backtracks {
            let regex = backtracking(&translated.text, folded).map_err(wrong)?;
            // About what it takes beside the others.
            self.states = self.states.saturating_add(translated.text.len());
            let program = Program::Backtracking(Box::new(regex));
            let pattern = Arc::new(Pattern { program, required: None });
            self.known.insert(key, Arc::clone(&pattern));
            return Ok(pattern);
        }
        let translated = translated.text;
        let hir = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .dot_matches_new_line(true)
            .case_insensitive(folded)
            .nest_limit(200)
            .build()
            .parse(&translated)
            .map_err(|e| wrong(last_line(&e.to_string())))?;
        let size = size::of(&hir);
        self.states = self.states.saturating_add(size.states);
        if size.states > STATES_MAX || size.counted > COUNTED_MAX {
            let (most, counted) = (STATES_MAX, COUNTED_MAX);
            let why =
                format!("its program has more than {most} states, or {counted} by repetitions with a count");
            return Err(wrong(why));
        }
        if self.states > ALL_STATES_MAX {
            return Err(wrong(format!("all patterns together have more than {ALL_STATES_MAX} states")));
        }
        let regex = RegexBuilder::new(&translated)
            .unicode(false)
            .dot_matches_new_line(true)
            .case_insensitive(folded)
            .nest_limit(200)
            .size_limit(SIZE_MAX)
            .dfa_size_limit(CACHE_MAX)
            .build()
            .map_err(|e| wrong(last_line(&e.to_string())))?;
        let pattern =
            Arc::new(Pattern { program: Program::Linear(regex), required: literals::required(&hir) });
        self.known.insert(key, Arc::clone(&pattern));
        Ok(pattern)
    }
}

fn backtracking(text: &str, folded: bool) -> Result<fancy_regex::Regex, String> {
    let built = fancy_regex::RegexBuilder::new(text)
        .bytes_mode(BytesMode::Ascii)
        .dot_matches_new_line(true)
        .case_insensitive(folded)
        .backtrack_limit(BACKTRACKS_MAX)
        .delegate_size_limit(PARTS_MAX)
        .delegate_dfa_size_limit(PARTS_MAX)
        .max_prog_size(STATES_MAX)
        .build();
    built.map_err(|e| last_line(&e.to_string()))
}

fn last_line(text: &str) -> String {
    text.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
