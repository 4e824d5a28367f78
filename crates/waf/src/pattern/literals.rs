//! What every match of a pattern must hold: one of a few literals, or one of a few bytes. It may ask for less than
//! the pattern does, never for more. All is in lower case, because texts are searched without regard to case.

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use crate::transform::ByteSet;

/// A text that holds none of these matches nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// Two bytes or more each, in lower case.
    pub(crate) literals: Vec<Vec<u8>>,
    /// Single bytes, in both cases.
    pub(crate) bytes: Vec<u8>,
}

const EXACT_MAX: usize = 48;
const ALTERNATIVES_MAX: usize = 4000;
const CLASS_MAX: usize = 24;
const LENGTH_MAX: usize = 24;
/// How often a guard may be met in a plain text, as hits for each byte, before it is no use.
const COST_MAX: f64 = 0.03;

/// All strings that a part can be, where they are few; and one set of which every match holds one.
struct Part {
    exact: Option<Vec<Vec<u8>>>,
    best: Option<Vec<Vec<u8>>>,
}

/// What every match must hold, where that is little enough to search for.
pub(crate) fn required(hir: &Hir) -> Option<Requirement> {
    let part = part(hir);
    let set = better(part.best, part.exact)?;
    if cost(&set) > COST_MAX {
        return None;
    }
    Some(requirement(set))
}

/// The requirement of one of a list of texts.
pub(crate) fn any_of<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Option<Requirement> {
    let set: Vec<Vec<u8>> = texts.map(|text| cut(text.to_ascii_lowercase())).collect();
    if set.iter().any(Vec::is_empty) || cost(&set) > COST_MAX * 4.0 {
        return None;
    }
    Some(requirement(set))
}

fn cut(mut text: Vec<u8>) -> Vec<u8> {
    text.truncate(LENGTH_MAX);
    text
}

fn requirement(set: Vec<Vec<u8>>) -> Requirement {
    let mut found = Requirement::default();
    for literal in set {
        match literal.as_slice() {
            [one] => {
                found.bytes.push(*one);
                if one.is_ascii_lowercase() {
                    found.bytes.push(one.to_ascii_uppercase());
                }
            }
            _ => found.literals.push(literal),
        }
    }
    found.literals.sort();
    found.literals.dedup();
    found.bytes.sort_unstable();
    found.bytes.dedup();
    // A literal that holds a single byte of the set adds nothing.
    let bytes: ByteSet = found.bytes.iter().copied().collect();
    found.literals.retain(|literal| !literal.iter().any(|byte| bytes.contains(*byte)));
    found
}

fn part(hir: &Hir) -> Part {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Part { exact: Some(vec![Vec::new()]), best: None },
        HirKind::Literal(literal) => {
            let text = literal.0.to_ascii_lowercase();
            if text.len() > LENGTH_MAX {
                return Part { exact: None, best: Some(vec![rarest_window(&text)]) };
            }
            Part { exact: Some(vec![text]), best: None }
        }
        HirKind::Class(class) => Part { exact: class_bytes(class), best: None },
        HirKind::Capture(capture) => part(&capture.sub),
        HirKind::Repetition(repetition) => repeated(repetition),
        HirKind::Concat(parts) => concatenated(parts),
        HirKind::Alternation(parts) => alternated(parts),
    }
}

fn rarest_window(text: &[u8]) -> Vec<u8> {
    let windows = text.windows(LENGTH_MAX / 2);
    let rarest = windows.min_by(|a, b| literal_cost(a).total_cmp(&literal_cost(b)));
    rarest.unwrap_or(text).to_vec()
}

fn class_bytes(class: &Class) -> Option<Vec<Vec<u8>>> {
    let Class::Bytes(class) = class else { return None };
    let mut found = Vec::new();
    for range in class.iter() {
        for byte in range.start()..=range.end() {
            let byte = byte.to_ascii_lowercase();
            if !found.contains(&vec![byte]) {
                found.push(vec![byte]);
            }
            if found.len() > CLASS_MAX {
                return None;
            }
        }
    }
    if found.is_empty() { None } else { Some(found) }
}

fn repeated(repetition: &Repetition) -> Part {
    let sub = part(&repetition.sub);
    match (repetition.min, repetition.max) {
        (0, Some(0)) => Part { exact: Some(vec![Vec::new()]), best: None },
        (0, Some(1)) => {
            let exact = sub.exact.map(|mut set| {
                set.push(Vec::new());
                set
            });
            Part { exact: exact.filter(|set| set.len() <= EXACT_MAX), best: None }
        }
        (0, _) => Part { exact: None, best: None },
        (1, Some(1)) => sub,
        (min, max) => {
            let mut exact = Some(vec![Vec::new()]);
            let mut longest = None;
            for _ in 0..min.min(8) {
                exact = exact.and_then(|set| product(&set, sub.exact.as_deref()?));
                longest = exact.clone().or(longest);
            }
            let all = max == Some(min) && min <= 8;
            let best = better(sub.best, better(sub.exact, longest));
            Part { exact: exact.filter(|_| all), best }
        }
    }
}

fn product(left: &[Vec<u8>], right: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if left.len().checked_mul(right.len())? > EXACT_MAX {
        return None;
    }
    let mut found = Vec::with_capacity(left.len() * right.len());
    for a in left {
        for b in right {
            if a.len() + b.len() > LENGTH_MAX {
                return None;
            }
            found.push([a.as_slice(), b].concat());
        }
    }
    found.sort();
    found.dedup();
    Some(found)
}

fn concatenated(parts: &[Hir]) -> Part {
    let mut best = None;
    let mut run = vec![Vec::new()];
    let mut whole = true;
    for hir in parts {
        let next = part(hir);
        best = better(best, next.best);
        let joined = next.exact.as_deref().and_then(|exact| product(&run, exact));
        if let Some(joined) = joined {
            run = joined;
            continue;
        }
        whole = false;
        best = better(best, Some(run));
        run = next.exact.unwrap_or_else(|| vec![Vec::new()]);
    }
    if whole {
        return Part { exact: Some(run), best };
    }
    Part { exact: None, best: better(best, Some(run)) }
}

fn alternated(parts: &[Hir]) -> Part {
    let mut exact = Some(Vec::new());
    let mut best = Some(Vec::new());
    for hir in parts {
        let next = part(hir);
        if let (Some(all), Some(more)) = (&mut exact, &next.exact) {
            all.extend(more.iter().cloned());
        }
        if next.exact.is_none() {
            exact = None;
        }
        let branch = better(next.best, next.exact);
        best = best.zip(branch).map(|(mut all, branch)| {
            all.extend(branch);
            all
        });
    }
    let unique = |mut set: Vec<Vec<u8>>| {
        set.sort();
        set.dedup();
        set
    };
    let best = best.map(unique).filter(|set| set.len() <= ALTERNATIVES_MAX);
    Part { exact: exact.map(unique).filter(|set| set.len() <= EXACT_MAX), best }
}

/// The set that a plain text holds less often; one with an empty text is none.
fn better(a: Option<Vec<Vec<u8>>>, b: Option<Vec<Vec<u8>>>) -> Option<Vec<Vec<u8>>> {
    let usable = |set: &Vec<Vec<u8>>| !set.is_empty() && set.iter().all(|literal| !literal.is_empty());
    match (a.filter(usable), b.filter(usable)) {
        (Some(a), Some(b)) => Some(if cost(&b) < cost(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

fn cost(set: &[Vec<u8>]) -> f64 {
    set.iter().map(|literal| literal_cost(literal)).sum()
}

pub(crate) fn literal_cost(literal: &[u8]) -> f64 {
    literal.iter().map(|byte| frequency(*byte)).product()
}

/// About how often a byte stands in what people send, both cases together.
fn frequency(byte: u8) -> f64 {
    match byte.to_ascii_lowercase() {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 0.08,
        b'l' | b'd' | b'c' | b'u' | b'm' | b'h' | b'p' => 0.045,
        b'a'..=b'z' => 0.02,
        b'0'..=b'9' => 0.03,
        b' ' => 0.1,
        b'.' | b',' | b'-' | b'/' | b'=' | b'_' | b':' | b'"' => 0.015,
        b'(' | b')' | b'\'' | b'?' => 0.005,
        // What separates arguments, or encodes them, is gone from most values.
        b'&' | b';' | b'+' | b'%' | b'\n' => 0.0015,
        _ => 0.0005,
    }
}
