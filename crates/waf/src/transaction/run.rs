//! The phases: which steps run in which order, what matches, where it leads. What a match changes is done elsewhere.

use std::borrow::Cow;

use super::{
    Cause, Decision, Refusal, Span, Transaction,
    read::{Expanded, Found},
    scan,
    scratch::{Matched, push, slice},
};
use crate::{
    plan::program::{Read, RunLink, RunOutcome, Select, Step, TxValue},
    plan::tree::SCANNED_MAX,
    rules::{Capture, Captures, Check, Outcome},
    seclang::action::{Allow, RuleEngine},
};

/// A text of which one test may take a notable time, in bytes: the clock is asked after each.
const LONG: usize = 16 << 10;

impl<'p> Transaction<'p> {
    /// Runs one phase.
    pub(super) fn run(&mut self, phase: u8) -> Decision {
        self.phase = phase;
        let passed_over = match self.allowed {
            Some(Allow::All) => phase != 5,
            Some(Allow::Request) => phase <= 2,
            Some(Allow::Phase) | None => false,
        };
        if passed_over || self.engine == RuleEngine::Off || (self.exhausted && phase != 5) {
            return self.decision.clone();
        }
        let plan = self.plan;
        if phase != 5 {
            self.scan(phase > 2);
        }
        let steps = plan.phases.get(usize::from(phase - 1)).map(Vec::as_slice).unwrap_or_default();
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            at += 1;
            if self.exhausted && phase != 5 {
                return self.exhaust();
            }
            if self.is_idle(step) || self.removed.has(step.rule) {
                continue;
            }
            self.current = Some(step.rule);
            if !self.chain(step) {
                continue;
            }
            if self.matched(step) || self.engine == RuleEngine::Off {
                break;
            }
            at = step.jump.unwrap_or(at);
        }
        self.current = None;
        // The last of them may have been too much.
        if self.exhausted && phase != 5 && self.decision == Decision::Pass {
            return self.exhaust();
        }
        if self.allowed == Some(Allow::Phase) {
            self.allowed = None;
        }
        self.decision.clone()
    }

    /// Whether the first link's guard was satisfied by no value.
    fn is_idle(&self, step: &Step) -> bool {
        let guard = step.links.first().and_then(|link| link.guard);
        guard.is_some_and(|guard| self.head(guard) == 0)
    }

    fn head(&self, guard: u32) -> u32 {
        let at = usize::try_from(guard).unwrap_or(usize::MAX);
        self.scratch.heads.get(at).copied().unwrap_or(0)
    }

    fn chain(&mut self, step: &'p Step) -> bool {
        self.scratch.last = self.scratch.matched.pop().or(self.scratch.last);
        self.scratch.matched.clear();
        step.links.iter().all(|link| self.link(link))
    }

    fn link(&mut self, link: &'p RunLink) -> bool {
        if link.reads.is_empty() {
            self.change(&link.changes);
            return true;
        }
        if let Some(guard) = link.guard {
            let head = self.head(guard);
            if head == 0 {
                return false;
            }
            self.mark(head);
        }
        let argument = self.expand(&link.argument);
        let mut any = false;
        for read in &link.reads {
            any |= self.look(link, read, argument);
            if self.exhausted {
                break;
            }
        }
        any
    }

    /// Marks the values that satisfied a guard.
    fn mark(&mut self, head: u32) {
        self.scratch.mark = self.scratch.mark.wrapping_add(1);
        let mark = self.scratch.mark;
        let mut next = head;
        while let Some(at) = next.checked_sub(1).and_then(|at| usize::try_from(at).ok()) {
            let Some((value, before)) = self.scratch.hits.get(at).copied() else { break };
            let value = usize::try_from(value).ok().and_then(|at| self.scratch.values.get_mut(at));
            value.into_iter().for_each(|value| value.mark = mark);
            next = before;
        }
    }

    fn look(&mut self, link: &'p RunLink, read: &'p Read, argument: Expanded<'p>) -> bool {
        if read.count {
            let count = self.count(read, &link.excluded).to_string();
            let text = self.scratch.push(count.as_bytes());
            let name = match &read.select {
                Select::Key(key) => self.scratch.push(key),
                _ => Span::default(),
            };
            return self.value(
                link,
                Found { collection: read.collection, name, text, value: None },
                argument,
            );
        }
        let Some(length) = self.stored(read.collection).map(<[u32]>::len) else {
            let mut found = Vec::new();
            self.worked_out(read, &mut found);
            let mut any = false;
            for found in found {
                any |= !self.is_excluded(&link.excluded, &found) && self.value(link, found, argument);
            }
            return any;
        };
        let mark = link.guard.map(|_| self.scratch.mark);
        let mut any = false;
        for at in 0..length {
            let Some(index) = self.scratch.list(read.collection).get(at).copied() else { break };
            let Some(value) = self.scratch.value(index).copied() else { continue };
            if mark.is_some_and(|mark| value.mark != mark) || !self.is_selected(read, value.name) {
                continue;
            }
            let found =
                Found { collection: read.collection, name: value.name, text: value.text, value: Some(index) };
            any |= !self.is_excluded(&link.excluded, &found) && self.value(link, found, argument);
            if self.exhausted {
                break;
            }
        }
        any
    }

    /// Whether a value matches; what a match changes is done.
    fn value(&mut self, link: &'p RunLink, found: Found, argument: Expanded<'p>) -> bool {
        if link.path.is_empty() {
            let text = self.transformed(&found, link.node);
            return self.test(link, found, text, argument);
        }
        let mut before: Option<Span> = None;
        let mut any = false;
        for place in &link.path {
            let text = self.transformed(&found, *place);
            let same = before.is_some_and(|before| self.scratch.bytes(before) == self.scratch.bytes(text));
            if !same {
                any |= self.test(link, found, text, argument);
            }
            before = Some(text);
        }
        any
    }

    /// The value after the transformations of a place.
    fn transformed(&mut self, found: &Found, place: u16) -> Span {
        if place == 0 {
            return found.text;
        }
        let value = found.value.and_then(|index| self.scratch.value(index));
        if let Some(value) = value.filter(|v| usize::from(place) < SCANNED_MAX && v.done >> place & 1 == 1) {
            return self
                .scratch
                .made(value)
                .find(|(places, _)| places >> place & 1 == 1)
                .map_or(value.text, |made| made.1);
        }
        let plan = self.plan;
        let mut text = found.text;
        for place in plan.tree.path(place) {
            let Some(node) = plan.tree.node(place) else { continue };
            let made = match node.transformation.apply(slice(&self.scratch.arena, text)) {
                Cow::Borrowed(same) if same.len() == text.len() => continue,
                made => made.into_owned(),
            };
            text = push(&mut self.scratch.arena, &made);
        }
        text
    }

    fn test(&mut self, link: &'p RunLink, found: Found, text: Span, argument: Expanded<'p>) -> bool {
        self.spend(text.len() + 32);
        let mut captures: Captures = Vec::new();
        let capture = if link.capture && !link.negated { Some(&mut captures) } else { None };
        let answered = link.pattern.filter(|_| text.len() >= scan::LONG);
        let answered = answered.and_then(|number| self.scratch.answered.get(&(text, number)).copied());
        // A pattern that is there is all that is asked, but of digits, and where its parts are kept.
        let is_whole = capture.is_none() && !matches!(link.check, Check::Digits(..));
        let holds = if let Some(found) = answered.filter(|found| !found || is_whole) {
            Ok(found)
        } else {
            let bytes = self.scratch.bytes(text);
            link.check.holds(bytes, self.expanded(argument), capture)
        };
        if text.len() > LONG {
            self.spend(LONG);
        }
        let Ok(holds) = holds else {
            self.exhausted = true;
            return false;
        };
        if holds == link.negated {
            return false;
        }
        if link.capture && !link.negated && !matches!(link.check, Check::Always) {
            self.keep_captures(text, captures);
        }
        let matched = Matched { collection: found.collection, name: found.name, text };
        self.scratch.matched.push(matched);
        self.change(&link.changes);
        true
    }

    /// `TX:0` to `TX:9`
    fn keep_captures(&mut self, text: Span, captures: Captures) {
        if captures.is_empty() {
            return;
        }
        let mut captures = captures.into_iter();
        for slot in 0..10 {
            let value = match captures.next() {
                None | Some(Capture::Absent) => TxValue::Unset,
                Some(Capture::Within(range)) => TxValue::Text(text.part(&range)),
                Some(Capture::Made(made)) => TxValue::Text(self.scratch.push(&made)),
            };
            self.scratch.tx.get_mut(slot).into_iter().for_each(|of| *of = value);
        }
    }

    /// What follows when a whole chain matched; whether the phase ends.
    fn matched(&mut self, step: &'p Step) -> bool {
        let plan = self.plan;
        let Some(rule) = plan.rules.rules.get(step.rule) else { return false };
        self.matched_rules += 1;
        if let Some(severity) = rule.severity {
            self.highest_severity = Some(self.highest_severity.map_or(severity, |known| known.min(severity)));
        }
        let disruptive = !matches!(step.outcome, RunOutcome::Fixed(Outcome::Pass | Outcome::Allow(_)));
        if rule.log {
            self.tell(step, rule, disruptive);
        }
        if disruptive && self.phase != 5 {
            self.would_refuse.get_or_insert(rule.id);
        }
        if self.engine != RuleEngine::On || self.phase == 5 {
            return false;
        }
        let refusal = |status, redirect, close| {
            Decision::Refuse(Refusal { status, cause: Cause::Rule(rule.id), redirect, close })
        };
        match &step.outcome {
            RunOutcome::Fixed(Outcome::Pass | Outcome::Redirect(_)) => return false,
            RunOutcome::Fixed(Outcome::Deny) => self.decision = refusal(rule.status, None, false),
            RunOutcome::Fixed(Outcome::Drop) => self.decision = refusal(rule.status, None, true),
            RunOutcome::Fixed(Outcome::Allow(scope)) => self.allowed = Some(*scope),
            RunOutcome::Redirect(to) => {
                let to = self.owned(to);
                let status = if (300..400).contains(&rule.status) { rule.status } else { 302 };
                self.decision = refusal(status, Some(String::from_utf8_lossy(&to).into_owned()), false);
            }
        }
        true
    }
}
