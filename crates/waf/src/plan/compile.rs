//! Rules that are left, turned into steps: names into slots, texts into parts, lists of transformations into places of
//! the tree, patterns into guards.

mod guards;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use self::guards::Alone;
use super::{
    Limits, Plan, PlanError, Settings,
    fold::Folded,
    known::State,
    program::{
        Bits, Change, NewValue, Part, Read, Reads, RunLink, RunOutcome, Select, Slots, Step, Text, TxName,
        TxValue,
    },
    scanner::{Long, Places, Scanner, Wanted},
    tree::{Tree, Triggered},
};
use crate::{
    pattern::{Pattern, Patterns},
    rules::{Link, Outcome, Rule, Rules, matching},
    seclang::{
        Setting,
        action::{Ctl, Effect, RuleEngine, Sanitise, SetVar, SetVarValue},
        operator::{Piece, Template},
        variable::{Collection, Selector, Target},
    },
};

/// The most names of TX.
const NAMES_MAX: usize = 60_000;

pub(super) struct Compiler<'a> {
    rules: &'a Arc<Rules>,
    settings: &'a Settings,
    tree: Tree,
    names: Vec<Box<[u8]>>,
    slots: HashMap<String, u16>,
    guards: u32,
    request: Vec<Wanted>,
    response: Vec<Wanted>,
    request_places: Vec<Places>,
    response_places: Vec<Places>,
    patterns: Vec<Arc<Pattern>>,
    alone: Vec<Alone>,
    request_long: Vec<Long>,
    response_long: Vec<Long>,
    removed_targets: Vec<(Bits, Target)>,
    reads: Reads,
    initial: State,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        rules: &'a Arc<Rules>,
        settings: &'a Settings,
        folded: &Folded,
    ) -> Result<Self, PlanError> {
        let places = || vec![Places::default(); Collection::COUNT];
        let mut removed_targets = Vec::new();
        for (selector, target) in &settings.removed_targets {
            removed_targets.push((Bits::of(&matching(&rules.rules, selector)?), target.clone()));
        }
        let mut compiler = Self {
            rules,
            settings,
            tree: Tree::default(),
            names: Vec::new(),
            slots: HashMap::new(),
            guards: 0,
            request: Vec::new(),
            response: Vec::new(),
            request_places: places(),
            response_places: places(),
            patterns: Vec::new(),
            alone: Vec::new(),
            request_long: Vec::new(),
            response_long: Vec::new(),
            removed_targets,
            reads: Reads::default(),
            initial: folded.initial.clone(),
        };
        // INVARIANT: the slots 0 to 9 are what a capture sets.
        for digit in 0..10 {
            compiler.slot(&digit.to_string())?;
        }
        for (name, _) in folded.initial.all() {
            compiler.slot(&name)?;
        }
        Ok(compiler)
    }

    pub(super) fn phases(&mut self, folded: &Folded) -> Result<[Vec<Step>; 5], PlanError> {
        let mut phases: [Vec<Step>; 5] = std::array::from_fn(|_| Vec::new());
        for (number, (steps, left)) in (1u8..).zip(phases.iter_mut().zip(&folded.phases)) {
            for (index, state) in left {
                if let Some(rule) = self.rules.rules.get(*index) {
                    let jump = self.jump(*index, rule, number, left);
                    steps.push(self.step(*index, rule, jump, state)?);
                }
            }
        }
        Ok(phases)
    }

    /// Where a match goes on, as a step of the same phase.
    fn jump(&self, index: usize, rule: &Rule, phase: u8, left: &[(usize, State)]) -> Option<usize> {
        let to = if let Some(marker) = &rule.skip_after {
            self.rules.after_marker(index, marker)?
        } else if rule.skip > 0 {
            let skip = usize::try_from(rule.skip).unwrap_or(usize::MAX);
            let behind = self.rules.rules.iter().enumerate().skip(index + 1);
            let same = behind.filter(|(_, other)| other.phase == phase);
            same.map(|(at, _)| at + 1).take(skip).last()?
        } else {
            return None;
        };
        Some(left.iter().take_while(|(at, _)| *at < to).count())
    }

    fn step(
        &mut self,
        index: usize,
        rule: &Rule,
        jump: Option<usize>,
        state: &State,
    ) -> Result<Step, PlanError> {
        let outcome = match &rule.disruptive {
            Outcome::Redirect(to) => RunOutcome::Redirect(self.text(to, state)?),
            other => RunOutcome::Fixed(other.clone()),
        };
        let mut links = Vec::with_capacity(rule.links.len());
        for (number, link) in rule.links.iter().enumerate() {
            links.push(self.link(index, number, rule, link, state)?);
        }
        let message = rule.message.as_ref().map(|text| self.text(text, state)).transpose()?;
        let mut tags = Vec::new();
        if rule.tags.iter().any(Template::has_macro) {
            for tag in &rule.tags {
                tags.push(self.text(tag, state)?);
            }
        }
        Ok(Step { rule: index, links, outcome, jump, message, tags })
    }

    fn link(
        &mut self,
        index: usize,
        number: usize,
        rule: &Rule,
        link: &Link,
        state: &State,
    ) -> Result<RunLink, PlanError> {
        let mut excluded = link.excluded.clone();
        let removed = self.removed_targets.iter().filter(|(rules, _)| rules.has(index));
        excluded.extend(removed.map(|(_, target)| target.clone()));
        let reads = self.reads(&link.included)?;
        let node = self.tree.place(&link.transformations);
        let path = if link.multi_match { self.tree.path(node) } else { Vec::new() };
        let argument = self.text(&link.argument, state)?;
        let mut changes = Vec::new();
        for effect in &link.effects {
            changes.extend(self.change(effect, state)?);
        }
        let mut compiled = RunLink {
            reads,
            excluded: self.reads(&excluded)?,
            negated: link.negated,
            check: link.check.clone(),
            argument,
            node,
            path,
            capture: link.capture,
            guard: None,
            pattern: None,
            changes,
            message: link.message.as_ref().map(|text| self.text(text, state)).transpose()?,
            data: link.data.as_ref().map(|text| self.text(text, state)).transpose()?,
        };
        compiled.guard = self.guard(rule.phase, number, &compiled);
        compiled.pattern = self.long(rule.phase, number, &compiled);
        Ok(compiled)
    }

    fn slot(&mut self, name: &str) -> Result<u16, PlanError> {
        let name = name.to_ascii_lowercase();
        if let Some(slot) = self.slots.get(&name) {
            return Ok(*slot);
        }
        let slot = u16::try_from(self.names.len()).map_err(|_| PlanError::Names(NAMES_MAX))?;
        if self.names.len() > NAMES_MAX {
            return Err(PlanError::Names(NAMES_MAX));
        }
        self.names.push(name.clone().into_bytes().into_boxed_slice());
        self.slots.insert(name, slot);
        Ok(slot)
    }

    fn reads(&mut self, targets: &[Target]) -> Result<Vec<Read>, PlanError> {
        targets.iter().map(|target| self.read(target)).collect()
    }

    fn read(&mut self, target: &Target) -> Result<Read, PlanError> {
        self.reads.add(target.collection);
        let select = match &target.selector {
            Selector::All => Select::All,
            Selector::Key(name) if target.collection == Collection::Tx => Select::Slot(self.slot(name)?),
            Selector::Key(name) => Select::Key(name.clone().into_bytes().into_boxed_slice()),
            Selector::Pattern(text) => {
                let pattern = match self.rules.selector(text) {
                    Some(pattern) => pattern,
                    None => Patterns::default().compile(text, true)?,
                };
                match target.collection {
                    Collection::Tx => Select::Slots(pattern, Slots::default()),
                    _ => Select::Pattern(pattern),
                }
            }
        };
        Ok(Read { collection: target.collection, select, count: target.count })
    }

    fn text(&mut self, template: &Template, state: &State) -> Result<Text, PlanError> {
        let left = match state.fold(template) {
            Ok(text) => return Ok(text),
            Err(left) => left,
        };
        let mut parts = Vec::with_capacity(left.0.len());
        for piece in &left.0 {
            parts.push(match piece {
                Piece::Text(text) => Part::Text(text.clone().into_bytes().into_boxed_slice()),
                Piece::Macro(target) => Part::Read(self.read(target)?),
            });
        }
        Ok(Text::Made(parts))
    }

    fn change(&mut self, effect: &Effect, state: &State) -> Result<Option<Change>, PlanError> {
        Ok(Some(match effect {
            Effect::SetVar(set) => return self.set_var(set, state),
            Effect::SetEnv { name, value } => {
                let value = value.as_ref().map(|value| self.text(value, state)).transpose()?;
                Change::Env(self.text(name, state)?, value)
            }
            Effect::ExpireVar { collection, name, seconds } => {
                Change::Expire(*collection, self.text(name, state)?, self.text(seconds, state)?)
            }
            Effect::InitCollection { collection, key } => Change::Init(*collection, self.text(key, state)?),
            Effect::Ctl(ctl) => return self.ctl(ctl),
            Effect::Sanitise(Sanitise::Matched) => Change::SanitiseMatched,
            Effect::Sanitise(Sanitise::Named(collection, name)) => {
                Change::Sanitise(*collection, name.clone().into_bytes().into_boxed_slice())
            }
        }))
    }

    fn set_var(&mut self, set: &SetVar, state: &State) -> Result<Option<Change>, PlanError> {
        let value = match &set.value {
            SetVarValue::Text(text) => NewValue::Text(self.text(text, state)?),
            SetVarValue::Unset => NewValue::Unset,
            SetVarValue::Subtract(by) => NewValue::SubtractText(self.text(by, state)?),
            SetVarValue::Add(by) => match self.text(by, state)? {
                Text::Fixed(by) => NewValue::Add(crate::rules::number(&by)),
                by @ Text::Made(_) => NewValue::AddText(by),
            },
        };
        let name = self.text(&set.name, state)?;
        if set.collection != Collection::Tx {
            return Ok(Some(Change::Kept(set.collection, name, value)));
        }
        let name = match name {
            Text::Fixed(name) => {
                let name = String::from_utf8_lossy(&name).to_ascii_lowercase();
                if state.is_pinned(&name) {
                    return Ok(None);
                }
                TxName::Slot(self.slot(&name)?)
            }
            made @ Text::Made(_) => TxName::Made(made),
        };
        Ok(Some(Change::Tx(name, value)))
    }

    fn ctl(&mut self, ctl: &Ctl) -> Result<Option<Change>, PlanError> {
        Ok(Some(match ctl {
            Ctl::RuleEngine(engine) => Change::Engine(*engine),
            Ctl::RemoveRules(selector) => {
                Change::Remove(Arc::new(Bits::of(&matching(&self.rules.rules, selector)?)))
            }
            Ctl::RemoveTarget(selector, target) => {
                let rules = Bits::of(&matching(&self.rules.rules, selector)?);
                Change::RemoveTarget(Arc::new(rules), self.read(target)?)
            }
            Ctl::BodyProcessor(name) => Change::BodyProcessor(name.clone()),
            Ctl::ForceBodyVariable(on) => Change::ForceBody(*on),
            Ctl::RequestBody(on) => Change::RequestBody(*on),
            Ctl::ResponseBody(on) => Change::ResponseBody(*on),
            Ctl::RequestBodyLimit(bytes) => Change::RequestBodyLimit(*bytes),
            Ctl::ResponseBodyLimit(bytes) => Change::ResponseBodyLimit(*bytes),
            Ctl::Nothing => return Ok(None),
        }))
    }

    pub(super) fn finish(
        mut self,
        phases: [Vec<Step>; 5],
        limits: Limits,
        engine: RuleEngine,
    ) -> Result<Plan, PlanError> {
        let guards = usize::try_from(self.guards).unwrap_or(usize::MAX);
        let (request_joined, response_joined) = (self.joined(false), self.joined(true));
        let mut constants: Vec<Box<[u8]>> = Vec::new();
        let mut initial = vec![TxValue::Unset; self.names.len()];
        for (name, value) in self.initial.all() {
            let slot = self.slots.get(&name).and_then(|slot| initial.get_mut(usize::from(*slot)));
            if let (Some(slot), Ok(index)) = (slot, u32::try_from(constants.len())) {
                *slot = TxValue::Constant(index);
                constants.push(value.into_boxed_slice());
            }
        }
        for places in self.request_places.iter_mut().chain(&mut self.response_places) {
            places.close(&self.tree);
        }
        Ok(Plan {
            rules: Arc::clone(self.rules),
            phases,
            request: Scanner::new(&self.request, guards, self.request_places)
                .with(self.request_long, request_joined),
            response: Scanner::new(&self.response, guards, self.response_places)
                .with(self.response_long, response_joined),
            triggered: Triggered::new(&self.tree),
            tree: self.tree,
            guards,
            patterns: self.patterns,
            by_name: by_name(&self.names),
            names: self.names,
            initial,
            constants,
            engine,
            limits,
            reads: self.reads,
            web_app_id: web_app_id(&self.rules.settings),
            pool: Mutex::new(Vec::new()),
            states: Mutex::new(Vec::new()),
        })
    }
}

fn by_name(names: &[Box<[u8]>]) -> Vec<usize> {
    let mut slots: Vec<usize> = (0..names.len()).collect();
    slots.sort_unstable_by_key(|slot| names.get(*slot));
    slots
}

fn web_app_id(settings: &[Setting]) -> String {
    let named = settings.iter().rev().find_map(|setting| match setting {
        Setting::WebAppId(name) => Some(name.clone()),
        _ => None,
    });
    named.unwrap_or_else(|| "default".to_owned())
}
