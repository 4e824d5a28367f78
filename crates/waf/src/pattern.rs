//! Patterns of `@rx`: PCRE's syntax rewritten for a regular expression engine over bytes that never backtracks, with
//! ModSecurity's flags (`DOTALL`, `DOLLAR_ENDONLY`). What only a backtracking engine can do is an error here.

pub(crate) mod literals;
mod size;
#[cfg(test)]
mod tests;
mod translate;

use std::{collections::HashMap, sync::Arc};

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

/// A compiled pattern and what every match of it must hold.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// The program.
    pub(crate) regex: Regex,
    /// What a text must hold to match, where that is known.
    pub(crate) required: Option<Requirement>,
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
        let pattern = Arc::new(Pattern { regex, required: literals::required(&hir) });
        self.known.insert(key, Arc::clone(&pattern));
        Ok(pattern)
    }
}

fn last_line(text: &str) -> String {
    text.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
