//! The literals and single bytes that all guarded patterns require: one pass over a text tells which rules it may match.
//! It never says that a rule matches.

use std::{cell::Cell, collections::BTreeMap};

use super::{
    literals::{Literals, Narrowed},
    tree::Tree,
};
use crate::{
    pattern::{lanes::Joint, literals::Requirement},
    seclang::variable::Collection,
};

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

/// A pattern that a rule asks first of each value, so that long texts can be searched for several of them at once.
#[derive(Debug)]
pub(crate) struct Long {
    /// Its number among the plan's patterns.
    pub(crate) pattern: usize,
    /// Without it the rule does not ask.
    pub(crate) guard: Option<u32>,
    pub(crate) node: u16,
    pub(crate) collections: u128,
}

/// Patterns of rules that have no other guard, joined.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) joint: Joint,
    /// Its number behind those of the plan's patterns.
    pub(crate) number: usize,
    pub(crate) node: u16,
    /// By guard: the collections whose values it is asked of.
    pub(crate) guards: Vec<(u32, u128)>,
}

/// Who wants a literal or a byte: guard and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct User {
    guard: u32,
    node: u16,
}

/// Lists of users, one after the other.
#[derive(Debug, Default)]
struct Users {
    starts: Vec<u32>,
    list: Vec<User>,
    /// By list: the places and the collections of all in it.
    reach: Vec<(u128, u128)>,
}

impl Users {
    fn of(lists: &[Vec<User>], collections: &[u128]) -> Self {
        let mut users = Self::default();
        for list in lists {
            users.starts.push(u32::try_from(users.list.len()).unwrap_or(u32::MAX));
            users.list.extend_from_slice(list);
            let asked = |user: &User| usize::try_from(user.guard).ok().and_then(|at| collections.get(at));
            users.reach.push(list.iter().fold((0, 0), |(places, all), user| {
                (places | 1 << user.node, all | asked(user).copied().unwrap_or(0))
            }));
        }
        users.starts.push(u32::try_from(users.list.len()).unwrap_or(u32::MAX));
        users
    }

    /// Whether anybody of a list asks at one of these places for one of these collections.
    fn are_asking(&self, index: usize, places: u128, collections: u128) -> bool {
        self.reach.get(index).is_some_and(|reach| reach.0 & places != 0 && reach.1 & collections != 0)
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

    /// Adds to each set the places above those in it.
    pub(crate) fn close(&mut self, tree: &Tree) {
        for places in self.keyed.iter_mut().map(|(_, places)| places).chain([&mut self.any]) {
            *places = if *places == 0 { 0 } else { tree.closure(*places) };
        }
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

/// What a scanner writes on: by literal, the text in which it was found last.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    last: Vec<u32>,
    stamp: u32,
    narrowed: Narrowed,
}

impl Seen {
    /// Of scanners that know so many literals.
    pub(crate) fn new(literals: usize) -> Self {
        Self { last: vec![0; literals], ..Self::default() }
    }

    /// A number that no literal has.
    fn next(&mut self) -> u32 {
        self.stamp = self.stamp.checked_add(1).unwrap_or_else(|| {
            self.last.fill(0);
            1
        });
        self.stamp
    }
}

/// Searches texts for what guards require.
#[derive(Debug)]
pub(crate) struct Scanner {
    literals: Option<Literals>,
    literal_users: Users,
    /// By byte: the sets of bytes (as a set of numbers) that it is in.
    sets: Box<[u128; 256]>,
    set_users: Users,
    /// By guard, of all of the plan: which collections it is asked of.
    collections: Vec<u128>,
    /// By collection: what to make of its values.
    places: Vec<Places>,
    long: Vec<Long>,
    joined: Vec<Joined>,
    literals_len: usize,
}

/// Sets of bytes that are told apart; guards beyond share the last.
const SETS_MAX: usize = 128;

impl Scanner {
    /// Makes the literals ready. `guards` is how many there are in the plan.
    pub(crate) fn new(wanted: &[Wanted], guards: usize, places: Vec<Places>) -> Self {
        let mut texts: Vec<&[u8]> =
            wanted.iter().flat_map(|one| &one.required.literals).map(Vec::as_slice).collect();
        texts.sort_unstable();
        texts.dedup();
        let mut literals = vec![Vec::new(); texts.len()];
        let mut bytes: BTreeMap<u8, Vec<User>> = BTreeMap::new();
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
                bytes.entry(*byte).or_default().extend(users());
            }
            let known = usize::try_from(guard).ok().and_then(|at| collections.get_mut(at));
            known.into_iter().for_each(|known| *known = one.collections);
        }
        let (sets, lists) = sets(bytes);
        Self {
            literals: if texts.is_empty() { None } else { Some(Literals::new(&texts)) },
            literal_users: Users::of(&literals, &collections),
            sets,
            set_users: Users::of(&lists, &collections),
            collections,
            places,
            long: Vec::new(),
            joined: Vec::new(),
            literals_len: texts.len(),
        }
    }

    /// How many literals it knows.
    pub(crate) fn len(&self) -> usize {
        self.literals_len
    }

    /// What is to be made of a collection's values.
    pub(crate) fn places(&self, collection: Collection) -> Option<&Places> {
        self.places.get(collection.index())
    }

    /// The same with these.
    pub(crate) fn with(mut self, long: Vec<Long>, joined: Vec<Joined>) -> Self {
        (self.long, self.joined) = (long, joined);
        self
    }

    /// The patterns that have no other guard, joined.
    pub(crate) fn joined(&self) -> &[Joined] {
        &self.joined
    }

    /// The patterns that rules ask of all values of a collection.
    pub(crate) fn long(&self) -> &[Long] {
        &self.long
    }

    /// By byte: the sets of bytes that guards ask for and it is in.
    pub(crate) fn sets(&self) -> &[u128; 256] {
        &self.sets
    }

    /// Tells `found` each guard that a text may satisfy. `sets` is the union of [`Self::sets`] over its bytes; `places` are
    /// those at which the text stands, and those at which it is searched for literals; `collections` are those it is a
    /// value of.
    pub(crate) fn scan(
        &self,
        text: &[u8],
        mut sets: u128,
        places: (u128, u128),
        collections: u128,
        seen: &mut Seen,
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
        while sets != 0 {
            let set = usize::try_from(sets.trailing_zeros()).unwrap_or(0);
            sets &= sets - 1;
            if self.set_users.are_asking(set, places.0, collections) {
                tell(self.set_users.at(set), places.0);
            }
        }
        let Some(literals) = self.literals.as_ref().filter(|_| places.1 != 0) else { return };
        let stamp = seen.next();
        let last = Cell::from_mut(seen.last.as_mut_slice()).as_slice_of_cells();
        let users = &self.literal_users;
        let is_new = |literal: usize| last.get(literal).is_some_and(|last| last.get() != stamp);
        let wanted = |literal: usize| users.are_asking(literal, places.1, collections) && is_new(literal);
        literals.search(text, &mut seen.narrowed, wanted, |literal| {
            last.get(literal).into_iter().for_each(|last| last.set(stamp));
            tell(users.at(literal), places.1);
        });
    }
}

/// Bytes that the same guards ask for are one set: by byte the sets it is in, and by set who asks.
fn sets(bytes: BTreeMap<u8, Vec<User>>) -> (Box<[u128; 256]>, Vec<Vec<User>>) {
    let mut sets = Box::new([0; 256]);
    let mut lists: Vec<Vec<User>> = Vec::new();
    for (byte, mut users) in bytes {
        users.sort_unstable();
        users.dedup();
        let known = lists.iter().position(|list| *list == users);
        let at = known.unwrap_or(lists.len()).min(SETS_MAX - 1);
        match lists.get_mut(at) {
            // The last set holds all that is left: it asks too often, never too seldom.
            Some(list) if known.is_none() => list.extend(users),
            Some(_) => {}
            None => lists.push(users),
        }
        sets.get_mut(usize::from(byte)).into_iter().for_each(|of| *of = 1 << at);
    }
    (sets, lists)
}
