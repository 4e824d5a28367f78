//! What TX is known to hold at a point of the rules, whatever the request. It may know less than is so, never more.

use std::collections::HashMap;

use crate::{
    plan::program::Text,
    seclang::{
        action::{Effect, SetVar, SetVarValue},
        operator::{Piece, Template},
        variable::{Collection, Selector, Target},
    },
};

/// What is known of one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Unset,
    Text(Vec<u8>),
}

/// What is known of all.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    values: HashMap<String, Option<Known>>,
    pinned: HashMap<String, Vec<u8>>,
    /// Names that begin so are not known.
    prefixes: Vec<String>,
}

impl State {
    pub(super) fn new(pinned: &[(String, String)]) -> Self {
        let pinned = pinned.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.clone().into_bytes())).collect();
        Self { pinned, ..Self::default() }
    }

    pub(super) fn is_pinned(&self, name: &str) -> bool {
        self.pinned.contains_key(name)
    }

    /// What is known of `name` (in lower case); none where nothing is.
    pub(super) fn get(&self, name: &str) -> Option<Known> {
        if let Some(value) = self.pinned.get(name) {
            return Some(Known::Text(value.clone()));
        }
        if let [one] = name.as_bytes()
            && one.is_ascii_digit()
        {
            return None;
        }
        match self.values.get(name) {
            Some(known) => known.clone(),
            None if self.prefixes.iter().any(|prefix| name.starts_with(prefix)) => None,
            None => Some(Known::Unset),
        }
    }

    pub(super) fn set(&mut self, name: &str, known: Option<Known>) {
        self.values.insert(name.to_owned(), known);
    }

    /// All that is set, with the values that settings pin.
    pub(super) fn all(&self) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<(String, Vec<u8>)> =
            self.pinned.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        for (name, known) in &self.values {
            if let (Some(Known::Text(value)), false) = (known, self.is_pinned(name)) {
                found.push((name.clone(), value.clone()));
            }
        }
        found.sort();
        found
    }

    /// The text, where all its macros are known.
    pub(super) fn text(&self, template: &Template) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        for piece in &template.0 {
            match piece {
                Piece::Text(part) => text.extend_from_slice(part.as_bytes()),
                Piece::Macro(target) => match self.target(target)? {
                    Known::Unset => {}
                    Known::Text(value) => text.extend_from_slice(&value),
                },
            }
        }
        Some(text)
    }

    /// What is known of a variable of TX; none of all else.
    pub(super) fn target(&self, target: &Target) -> Option<Known> {
        match (&target.collection, &target.selector) {
            (Collection::Tx, Selector::Key(name)) => self.get(name),
            _ => None,
        }
    }

    /// The text with what is known put in, as far as it is.
    pub(super) fn fold(&self, template: &Template) -> Result<Text, Template> {
        match self.text(template) {
            Some(text) => Ok(Text::Fixed(text.into_boxed_slice())),
            None => Err(self.partly(template)),
        }
    }

    fn partly(&self, template: &Template) -> Template {
        let fold = |piece: &Piece| match piece {
            Piece::Macro(target) => match self.target(target) {
                Some(Known::Text(value)) => match String::from_utf8(value) {
                    Ok(text) => Piece::Text(text),
                    Err(_) => piece.clone(),
                },
                Some(Known::Unset) => Piece::Text(String::new()),
                None => piece.clone(),
            },
            Piece::Text(_) => piece.clone(),
        };
        Template(template.0.iter().map(fold).collect())
    }

    /// Whether an effect changes nothing but variables of TX whose new values are known; it is done then.
    pub(super) fn apply(&mut self, effects: &[&Effect]) -> bool {
        let mut next = self.clone();
        for effect in effects {
            let Effect::SetVar(set) = effect else { return false };
            if !next.assign(set) {
                return false;
            }
        }
        *self = next;
        true
    }

    fn assign(&mut self, set: &SetVar) -> bool {
        let (Collection::Tx, Some(name)) = (set.collection, self.text(&set.name)) else { return false };
        let name = String::from_utf8_lossy(&name).to_ascii_lowercase();
        if self.is_pinned(&name) {
            return true;
        }
        let Some(before) = self.get(&name) else { return false };
        let before = match before {
            Known::Unset => 0,
            Known::Text(text) => crate::rules::number(&text),
        };
        let sum = |by: Option<Vec<u8>>, sign: i64| {
            let by = crate::rules::number(&by?).saturating_mul(sign);
            Some(Known::Text(before.saturating_add(by).to_string().into_bytes()))
        };
        let value = match &set.value {
            SetVarValue::Text(text) => self.text(text).map(Known::Text),
            SetVarValue::Add(by) => sum(self.text(by), 1),
            SetVarValue::Subtract(by) => sum(self.text(by), -1),
            SetVarValue::Unset => Some(Known::Unset),
        };
        let known = value.is_some();
        if known {
            self.set(&name, value);
        }
        known
    }

    /// Forgets what an effect may change.
    pub(super) fn forget(&mut self, effect: &Effect) {
        let name = match effect {
            Effect::SetVar(set) if set.collection == Collection::Tx => &set.name,
            Effect::ExpireVar { collection: Collection::Tx, name, .. } => name,
            _ => return,
        };
        if let Some(fixed) = self.text(name) {
            let name = String::from_utf8_lossy(&fixed).to_ascii_lowercase();
            self.values.insert(name, None);
            return;
        }
        let prefix = match name.0.first() {
            Some(Piece::Text(text)) => text.to_ascii_lowercase(),
            _ => String::new(),
        };
        for (known, value) in &mut self.values {
            if known.starts_with(&prefix) {
                *value = None;
            }
        }
        self.prefixes.push(prefix);
    }
}
