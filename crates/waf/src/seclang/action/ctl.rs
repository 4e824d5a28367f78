//! `ctl`: what a rule changes of the engine for the rest of one transaction.

use super::{argument, number};
use crate::seclang::{Reason, directive::RuleSelector, variable::Target};

/// Whether rules run, and whether they refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleEngine {
    /// They run and refuse.
    #[default]
    On,
    /// They run and only tell.
    DetectionOnly,
    /// They do not run.
    Off,
}

impl RuleEngine {
    /// Reads `On`, `Off` or `DetectionOnly`.
    ///
    /// # Errors
    /// Another word.
    pub fn parse(what: &str, value: &str) -> Result<Self, Reason> {
        match value.to_ascii_lowercase().as_str() {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            "detectiononly" => Ok(Self::DetectionOnly),
            _ => Err(argument(what, "`On`, `Off` or `DetectionOnly` is expected", value)),
        }
    }
}

/// A change of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ctl {
    /// `ruleEngine`
    RuleEngine(RuleEngine),
    /// `ruleRemoveById`, `ruleRemoveByTag`, `ruleRemoveByMsg`
    RemoveRules(RuleSelector),
    /// `ruleRemoveTargetById`, `…ByTag`, `…ByMsg`
    RemoveTarget(RuleSelector, Target),
    /// `requestBodyProcessor`
    BodyProcessor(String),
    /// `forceRequestBodyVariable`
    ForceBodyVariable(bool),
    /// `requestBodyAccess`
    RequestBody(bool),
    /// `responseBodyAccess`
    ResponseBody(bool),
    /// `requestBodyLimit`
    RequestBodyLimit(usize),
    /// `responseBodyLimit`
    ResponseBodyLimit(usize),
    /// `auditEngine`, `auditLogParts`, `debugLogLevel`: there is no such log.
    Nothing,
}

pub(super) fn parse(text: &str) -> Result<Ctl, Reason> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| argument("ctl", "`option=value` is expected", text))?;
    if value.contains("%{") {
        return Err(argument(name, "text without macros is expected", value));
    }
    let on = || match value.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(argument(name, "`On` or `Off` is expected", value)),
    };
    let lower = name.trim().to_ascii_lowercase();
    Ok(match lower.as_str() {
        "ruleengine" => Ctl::RuleEngine(RuleEngine::parse(name, value)?),
        "ruleremovebyid" => Ctl::RemoveRules(RuleSelector::ids(&[value])?),
        "ruleremovebytag" => Ctl::RemoveRules(RuleSelector::Tag(value.to_owned())),
        "ruleremovebymsg" => Ctl::RemoveRules(RuleSelector::Message(value.to_owned())),
        "ruleremovetargetbyid" | "ruleremovetargetbytag" | "ruleremovetargetbymsg" => {
            let expected = || argument(name, "`RULES;VARIABLE` is expected", value);
            let (rules, target) = value.rsplit_once(';').ok_or_else(expected)?;
            let selector = match lower.as_str() {
                "ruleremovetargetbyid" => RuleSelector::ids(&[rules])?,
                "ruleremovetargetbytag" => RuleSelector::Tag(rules.to_owned()),
                _ => RuleSelector::Message(rules.to_owned()),
            };
            Ctl::RemoveTarget(selector, Target::parse(target.trim().trim_start_matches('!'))?)
        }
        "requestbodyprocessor" => processor(value)?,
        "forcerequestbodyvariable" => Ctl::ForceBodyVariable(on()?),
        "requestbodyaccess" => Ctl::RequestBody(on()?),
        "responsebodyaccess" => Ctl::ResponseBody(on()?),
        "requestbodylimit" => Ctl::RequestBodyLimit(number(name, value)?),
        "responsebodylimit" => Ctl::ResponseBodyLimit(number(name, value)?),
        "auditengine" | "auditlogparts" | "debugloglevel" => Ctl::Nothing,
        "hashengine" | "hashenforcement" => {
            let why = "pages are never rewritten, so that links have no hash";
            return Err(Reason::Refused { what: "ctl", name: name.to_owned(), why });
        }
        "parsexmlintoargs" if value.eq_ignore_ascii_case("off") => Ctl::Nothing,
        "parsexmlintoargs" => {
            let why = "XML is in the variable XML, never in ARGS";
            return Err(Reason::Refused { what: "ctl", name: name.to_owned(), why });
        }
        _ => return Err(Reason::Unknown { what: "option of ctl", name: name.to_owned() }),
    })
}

fn processor(value: &str) -> Result<Ctl, Reason> {
    let upper = value.to_ascii_uppercase();
    if matches!(upper.as_str(), "URLENCODED" | "MULTIPART" | "JSON" | "XML" | "RAW" | "SNIFF") {
        return Ok(Ctl::BodyProcessor(upper));
    }
    let expected = "URLENCODED, MULTIPART, JSON, XML, RAW or SNIFF is expected";
    Err(argument("requestBodyProcessor", expected, value))
}
