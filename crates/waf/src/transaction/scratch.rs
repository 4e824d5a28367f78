//! What a transaction writes on: all its bytes in one buffer, values as ranges of it. It is used again for the next one;
//! it never grows beyond what the transaction's bounds allow, and what a large one took is given back.

use std::collections::HashMap;

use crate::{
    plan::{Plan, program::TxValue, scanner::Seen},
    seclang::variable::Collection,
    transform::Transformation,
};

/// A range of the transaction's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    start: u32,
    length: u32,
}

impl Span {
    pub(crate) fn len(self) -> usize {
        usize::try_from(self.length).unwrap_or(0)
    }

    /// A part of it.
    pub(crate) fn part(self, range: &std::ops::Range<usize>) -> Self {
        let length = u32::try_from(range.end.saturating_sub(range.start)).unwrap_or(0).min(self.length);
        let start = self.start.saturating_add(u32::try_from(range.start).unwrap_or(0));
        Self { start, length }
    }
}

/// A value of the request or the response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub(crate) collection: Collection,
    /// All collections that it is a value of, as a set.
    pub(crate) collections: u128,
    pub(crate) name: Span,
    pub(crate) text: Span,
    /// Its transformed texts in `made`: where they begin, and how many they are.
    pub(crate) made: (u32, u32),
    /// The places of the tree whose text is known: it is in `made`, or the value itself.
    pub(crate) done: u128,
    /// The last link whose guard it satisfied.
    pub(crate) mark: u32,
}

/// What matched a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matched {
    pub(crate) collection: Collection,
    pub(crate) name: Span,
    pub(crate) text: Span,
}

/// One text that transformations made of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    pub(super) text: Span,
    /// The places of the tree whose transformation may change it.
    pub(super) triggered: u128,
    /// The sets of bytes of guards that it holds one of.
    pub(super) sets: u128,
    pub(super) places: u128,
}

/// What a transaction writes on.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(super) arena: Vec<u8>,
    pub(super) values: Vec<Value>,
    pub(super) lists: Vec<Vec<u32>>,
    /// Transformed texts, and the places at which a value is that text.
    pub(super) made: Vec<(u128, Span)>,
    pub(super) tx: Vec<TxValue>,
    pub(super) extra: Vec<(Span, TxValue)>,
    /// By guard: one more than the place of its last hit, or 0.
    pub(super) heads: Vec<u32>,
    /// (value, one more than the place of the hit before, or 0)
    pub(super) hits: Vec<(u32, u32)>,
    pub(super) seen: Seen,
    pub(super) mark: u32,
    pub(super) scanned: usize,
    pub(super) classes: Vec<Class>,
    pub(super) class_of: Vec<u8>,
    /// Of the value that is looked at: a class, a transformation, and the class of what it makes.
    pub(super) applied: Vec<(u8, Transformation, u8)>,
    /// Long texts and the numbers of patterns: whether they match, where that is known.
    pub(super) answered: HashMap<(Span, usize), bool>,
    pub(super) matched: Vec<Matched>,
    pub(super) last: Option<Matched>,
}

/// Bytes beyond which a buffer is not kept for the next transaction.
const KEPT_MAX: usize = 512 << 10;

impl Scratch {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            lists: vec![Vec::new(); Collection::COUNT],
            heads: vec![0; plan.guards],
            seen: Seen::new(plan.request.len().max(plan.response.len())),
            class_of: vec![0; plan.tree.len()],
            ..Self::default()
        }
    }

    /// Makes it ready for the next transaction of the plan.
    pub(crate) fn begin(&mut self, plan: &Plan) {
        self.arena.clear();
        self.values.clear();
        self.made.clear();
        self.hits.clear();
        if self.arena.capacity() > KEPT_MAX
            || self.made.capacity() > KEPT_MAX
            || self.hits.capacity() > KEPT_MAX
        {
            (self.arena, self.made) = (Vec::new(), Vec::new());
            (self.hits, self.values) = (Vec::new(), Vec::new());
        }
        if !self.answered.is_empty() {
            self.answered = HashMap::new();
        }
        self.lists.iter_mut().for_each(Vec::clear);
        self.tx.clone_from(&plan.initial);
        self.extra.clear();
        self.heads.fill(0);
        self.scanned = 0;
        self.matched.clear();
        self.last = None;
    }

    pub(crate) fn len(&self) -> usize {
        self.arena.len()
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        slice(&self.arena, span)
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Span {
        push(&mut self.arena, bytes)
    }

    /// The end of the arena, from which [`Self::since`] makes a span.
    pub(super) fn here(&self) -> usize {
        self.arena.len()
    }

    pub(super) fn since(&self, start: usize) -> Span {
        let length = self.arena.len().saturating_sub(start);
        Span { start: u32::try_from(start).unwrap_or(u32::MAX), length: u32::try_from(length).unwrap_or(0) }
    }

    /// Adds a value to a collection, and to those that hold all of it.
    pub(super) fn add(&mut self, collection: Collection, name: Span, text: Span) {
        let Ok(index) = u32::try_from(self.values.len()) else { return };
        let whole = match collection {
            Collection::ArgsGet | Collection::ArgsPost => Some(Collection::Args),
            Collection::ArgsGetNames | Collection::ArgsPostNames => Some(Collection::ArgsNames),
            _ => None,
        };
        let mut collections = 0;
        for one in [Some(collection), whole].into_iter().flatten() {
            collections |= 1 << one.index();
            self.lists.get_mut(one.index()).into_iter().for_each(|list| list.push(index));
        }
        self.values.push(Value { collection, collections, name, text, made: (0, 0), done: 0, mark: 0 });
    }

    pub(super) fn list(&self, collection: Collection) -> &[u32] {
        self.lists.get(collection.index()).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn value(&self, index: u32) -> Option<&Value> {
        self.values.get(usize::try_from(index).ok()?)
    }

    /// The texts that transformations made of a value, and where it is them.
    pub(super) fn made(&self, value: &Value) -> impl Iterator<Item = (u128, Span)> {
        let size = |number: u32| usize::try_from(number).unwrap_or(0);
        let (start, length) = (size(value.made.0), size(value.made.1));
        self.made.get(start..start + length).unwrap_or_default().iter().copied()
    }

    /// Whether the value was the last to satisfy a guard.
    pub(super) fn is_last_hit(&self, guard: u32, value: usize) -> bool {
        let head = usize::try_from(guard).ok().and_then(|at| self.heads.get(at)).copied().unwrap_or(0);
        let hit = head.checked_sub(1).and_then(|at| self.hits.get(usize::try_from(at).ok()?));
        hit.is_some_and(|(known, _)| usize::try_from(*known) == Ok(value))
    }

    /// A variable of TX that has no slot.
    pub(super) fn extra(&self, name: &[u8]) -> Option<TxValue> {
        let found = self.extra.iter().find(|(known, _)| self.bytes(*known).eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }
}

pub(super) fn slice(arena: &[u8], span: Span) -> &[u8] {
    let start = usize::try_from(span.start).unwrap_or(usize::MAX);
    arena.get(start..).and_then(|rest| rest.get(..span.len())).unwrap_or_default()
}

pub(super) fn push(arena: &mut Vec<u8>, bytes: &[u8]) -> Span {
    let start = u32::try_from(arena.len()).unwrap_or(u32::MAX);
    let Ok(length) = u32::try_from(bytes.len()) else { return Span::default() };
    arena.extend_from_slice(bytes);
    Span { start, length }
}
