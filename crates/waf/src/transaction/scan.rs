//! The one pass over values before the rules of a phase run: what transformations make of each, and which guards its
//! texts satisfy. It decides nothing: whoever passed is looked at by the rules.

use std::borrow::Cow;

use super::{
    Transaction,
    scratch::{Class, Scratch, Span, push, slice},
};
use crate::{
    pattern::lanes::{self, Automaton, States},
    plan::{
        Plan,
        scanner::{Joined, Scanner},
    },
    transform::Transformation,
};

/// A text from this length on, in bytes, is searched for several patterns at once.
pub(super) const LONG: usize = 4 << 10;

impl Transaction<'_> {
    /// Looks at all values that came since the last time.
    pub(super) fn scan(&mut self, response: bool) {
        let plan = self.plan;
        let scanner = if response { &plan.response } else { &plan.request };
        let mut states = plan.states();
        while self.scratch.scanned < self.scratch.values.len() && !self.exhausted {
            let before = self.scratch.len();
            let index = self.scratch.scanned;
            self.scratch.scanned += 1;
            let length = self.one(scanner, &mut states, index);
            let made = self.scratch.len().saturating_sub(before);
            self.spend(length.saturating_add(made) + 256);
            if length >= LONG && !self.exhausted {
                self.answer_long(scanner, &mut states, index);
            }
        }
        plan.keep_states(states);
    }

    /// Transforms and scans one value; says how many bytes were scanned.
    fn one(&mut self, scanner: &Scanner, states: &mut States, index: usize) -> usize {
        let Some(value) = self.scratch.values.get(index).copied() else { return 0 };
        let places = scanner.places(value.collection);
        let wanted = places.map_or(0, |places| places.of(slice(&self.scratch.arena, value.name)));
        if wanted == 0 {
            return 0;
        }
        self.classify(scanner, value.text, wanted);
        let mut bytes = 0;
        for at in 0..self.scratch.classes.len() {
            let Some(class) = self.scratch.classes.get(at).copied() else { continue };
            if self.exhausted {
                return bytes;
            }
            bytes += class.text.len();
            // The literals are searched without regard to case: texts that differ in nothing else are searched once.
            let literal_places = literal_places(&self.scratch, at, class);
            scan_class(scanner, &mut self.scratch, class, literal_places, value.collections, index);
            self.scan_joined(scanner, states, class, value.collections, index);
            self.spend_long(class.text);
        }
        let Scratch { values, made, classes, .. } = &mut self.scratch;
        if let Some(value) = values.get_mut(index) {
            let start = made.len();
            made.extend(classes.iter().skip(1).map(|class| (class.places, class.text)));
            let number = |size: usize| u32::try_from(size).unwrap_or(0);
            value.made = (number(start), number(made.len() - start));
            value.done = wanted;
        }
        bytes
    }

    /// Which distinct texts the transformations make; places that leave a text alone share it.
    fn classify(&mut self, scanner: &Scanner, text: Span, wanted: u128) {
        let plan = self.plan;
        let scratch = &mut self.scratch;
        let (triggered, sets) = plan.triggered.by(slice(&scratch.arena, text), scanner.sets());
        // What nothing of the text sets off stands at the text itself, but below what something does.
        let mut left = plan.triggered.below(triggered & wanted & !1) & wanted;
        scratch.classes.clear();
        scratch.classes.push(Class { text, triggered, sets, places: wanted & !left });
        if left == 0 {
            return;
        }
        scratch.class_of.fill(0);
        scratch.applied.clear();
        // Parents have lower places than their children.
        while left != 0 && !self.exhausted {
            let scratch = &mut self.scratch;
            let place = u16::try_from(left.trailing_zeros()).unwrap_or(0);
            left &= left - 1;
            let Some(node) = plan.tree.node(place) else { continue };
            let above = scratch.class_of.get(usize::from(node.parent)).copied().unwrap_or(0);
            let Some(class) = scratch.classes.get(usize::from(above)).copied() else { continue };
            let idle = class.triggered >> place & 1 == 0;
            let at =
                if idle { above } else { transformed(plan, scanner, scratch, node.transformation, above) };
            scratch.class_of.get_mut(usize::from(place)).into_iter().for_each(|of| *of = at);
            scratch.classes.get_mut(usize::from(at)).into_iter().for_each(|class| class.places |= 1 << place);
            if !idle {
                self.spend_long(class.text);
            }
        }
    }

    /// A long text takes so long that the clock is asked after each step; of a short one the whole value counts.
    fn spend_long(&mut self, text: Span) {
        if text.len() >= LONG {
            self.spend(text.len());
        }
    }

    /// Searches the long texts of the value that was scanned last for the patterns that rules will ask for.
    fn answer_long(&mut self, scanner: &Scanner, states: &mut States, index: usize) {
        let Some(value) = self.scratch.values.get(index).copied() else { return };
        for at in 0..self.scratch.classes.len() {
            let class = self.scratch.classes.get(at).copied().filter(|class| class.text.len() >= LONG);
            let Some(class) = class else { continue };
            let mut asked: Vec<usize> = Vec::new();
            for long in scanner.long() {
                let is_asked =
                    class.places >> long.node & 1 == 1 && long.collections & value.collections != 0;
                if is_asked && long.guard.is_none_or(|guard| self.scratch.is_last_hit(guard, index)) {
                    asked.push(long.pattern);
                }
            }
            asked.sort_unstable();
            asked.dedup();
            let patterns = &self.plan.patterns;
            let asked =
                asked.iter().filter_map(|number| Some((*number, patterns.get(*number)?.automaton()?)));
            let answers = self.search(asked, class.text, states);
            // What takes more states than are kept would take as many by any other way, and no clock would end that.
            self.exhausted |= answers.iter().any(|(_, found)| found.is_none());
            let answers =
                answers.into_iter().filter_map(|(number, found)| Some(((class.text, number), found?)));
            self.scratch.answered.extend(answers);
            if self.exhausted {
                return;
            }
        }
    }

    /// Notes which guards of joined patterns a text may satisfy.
    fn scan_joined(
        &mut self,
        scanner: &Scanner,
        states: &mut States,
        class: Class,
        collections: u128,
        index: usize,
    ) {
        let asks = |joined: &&Joined| {
            let is_asked = joined.guards.iter().any(|(_, asked)| asked & collections != 0);
            is_asked && class.places >> joined.node & 1 == 1
        };
        let joined = scanner.joined().iter().filter(asks);
        let is_long = class.text.len() >= LONG;
        let automatons = joined.clone().filter_map(|one| Some((one.number, one.joint.automaton()?)));
        let answers = if is_long { self.search(automatons, class.text, states) } else { Vec::new() };
        let Scratch { arena, heads, hits, .. } = &mut self.scratch;
        let text = slice(arena, class.text);
        for one in joined {
            let may_match = if is_long {
                !answers.contains(&(one.number, Some(false)))
            } else {
                one.joint.may_match(one.number, text, states)
            };
            let asked = one.guards.iter().filter(|(_, asked)| may_match && asked & collections != 0);
            asked.for_each(|(guard, _)| hit(heads, hits, *guard, index));
        }
    }

    /// Searches a long text, as long as there is time.
    fn search<'a>(
        &mut self,
        asked: impl Iterator<Item = (usize, &'a Automaton)>,
        text: Span,
        states: &mut States,
    ) -> Vec<(usize, Option<bool>)> {
        let (clock, started_ns, limits) = (self.world.clock, self.started_ns, &self.plan.limits);
        let goes_on = || clock().saturating_sub(started_ns) <= limits.time_ns_max;
        let mut answers = Vec::new();
        let text = slice(&self.scratch.arena, text);
        let answer = |number, found| answers.push((number, found));
        self.exhausted |= !lanes::search(asked, text, states, goes_on, answer);
        answers
    }
}

/// The places for which a text is to be searched: its own and those of later texts that differ from it in case alone;
/// none where an earlier one did it.
fn literal_places(scratch: &Scratch, at: usize, class: Class) -> u128 {
    let text = slice(&scratch.arena, class.text);
    let same = |other: &Class| {
        other.text.len() == class.text.len() && slice(&scratch.arena, other.text).eq_ignore_ascii_case(text)
    };
    let (before, behind) = scratch.classes.split_at_checked(at).unwrap_or_default();
    if before.iter().any(same) {
        return 0;
    }
    behind.iter().skip(1).filter(|other| same(other)).fold(class.places, |all, other| all | other.places)
}

/// The class of what a transformation makes of one, which is worked out once however many places ask for it.
fn transformed(
    plan: &Plan,
    scanner: &Scanner,
    scratch: &mut Scratch,
    transformation: Transformation,
    above: u8,
) -> u8 {
    let known = scratch.applied.iter().find(|known| known.0 == above && known.1 == transformation);
    if let Some((.., at)) = known {
        return *at;
    }
    let at = apply(plan, scanner, scratch, transformation, above);
    scratch.applied.push((above, transformation, at));
    at
}

fn apply(
    plan: &Plan,
    scanner: &Scanner,
    scratch: &mut Scratch,
    transformation: Transformation,
    above: u8,
) -> u8 {
    let Some(class) = scratch.classes.get(usize::from(above)).copied() else { return above };
    let made = match transformation.apply(slice(&scratch.arena, class.text)) {
        Cow::Borrowed(same) if same.len() == class.text.len() => return above,
        Cow::Borrowed(part) => part.to_vec(),
        Cow::Owned(made) => made,
    };
    let equal = scratch.classes.iter().position(|known| slice(&scratch.arena, known.text) == made);
    if let Some(known) = equal.and_then(|known| u8::try_from(known).ok()) {
        return known;
    }
    let text = push(&mut scratch.arena, &made);
    let (triggered, sets) = plan.triggered.by(&made, scanner.sets());
    scratch.classes.push(Class { text, triggered, sets, places: 0 });
    u8::try_from(scratch.classes.len() - 1).unwrap_or(above)
}

fn scan_class(
    scanner: &Scanner,
    scratch: &mut Scratch,
    class: Class,
    literal_places: u128,
    collections: u128,
    index: usize,
) {
    let Scratch { arena, heads, hits, seen, .. } = scratch;
    let text = slice(arena, class.text);
    let places = (class.places, literal_places);
    scanner.scan(text, class.sets, places, collections, seen, |guard| hit(heads, hits, guard, index));
}

/// Notes that a value satisfies a guard.
fn hit(heads: &mut [u32], hits: &mut Vec<(u32, u32)>, guard: u32, index: usize) {
    let head = usize::try_from(guard).ok().and_then(|at| heads.get_mut(at));
    let (Some(head), Ok(value)) = (head, u32::try_from(index)) else { return };
    let last = head.checked_sub(1).and_then(|at| hits.get(usize::try_from(at).ok()?));
    if last.is_some_and(|(known, _)| *known == value) {
        return;
    }
    hits.push((value, *head));
    *head = u32::try_from(hits.len()).unwrap_or(0);
}
