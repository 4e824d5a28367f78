//! Actions of SecLang as written: what a rule says beside what it looks for. What they do is not known here.

mod ctl;
mod effect;

pub use ctl::{Ctl, RuleEngine};
pub use effect::{Effect, Sanitise, SetVar, SetVarValue};

use super::{Reason, operator::Template};
use crate::transform::Transformation;

/// What happens to the transaction when a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disruptive {
    /// Nothing.
    Pass,
    /// What `SecDefaultAction` of the phase says.
    Block,
    /// Refused.
    Deny,
    /// Refused, and the connection closed.
    Drop,
    /// No more rules.
    Allow(Allow),
    /// Sent elsewhere.
    Redirect(Template),
}

/// How far an `allow` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// All phases but the last.
    All,
    /// The phase at hand.
    Phase,
    /// The phases of the request.
    Request,
}

/// All that one rule, or one `SecDefaultAction`, says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actions {
    /// `id`
    pub id: Option<u64>,
    /// `phase`, 1 to 5
    pub phase: Option<u8>,
    /// `pass`, `block`, `deny`, `drop`, `allow`, `redirect`
    pub disruptive: Option<Disruptive>,
    /// `status`
    pub status: Option<u16>,
    /// `t:none`: what `SecDefaultAction` lists is left out.
    pub transformations_reset: bool,
    /// `t:…`, in order
    pub transformations: Vec<Transformation>,
    /// `capture`
    pub capture: bool,
    /// `multiMatch`
    pub multi_match: bool,
    /// `chain`
    pub chain: bool,
    /// `log` or `nolog`
    pub log: Option<bool>,
    /// `auditlog` or `noauditlog`
    pub audit: Option<bool>,
    /// `msg`
    pub message: Option<Template>,
    /// `logdata`
    pub data: Option<Template>,
    /// `severity`, 0 (emergency) to 7 (debug)
    pub severity: Option<u8>,
    /// `tag`, in order
    pub tags: Vec<Template>,
    /// `ver`
    pub version: Option<String>,
    /// `rev`
    pub revision: Option<String>,
    /// `skip`: how many rules.
    pub skip: Option<u32>,
    /// `skipAfter`: a marker or a rule's id.
    pub skip_after: Option<String>,
    /// `setvar`, `ctl` and what else changes something, in order.
    pub effects: Vec<Effect>,
}

/// Actions without an argument.
const FLAGS: [&str; 11] = [
    "pass",
    "block",
    "deny",
    "drop",
    "capture",
    "multimatch",
    "chain",
    "log",
    "nolog",
    "auditlog",
    "noauditlog",
];

const REFUSED: [(&str, &str); 7] = [
    ("append", "answers are inspected, never rewritten"),
    ("prepend", "answers are inspected, never rewritten"),
    ("exec", "nothing is started for a request"),
    ("proxy", "requests go to the function, or nowhere"),
    ("pause", "nothing waits inside the engine; `drop` and rate limits slow a source down"),
    ("xmlns", "of XPath only `/*` and `//@*` are taken, which need no namespaces"),
    ("deprecatevar", "use `expirevar`"),
];

impl Actions {
    /// Reads a list of actions.
    ///
    /// # Errors
    /// An action that is unknown or refused, or whose argument is none.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let mut actions = Self::default();
        for (name, argument) in split(text)? {
            actions.take(&name, argument.as_deref())?;
        }
        Ok(actions)
    }

    fn take(&mut self, name: &str, argument: Option<&str>) -> Result<(), Reason> {
        let lower = name.to_ascii_lowercase();
        let value = argument.unwrap_or_default();
        let is_flag = FLAGS.contains(&lower.as_str());
        if let Some(argued) = argument.filter(|_| is_flag) {
            return Err(self::argument(name, "no argument is expected", argued));
        }
        match lower.as_str() {
            "id" => self.id = Some(number(name, value)?),
            "phase" => self.phase = Some(phase(value)?),
            "status" => self.status = Some(status(value)?),
            "t" => self.transformation(value)?,
            "capture" => self.capture = true,
            "multimatch" => self.multi_match = true,
            "chain" => self.chain = true,
            "log" => (self.log, self.audit) = (Some(true), self.audit.or(Some(true))),
            "nolog" => (self.log, self.audit) = (Some(false), self.audit.or(Some(false))),
            "auditlog" => self.audit = Some(true),
            "noauditlog" => self.audit = Some(false),
            "msg" => self.message = Some(Template::parse(value)?),
            "logdata" => self.data = Some(Template::parse(value)?),
            "severity" => self.severity = Some(severity(value)?),
            "tag" => self.tags.push(Template::parse(value)?),
            "ver" => self.version = Some(value.to_owned()),
            "rev" => self.revision = Some(value.to_owned()),
            "maturity" | "accuracy" => drop(number::<u8>(name, value)?),
            "skip" => self.skip = Some(number(name, value)?),
            "skipafter" => self.skip_after = Some(value.to_owned()),
            "pass" | "block" | "deny" | "drop" | "allow" | "redirect" => {
                if self.disruptive.is_some() {
                    return Err(self::argument(name, "one disruptive action is expected", "a second one"));
                }
                self.disruptive = Some(disruptive(&lower, value)?);
            }
            _ => self.effects.push(effect::parse(&lower, value)?.ok_or_else(|| unknown(name, &lower))?),
        }
        Ok(())
    }

    fn transformation(&mut self, value: &str) -> Result<(), Reason> {
        if value.eq_ignore_ascii_case("none") {
            self.transformations_reset = true;
            self.transformations.clear();
            return Ok(());
        }
        let found = Transformation::parse(value);
        let unknown = || Reason::Unknown { what: "transformation", name: format!("t:{value}") };
        self.transformations.push(found.ok_or_else(unknown)?);
        Ok(())
    }
}

fn unknown(name: &str, lower: &str) -> Reason {
    match REFUSED.iter().find(|(refused, _)| *refused == lower) {
        Some((_, why)) => Reason::Refused { what: "action", name: name.to_owned(), why },
        None => Reason::Unknown { what: "action", name: name.to_owned() },
    }
}

fn disruptive(name: &str, value: &str) -> Result<Disruptive, Reason> {
    Ok(match (name, value.to_ascii_lowercase().as_str()) {
        ("pass", _) => Disruptive::Pass,
        ("block", _) => Disruptive::Block,
        ("deny", _) => Disruptive::Deny,
        ("drop", _) => Disruptive::Drop,
        ("redirect", _) => Disruptive::Redirect(Template::parse(value)?),
        (_, "") => Disruptive::Allow(Allow::All),
        (_, "phase") => Disruptive::Allow(Allow::Phase),
        (_, "request") => Disruptive::Allow(Allow::Request),
        _ => return Err(argument("allow", "`phase`, `request` or nothing is expected", value)),
    })
}

pub(super) fn argument(what: &str, why: &'static str, value: &str) -> Reason {
    Reason::Argument { what: what.to_owned(), why, value: value.to_owned() }
}

pub(super) fn number<N: std::str::FromStr>(what: &str, value: &str) -> Result<N, Reason> {
    value.trim().parse().map_err(|_| argument(what, "a whole number is expected", value))
}

fn phase(value: &str) -> Result<u8, Reason> {
    match value.to_ascii_lowercase().as_str() {
        "1" => Ok(1),
        "2" | "request" => Ok(2),
        "3" => Ok(3),
        "4" | "response" => Ok(4),
        "5" | "logging" => Ok(5),
        _ => Err(argument("phase", "1 to 5, `request`, `response` or `logging` is expected", value)),
    }
}

fn status(value: &str) -> Result<u16, Reason> {
    match number("status", value)? {
        code @ 100..=599 => Ok(code),
        _ => Err(argument("status", "a status of HTTP is expected", value)),
    }
}

fn severity(value: &str) -> Result<u8, Reason> {
    const NAMES: [&str; 8] =
        ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];
    let named = NAMES.iter().position(|name| value.eq_ignore_ascii_case(name));
    let found = named.and_then(|at| u8::try_from(at).ok()).or_else(|| value.parse().ok());
    found
        .filter(|level| *level < 8)
        .ok_or_else(|| argument("severity", "0 to 7 or its name is expected", value))
}

/// `name` or `name:argument`, by commas; an argument may stand in `'…'`, in which the quote is `\'`.
fn split(text: &str) -> Result<Vec<(String, Option<String>)>, Reason> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find([',', ':']).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default().trim().to_owned();
        let has_argument = rest.get(end..).is_some_and(|tail| tail.starts_with(':'));
        rest = rest.get(end + usize::from(end < rest.len())..).unwrap_or_default();
        let argument = if has_argument {
            let (value, after) = argument_text(rest)?;
            rest = after;
            Some(value)
        } else {
            None
        };
        rest = rest.trim_start();
        if !name.is_empty() {
            found.push((name, argument));
        }
    }
    Ok(found)
}

/// One argument, and what follows the comma behind it.
fn argument_text(text: &str) -> Result<(String, &str), Reason> {
    let text = text.trim_start();
    if let Some(inner) = text.strip_prefix('\'') {
        let (value, after) = super::lexer::quoted(inner, '\'').ok_or(Reason::Quote)?;
        let after = after.trim_start();
        return match after.strip_prefix(',') {
            Some(after) => Ok((value, after)),
            None if after.is_empty() => Ok((value, after)),
            None => Err(Reason::Quote),
        };
    }
    // `setvar:tx.a='b, c'` has the quote after the `=`.
    let mut inside = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '\'' => inside = !inside,
            ',' if !inside => {
                let value = text.get(..at).unwrap_or_default().trim_end().to_owned();
                return Ok((value, text.get(at + 1..).unwrap_or_default()));
            }
            _ => {}
        }
    }
    Ok((text.trim_end().to_owned(), ""))
}
