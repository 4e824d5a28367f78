//! Rules specialised for one function's settings: what is known before a request comes is worked out here, once. A plan
//! is immutable and shared by threads; it never sees a request.

mod compile;
mod fold;
mod known;
mod literals;
pub(crate) mod program;
pub(crate) mod scanner;
mod settings;
pub(crate) mod tree;

use std::sync::{Arc, Mutex};

use thiserror::Error;

pub use self::settings::{BodyOverLimit, Exhausted, Limits, Settings};
use self::{
    compile::Compiler,
    program::{Step, TxValue},
    scanner::Scanner,
    tree::Tree,
};
use crate::{
    pattern::{Pattern, lanes::States},
    rules::Rules,
    seclang::Reason,
    seclang::action::RuleEngine,
    transaction::Scratch,
};

/// Why settings do not fit the rules; whoever wrote them is at fault.
#[derive(Debug, Error)]
pub enum PlanError {
    /// An exclusion that cannot be read.
    #[error("an exclusion of the settings: {0}")]
    Exclusion(#[from] Reason),
    /// More names of variables than a plan holds.
    #[error("the rules name more than {0} variables of TX")]
    Names(usize),
}

/// Rules made ready for one set of settings.
#[derive(Debug)]
pub struct Plan {
    pub(crate) rules: Arc<Rules>,
    /// The steps of phases 1 to 5.
    pub(crate) phases: [Vec<Step>; 5],
    pub(crate) tree: Tree,
    pub(crate) triggered: tree::Triggered,
    pub(crate) request: Scanner,
    pub(crate) response: Scanner,
    pub(crate) guards: usize,
    /// By number: those that rules ask of all values of a collection.
    pub(crate) patterns: Vec<Arc<Pattern>>,
    /// The names of TX, by slot, in lower case.
    pub(crate) names: Vec<Box<[u8]>>,
    /// The slots in the order of their names.
    by_name: Vec<usize>,
    /// What TX holds when a request comes, by slot.
    pub(crate) initial: Vec<TxValue>,
    /// What [`TxValue::Constant`] points to.
    pub(crate) constants: Vec<Box<[u8]>>,
    pub(crate) engine: RuleEngine,
    pub(crate) limits: Limits,
    pub(crate) reads: program::Reads,
    /// `SecWebAppId`
    pub(crate) web_app_id: String,
    pool: Mutex<Vec<Scratch>>,
    /// What searches leave for the next: as many as ran at once.
    states: Mutex<Vec<States>>,
}

/// Bytes from which on what searches left is thrown away.
const STATES_MAX: usize = 16 << 20;

/// Scratch kept for the next request, at most.
const POOL_MAX: usize = 64;

impl Plan {
    /// Specialises rules.
    ///
    /// # Errors
    /// Where an exclusion cannot be read, or the rules are more than a plan can hold.
    pub fn new(rules: &Arc<Rules>, settings: &Settings) -> Result<Self, PlanError> {
        let (limits, engine) = settings.with(&rules.settings);
        let folded = fold::fold(rules, settings)?;
        let mut compiler = Compiler::new(rules, settings, &folded)?;
        let phases = compiler.phases(&folded)?;
        compiler.finish(phases, limits, engine)
    }

    /// How many rules are left of all, over all phases.
    #[must_use]
    pub fn len(&self) -> usize {
        self.phases.iter().map(Vec::len).sum()
    }

    /// Whether no rule is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rules run on every value, because no literal guards them: (phase, id).
    #[must_use]
    pub fn unguarded(&self) -> Vec<(u8, u64)> {
        let mut found = Vec::new();
        for (phase, steps) in (1..).zip(&self.phases) {
            for step in steps {
                let first = step.links.first();
                let heavy = first.is_some_and(|link| link.guard.is_none() && link.check.is_heavy());
                if let Some(rule) = self.rules.rules.get(step.rule).filter(|_| heavy) {
                    found.push((phase, rule.id));
                }
            }
        }
        found
    }

    /// The slot of a name of TX, which is in lower case.
    pub(crate) fn slot(&self, name: &[u8]) -> Option<usize> {
        let of = |slot: &usize| self.names.get(*slot).map(|known| &**known);
        let at = self.by_name.binary_search_by(|slot| of(slot).cmp(&Some(name))).ok()?;
        self.by_name.get(at).copied()
    }

    pub(crate) fn scratch(&self) -> Scratch {
        let kept = self.pool.lock().ok().and_then(|mut pool| pool.pop());
        kept.unwrap_or_else(|| Scratch::new(self))
    }

    /// What earlier searches left.
    pub(crate) fn states(&self) -> States {
        self.states.lock().ok().and_then(|mut kept| kept.pop()).unwrap_or_default()
    }

    /// Keeps it, unless it has become large.
    pub(crate) fn keep_states(&self, states: States) {
        if states.memory_usage() < STATES_MAX
            && let Ok(mut kept) = self.states.lock()
        {
            kept.push(states);
        }
    }

    pub(crate) fn give_back(&self, scratch: Scratch) {
        if let Ok(mut pool) = self.pool.lock()
            && pool.len() < POOL_MAX
        {
            pool.push(scratch);
        }
    }
}
