//! Patterns of `@rx`: PCRE's syntax rewritten for a regular expression engine over bytes that never backtracks, with
//! ModSecurity's flags (`DOTALL`, `DOLLAR_ENDONLY`). The few that only a backtracking engine can match get one, whose steps
//! are bounded.

pub(crate) mod lanes;
pub(crate) mod literals;
mod size;
#[cfg(test)]
mod tests;
mod translate;

use std::{collections::HashMap, ops::Range, sync::Arc};

use fancy_regex::BytesMode;
use regex_automata::{Input, hybrid::dfa::DFA, meta::Regex, util::primitives::NonMaxUsize};
use regex_syntax::hir::Hir;

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
    /// Its syntax, where that is not known, so that it can be joined with others.
    source: Option<(Box<str>, bool)>,
}

#[derive(Debug)]
enum Program {
    /// Its time grows with the text alone. The automaton is for long texts.
    Linear(Regex, Box<DFA>),
    /// Its steps are bounded.
    Backtracking(Box<fancy_regex::Regex>),
}

/// A search that went back more often than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded;

/// The groups of a match that are told: the whole, and nine in it.
pub(crate) const GROUPS_MAX: usize = 10;

/// What the groups of a match took part with.
pub(crate) type Groups = Vec<Option<Range<usize>>>;

impl Pattern {
    /// Whether nothing guards it, and it can be joined with others.
    pub(crate) fn can_join(&self) -> bool {
        self.source.is_some()
    }

    /// The automaton that [`lanes`] run.
    pub(crate) fn automaton(&self) -> Option<&DFA> {
        match &self.program {
            Program::Linear(_, dfa) => Some(dfa),
            Program::Backtracking(_) => None,
        }
    }

    /// Whether it matches; no where the search takes too long.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.search(text).unwrap_or(false)
    }

    pub(crate) fn search(&self, text: &[u8]) -> Result<bool, Exceeded> {
        match &self.program {
            Program::Linear(regex, _) => Ok(regex.is_match(Input::new(text))),
            Program::Backtracking(regex) => regex.is_match(text).map_err(|_| Exceeded),
        }
    }

    /// The first match from `start` on, and what its groups are.
    pub(crate) fn groups(&self, text: &[u8], start: usize) -> Result<Option<Groups>, Exceeded> {
        Ok(match &self.program {
            Program::Linear(regex, _) => {
                let mut slots = [None; 2 * GROUPS_MAX];
                let groups = regex.captures_len().min(GROUPS_MAX);
                let slots = slots.get_mut(..2 * groups).unwrap_or_default();
                regex.search_slots(&Input::new(text).range(start..), slots).map(|_| {
                    let part = |bounds: &[Option<NonMaxUsize>; 2]| match *bounds {
                        [Some(start), Some(end)] => Some(start.get()..end.get()),
                        _ => None,
                    };
                    slots.as_chunks().0.iter().map(part).collect()
                })
            }
            Program::Backtracking(regex) => {
                let found = regex.captures_from_pos(text, start).map_err(|_| Exceeded)?;
                found.map(|found| {
                    let parts = found.iter().take(GROUPS_MAX);
                    parts.map(|part| part.map(|part| part.start()..part.end())).collect()
                })
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
            let pattern = Arc::new(Pattern { program, required: None, source: None });
            self.known.insert(key, Arc::clone(&pattern));
            return Ok(pattern);
        }
        let translated = translated.text;
        let hir = parse(&translated, folded).map_err(wrong)?;
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
        let program = linear(&hir).map_err(wrong)?;
        let required = literals::required(&hir);
        let source = required.is_none().then(|| (translated.into_boxed_str(), folded));
        let pattern = Arc::new(Pattern { program, required, source });
        self.known.insert(key, Arc::clone(&pattern));
        Ok(pattern)
    }
}

fn parse(text: &str, folded: bool) -> Result<Hir, String> {
    let mut parser = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .case_insensitive(folded)
        .nest_limit(200)
        .build();
    parser.parse(text).map_err(|e| last_line(&e.to_string()))
}

/// Without the search for what every match begins with, for which an engine looks first by itself: texts that hold none of
/// it do not come here, and one that holds it at every place would be searched anew at each.
fn linear(hir: &Hir) -> Result<Program, String> {
    let config = Regex::config()
        .utf8_empty(false)
        .nfa_size_limit(Some(SIZE_MAX))
        .hybrid_cache_capacity(CACHE_MAX)
        .auto_prefilter(false);
    let regex = Regex::builder().configure(config).build_from_hir(hir);
    let regex = regex.map_err(|e| last_line(&e.to_string()))?;
    Ok(Program::Linear(regex, Box::new(lanes::automaton(&[hir])?)))
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
