//! Thousands of literals searched in one pass without regard to case: a few rare bytes of each are looked up in a small
//! table at every place of a text, and only where they are known is the literal itself compared. It never says who wants
//! one.

use crate::pattern::literals::literal_cost;

/// Bits of the table for windows of four bytes: 16 KiB.
const BITS: u32 = 17;
const WORDS: usize = 1 << (BITS - 6);
const PAIRS: usize = 1 << 16;

/// A text from this length on, in bytes, is searched with a table of those literals alone that are wanted and not found
/// yet, made again whenever as much of the text is behind as before.
const LONG: usize = 8 << 10;

/// A literal, and where in it its window ends.
#[derive(Clone, Copy, Debug)]
struct Place {
    literal: u32,
    end: u32,
    /// Up to eight bytes from the window's first on, and which bits of them the literal has.
    head: u64,
    mask: u64,
}

/// The first eight bytes in lower case; zeros behind the end.
fn head(text: &[u8]) -> u64 {
    let bytes = text.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        bytes
    });
    u64::from_le_bytes(bytes.map(|byte| byte.to_ascii_lowercase()))
}

/// Which windows literals have.
#[derive(Debug)]
struct Table {
    /// Hashes of windows of four bytes.
    fours: Box<[u64; WORDS]>,
    /// By the last two bytes: a literal of two (1), and one of three (2), ends in them. Texts use little of it.
    shorts: Box<[u8; PAIRS]>,
}

impl Default for Table {
    fn default() -> Self {
        Self { fours: Box::new([0; WORDS]), shorts: Box::new([0; PAIRS]) }
    }
}

impl Table {
    fn clear(&mut self) {
        self.fours.fill(0);
        self.shorts.fill(0);
    }

    fn mark(&mut self, window: Window) {
        if window.width == 4 {
            let hash = hash(window.bits);
            self.fours.get_mut(size(hash >> 6)).into_iter().for_each(|word| *word |= 1 << (hash & 63));
            return;
        }
        let flag = if window.width == 2 { 1 } else { 2 };
        self.shorts.get_mut(size(window.bits & 0xffff)).into_iter().for_each(|flags| *flags |= flag);
    }
}

/// Bytes of a literal, the last one lowest, and how many: 2 to 4.
#[derive(Clone, Copy, Debug)]
struct Window {
    bits: u32,
    width: u32,
}

impl Window {
    fn of(bytes: &[u8]) -> Self {
        let bits = bytes.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        Self { bits, width: number(bytes.len()) }
    }

    fn key(self) -> u64 {
        u64::from(self.width) << 32 | u64::from(self.bits)
    }
}

/// What the search of a long text writes on.
#[derive(Debug, Default)]
pub(crate) struct Narrowed {
    /// Made for the first long text.
    table: Option<Table>,
    /// The literals that are still searched.
    left: Vec<u32>,
}

/// Literals, made ready.
#[derive(Debug)]
pub(crate) struct Literals {
    /// One after the other.
    bytes: Vec<u8>,
    /// Where each begins in `bytes`; one more than there are.
    starts: Vec<u32>,
    fold: Box<[u8; 256]>,
    /// Of all.
    table: Table,
    /// By literal.
    windows: Vec<Window>,
    /// Windows with their width, in order.
    keys: Vec<u64>,
    /// By key, where its places begin; one more than there are.
    place_starts: Vec<u32>,
    places: Vec<Place>,
    /// The first keys that end in a hash: by its upper bits, where in `keys` to look.
    buckets: Vec<u32>,
}

const BUCKETS: usize = 1 << 13;

const fn hash(window: u32) -> u32 {
    window.wrapping_mul(0x9e37_79b1) >> (32 - BITS)
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn bucket(key: u64) -> usize {
    usize::try_from(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51).unwrap_or(0) % BUCKETS
}

impl Literals {
    /// Makes literals of two bytes or more ready, which are in lower case.
    pub(crate) fn new(texts: &[&[u8]]) -> Self {
        let mut fold = Box::new([0; 256]);
        for (byte, folded) in (0..=255_u8).zip(fold.iter_mut()) {
            *folded = byte.to_ascii_lowercase();
        }
        let mut made = Self {
            bytes: texts.concat(),
            starts: vec![0],
            fold,
            table: Table::default(),
            windows: Vec::with_capacity(texts.len()),
            keys: Vec::new(),
            place_starts: Vec::new(),
            places: Vec::new(),
            buckets: Vec::new(),
        };
        let mut windows: Vec<(u64, Place)> = Vec::with_capacity(texts.len());
        for (literal, text) in (0..).zip(texts) {
            made.starts.push(made.starts.last().copied().unwrap_or(0) + number(text.len()));
            let (start, width) = rarest(text);
            let window = Window::of(text.get(start..start + width).unwrap_or_default());
            made.table.mark(window);
            made.windows.push(window);
            let rest = text.get(start..).unwrap_or_default();
            let mask = u64::MAX >> (64 - 8 * rest.len().clamp(1, 8));
            let place = Place { literal, end: number(start + width), head: head(rest), mask };
            windows.push((window.key(), place));
        }
        windows.sort_by_key(|(key, _)| (bucket(*key), *key));
        for (key, place) in windows {
            if made.keys.last() != Some(&key) {
                while made.buckets.len() <= bucket(key) {
                    made.buckets.push(number(made.keys.len()));
                }
                made.keys.push(key);
                made.place_starts.push(number(made.places.len()));
            }
            made.places.push(place);
        }
        while made.buckets.len() <= BUCKETS {
            made.buckets.push(number(made.keys.len()));
        }
        made.place_starts.push(number(made.places.len()));
        made
    }

    /// Tells `found` each literal of those that `wanted` names which is in the text; one may be told more than once, if
    /// `wanted` still names it.
    pub(crate) fn search(
        &self,
        text: &[u8],
        narrowed: &mut Narrowed,
        wanted: impl Fn(usize) -> bool,
        mut found: impl FnMut(usize),
    ) {
        if text.len() < LONG {
            self.part(&self.table, text, (0, text.len()), &wanted, &mut found);
            return;
        }
        let Narrowed { table, left } = narrowed;
        let table = table.get_or_insert_default();
        left.clear();
        left.extend(0..number(self.windows.len()));
        let (mut from, mut to) = (0, LONG);
        while from < text.len() {
            let before = left.len();
            left.retain(|literal| wanted(size(*literal)));
            if left.is_empty() {
                return;
            }
            if left.len() < before || from == 0 {
                table.clear();
                let windows = left.iter().filter_map(|literal| self.windows.get(size(*literal)));
                windows.for_each(|window| table.mark(*window));
            }
            self.part(table, text, (from, to.min(text.len())), &wanted, &mut found);
            (from, to) = (to, to * 2);
        }
    }

    /// Searches for the literals whose window ends in a part of the text.
    fn part(
        &self,
        table: &Table,
        text: &[u8],
        (from, to): (usize, usize),
        wanted: &impl Fn(usize) -> bool,
        found: &mut impl FnMut(usize),
    ) {
        let fold = |byte: u8| u32::from(self.fold.get(usize::from(byte)).copied().unwrap_or(0));
        let before = text.get(from.saturating_sub(3)..from).unwrap_or_default();
        let mut window = before.iter().fold(0, |window, byte| window << 8 | fold(*byte));
        for (at, byte) in text.get(from..to).unwrap_or_default().iter().enumerate() {
            window = window << 8 | fold(*byte);
            let (hash, pair) = (hash(window), window & 0xffff);
            let four = table.fours.get(size(hash >> 6)).copied().unwrap_or(0) >> (hash & 63) & 1;
            let short = table.shorts.get(size(pair)).copied().unwrap_or(0);
            if four == 0 && short == 0 {
                continue;
            }
            let end = from + at + 1;
            if four != 0 {
                self.compare(text, end, Window { bits: window, width: 4 }, wanted, found);
            }
            if short & 2 != 0 {
                self.compare(text, end, Window { bits: window & 0xff_ffff, width: 3 }, wanted, found);
            }
            if short & 1 != 0 {
                self.compare(text, end, Window { bits: pair, width: 2 }, wanted, found);
            }
        }
    }

    /// Compares the literals whose window ends at `end`.
    fn compare(
        &self,
        text: &[u8],
        end: usize,
        window: Window,
        wanted: &impl Fn(usize) -> bool,
        found: &mut impl FnMut(usize),
    ) {
        let Some(rest) = end.checked_sub(size(window.width)).and_then(|start| text.get(start..)) else {
            return;
        };
        let key = window.key();
        let bound = |at: usize| self.buckets.get(at).map_or(0, |start| size(*start));
        let bucket = bucket(key);
        let (from, to) = (bound(bucket), bound(bucket + 1));
        let known = self.keys.get(from..to).unwrap_or_default().iter().position(|known| *known == key);
        let Some(known) = known.map(|known| known + from) else { return };
        let start = |at: usize| self.place_starts.get(at).map_or(0, |start| size(*start));
        let head = head(rest);
        for place in self.places.get(start(known)..start(known + 1)).unwrap_or_default() {
            let literal = size(place.literal);
            if (head ^ place.head) & place.mask != 0 || !wanted(literal) {
                continue;
            }
            let bound = |at: usize| self.starts.get(at).map_or(0, |start| size(*start));
            let bytes = self.bytes.get(bound(literal)..bound(literal + 1)).unwrap_or_default();
            let Some(from) = end.checked_sub(size(place.end)) else { continue };
            let there = text.get(from..from + bytes.len());
            if there.is_some_and(|there| there.eq_ignore_ascii_case(bytes)) {
                found(literal);
            }
        }
    }
}

/// Where the window of a literal begins that plain text holds least often, and its width.
fn rarest(text: &[u8]) -> (usize, usize) {
    let width = text.len().min(4);
    let windows = text.windows(width.max(1)).map(literal_cost).enumerate();
    let rarest = windows.min_by(|a, b| a.1.total_cmp(&b.1));
    (rarest.map_or(0, |(start, _)| start), width)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{LONG, Literals, Narrowed};

    proptest! {
        #[test]
        fn what_a_text_holds_is_found_and_nothing_else(
            literals in proptest::collection::btree_set("[ab/\\x00]{2,6}", 1..20),
            text in "[abAB/\\x00]{0,40}",
        ) {
            let list: Vec<&[u8]> = literals.iter().map(String::as_bytes).collect();
            let mut found = BTreeSet::new();
            Literals::new(&list).search(text.as_bytes(), &mut Narrowed::default(), |_| true, |literal| {
                found.insert(literal);
            });
            let folded = text.to_ascii_lowercase();
            let held = (0..).zip(&literals).filter(|(_, literal)| folded.contains(*literal));
            let held: BTreeSet<usize> = held.map(|(at, _)| at).collect();
            prop_assert_eq!(found, held);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn of_a_long_text_no_literal_is_lost_between_its_parts(
            literals in proptest::collection::btree_set("[ab/]{2,9}", 1..20),
            tiles in proptest::collection::vec(("[abAB/]{1,12}", 0_usize..2000), 1..40),
            unwanted in 0_usize..20,
        ) {
            let mut text: String = tiles.iter().map(|(tile, length)| format!("{tile}{}", "-".repeat(*length))).collect();
            text.insert_str(0, &"-".repeat(LONG - 5));
            let list: Vec<&[u8]> = literals.iter().map(String::as_bytes).collect();
            let found = std::cell::RefCell::new(BTreeSet::new());
            let is_wanted = |literal: usize| literal != unwanted && !found.borrow().contains(&literal);
            let literal = Literals::new(&list);
            // What a text before left in it is of no account.
            let mut narrowed = Narrowed::default();
            literal.search(&b"ab/".repeat(LONG), &mut narrowed, |_| true, |_| ());
            literal.search(text.as_bytes(), &mut narrowed, is_wanted, |literal| {
                found.borrow_mut().insert(literal);
            });
            let folded = text.to_ascii_lowercase();
            let held = (0..).zip(&literals).filter(|(_, literal)| folded.contains(*literal));
            let held = held.map(|(at, _)| at).filter(|at| *at != unwanted);
            let held: BTreeSet<usize> = held.collect();
            prop_assert_eq!(found.into_inner(), held);
        }
    }
}
