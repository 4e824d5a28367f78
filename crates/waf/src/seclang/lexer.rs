//! Lines and words of SecLang: continuations, comments, quotes. It never knows what a word means.

use super::Reason;

/// A directive's whole text, continuations joined.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it begins, from 1.
    pub(super) number: u32,
    /// Without the continuations.
    pub(super) text: String,
}

/// The lines that hold directives.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    let mut open: Option<Line> = None;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, raw) in text.lines().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        if open.is_none() && (raw.trim().is_empty() || raw.trim_start().starts_with('#')) {
            continue;
        }
        let (part, more) = match raw.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (raw, false),
        };
        let line = open.get_or_insert_with(|| Line { number, text: String::new() });
        line.text.push_str(if line.text.is_empty() { part } else { part.trim_start() });
        if !more {
            found.extend(open.take());
        }
    }
    found.extend(open);
    found
}

/// The words of a directive: bare, or in `"…"` or `'…'`, in which the quote stands as `\"`.
pub(super) fn words(line: &str) -> Result<Vec<String>, Reason> {
    let mut found = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        if first == '"' || first == '\'' {
            let (word, after) = quoted(rest.get(1..).unwrap_or_default(), first).ok_or(Reason::Quote)?;
            if !(after.is_empty() || after.starts_with(char::is_whitespace)) {
                return Err(Reason::Quote);
            }
            found.push(word);
            rest = after.trim_start();
        } else {
            let end = bare_end(rest);
            found.push(rest.get(..end).unwrap_or_default().to_owned());
            rest = rest.get(end..).unwrap_or_default().trim_start();
        }
    }
    Ok(found)
}

/// Where a bare word ends: at white space outside quotes, so that `ARGS:'/a b/'` is one word.
fn bare_end(text: &str) -> usize {
    let mut inside = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '\'' => inside = !inside,
            c if c.is_whitespace() && !inside => return at,
            _ => {}
        }
    }
    text.find(char::is_whitespace).filter(|_| inside).unwrap_or(text.len())
}

/// The text up to the closing quote, and what follows it.
pub(super) fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut word = String::with_capacity(text.len());
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            return Some((word, text.get(at + letter.len_utf8()..)?));
        }
        if letter != '\\' {
            word.push(letter);
            continue;
        }
        let (_, next) = letters.next()?;
        if next != quote {
            word.push('\\');
        }
        word.push(next);
    }
    None
}
