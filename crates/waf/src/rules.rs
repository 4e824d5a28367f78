//! Loaded rules: chains put together, defaults and updates applied, patterns compiled. Immutable afterwards; which of
//! them run for whom is the plan's, never known here.

mod check;
mod link;
mod select;

use std::{collections::HashMap, sync::Arc};

pub(crate) use self::check::{Capture, Captures, Check, Comparison, TextTest};
use self::link::Compiler;
pub(crate) use self::select::matching;
pub(crate) use crate::operator::number;
use crate::{
    pattern::Pattern,
    seclang::{
        self, Directive, Files, LoadError, Located, Metered, Place, Reason, RuleText, Setting, Source,
        Update,
        action::{Actions, Allow, Disruptive, Effect},
        operator::Template,
        variable::{Selector, Target},
    },
    transform::Transformation,
};

/// All rules of a set, compiled. Shared by every plan that is made of it.
#[derive(Debug)]
pub struct Rules {
    pub(crate) rules: Vec<Rule>,
    /// (position among the rules, name): a marker stands before the rule of that position.
    pub(crate) markers: Vec<(usize, String)>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) selectors: HashMap<String, Arc<Pattern>>,
    count: usize,
    warnings: Vec<String>,
}

/// One rule, or one chain.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) place: Place,
    pub(crate) id: u64,
    pub(crate) phase: u8,
    pub(crate) links: Vec<Link>,
    pub(crate) disruptive: Outcome,
    pub(crate) status: u16,
    pub(crate) log: bool,
    pub(crate) message: Option<Template>,
    pub(crate) severity: Option<u8>,
    pub(crate) tags: Vec<Template>,
    pub(crate) version: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) skip: u32,
    pub(crate) skip_after: Option<String>,
}

/// What a match leads to, `block` resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pass,
    Deny,
    Drop,
    Allow(Allow),
    Redirect(Template),
}

/// One link of a chain; a rule that is none has one.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) included: Vec<Target>,
    pub(crate) excluded: Vec<Target>,
    pub(crate) negated: bool,
    pub(crate) check: Check,
    pub(crate) argument: Template,
    pub(crate) transformations: Vec<Transformation>,
    pub(crate) capture: bool,
    pub(crate) multi_match: bool,
    pub(crate) effects: Vec<Effect>,
    pub(crate) message: Option<Template>,
    pub(crate) data: Option<Template>,
}

impl Rules {
    /// Reads, checks and compiles rules; `files` gives what they name.
    ///
    /// # Errors
    /// At the first thing that is not understood, with its file and line.
    pub fn load(sources: &[Source<'_>], files: &dyn Files) -> Result<Self, LoadError> {
        let files = Metered::new(files);
        let mut loader = Loader::new(&files);
        for located in seclang::parse(sources, &files)? {
            loader.take(located)?;
        }
        loader.finish()
    }

    /// What is taken though it can do nothing here, each with its file and line.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How many rules there are; a chain is one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// The bounds that the rules' own directives ask for, with the defaults where they are silent.
    #[must_use]
    pub fn limits(&self) -> crate::Limits {
        crate::Settings::default().with(&self.settings).0
    }

    /// Whether rules refuse, only tell, or do not run, as their own directives say.
    #[must_use]
    pub fn engine(&self) -> seclang::action::RuleEngine {
        crate::Settings::default().with(&self.settings).1
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

struct Loader<'a> {
    files: &'a dyn Files,
    compiler: Compiler,
    defaults: [Actions; 6],
    rules: Vec<Rule>,
    markers: Vec<(usize, String)>,
    settings: Vec<Setting>,
    selectors: HashMap<String, Arc<Pattern>>,
    open: Option<Place>,
    ids: HashMap<u64, Place>,
    warnings: Vec<String>,
}

impl<'a> Loader<'a> {
    fn new(files: &'a dyn Files) -> Self {
        Self {
            files,
            compiler: Compiler::default(),
            defaults: std::array::from_fn(|_| Actions::default()),
            rules: Vec::new(),
            markers: Vec::new(),
            settings: Vec::new(),
            selectors: HashMap::new(),
            open: None,
            ids: HashMap::new(),
            warnings: Vec::new(),
        }
    }

    fn take(&mut self, located: Located) -> Result<(), LoadError> {
        let Located { place, directive } = located;
        if let Some(starter) = self.open.as_ref().filter(|_| !matches!(directive, Directive::Rule(_))) {
            return Err(LoadError { place, reason: Reason::Chain { starter: starter.line } });
        }
        let at = |reason| LoadError { place: place.clone(), reason };
        match directive {
            Directive::Rule(rule) => self.rule(&place, *rule).map_err(at)?,
            Directive::Marker(name) => self.markers.push((self.rules.len(), name)),
            Directive::DefaultAction(actions) => {
                let phase = usize::from(actions.phase.unwrap_or(2));
                if let Some(default) = self.defaults.get_mut(phase) {
                    *default = *actions;
                }
            }
            Directive::Remove(selector) => {
                let found = matching(&self.rules, &selector).map_err(at)?;
                self.remove(&found);
            }
            Directive::Update(selector, update) => {
                for index in matching(&self.rules, &selector).map_err(at)? {
                    self.update(index, &update).map_err(at)?;
                }
            }
            Directive::Setting(setting) => self.settings.push(setting),
            Directive::Include(_) | Directive::IncludeOptional(_) | Directive::Nothing => {}
        }
        Ok(())
    }

    fn remove(&mut self, found: &[usize]) {
        for index in found.iter().rev() {
            let gone = self.rules.remove(*index);
            self.ids.remove(&gone.id);
            for (position, _) in &mut self.markers {
                *position -= usize::from(*position > *index);
            }
        }
    }

    fn rule(&mut self, place: &Place, text: RuleText) -> Result<(), Reason> {
        let chain = text.actions.chain;
        if self.open.is_some() {
            self.link(place, text)?;
        } else {
            self.starter(place, text)?;
        }
        self.open = if chain { self.open.take().or_else(|| Some(place.clone())) } else { None };
        Ok(())
    }

    fn starter(&mut self, place: &Place, text: RuleText) -> Result<(), Reason> {
        let id = text.actions.id.ok_or(Reason::NoId)?;
        if let Some(first) = self.ids.get(&id) {
            return Err(Reason::Duplicate { id, first: first.clone() });
        }
        self.ids.insert(id, place.clone());
        let phase = text.actions.phase.unwrap_or(2);
        let default = self.defaults.get(usize::from(phase)).cloned().unwrap_or_default();
        let actions = text.actions.clone();
        let blocked = || match &default.disruptive {
            None | Some(Disruptive::Block) => Disruptive::Pass,
            Some(other) => other.clone(),
        };
        let disruptive = match actions.disruptive.clone() {
            None | Some(Disruptive::Block) => blocked(),
            Some(own) => own,
        };
        let link = self.compile(place, text, &default)?;
        self.rules.push(Rule {
            place: place.clone(),
            id,
            phase,
            links: vec![link],
            disruptive: outcome(disruptive),
            status: actions.status.or(default.status).unwrap_or(403),
            log: actions.log.or(default.log).unwrap_or(true),
            message: actions.message,
            severity: actions.severity,
            tags: [default.tags, actions.tags].concat(),
            version: actions.version,
            revision: actions.revision,
            skip: actions.skip.unwrap_or(0),
            skip_after: actions.skip_after,
        });
        Ok(())
    }

    fn link(&mut self, place: &Place, text: RuleText) -> Result<(), Reason> {
        if let Some(named) = of_starter(&text.actions) {
            return Err(Reason::Link(named));
        }
        let phase = self.rules.last().map_or(2, |rule| rule.phase);
        let default = self.defaults.get(usize::from(phase)).cloned().unwrap_or_default();
        let (severity, tags) = (text.actions.severity, text.actions.tags.clone());
        let link = self.compile(place, text, &default)?;
        if let Some(rule) = self.rules.last_mut() {
            rule.links.push(link);
            rule.severity = rule.severity.or(severity);
            rule.tags.extend(tags);
        }
        Ok(())
    }

    fn compile(&mut self, place: &Place, text: RuleText, default: &Actions) -> Result<Link, Reason> {
        self.warn(place, &text);
        let (check, negated, argument) = match text.test {
            None => (Check::Always, false, Template::default()),
            Some(test) => {
                let check = self.compiler.check(&test, &place.file, self.files)?;
                (check, test.negated, test.argument)
            }
        };
        let mut transformations =
            if text.actions.transformations_reset { Vec::new() } else { default.transformations.clone() };
        transformations.extend(text.actions.transformations);
        let targets = text.targets;
        self.select(targets.included.iter().chain(&targets.excluded))?;
        for effect in &text.actions.effects {
            if let Effect::Ctl(seclang::action::Ctl::RemoveTarget(_, target)) = effect {
                self.select([target].into_iter())?;
            }
        }
        Ok(Link {
            included: targets.included,
            excluded: targets.excluded,
            negated,
            check,
            argument,
            transformations,
            capture: text.actions.capture,
            multi_match: text.actions.multi_match,
            effects: text.actions.effects,
            message: text.actions.message,
            data: text.actions.data,
        })
    }

    /// Tells of what never matches because nobody is asked.
    fn warn(&mut self, place: &Place, text: &RuleText) {
        use seclang::{operator::Operator, variable::Collection};
        let what = match text.test.as_ref().map(|test| test.operator) {
            Some(Operator::Rbl) => "`@rbl` never matches: no list is asked while a request waits",
            Some(Operator::GeoLookup) => "`@geoLookup` never matches: there is no database of places",
            _ if text.targets.included.iter().any(|target| target.collection == Collection::Geo) => {
                "`GEO` is always empty: there is no database of places"
            }
            _ => return,
        };
        self.warnings.push(format!("{place}: {what}"));
    }

    /// Compiles the patterns of selectors.
    fn select<'t>(&mut self, targets: impl Iterator<Item = &'t Target>) -> Result<(), Reason> {
        for target in targets {
            if let Selector::Pattern(text) = &target.selector {
                let pattern = self.compiler.patterns.compile(text, true)?;
                self.selectors.insert(text.clone(), pattern);
            }
        }
        Ok(())
    }

    fn update(&mut self, index: usize, update: &Update) -> Result<(), Reason> {
        if let Update::Targets { targets, .. } = update {
            self.select(targets.included.iter().chain(&targets.excluded))?;
        }
        let Some(rule) = self.rules.get_mut(index) else { return Ok(()) };
        match update {
            Update::Targets { targets, replaced } => {
                let Some(link) = rule.links.first_mut() else { return Ok(()) };
                if let Some(replaced) = replaced {
                    link.included.retain(|target| !replaced.included.contains(target));
                }
                link.included.extend(targets.included.iter().cloned());
                link.excluded.extend(targets.excluded.iter().cloned());
            }
            Update::Actions(actions) => update_actions(rule, actions)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Rules, LoadError> {
        if let Some(place) = self.open {
            let starter = place.line;
            return Err(LoadError { place, reason: Reason::Chain { starter } });
        }
        let rules = Rules {
            count: self.rules.len(),
            rules: self.rules,
            markers: self.markers,
            settings: self.settings,
            selectors: self.selectors,
            warnings: self.warnings,
        };
        for (index, rule) in rules.rules.iter().enumerate() {
            if let Some(marker) = &rule.skip_after
                && rules.after_marker(index, marker).is_none()
            {
                let reason = Reason::Marker { marker: marker.clone() };
                return Err(LoadError { place: rule.place.clone(), reason });
            }
        }
        Ok(rules)
    }
}

impl Rules {
    /// The position of the first rule behind the marker, or behind the rule of that id, that follows `index`.
    pub(crate) fn after_marker(&self, index: usize, marker: &str) -> Option<usize> {
        let named = self.markers.iter().find(|(position, name)| *position > index && name == marker);
        if let Some((position, _)) = named {
            return Some(*position);
        }
        let id: u64 = marker.parse().ok()?;
        let behind = self.rules.iter().skip(index + 1).position(|rule| rule.id == id)?;
        Some(index + behind + 2)
    }

    /// The compiled pattern of a selector.
    pub(crate) fn selector(&self, text: &str) -> Option<Arc<Pattern>> {
        self.selectors.get(text).cloned()
    }
}

/// An action that only the first rule of a chain may have.
fn of_starter(actions: &Actions) -> Option<&'static str> {
    let found = [
        (actions.id.is_some(), "id"),
        (actions.phase.is_some(), "phase"),
        (actions.disruptive.is_some(), "a disruptive action"),
        (actions.status.is_some(), "status"),
        (actions.skip.is_some(), "skip"),
        (actions.skip_after.is_some(), "skipAfter"),
    ];
    found.into_iter().find(|(there, _)| *there).map(|(_, name)| name)
}

fn outcome(disruptive: Disruptive) -> Outcome {
    match disruptive {
        Disruptive::Pass | Disruptive::Block => Outcome::Pass,
        Disruptive::Deny => Outcome::Deny,
        Disruptive::Drop => Outcome::Drop,
        Disruptive::Allow(scope) => Outcome::Allow(scope),
        Disruptive::Redirect(to) => Outcome::Redirect(to),
    }
}

fn update_actions(rule: &mut Rule, actions: &Actions) -> Result<(), Reason> {
    if actions.id.is_some() || actions.phase.is_some_and(|phase| phase != rule.phase) || actions.chain {
        let why = "`id`, `phase` and `chain` of a rule cannot be changed";
        let value = rule.id.to_string();
        return Err(Reason::Argument { what: "SecRuleUpdateActionById".to_owned(), why, value });
    }
    if let Some(disruptive) = actions.disruptive.clone() {
        rule.disruptive = outcome(disruptive);
    }
    rule.status = actions.status.unwrap_or(rule.status);
    rule.log = actions.log.unwrap_or(rule.log);
    rule.message = actions.message.clone().or_else(|| rule.message.take());
    rule.severity = actions.severity.or(rule.severity);
    rule.tags.extend(actions.tags.iter().cloned());
    rule.skip = actions.skip.unwrap_or(rule.skip);
    rule.skip_after = actions.skip_after.clone().or_else(|| rule.skip_after.take());
    if let Some(link) = rule.links.first_mut() {
        if actions.transformations_reset {
            link.transformations.clear();
        }
        link.transformations.extend(actions.transformations.iter().copied());
        link.capture |= actions.capture;
        link.multi_match |= actions.multi_match;
        link.effects.extend(actions.effects.iter().cloned());
        link.data = actions.data.clone().or_else(|| link.data.take());
    }
    Ok(())
}
