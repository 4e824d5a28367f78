//! Patterns searched side by side in one long text: each step of an automaton waits for the memory that the step before
//! asked for, so that a few of them together take little more than one. It answers whether there is a match, not where.

use regex_automata::{
    Anchored, Input, MatchKind,
    hybrid::{
        LazyStateID,
        dfa::{Cache, DFA},
    },
    nfa::thompson::NFA,
};

use super::{CACHE_MAX, Pattern};

/// How many are searched at a time: more have no registers left.
pub(crate) const LANES: usize = 3;

/// Bytes after which the clock is asked, and what a step that makes a state counts in them.
const WORK_MAX: usize = 64 << 10;
const CARE: usize = 256;

/// How often the states that were made are given up before the search is.
const CLEARED_MAX: usize = 3;
/// Bytes of text for each state that was made, below which it is.
const BYTES_PER_STATE: usize = 10;

/// The automaton of a program, whose states are made when a text leads to them.
pub(super) fn automaton(program: NFA) -> Result<DFA, String> {
    let config = DFA::config()
        .match_kind(MatchKind::LeftmostFirst)
        .cache_capacity(CACHE_MAX)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(CLEARED_MAX))
        .minimum_bytes_per_state(Some(BYTES_PER_STATE));
    DFA::builder().configure(config).build_from_nfa(program).map_err(|e| e.to_string())
}

/// What searches leave for the next one: by number of a pattern, the states that its automaton has made.
#[derive(Debug, Default)]
pub(crate) struct States(Vec<Option<Box<Cache>>>);

impl States {
    /// What they take, bytes.
    pub(crate) fn memory_usage(&self) -> usize {
        self.0.iter().flatten().map(|cache| cache.memory_usage()).sum()
    }

    fn take(&mut self, number: usize, dfa: &DFA) -> Box<Cache> {
        let known = self.0.get_mut(number).and_then(Option::take);
        known.unwrap_or_else(|| Box::new(dfa.create_cache()))
    }

    fn keep(&mut self, number: usize, cache: Box<Cache>) {
        if self.0.len() <= number {
            self.0.resize_with(number + 1, || None);
        }
        if let Some(kept) = self.0.get_mut(number) {
            *kept = Some(cache);
        }
    }
}

/// A pattern on its way through the text.
struct Lane<'p> {
    number: usize,
    dfa: &'p DFA,
    cache: Box<Cache>,
    /// INVARIANT: it has no tag, so that the step from it is in the automaton's table.
    state: LazyStateID,
    at: usize,
}

/// What one more step led to.
enum Step {
    On,
    Answer(bool),
    /// Too many states for this text.
    GivenUp,
}

impl<'p> Lane<'p> {
    fn new(number: usize, dfa: &'p DFA, mut cache: Box<Cache>, text: &[u8]) -> (Self, Step) {
        cache.search_start(0);
        let input = Input::new(text).anchored(Anchored::No);
        let start = dfa.start_state_forward(&mut cache, &input);
        let step = match start {
            Ok(state) if !state.is_tagged() => Step::On,
            Ok(state) if state.is_dead() => Step::Answer(false),
            _ => Step::GivenUp,
        };
        let state = start.unwrap_or_default();
        (Self { number, dfa, cache, state, at: 0 }, step)
    }

    /// One step, with all that it may ask for.
    fn step(&mut self, text: &[u8]) -> Step {
        self.cache.search_update(self.at);
        let next = match text.get(self.at) {
            Some(byte) => self.dfa.next_state(&mut self.cache, self.state, *byte),
            None => self.dfa.next_eoi_state(&mut self.cache, self.state),
        };
        let Ok(next) = next else { return Step::GivenUp };
        if next.is_match() {
            return Step::Answer(true);
        }
        if next.is_dead() || (self.at >= text.len() && !next.is_quit()) {
            return Step::Answer(false);
        }
        if next.is_tagged() {
            return Step::GivenUp;
        }
        (self.state, self.at) = (next, self.at + 1);
        Step::On
    }
}

/// Tells `answer` of each numbered pattern whether the text matches, where that can be told; each number comes once.
/// `goes_on` is asked every few pieces of work; false where it ended the search.
pub(crate) fn search<'p>(
    mut patterns: impl Iterator<Item = (usize, &'p Pattern)>,
    text: &[u8],
    states: &mut States,
    goes_on: impl Fn() -> bool,
    mut answer: impl FnMut(usize, bool),
) -> bool {
    let mut finish = |mut lane: Lane<'p>, step: &Step, states: &mut States| {
        if let Step::Answer(found) = step {
            answer(lane.number, *found);
        }
        lane.cache.search_finish(lane.at);
        states.keep(lane.number, lane.cache);
    };
    let mut lanes: Vec<Lane<'p>> = Vec::with_capacity(LANES);
    let mut work = 0;
    loop {
        if work >= WORK_MAX {
            work = 0;
            if !goes_on() {
                lanes.into_iter().for_each(|lane| finish(lane, &Step::GivenUp, states));
                return false;
            }
        }
        while lanes.len() < LANES {
            let Some((number, pattern)) = patterns.next() else { break };
            let Some(dfa) = pattern.forward() else { continue };
            match Lane::new(number, dfa, states.take(number, dfa), text) {
                (lane, Step::On) => lanes.push(lane),
                (lane, step) => finish(lane, &step, states),
            }
        }
        let (wants_care, done) = match lanes.as_mut_slice() {
            [a, b, c] => run([a, b, c], text),
            [a, b] => run([a, b], text),
            [a] => run([a], text),
            _ => return true,
        };
        work += done;
        for at in (0..lanes.len()).rev().filter(|at| wants_care >> at & 1 == 1) {
            work += CARE;
            let step = lanes.get_mut(at).map_or(Step::GivenUp, |lane| lane.step(text));
            if !matches!(step, Step::On) {
                finish(lanes.swap_remove(at), &step, states);
            }
        }
    }
}

/// Takes all lanes on, for a while, until one of them is at the end of the text, or must ask for a state; says which those
/// are, as bits, and how many bytes they went.
#[inline(never)]
fn run<const N: usize>(lanes: [&mut Lane<'_>; N], text: &[u8]) -> (u8, usize) {
    let furthest = lanes.iter().map(|lane| lane.at).max().unwrap_or(0);
    let length = text.len().saturating_sub(furthest).min(WORK_MAX);
    let at = lanes.each_ref().map(|lane| {
        let text = text.get(lane.at..lane.at + length).unwrap_or_default();
        (lane.dfa, &*lane.cache, text)
    });
    let mut state = lanes.each_ref().map(|lane| lane.state);
    let mut done = 0;
    let mut wants_care = 0;
    while done < length {
        let mut next = state;
        for (next, (dfa, cache, text)) in next.iter_mut().zip(at) {
            let byte = text.get(done).copied().unwrap_or(0);
            *next = dfa.next_state_untagged(cache, *next, byte);
        }
        if next.iter().any(|next| next.is_tagged()) {
            wants_care = next.iter().rev().fold(0, |bits, next| bits << 1 | u8::from(next.is_tagged()));
            break;
        }
        state = next;
        done += 1;
    }
    for (at, (lane, state)) in lanes.into_iter().zip(state).enumerate() {
        (lane.state, lane.at) = (state, lane.at + done);
        wants_care |= u8::from(lane.at >= text.len()) << at;
    }
    (wants_care, done)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{super::Patterns, States, search};

    const PATTERNS: [&str; 14] = [
        "a",
        "^a",
        "a$",
        "ab|ba",
        r"\bab\b",
        r"^\W*$",
        "(?:a[^b]*){3}b",
        "[^a]{4}",
        "",
        r"a\z",
        r"\Ab",
        "(?i)AB.*ba",
        "b{2,5}[^b]a",
        r"(?:a|b)\B ",
    ];

    proptest! {
        #[test]
        fn many_answer_as_each_does(
            texts in proptest::collection::vec("[abAB /]{0,200}", 1..4),
            chosen in proptest::collection::btree_set(0_usize..PATTERNS.len(), 0..PATTERNS.len()),
        ) {
            let mut patterns = Patterns::default();
            let patterns = PATTERNS.map(|text| patterns.compile(text, false).unwrap());
            let mut states = States::default();
            // What one text leaves is of use for the next, and never of account.
            for text in &texts {
                let mut answers = BTreeMap::new();
                let asked = chosen.iter().map(|number| (*number, &*patterns[*number]));
                let done = search(asked, text.as_bytes(), &mut states, || true, |number, found| {
                    assert!(answers.insert(number, found).is_none());
                });
                prop_assert!(done);
                let each = chosen.iter().map(|number| (*number, patterns[*number].is_match(text.as_bytes())));
                prop_assert_eq!(answers, each.collect::<BTreeMap<_, _>>());
            }
        }
    }

    #[test]
    fn a_search_that_may_not_go_on_ends() {
        let mut patterns = Patterns::default();
        let pattern = patterns.compile("(?:a[^b]*){3}b", false).unwrap();
        let text = [b'a'; 1 << 20];
        let mut states = States::default();
        let many = || (0..9).map(|number| (number, &*pattern));
        assert!(!search(many(), &text, &mut states, || false, |_, _| panic!("answered")));
        let mut answers = 0;
        assert!(search(many(), &text, &mut states, || true, |_, found| answers += usize::from(!found)));
        assert_eq!(answers, 9);
        assert!(states.memory_usage() > 0);
    }

    /// An automaton with more states than are kept says so, and is searched otherwise.
    #[test]
    fn too_many_states_are_no_answer() {
        let mut patterns = Patterns::default();
        let pattern = patterns.compile("[ab]*a[ab]{400}c", false).unwrap();
        let mut seed = 1_u64;
        let text: Vec<u8> = (0..200_000)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if seed >> 40 & 1 == 0 { b'a' } else { b'b' }
            })
            .collect();
        let mut states = States::default();
        assert!(search([(0, &*pattern)].into_iter(), &text, &mut states, || true, |_, _| panic!("answered")));
        assert!(states.memory_usage() < 4 << 20);
    }
}
