//! One automaton over the literals that all guarded patterns require, and a table for the single bytes: one pass over
//! a text tells which rules it may match. It never says that a rule matches.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::PlanError;
use crate::{pattern::literals::Requirement, seclang::variable::Collection, transform::ByteSet};

/// A guard as the plan asks for it.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Its number.
    pub(crate) guard: u32,
    /// What a text must hold.
    pub(crate) required: Requirement,
    /// The places in the tree of transformations at which it is asked.
    pub(crate) nodes: Vec<u16>,
    /// The collections whose values it is asked of, as a set.
    pub(crate) collections: u128,
}

/// Who wants a literal or a byte: guard and place.
#[derive(Clone, Copy, Debug)]
struct User {
    guard: u32,
    node: u16,
}

/// Lists of users, one after the other.
#[derive(Debug, Default)]
struct Users {
    starts: Vec<u32>,
    list: Vec<User>,
}

impl Users {
    fn of(lists: &[Vec<User>]) -> Self {
        let mut users = Self::default();
        for list in lists {
            users.starts.push(u32::try_from(users.list.len()).unwrap_or(u32::MAX));
            users.list.extend_from_slice(list);
        }
        users.starts.push(u32::try_from(users.list.len()).unwrap_or(u32::MAX));
        users
    }

    fn at(&self, index: usize) -> &[User] {
        let bound = |at: usize| self.starts.get(at).and_then(|start| usize::try_from(*start).ok());
        match (bound(index), bound(index + 1)) {
            (Some(start), Some(end)) => self.list.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// What is to be done with the values of a collection, as sets of places in the tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// For every value.
    pub(crate) any: u128,
    /// For values of a name (in lower case).
    pub(crate) keyed: Vec<(Box<[u8]>, u128)>,
}

impl Places {
    /// The places for a value of that name.
    pub(crate) fn of(&self, name: &[u8]) -> u128 {
        let keyed = self.keyed.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        keyed.fold(self.any, |all, (_, places)| all | places)
    }

    pub(crate) fn add(&mut self, key: Option<&[u8]>, places: u128) {
        let Some(key) = key else {
            self.any |= places;
            return;
        };
        match self.keyed.iter_mut().find(|(known, _)| **known == *key) {
            Some((_, known)) => *known |= places,
            None => self.keyed.push((key.into(), places)),
        }
    }
}

/// Searches texts for what guards require.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    automaton: Option<AhoCorasick>,
    literals: Users,
    bytes: Users,
    interesting: ByteSet,
    /// The same as a list.
    wanted: Vec<u8>,
    /// By guard, of all of the plan: which collections it is asked of.
    collections: Vec<u128>,
    /// By collection: what to make of its values.
    places: Vec<Places>,
    literals_len: usize,
}

/// Literals beyond which the automaton is kept in its compact form, in bytes.
const DENSE_MAX: usize = 12_000;

impl Scanner {
    /// Builds the automaton. `guards` is how many there are in the plan.
    pub(crate) fn new(wanted: &[Wanted], guards: usize, places: Vec<Places>) -> Result<Self, PlanError> {
        let mut texts: Vec<&[u8]> =
            wanted.iter().flat_map(|one| &one.required.literals).map(Vec::as_slice).collect();
        texts.sort_unstable();
        texts.dedup();
        let mut literals = vec![Vec::new(); texts.len()];
        let mut bytes = vec![Vec::new(); 256];
        let mut interesting = ByteSet::default();
        let mut collections = vec![0; guards];
        for one in wanted {
            let guard = one.guard;
            let users = || one.nodes.iter().map(|node| User { guard, node: *node });
            for literal in &one.required.literals {
                if let Ok(at) = texts.binary_search(&literal.as_slice()) {
                    literals.get_mut(at).into_iter().for_each(|list| list.extend(users()));
                }
            }
            for byte in &one.required.bytes {
                interesting.insert(*byte);
                bytes.get_mut(usize::from(*byte)).into_iter().for_each(|list| list.extend(users()));
            }
            let known = usize::try_from(guard).ok().and_then(|at| collections.get_mut(at));
            known.into_iter().for_each(|known| *known = one.collections);
        }
        let automaton = if texts.is_empty() { None } else { Some(automaton(&texts)?) };
        Ok(Self {
            automaton,
            literals: Users::of(&literals),
            bytes: Users::of(&bytes),
            interesting,
            wanted: (0..=255).filter(|byte| interesting.contains(*byte)).collect(),
            collections,
            places,
            literals_len: texts.len(),
        })
    }

    /// How many literals it knows.
    pub(crate) fn len(&self) -> usize {
        self.literals_len
    }

    /// What is to be made of a collection's values.
    pub(crate) fn places(&self, collection: Collection) -> Option<&Places> {
        self.places.get(collection.index())
    }

    /// Tells `found` each guard that a text may satisfy. `places` are those at which the text stands, and those at which
    /// it is searched for literals; `collections` are those it is a value of. `seen` is scratch of
    /// [`Self::len`] entries that are never `stamp`.
    pub(crate) fn scan(
        &self,
        text: &[u8],
        present: &ByteSet,
        places: (u128, u128),
        collections: u128,
        seen: (&mut [u32], u32),
        mut found: impl FnMut(u32),
    ) {
        let mut tell = |users: &[User], places: u128| {
            for user in users {
                let at_place = places >> user.node & 1 == 1;
                let asked = || usize::try_from(user.guard).ok().and_then(|at| self.collections.get(at));
                if at_place && asked().is_some_and(|asked| asked & collections != 0) {
                    found(user.guard);
                }
            }
        };
        if present.intersects(&self.interesting) {
            for byte in self.wanted.iter().filter(|byte| present.contains(**byte)) {
                tell(self.bytes.at(usize::from(*byte)), places.0);
            }
        }
        let Some(automaton) = self.automaton.as_ref().filter(|_| places.1 != 0) else { return };
        let (seen, stamp) = seen;
        for hit in automaton.find_overlapping_iter(text) {
            let literal = hit.pattern().as_usize();
            let Some(last) = seen.get_mut(literal) else { continue };
            if *last != stamp {
                *last = stamp;
                tell(self.literals.at(literal), places.1);
            }
        }
    }
}

fn automaton(texts: &[&[u8]]) -> Result<AhoCorasick, PlanError> {
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    let kind = if bytes > DENSE_MAX { AhoCorasickKind::ContiguousNFA } else { AhoCorasickKind::DFA };
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(kind))
        .prefilter(false)
        .build(texts)
        .map_err(|e| PlanError::Literals(e.to_string()))
}
