//! Actions that change something: variables, collections, the environment, what the record shows.

use super::{Ctl, argument, ctl, number};
use crate::seclang::{Reason, operator::Template, variable::Collection};

/// Something that a match changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `setvar`
    SetVar(SetVar),
    /// `setenv`
    SetEnv {
        /// Its name.
        name: Template,
        /// Its value; none removes it.
        value: Option<Template>,
    },
    /// `expirevar`
    ExpireVar {
        /// Where it is kept.
        collection: Collection,
        /// Its name.
        name: Template,
        /// Seconds from now.
        seconds: Template,
    },
    /// `initcol`, `setsid`, `setuid`, `setrsc`
    InitCollection {
        /// Which.
        collection: Collection,
        /// The address under which it is kept.
        key: Template,
    },
    /// `ctl`
    Ctl(Ctl),
    /// `sanitise…`
    Sanitise(Sanitise),
}

/// `setvar`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetVar {
    /// Where.
    pub collection: Collection,
    /// Its name.
    pub name: Template,
    /// What becomes of it.
    pub value: SetVarValue,
}

/// What becomes of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetVarValue {
    /// `=text`
    Text(Template),
    /// `=+number`
    Add(Template),
    /// `=-number`
    Subtract(Template),
    /// `!name`
    Unset,
}

/// What the record does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sanitise {
    /// What matched.
    Matched,
    /// Values of this name.
    Named(Collection, String),
}

/// The effect that an action of that name (in lower case) has; nothing where there is none.
pub(super) fn parse(name: &str, value: &str) -> Result<Option<Effect>, Reason> {
    let named = |collection| Effect::Sanitise(Sanitise::Named(collection, value.to_ascii_lowercase()));
    let keyed = |collection| Ok(Some(Effect::InitCollection { collection, key: Template::parse(value)? }));
    Ok(Some(match name {
        "setvar" => Effect::SetVar(set_var(value)?),
        "setenv" => set_env(value)?,
        "expirevar" => expire_var(value)?,
        "initcol" => init_collection(value)?,
        "setsid" => return keyed(Collection::Session),
        "setuid" => return keyed(Collection::User),
        "setrsc" => return keyed(Collection::Resource),
        "ctl" => Effect::Ctl(ctl::parse(value)?),
        "sanitisearg" | "sanitizearg" => named(Collection::Args),
        "sanitiserequestheader" | "sanitizerequestheader" => named(Collection::RequestHeaders),
        "sanitiseresponseheader" | "sanitizeresponseheader" => named(Collection::ResponseHeaders),
        "sanitisematched" | "sanitizematched" | "sanitisematchedbytes" | "sanitizematchedbytes" => {
            Effect::Sanitise(Sanitise::Matched)
        }
        _ => return Ok(None),
    }))
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(value)
}

fn place(what: &str, text: &str) -> Result<(Collection, Template), Reason> {
    let (collection, name) =
        text.split_once('.').ok_or_else(|| argument(what, "`COLLECTION.name` is expected", text))?;
    let collection = Collection::parse(collection)?;
    if collection != Collection::Tx && !collection.is_persistent() {
        return Err(argument(what, "TX, IP, GLOBAL, SESSION, USER or RESOURCE is expected", text));
    }
    Ok((collection, Template::parse(name)?))
}

fn set_var(text: &str) -> Result<SetVar, Reason> {
    let (unset, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let (name, value) = match assignment(text) {
        Some((name, value)) => (name, Some(unquoted(value))),
        None => (text, None),
    };
    let (collection, name) = place("setvar", name.trim())?;
    let value = match value {
        _ if unset => SetVarValue::Unset,
        None => SetVarValue::Text(Template::parse("1")?),
        Some(value) => match (value.strip_prefix('+'), value.strip_prefix('-')) {
            (Some(by), _) => SetVarValue::Add(Template::parse(by)?),
            (_, Some(by)) => SetVarValue::Subtract(Template::parse(by)?),
            _ => SetVarValue::Text(Template::parse(value)?),
        },
    };
    Ok(SetVar { collection, name, value })
}

/// Splits at the first `=` outside `%{…}`.
fn assignment(text: &str) -> Option<(&str, &str)> {
    let mut inside = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => inside = true,
            '}' => inside = false,
            '=' if !inside => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

fn set_env(text: &str) -> Result<Effect, Reason> {
    let (unset, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let (name, value) = assignment(text).unwrap_or((text, "1"));
    let value = if unset { None } else { Some(Template::parse(unquoted(value))?) };
    Ok(Effect::SetEnv { name: Template::parse(name)?, value })
}

fn expire_var(text: &str) -> Result<Effect, Reason> {
    let (name, seconds) = assignment(text)
        .ok_or_else(|| argument("expirevar", "`COLLECTION.name=SECONDS` is expected", text))?;
    let (collection, name) = place("expirevar", name)?;
    let seconds = Template::parse(unquoted(seconds))?;
    if let Some(fixed) = seconds.as_text() {
        number::<u32>("expirevar", fixed)?;
    }
    Ok(Effect::ExpireVar { collection, name, seconds })
}

fn init_collection(text: &str) -> Result<Effect, Reason> {
    let expected = || argument("initcol", "`COLLECTION=key` is expected", text);
    let (collection, key) = assignment(text).ok_or_else(expected)?;
    let collection = Collection::parse(collection)?;
    if !collection.is_persistent() {
        return Err(argument("initcol", "IP, GLOBAL, SESSION, USER or RESOURCE is expected", text));
    }
    Ok(Effect::InitCollection { collection, key: Template::parse(key)? })
}
