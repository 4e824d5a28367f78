//! What a match changes: variables, collections kept by address, the engine for the rest of the transaction.

use super::{Span, Transaction};
use crate::{
    plan::program::{Change, NewValue, Text, TxName, TxValue},
    rules::number,
    seclang::variable::Collection,
};

impl<'p> Transaction<'p> {
    pub(super) fn change(&mut self, changes: &'p [Change]) {
        for change in changes {
            match change {
                Change::Tx(name, value) => self.set_tx(name, value),
                Change::Kept(collection, name, value) => self.set_kept(*collection, name, value),
                Change::Env(name, value) => {
                    let name = self.owned(name);
                    let value = value.as_ref().map(|value| self.owned(value));
                    self.env.retain(|(known, _)| *known != name);
                    self.env.extend(value.map(|value| (name, value)));
                }
                Change::Expire(collection, name, seconds) => self.expire(*collection, name, seconds),
                Change::Init(collection, key) => {
                    let key = self.owned(key);
                    self.collections.retain(|(known, _)| known != collection);
                    self.collections.push((*collection, key));
                }
                Change::Engine(engine) => self.engine = *engine,
                Change::Remove(rules) => self.removed.union(rules),
                Change::RemoveTarget(rules, read) => self.removed_targets.push((rules.clone(), read)),
                Change::BodyProcessor(name) => self.body.processor = Some(name.clone()),
                Change::ForceBody(on) => self.body.force = *on,
                Change::RequestBody(on) => self.body.inspect = *on,
                Change::ResponseBody(on) => self.body.inspect_response = *on,
                Change::RequestBodyLimit(bytes) => {
                    self.body.bytes_max = self.plan.limits.request_body_bytes_max.min(*bytes);
                }
                Change::ResponseBodyLimit(bytes) => {
                    self.body.response_bytes_max = self.plan.limits.response_body_bytes_max.min(*bytes);
                }
                Change::SanitiseMatched => self.sanitise_matched = true,
                Change::Sanitise(collection, name) => self.sanitised.push((*collection, name)),
            }
        }
    }

    fn set_tx(&mut self, name: &'p TxName, value: &'p NewValue) {
        match name {
            TxName::Slot(slot) => {
                let at = usize::from(*slot);
                let before = self.scratch.tx.get(at).copied().unwrap_or_default();
                let value = self.new_value(before, value);
                self.scratch.tx.get_mut(at).into_iter().for_each(|of| *of = value);
            }
            TxName::Made(name) => {
                let name = self.owned(name).to_ascii_lowercase();
                if let Some(at) = self.plan.slot(&name) {
                    let before = self.scratch.tx.get(at).copied().unwrap_or_default();
                    let value = self.new_value(before, value);
                    self.scratch.tx.get_mut(at).into_iter().for_each(|of| *of = value);
                    return;
                }
                let before = self.scratch.extra(&name).unwrap_or_default();
                let value = self.new_value(before, value);
                let same = |known: &(Span, TxValue)| self.scratch.bytes(known.0) == name;
                let known = self.scratch.extra.iter().position(same);
                let room = self.scratch.extra.len() < self.plan.limits.values_max;
                if let Some((_, of)) = known.and_then(|at| self.scratch.extra.get_mut(at)) {
                    *of = value;
                } else if room {
                    let name = self.scratch.push(&name);
                    self.scratch.extra.push((name, value));
                }
            }
        }
    }

    fn new_value(&mut self, before: TxValue, value: &'p NewValue) -> TxValue {
        let sum = |this: &Self, by: i64| TxValue::Number(this.number(before).saturating_add(by));
        match value {
            NewValue::Unset => TxValue::Unset,
            NewValue::Add(by) => sum(self, *by),
            NewValue::AddText(by) => {
                let by = number(&self.owned(by));
                sum(self, by)
            }
            NewValue::SubtractText(by) => {
                let by = number(&self.owned(by)).saturating_neg();
                sum(self, by)
            }
            NewValue::Text(text) => TxValue::Text(self.kept_text(text)),
        }
    }

    fn kept_text(&mut self, text: &'p Text) -> Span {
        match self.expand(text) {
            super::read::Expanded::Fixed(text) => self.scratch.push(text),
            super::read::Expanded::Made(span) => span,
        }
    }

    fn number(&self, value: TxValue) -> i64 {
        match value {
            TxValue::Unset => 0,
            TxValue::Number(number) => number,
            TxValue::Constant(at) => number(self.constant(at)),
            TxValue::Text(span) => number(self.scratch.bytes(span)),
        }
    }

    fn set_kept(&mut self, collection: Collection, name: &'p Text, value: &'p NewValue) {
        let name = self.owned(name).to_ascii_lowercase();
        let by = match value {
            NewValue::Text(text) | NewValue::AddText(text) | NewValue::SubtractText(text) => self.owned(text),
            NewValue::Add(by) => by.to_string().into_bytes(),
            NewValue::Unset => Vec::new(),
        };
        let Some(memory) = self.world.memory else { return };
        let Some((_, key)) = self.collections.iter().find(|(known, _)| *known == collection) else { return };
        let ends_s = self.world.epoch_s.saturating_add(self.plan.limits.collection_timeout_s);
        memory.change(collection, key, &name, (self.world.epoch_s, ends_s), |before| match value {
            NewValue::Unset => None,
            NewValue::Text(_) => Some(by),
            NewValue::SubtractText(_) => {
                let before = number(before.unwrap_or_default());
                Some(before.saturating_sub(number(&by)).to_string().into_bytes())
            }
            NewValue::Add(_) | NewValue::AddText(_) => {
                let before = number(before.unwrap_or_default());
                Some(before.saturating_add(number(&by)).to_string().into_bytes())
            }
        });
    }

    fn expire(&mut self, collection: Collection, name: &'p Text, seconds: &'p Text) {
        let name = self.owned(name).to_ascii_lowercase();
        let seconds = u64::try_from(number(&self.owned(seconds))).unwrap_or(0);
        let Some(memory) = self.world.memory else { return };
        let Some((_, key)) = self.collections.iter().find(|(known, _)| *known == collection) else { return };
        memory.expire(collection, key, &name, self.world.epoch_s.saturating_add(seconds));
    }
}
