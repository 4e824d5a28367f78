//! libinjection's words and fingerprints, made ready once. They are data, and know nothing of texts.

use std::sync::LazyLock;

use super::tokens::VALUE_MAX;

/// A word's kind and the word in capital letters, one a line.
const KEYWORDS: &str = include_str!("../keywords.txt");
/// In capital letters, between white space.
const FINGERPRINTS: &str = include_str!("../fingerprints.txt");

const SLOTS: usize = 4096;

struct Word {
    letters: [u8; VALUE_MAX],
    length: usize,
    kind: u8,
}

/// Words by their hash; a place that is taken sends on to the next.
struct Words {
    /// One more than the place in `list`, or 0.
    slots: Vec<u16>,
    list: Vec<Word>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut words = Words { slots: vec![0; SLOTS], list: Vec::new() };
    for line in KEYWORDS.lines() {
        let Some((kind, word)) = line.as_bytes().split_first() else { continue };
        let mut letters = [0; VALUE_MAX];
        letters.iter_mut().zip(word).for_each(|(to, from)| *to = *from);
        words.list.push(Word { letters, length: word.len(), kind: *kind });
        let number = u16::try_from(words.list.len()).unwrap_or(0);
        let mut slot = hash(word);
        while let Some(taken) = words.slots.get_mut(slot % SLOTS) {
            if *taken == 0 {
                *taken = number;
                break;
            }
            slot += 1;
        }
    }
    words
});

static PRINTS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut prints: Vec<u64> =
        FINGERPRINTS.split_ascii_whitespace().map(|print| packed(print.as_bytes())).collect();
    prints.sort_unstable();
    prints
});

fn hash(word: &[u8]) -> usize {
    let mixed = word.iter().fold(word.len() as u64, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_uppercase())).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
    });
    usize::try_from(mixed >> 40).unwrap_or(0) % SLOTS
}

fn packed(print: &[u8]) -> u64 {
    print.iter().fold(0, |all, letter| all << 8 | u64::from(letter.to_ascii_uppercase()))
}

/// The kind of a word of SQL, without regard to case.
pub(super) fn keyword(word: &[u8]) -> Option<u8> {
    if word.is_empty() || word.len() >= VALUE_MAX {
        return None;
    }
    let words = &*WORDS;
    let mut slot = hash(word);
    loop {
        let number = words.slots.get(slot % SLOTS).copied().unwrap_or(0);
        let known = words.list.get(usize::from(number).checked_sub(1)?)?;
        if known.letters.get(..known.length).is_some_and(|known| known.eq_ignore_ascii_case(word)) {
            return Some(known.kind);
        }
        slot += 1;
    }
}

/// Whether an attack has this fingerprint.
pub(super) fn is_known(print: &[u8]) -> bool {
    !print.is_empty() && print.len() <= 8 && PRINTS.binary_search(&packed(print)).is_ok()
}
