//! Patterns searched side by side in one long text: each step of an automaton waits for the memory that the step before
//! asked for, so that a few of them together take little more than one. It answers whether there is a match, not where.

use regex_automata::{
    Anchored, Input, MatchKind,
    hybrid::{
        LazyStateID,
        dfa::{Cache, DFA},
    },
    nfa::thompson::{NFA, WhichCaptures},
};
use regex_syntax::hir::Hir;

use super::{CACHE_MAX, Pattern, SIZE_MAX, parse};

/// What one pattern, or a few that are joined, are searched with.
pub(crate) type Automaton = DFA;

/// How many are searched at a time: more have no registers left.
pub(crate) const LANES: usize = 3;

/// Bytes after which the clock is asked, and what a step that makes a state counts in them.
const WORK_MAX: usize = 64 << 10;
const CARE: usize = 256;

/// How often the states that were made are given up before the search is.
const CLEARED_MAX: usize = 3;
/// Bytes of text for each state that was made, below which it is.
const BYTES_PER_STATE: usize = 10;

/// The automaton that tells whether one of some patterns matches; its states are made when a text leads to them.
pub(super) fn automaton(patterns: &[&Hir]) -> Result<DFA, String> {
    let config = NFA::config()
        .utf8(false)
        .nfa_size_limit(Some(SIZE_MAX))
        .which_captures(WhichCaptures::None)
        .shrink(false);
    let program = NFA::compiler().configure(config).build_many_from_hir(patterns);
    let program = program.map_err(|e| e.to_string())?;
    let config = DFA::config()
        .match_kind(MatchKind::LeftmostFirst)
        .cache_capacity(CACHE_MAX)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(CLEARED_MAX))
        .minimum_bytes_per_state(Some(BYTES_PER_STATE));
    DFA::builder().configure(config).build_from_nfa(program).map_err(|e| e.to_string())
}

/// What searches leave for the next one: by number, the states that an automaton has made.
#[derive(Debug, Default)]
pub(crate) struct States {
    kept: Vec<Option<Box<Cache>>>,
    /// What they take, bytes; nothing of those that are taken.
    bytes: usize,
}

impl States {
    /// What they take, bytes.
    pub(crate) fn memory_usage(&self) -> usize {
        self.bytes
    }

    fn take(&mut self, number: usize, dfa: &DFA) -> Box<Cache> {
        let Some(known) = self.kept.get_mut(number).and_then(Option::take) else {
            return Box::new(dfa.create_cache());
        };
        self.bytes = self.bytes.saturating_sub(known.memory_usage());
        known
    }

    fn keep(&mut self, number: usize, cache: Box<Cache>) {
        if self.kept.len() <= number {
            self.kept.resize_with(number + 1, || None);
        }
        self.bytes += cache.memory_usage();
        if let Some(kept) = self.kept.get_mut(number) {
            *kept = Some(cache);
        }
    }
}

/// A few patterns of which no literal tells beforehand that they cannot match, as one: a text that none of them matches is
/// read once for all.
#[derive(Debug)]
pub(crate) struct Joint(Option<Box<DFA>>);

/// How many patterns are joined: with more, the states that they lead to together grow faster than those of each.
pub(crate) const JOINED_MAX: usize = 4;

impl Joint {
    /// Joins patterns. Of those that cannot be joined, any text may match one.
    pub(crate) fn new<'p>(patterns: impl Iterator<Item = &'p Pattern>) -> Self {
        let sources = patterns.map(|pattern| pattern.source.as_ref());
        let parsed = sources.map(|source| source.and_then(|(text, folded)| parse(text, *folded).ok()));
        let parsed = parsed.collect::<Option<Vec<Hir>>>();
        let dfa = parsed.and_then(|parsed| automaton(&parsed.iter().collect::<Vec<_>>()).ok());
        Self(dfa.map(Box::new))
    }

    /// What tells whether one of them matches; none where they cannot be joined.
    pub(crate) fn automaton(&self) -> Option<&DFA> {
        self.0.as_deref()
    }

    /// Whether any of the patterns may match: always where that takes more states than are kept.
    pub(crate) fn may_match(&self, number: usize, text: &[u8], states: &mut States) -> bool {
        let Some(dfa) = &self.0 else { return true };
        let mut cache = states.take(number, dfa);
        let found = dfa.try_search_fwd(&mut cache, &Input::new(text).earliest(true));
        states.keep(number, cache);
        !matches!(found, Ok(None))
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

/// Tells `answer` of each numbered automaton whether the text matches, or nothing where that took too many states; each
/// number comes once.
/// `goes_on` is asked every few pieces of work; false where it ended the search.
pub(crate) fn search<'p>(
    mut automatons: impl Iterator<Item = (usize, &'p DFA)>,
    text: &[u8],
    states: &mut States,
    goes_on: impl Fn() -> bool,
    mut answer: impl FnMut(usize, Option<bool>),
) -> bool {
    let mut finish = |mut lane: Lane<'p>, step: &Step, states: &mut States| {
        answer(lane.number, if let Step::Answer(found) = step { Some(*found) } else { None });
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
            let Some((number, dfa)) = automatons.next() else { break };
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

    use super::{super::Patterns, Joint, States, search};

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
                let asked = chosen.iter().map(|number| (*number, patterns[*number].automaton().unwrap()));
                let done = search(asked, text.as_bytes(), &mut states, || true, |number, found| {
                    assert!(answers.insert(number, found).is_none());
                });
                prop_assert!(done);
                let found = |number: &usize| Some(patterns[*number].is_match(text.as_bytes()));
                let each = chosen.iter().map(|number| (*number, found(number)));
                prop_assert_eq!(answers, each.collect::<BTreeMap<_, _>>());
            }
        }
    }

    proptest! {
        #[test]
        fn a_joint_may_match_where_one_of_its_patterns_does(
            texts in proptest::collection::vec("[abAB /]{0,60}", 1..4),
            chosen in proptest::collection::btree_set(0_usize..PATTERNS.len(), 1..5),
        ) {
            let mut patterns = Patterns::default();
            let patterns = PATTERNS.map(|text| patterns.compile(text, false).unwrap());
            let chosen: Vec<_> = chosen.into_iter().map(|number| &*patterns[number]).collect();
            let joint = Joint::new(chosen.iter().copied());
            let can_join = chosen.iter().all(|pattern| pattern.can_join());
            prop_assert_eq!(joint.automaton().is_some(), can_join);
            let mut states = States::default();
            for text in texts.iter().map(String::as_bytes) {
                let matches = chosen.iter().any(|pattern| pattern.is_match(text));
                prop_assert_eq!(joint.may_match(7, text, &mut states), matches || !can_join);
            }
        }
    }

    #[test]
    fn a_search_that_may_not_go_on_ends() {
        let mut patterns = Patterns::default();
        let pattern = patterns.compile("(?:a[^b]*){3}b", false).unwrap();
        let text = [b'a'; 1 << 20];
        let mut states = States::default();
        let many = || (0..9).map(|number| (number, pattern.automaton().unwrap()));
        assert!(!search(many(), &text, &mut states, || false, |_, found| assert_eq!(found, None)));
        let mut answers = 0;
        assert!(search(
            many(),
            &text,
            &mut states,
            || true,
            |_, found| answers += usize::from(found == Some(false))
        ));
        assert_eq!(answers, 9);
        assert!(states.memory_usage() > 0);
    }

    /// An automaton that a text leads to more states than are kept has no answer, and what it kept stays bounded.
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
        let mut said = Vec::new();
        let one = [(0, pattern.automaton().unwrap())].into_iter();
        assert!(search(one, &text, &mut states, || true, |_, found| said.push(found)));
        assert_eq!(said, [None]);
        assert!(states.memory_usage() < 4 << 20);
    }
}
