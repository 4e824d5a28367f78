//! What a plan's steps are made of. They are data: what runs them is the transaction.

use std::sync::{Arc, OnceLock};

use crate::{
    pattern::Pattern,
    rules::{Check, Outcome},
    seclang::{action::RuleEngine, variable::Collection},
};

/// A rule or chain that is left.
#[derive(Debug)]
pub(crate) struct Step {
    /// Its position among all rules.
    pub(crate) rule: usize,
    pub(crate) links: Vec<RunLink>,
    pub(crate) outcome: RunOutcome,
    /// The step of the same phase that is next after a match; the one behind where there is none.
    pub(crate) jump: Option<usize>,
    pub(crate) message: Option<Text>,
    /// The tags, where one of them has a macro; else none, and the rule's own hold.
    pub(crate) tags: Vec<Text>,
}

/// What a match leads to.
#[derive(Debug)]
pub(crate) enum RunOutcome {
    /// All but a redirect.
    Fixed(Outcome),
    /// A redirect.
    Redirect(Text),
}

/// A link of a chain.
#[derive(Debug)]
pub(crate) struct RunLink {
    /// What is looked at; a link without any always matches.
    pub(crate) reads: Vec<Read>,
    pub(crate) excluded: Vec<Read>,
    pub(crate) negated: bool,
    pub(crate) check: Check,
    pub(crate) argument: Text,
    /// Its place in the tree of transformations.
    pub(crate) node: u16,
    /// With `multiMatch`: all places from the root to `node`; else none.
    pub(crate) path: Vec<u16>,
    pub(crate) capture: bool,
    /// The guard without which it matches no value.
    pub(crate) guard: Option<u32>,
    /// The number of its pattern, which long texts may have been searched for before.
    pub(crate) pattern: Option<usize>,
    pub(crate) changes: Vec<Change>,
    pub(crate) message: Option<Text>,
    pub(crate) data: Option<Text>,
}

/// What a rule or macro reads.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) collection: Collection,
    pub(crate) select: Select,
    pub(crate) count: bool,
}

/// Which values.
#[derive(Clone, Debug)]
pub(crate) enum Select {
    All,
    /// In lower case.
    Key(Box<[u8]>),
    Pattern(Arc<Pattern>),
    /// One variable of TX.
    Slot(u16),
    /// Those of TX whose name matches.
    Slots(Arc<Pattern>, Slots),
}

/// Which slots of TX have a name that matches a pattern: the plan's names stand, so that they are asked once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots(OnceLock<Box<[usize]>>);

impl Slots {
    pub(crate) fn of(&self, pattern: &Pattern, names: &[Box<[u8]>]) -> &[usize] {
        let matching = || (0..).zip(names).filter(|(_, name)| pattern.is_match(name)).map(|(slot, _)| slot);
        self.0.get_or_init(|| matching().collect())
    }
}

/// Text that is known, or is made of what is read.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Fixed(Box<[u8]>),
    Made(Vec<Part>),
}

/// A part of a text that is made.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Text(Box<[u8]>),
    Read(Read),
}

/// What a match changes.
#[derive(Debug)]
pub(crate) enum Change {
    Tx(TxName, NewValue),
    Kept(Collection, Text, NewValue),
    Env(Text, Option<Text>),
    Expire(Collection, Text, Text),
    Init(Collection, Text),
    Engine(RuleEngine),
    /// Rules that no longer run, as a set of positions.
    Remove(Arc<Bits>),
    /// What those rules no longer look at.
    RemoveTarget(Arc<Bits>, Read),
    BodyProcessor(String),
    ForceBody(bool),
    RequestBody(bool),
    ResponseBody(bool),
    RequestBodyLimit(usize),
    ResponseBodyLimit(usize),
    SanitiseMatched,
    Sanitise(Collection, Box<[u8]>),
}

/// Which variable of TX is changed.
#[derive(Debug)]
pub(crate) enum TxName {
    Slot(u16),
    Made(Text),
}

/// What becomes of it.
#[derive(Debug)]
pub(crate) enum NewValue {
    Text(Text),
    Add(i64),
    AddText(Text),
    SubtractText(Text),
    Unset,
}

/// What a variable of TX holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TxValue {
    #[default]
    Unset,
    Number(i64),
    /// In the plan's constants.
    Constant(u32),
    /// In the transaction's bytes.
    Text(crate::transaction::Span),
}

/// What any rule of the plan reads, so that what nobody reads is not made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reads(pub(crate) u128);

impl Reads {
    pub(crate) fn has(self, collection: Collection) -> bool {
        self.0 >> collection.index() & 1 == 1
    }
    pub(crate) fn add(&mut self, collection: Collection) {
        self.0 |= 1 << collection.index();
    }
}

/// A set of positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn of(positions: &[usize]) -> Self {
        let mut bits = Self::default();
        for position in positions {
            bits.insert(*position);
        }
        bits
    }

    pub(crate) fn insert(&mut self, position: usize) {
        let word = position / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (position % 64);
        }
    }

    pub(crate) fn has(&self, position: usize) -> bool {
        self.0.get(position / 64).is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    pub(crate) fn union(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }
}
