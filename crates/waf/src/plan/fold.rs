//! Which rules are left: those that can never match are dropped, those that always do and only set known variables
//! are done here, and what a known `skipAfter` passes over is dropped with it. The answers stay those of all rules.

use super::{
    PlanError, Settings,
    known::{Known, State},
    program::Bits,
};
use crate::{
    rules::{Check, Link, Outcome, Rule, Rules, matching},
    seclang::{
        Reason,
        action::{Ctl, Effect, RuleEngine},
        variable::Collection,
    },
};

/// What is left, and what is known.
pub(super) struct Folded {
    /// Of each phase the positions of the rules that are left, in order, with what is known before each.
    pub(super) phases: [Vec<(usize, State)>; 5],
    /// What TX holds when a request comes.
    pub(super) initial: State,
}

struct Folder<'a> {
    rules: &'a Rules,
    state: State,
    /// Until here nothing that depends on a request has changed TX or the way through the rules.
    open: bool,
    initial: State,
    removers: Vec<Bits>,
}

/// Works out what is left.
pub(super) fn fold(rules: &Rules, settings: &Settings) -> Result<Folded, PlanError> {
    let mut removed = Bits::default();
    for selector in &settings.removed {
        removed.union(&Bits::of(&matching(&rules.rules, selector)?));
    }
    let state = State::new(&settings.tx);
    let mut folder = Folder { rules, initial: state.clone(), state, open: true, removers: removers(rules)? };
    let mut phases: [Vec<(usize, State)>; 5] = std::array::from_fn(|_| Vec::new());
    for (number, steps) in (1u8..).zip(&mut phases) {
        folder.phase(number, steps, &removed);
    }
    if folder.open {
        folder.initial = folder.state;
    }
    Ok(Folded { phases, initial: folder.initial })
}

/// The sets of rules that a `ctl` can remove while a request runs.
fn removers(rules: &Rules) -> Result<Vec<Bits>, Reason> {
    let links = rules.rules.iter().flat_map(|rule| &rule.links);
    let mut found = Vec::new();
    for effect in links.flat_map(|link| &link.effects) {
        if let Effect::Ctl(Ctl::RemoveRules(selector)) = effect {
            found.push(Bits::of(&matching(&rules.rules, selector)?));
        }
    }
    Ok(found)
}

impl Folder<'_> {
    fn phase(&mut self, number: u8, steps: &mut Vec<(usize, State)>, removed: &Bits) {
        // Phase 5 also runs after a refusal, when not all before it ran: nothing set on the way is known there, and
        // nothing was, because `open` ends with the first rule that can refuse.
        let mut skip_to = 0;
        for (index, rule) in self.rules.rules.iter().enumerate() {
            if rule.phase != number || index < skip_to || removed.has(index) {
                continue;
            }
            match self.decide(index, rule) {
                Decision::Drop => {}
                Decision::Skip(to) => skip_to = to,
                Decision::Keep => {
                    self.keep(rule);
                    steps.push((index, self.before(rule)));
                }
            }
        }
    }

    /// What is known before a rule that is kept, without what it changes itself: a rule may match more than once.
    fn before(&self, rule: &Rule) -> State {
        let mut state = self.state.clone();
        for effect in rule.links.iter().flat_map(|link| &link.effects) {
            state.forget(effect);
        }
        state
    }

    fn decide(&mut self, index: usize, rule: &Rule) -> Decision {
        let mut all = true;
        let mut effects: Vec<&Effect> = Vec::new();
        for link in &rule.links {
            match holds(link, &self.state) {
                Some(false) if effects.is_empty() => return Decision::Drop,
                Some(true) => {}
                _ => {
                    all = false;
                    if link.capture {
                        return Decision::Keep;
                    }
                }
            }
            effects.extend(&link.effects);
        }
        let quiet = all && rule.outcome_is_pass() && !rule.log && rule.skip == 0;
        if !quiet {
            return Decision::Keep;
        }
        match &rule.skip_after {
            None if self.open && self.state.apply(&effects) => Decision::Drop,
            Some(marker) if effects.is_empty() => match self.rules.after_marker(index, marker) {
                Some(to) if self.may_skip(index, to, rule.phase) => Decision::Skip(to),
                _ => Decision::Keep,
            },
            _ => Decision::Keep,
        }
    }

    /// Whether whatever removes the rule that skips removes all that it skips too.
    fn may_skip(&self, from: usize, to: usize, phase: u8) -> bool {
        let skipped = || self.rules.rules.iter().enumerate().take(to).skip(from + 1);
        let same = |(at, rule): (usize, &Rule)| (rule.phase == phase).then_some(at);
        let removers = || self.removers.iter().filter(|set| set.has(from));
        removers().all(|set| skipped().filter_map(same).all(|at| set.has(at)))
    }

    fn keep(&mut self, rule: &Rule) {
        let mut harmless = rule.outcome_is_pass() && rule.skip == 0 && rule.skip_after.is_none();
        for link in &rule.links {
            harmless &= !link.capture && link.effects.iter().all(is_harmless);
        }
        if self.open && !harmless {
            self.open = false;
            self.initial = self.state.clone();
        }
        for effect in rule.links.iter().flat_map(|link| &link.effects) {
            self.state.forget(effect);
        }
    }
}

enum Decision {
    Drop,
    Skip(usize),
    Keep,
}

fn is_harmless(effect: &Effect) -> bool {
    match effect {
        Effect::SetVar(set) => set.collection != Collection::Tx,
        Effect::ExpireVar { collection, .. } => *collection != Collection::Tx,
        Effect::Ctl(Ctl::RemoveRules(_) | Ctl::RuleEngine(RuleEngine::Off)) => false,
        _ => true,
    }
}

impl Rule {
    fn outcome_is_pass(&self) -> bool {
        self.disruptive == Outcome::Pass
    }
}

/// Whether a link matches, where that is the same for all requests.
fn holds(link: &Link, state: &State) -> Option<bool> {
    if link.included.is_empty() && matches!(link.check, Check::Always) {
        return Some(true);
    }
    if link.capture || link.multi_match || !link.excluded.is_empty() {
        return None;
    }
    let argument = state.text(&link.argument).filter(|_| !link.check.is_heavy())?;
    let mut any = false;
    for target in &link.included {
        let text = match (state.target(target)?, target.count) {
            (Known::Unset, true) => b"0".to_vec(),
            (Known::Text(_), true) => b"1".to_vec(),
            (Known::Unset, false) => continue,
            (Known::Text(text), false) => text,
        };
        let text = link.transformations.iter().fold(text, |text, step| step.apply(&text).into_owned());
        any |= link.check.holds(&text, &argument, None).ok()? != link.negated;
    }
    Some(any)
}
