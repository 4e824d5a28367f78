//! Thousands of literals searched in one pass without regard to case: a few rare bytes of each are looked up in a small
//! table at every place of a text, and only where they are known is the literal itself compared. It never says who wants
//! one.

use crate::pattern::literals::literal_cost;

/// Bits of the table for windows of four bytes: 16 KiB.
const BITS: u32 = 17;
const WORDS: usize = 1 << (BITS - 6);
const PAIRS: usize = 1 << 16;

/// A literal, and where in it its window ends.
#[derive(Clone, Copy, Debug)]
struct Place {
    literal: u32,
    end: u32,
}

/// Literals, made ready.
#[derive(Debug)]
pub(crate) struct Literals {
    /// One after the other.
    bytes: Vec<u8>,
    /// Where each begins in `bytes`; one more than there are.
    starts: Vec<u32>,
    fold: Box<[u8; 256]>,
    /// Hashes of windows of four bytes.
    fours: Box<[u64; WORDS]>,
    /// By the last two bytes: a literal of two, and one of three, ends in them.
    shorts: Box<[u8; PAIRS]>,
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

/// The bytes of a window, the last one lowest, with its width above.
fn key(window: &[u8]) -> u64 {
    let width = u64::try_from(window.len()).unwrap_or(0);
    window.iter().fold(width, |key, byte| key << 8 | u64::from(*byte))
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
            fours: Box::new([0; WORDS]),
            shorts: Box::new([0; PAIRS]),
            keys: Vec::new(),
            place_starts: Vec::new(),
            places: Vec::new(),
            buckets: Vec::new(),
        };
        let mut windows: Vec<(u64, Place)> = Vec::with_capacity(texts.len());
        for (literal, text) in (0..).zip(texts) {
            made.starts.push(made.starts.last().copied().unwrap_or(0) + number(text.len()));
            let (start, width) = rarest(text);
            let window = text.get(start..start + width).unwrap_or_default();
            made.mark(window);
            windows.push((key(window), Place { literal, end: number(start + width) }));
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

    fn mark(&mut self, window: &[u8]) {
        let bits = window.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        if window.len() == 4 {
            let hash = hash(bits);
            self.fours.get_mut(size(hash >> 6)).into_iter().for_each(|word| *word |= 1 << (hash & 63));
            return;
        }
        let flag = if window.len() == 2 { 1 } else { 2 };
        self.shorts.get_mut(size(bits & 0xffff)).into_iter().for_each(|flags| *flags |= flag);
    }

    /// Tells `found` each literal of those that `wanted` names which is in the text; one may be told more than once.
    pub(crate) fn search(&self, text: &[u8], wanted: impl Fn(usize) -> bool, mut found: impl FnMut(usize)) {
        let mut window = 0_u32;
        for (at, byte) in text.iter().enumerate() {
            window = window << 8 | u32::from(self.fold.get(usize::from(*byte)).copied().unwrap_or(0));
            let hash = hash(window);
            let four = self.fours.get(size(hash >> 6)).copied().unwrap_or(0) >> (hash & 63) & 1;
            let short = self.shorts.get(size(window & 0xffff)).copied().unwrap_or(0);
            if four == 0 && short == 0 {
                continue;
            }
            let keys = [
                (four != 0).then_some(4 << 32 | u64::from(window)),
                (short & 2 != 0).then_some(3 << 24 | u64::from(window & 0xff_ffff)),
                (short & 1 != 0).then_some(2 << 16 | u64::from(window & 0xffff)),
            ];
            for key in keys.into_iter().flatten() {
                self.compare(text, at + 1, key, &wanted, &mut found);
            }
        }
    }

    /// Compares the literals whose window ends at `end`.
    fn compare(
        &self,
        text: &[u8],
        end: usize,
        key: u64,
        wanted: &impl Fn(usize) -> bool,
        found: &mut impl FnMut(usize),
    ) {
        let bound = |at: usize| self.buckets.get(at).map_or(0, |start| size(*start));
        let bucket = bucket(key);
        let (from, to) = (bound(bucket), bound(bucket + 1));
        let known = self.keys.get(from..to).unwrap_or_default().iter().position(|known| *known == key);
        let Some(known) = known.map(|known| known + from) else { return };
        let start = |at: usize| self.place_starts.get(at).map_or(0, |start| size(*start));
        for place in self.places.get(start(known)..start(known + 1)).unwrap_or_default() {
            let literal = size(place.literal);
            if !wanted(literal) {
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

    use super::Literals;

    proptest! {
        #[test]
        fn what_a_text_holds_is_found_and_nothing_else(
            literals in proptest::collection::btree_set("[ab/\\x00]{2,6}", 1..20),
            text in "[abAB/\\x00]{0,40}",
        ) {
            let list: Vec<&[u8]> = literals.iter().map(String::as_bytes).collect();
            let mut found = BTreeSet::new();
            Literals::new(&list).search(text.as_bytes(), |_| true, |literal| {
                found.insert(literal);
            });
            let folded = text.to_ascii_lowercase();
            let held = (0..).zip(&literals).filter(|(_, literal)| folded.contains(*literal));
            let held: BTreeSet<usize> = held.map(|(at, _)| at).collect();
            prop_assert_eq!(found, held);
        }
    }
}
