//! Directives of SecLang: each is taken, accepted because it means nothing here, or refused by name with the reason.

use super::{
    Reason, RuleText,
    action::{Actions, RuleEngine, argument, number},
    operator::Test,
    variable::Targets,
};

/// What one directive says.
#[derive(Clone, Debug, PartialEq)]
pub enum Directive {
    /// `SecRule`, `SecAction`
    Rule(Box<RuleText>),
    /// `SecMarker`
    Marker(String),
    /// `SecDefaultAction`
    DefaultAction(Box<Actions>),
    /// `Include`
    Include(String),
    /// `IncludeOptional`: what is not there is no fault.
    IncludeOptional(String),
    /// `SecRuleRemoveById`, `…ByTag`, `…ByMsg`
    Remove(RuleSelector),
    /// `SecRuleUpdateTargetById`, `…ByTag`, `…ByMsg`, `SecRuleUpdateActionById`
    Update(RuleSelector, Box<Update>),
    /// A setting of the engine.
    Setting(Setting),
    /// Accepted: it means nothing in this engine (`docs/waf.md` lists them).
    Nothing,
}

/// Which rules are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSelector {
    /// By ids: ranges with both ends in them.
    Ids(Vec<(u64, u64)>),
    /// By a pattern that a tag matches.
    Tag(String),
    /// By a pattern that the message matches.
    Message(String),
}

impl RuleSelector {
    /// Reads ids and ranges: `1`, `1-9`, `"1,5-7"`.
    ///
    /// # Errors
    /// What is no number, a range that ends before it begins, none at all.
    pub fn ids<S: AsRef<str>>(words: &[S]) -> Result<Self, Reason> {
        let mut ranges = Vec::new();
        for word in words.iter().flat_map(|word| word.as_ref().split([',', ' '])) {
            let word = word.trim();
            if word.is_empty() {
                continue;
            }
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            // `942100:1` names a link of a chain: the whole chain is meant.
            let strip = |id: &str| id.split(':').next().unwrap_or_default().to_owned();
            let (first, last) = (number("id", &strip(first))?, number("id", &strip(last))?);
            if last < first {
                return Err(argument("id", "a range that ends behind its begin is expected", word));
            }
            ranges.push((first, last));
        }
        if ranges.is_empty() {
            return Err(argument("id", "an id or a range of ids is expected", ""));
        }
        Ok(Self::Ids(ranges))
    }
}

/// What becomes of rules that are named.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// Variables added and left out; the second are replaced by the first where they are given.
    Targets {
        /// Added or left out.
        targets: Targets,
        /// Replaced.
        replaced: Option<Targets>,
    },
    /// Actions that take the place of the rule's.
    Actions(Actions),
}

/// A setting of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `SecRuleEngine`
    RuleEngine(RuleEngine),
    /// `SecRequestBodyAccess`
    RequestBody(bool),
    /// `SecResponseBodyAccess`
    ResponseBody(bool),
    /// `SecRequestBodyLimit`, bytes
    RequestBodyLimit(usize),
    /// `SecRequestBodyNoFilesLimit`, bytes
    RequestBodyNoFilesLimit(usize),
    /// `SecRequestBodyLimitAction`: whether what is longer is refused
    RequestBodyLimitRejects(bool),
    /// `SecResponseBodyLimit`, bytes
    ResponseBodyLimit(usize),
    /// `SecResponseBodyLimitAction`: whether what is longer is refused
    ResponseBodyLimitRejects(bool),
    /// `SecResponseBodyMimeType`
    ResponseMimeTypes(Vec<String>),
    /// `SecResponseBodyMimeTypesClear`
    ResponseMimeTypesClear,
    /// `SecArgumentSeparator`
    ArgumentSeparator(u8),
    /// `SecArgumentsLimit`
    ArgumentsLimit(usize),
    /// `SecRequestBodyJsonDepthLimit`
    JsonDepthLimit(usize),
    /// `SecCollectionTimeout`, seconds
    CollectionTimeout(u64),
    /// `SecWebAppId`
    WebAppId(String),
}

/// Accepted without effect: of logs, files and memory that this engine has none of, or that it does by itself.
const NOTHING: [&str; 40] = [
    "secauditengine",
    "secauditlog",
    "secauditlog2",
    "secauditlogdirmode",
    "secauditlogfilemode",
    "secauditlogformat",
    "secauditlogparts",
    "secauditlogprefix",
    "secauditlogrelevantstatus",
    "secauditlogstoragedir",
    "secauditlogtype",
    "seccachetransformations",
    "seccollectionrequestlimit",
    "seccomponentsignature",
    "secdatadir",
    "secdebuglog",
    "secdebugloglevel",
    "secinterceptonerror",
    "secpcrematchlimit",
    "secpcrematchlimitrecursion",
    "secrequestbodyinmemorylimit",
    "secruleperftime",
    "secsensorid",
    "secserversignature",
    "secstatusengine",
    "sectmpdir",
    "sectmpsaveuploadedfiles",
    "secunicodecodepage",
    "secunicodemapfile",
    "secuploaddir",
    "secuploadfilelimit",
    "secuploadfilemode",
    "secuploadkeepfiles",
    "secconnreadstatelimit",
    "secconnwritestatelimit",
    "secreadstatelimit",
    "secwritestatelimit",
    "secconnengine",
    "secruleinheritance",
    "seccookiev0separator",
];

const REFUSED: [(&str, &str); 17] = [
    ("secrulescript", "no script runs for a request"),
    ("secremoterules", "nothing is fetched; put the rules into files"),
    ("secremoterulesfailaction", "nothing is fetched; put the rules into files"),
    ("sechashengine", "pages are never rewritten, so that links have no hash"),
    ("sechashkey", "pages are never rewritten, so that links have no hash"),
    ("sechashparam", "pages are never rewritten, so that links have no hash"),
    ("sechashmethodrx", "pages are never rewritten, so that links have no hash"),
    ("sechashmethodpm", "pages are never rewritten, so that links have no hash"),
    ("secgeolookupdb", "it holds no database of places"),
    ("secgsblookupdb", "no list is asked over a network while a request waits"),
    ("sechttpblkey", "no list is asked over a network while a request waits"),
    ("seccontentinjection", "answers are inspected, never rewritten"),
    ("secstreaminbodyinspection", "bodies are inspected, never rewritten"),
    ("secstreamoutbodyinspection", "bodies are inspected, never rewritten"),
    ("secguardianlog", "nothing is started for a request"),
    ("secchrootdir", "the node has walls of its own"),
    ("secdisablebackendcompression", "answers come from the function, not from a server behind"),
];

/// Reads the words of one directive.
pub(super) fn parse(words: &[String]) -> Result<Directive, Reason> {
    let (name, words) = words.split_first().ok_or(Reason::Quote)?;
    let lower = name.to_ascii_lowercase();
    let one = || match words {
        [word] => Ok(word.as_str()),
        _ => Err(Reason::Words { directive: name.clone(), expected: "one argument" }),
    };
    Ok(match lower.as_str() {
        "secrule" => rule(name, words)?,
        "secaction" => {
            let actions = Actions::parse(one()?)?;
            Directive::Rule(Box::new(RuleText { targets: Targets::default(), test: None, actions }))
        }
        "secmarker" => Directive::Marker(one()?.to_owned()),
        "secdefaultaction" => Directive::DefaultAction(Box::new(default_action(one()?)?)),
        "include" => Directive::Include(one()?.to_owned()),
        "includeoptional" => Directive::IncludeOptional(one()?.to_owned()),
        "secruleremovebyid" => Directive::Remove(RuleSelector::ids(words)?),
        "secruleremovebytag" => Directive::Remove(RuleSelector::Tag(one()?.to_owned())),
        "secruleremovebymsg" => Directive::Remove(RuleSelector::Message(one()?.to_owned())),
        "secruleupdatetargetbyid" => update_targets(name, words, |text| RuleSelector::ids(&[text]))?,
        "secruleupdatetargetbytag" => {
            update_targets(name, words, |text| Ok(RuleSelector::Tag(text.to_owned())))?
        }
        "secruleupdatetargetbymsg" => {
            update_targets(name, words, |text| Ok(RuleSelector::Message(text.to_owned())))?
        }
        "secruleupdateactionbyid" => match words {
            [ids, actions] => {
                let update = Update::Actions(Actions::parse(actions)?);
                Directive::Update(RuleSelector::ids(&[ids])?, Box::new(update))
            }
            _ => return Err(Reason::Words { directive: name.clone(), expected: "an id and actions" }),
        },
        _ => match setting(name, &lower, words)? {
            Some(setting) => Directive::Setting(setting),
            None => other(name, &lower, words)?,
        },
    })
}

fn rule(name: &str, words: &[String]) -> Result<Directive, Reason> {
    let (targets, test, actions) = match words {
        [targets, test] => (targets, test, ""),
        [targets, test, actions] => (targets, test, actions.as_str()),
        _ => {
            let expected = "variables, an operator and actions";
            return Err(Reason::Words { directive: name.to_owned(), expected });
        }
    };
    let rule = RuleText {
        targets: Targets::parse(targets)?,
        test: Some(Test::parse(test)?),
        actions: Actions::parse(actions)?,
    };
    Ok(Directive::Rule(Box::new(rule)))
}

fn default_action(text: &str) -> Result<Actions, Reason> {
    let actions = Actions::parse(text)?;
    let names = actions.id.is_some() || actions.message.is_some() || actions.data.is_some();
    let tells = actions.severity.is_some() || actions.version.is_some() || actions.revision.is_some();
    let skips = actions.chain || actions.skip.is_some() || actions.skip_after.is_some();
    let does = actions.capture || actions.multi_match || !actions.effects.is_empty();
    if names || tells || skips || does {
        let why = "a phase, transformations, a disruptive action, logging and tags are expected";
        return Err(argument("SecDefaultAction", why, text));
    }
    Ok(actions)
}

fn update_targets(
    name: &str,
    words: &[String],
    select: impl Fn(&str) -> Result<RuleSelector, Reason>,
) -> Result<Directive, Reason> {
    let (rules, targets, replaced) = match words {
        [rules, targets] => (rules, targets, None),
        [rules, targets, replaced] => (rules, targets, Some(Targets::parse(replaced)?)),
        _ => return Err(Reason::Words { directive: name.to_owned(), expected: "rules and variables" }),
    };
    let update = Update::Targets { targets: Targets::parse(targets)?, replaced };
    Ok(Directive::Update(select(rules)?, Box::new(update)))
}

fn setting(name: &str, lower: &str, words: &[String]) -> Result<Option<Setting>, Reason> {
    let value = words.first().map(String::as_str).unwrap_or_default();
    let is_list = matches!(lower, "secresponsebodymimetype" | "secresponsebodymimetypesclear");
    if lower.starts_with("sec") && words.len() != 1 && !is_list && is_setting(lower) {
        return Err(Reason::Words { directive: name.to_owned(), expected: "one argument" });
    }
    let on = || match value.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(argument(name, "`On` or `Off` is expected", value)),
    };
    let rejects = || match value.to_ascii_lowercase().as_str() {
        "reject" => Ok(true),
        "processpartial" => Ok(false),
        _ => Err(argument(name, "`Reject` or `ProcessPartial` is expected", value)),
    };
    Ok(Some(match lower {
        "secruleengine" => Setting::RuleEngine(RuleEngine::parse(name, value)?),
        "secrequestbodyaccess" => Setting::RequestBody(on()?),
        "secresponsebodyaccess" => Setting::ResponseBody(on()?),
        "secrequestbodylimit" => Setting::RequestBodyLimit(number(name, value)?),
        "secrequestbodynofileslimit" => Setting::RequestBodyNoFilesLimit(number(name, value)?),
        "secrequestbodylimitaction" => Setting::RequestBodyLimitRejects(rejects()?),
        "secresponsebodylimit" => Setting::ResponseBodyLimit(number(name, value)?),
        "secresponsebodylimitaction" => Setting::ResponseBodyLimitRejects(rejects()?),
        "secresponsebodymimetype" => Setting::ResponseMimeTypes(words.to_vec()),
        "secresponsebodymimetypesclear" => Setting::ResponseMimeTypesClear,
        "secargumentseparator" => match value.as_bytes() {
            [one] => Setting::ArgumentSeparator(*one),
            _ => return Err(argument(name, "one letter is expected", value)),
        },
        "secargumentslimit" => Setting::ArgumentsLimit(number(name, value)?),
        "secrequestbodyjsondepthlimit" => Setting::JsonDepthLimit(number(name, value)?),
        "seccollectiontimeout" => Setting::CollectionTimeout(number(name, value)?),
        "secwebappid" => Setting::WebAppId(value.to_owned()),
        _ => return Ok(None),
    }))
}

/// Settings that have one argument.
fn is_setting(lower: &str) -> bool {
    const NAMES: [&str; 13] = [
        "secruleengine",
        "secrequestbodyaccess",
        "secresponsebodyaccess",
        "secrequestbodylimit",
        "secrequestbodynofileslimit",
        "secrequestbodylimitaction",
        "secresponsebodylimit",
        "secresponsebodylimitaction",
        "secargumentseparator",
        "secargumentslimit",
        "secrequestbodyjsondepthlimit",
        "seccollectiontimeout",
        "secwebappid",
    ];
    NAMES.contains(&lower)
}

/// Checks the argument of what is accepted without effect: a wrong word is a mistake all the same.
fn check_nothing(name: &str, lower: &str, words: &[String]) -> Result<(), Reason> {
    let Some(value) = words.first() else {
        return Err(Reason::Words { directive: name.to_owned(), expected: "an argument" });
    };
    let one_of = |known: &[&str], why| {
        let found = known.iter().any(|known| value.eq_ignore_ascii_case(known)) && words.len() == 1;
        if found { Ok(()) } else { Err(argument(name, why, &words.join(" "))) }
    };
    match lower {
        "secauditengine" | "secuploadkeepfiles" => {
            one_of(&["On", "Off", "RelevantOnly"], "`On`, `Off` or `RelevantOnly` is expected")
        }
        "secconnengine" => {
            one_of(&["On", "Off", "DetectionOnly"], "`On`, `Off` or `DetectionOnly` is expected")
        }
        "secstatusengine" | "secinterceptonerror" | "sectmpsaveuploadedfiles" | "secruleinheritance" => {
            one_of(&["On", "Off"], "`On` or `Off` is expected")
        }
        "secauditlogtype" => {
            one_of(&["Serial", "Concurrent", "HTTPS"], "`Serial`, `Concurrent` or `HTTPS` is expected")
        }
        "secauditlogformat" => one_of(&["JSON", "Native"], "`JSON` or `Native` is expected"),
        "secdebugloglevel"
        | "secpcrematchlimit"
        | "secpcrematchlimitrecursion"
        | "secrequestbodyinmemorylimit"
        | "secruleperftime"
        | "secuploadfilelimit"
        | "seccollectionrequestlimit" => number::<u64>(name, value).map(drop),
        _ => Ok(()),
    }
}

fn other(name: &str, lower: &str, words: &[String]) -> Result<Directive, Reason> {
    let value = words.first().map(String::as_str).unwrap_or_default();
    let refused = |why| Reason::Refused { what: "directive", name: name.to_owned(), why };
    if NOTHING.contains(&lower) {
        check_nothing(name, lower, words)?;
        return Ok(Directive::Nothing);
    }
    // What is refused when it is on is what this engine is when it is off.
    const OFF: [&str; 6] = [
        "sechashengine",
        "seccontentinjection",
        "secstreaminbodyinspection",
        "secstreamoutbodyinspection",
        "secdisablebackendcompression",
        "secremoterulesfailaction",
    ];
    let fails = lower == "secremoterulesfailaction"
        && ["warn", "abort"].iter().any(|known| value.eq_ignore_ascii_case(known));
    if OFF.contains(&lower) && (value.eq_ignore_ascii_case("off") || fails) {
        return Ok(Directive::Nothing);
    }
    match lower {
        "seccookieformat" if value == "0" => return Ok(Directive::Nothing),
        "seccookieformat" => return Err(refused("cookies of version 1 are obsolete (RFC 6265); write 0")),
        "secxmlexternalentity" if value.eq_ignore_ascii_case("off") => return Ok(Directive::Nothing),
        "secxmlexternalentity" => return Err(refused("entities are never resolved")),
        "secparsexmlintoargs" if value.eq_ignore_ascii_case("off") => return Ok(Directive::Nothing),
        "secparsexmlintoargs" => return Err(refused("XML is in the variable XML, never in ARGS")),
        _ => {}
    }
    match REFUSED.iter().find(|(known, _)| *known == lower) {
        Some((_, why)) => Err(refused(why)),
        None => Err(Reason::Unknown { what: "directive", name: name.to_owned() }),
    }
}
