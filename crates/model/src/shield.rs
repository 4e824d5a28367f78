//! `[shield]` of a manifest: how a function's requests are looked at before anything runs. It never looks at one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;

/// What becomes of a request in which rules find an attack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuleMode {
    /// Nobody looks.
    Off,
    /// It goes on, and a signal tells of it.
    Detect,
    /// It is refused before anything runs.
    #[default]
    Block,
}

/// What becomes of what cannot be looked at whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unseen {
    /// It goes on, looked at as far as that went.
    Pass,
    /// It is refused.
    #[default]
    Refuse,
}

/// Rules that are left out for this function, or variables that are left out of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    /// Ids of rules: `942100`, or a range, `942100-942199`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Rules with one of these tags, such as `attack-sqli`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Variables that these rules do not look at, such as `ARGS:comment`; the whole rules are left out where none is
    /// named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// Where: `/path` or `/path/...`; everywhere where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why, for whoever reads it later.
    pub reason: String,
}

/// A number of requests in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestRate {
    /// Requests.
    #[schemars(range(min = 1))]
    pub requests: u32,
    /// In so many seconds.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 86_400))]
    pub seconds: u32,
    /// How many may come at once; as many as `requests` where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
}

impl RequestRate {
    /// What cannot be about it, where its manifest names it so.
    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        let within = |part: &str, value: u32, max: u32| match value {
            value if (1..=max).contains(&value) => Ok(()),
            value => Err(format!("`{name}.{part}` is {value}, but must be from 1 to {max}")),
        };
        within("requests", self.requests, 1_000_000)?;
        within("seconds", self.seconds, 86_400)?;
        self.burst.map_or(Ok(()), |burst| within("burst", burst, 1_000_000))
    }
}

const fn one() -> u32 {
    1
}

/// How often a function may be asked, beside the bounds of the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// By one source address (IPv6: one `/64`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<RequestRate>,
    /// By one caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<RequestRate>,
    /// By all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<RequestRate>,
}

/// What becomes of a run that does what the function's profile does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileMode {
    /// Nobody watches.
    Off,
    /// A signal tells of it.
    #[default]
    Alert,
    /// What was never seen is refused; a signal tells of it.
    Enforce,
}

/// How a revision is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileTuning {
    /// `off`, `alert` or `enforce`, once the profile is approved.
    pub mode: ProfileMode,
    /// How long a new revision is learned, in minutes of its life.
    #[schemars(range(min = 1, max = 43_200))]
    pub learn_minutes: u32,
    /// Whether somebody must approve what was learned (`casemate shield profile approve`); else it is in force as soon
    /// as it is learned.
    pub approve: bool,
}

impl Default for ProfileTuning {
    fn default() -> Self {
        Self { mode: ProfileMode::Alert, learn_minutes: limits::PROFILE_LEARN_MINUTES, approve: false }
    }
}

/// How a function's requests are looked at. What is absent is as the node has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shield {
    /// `block`, `detect` or `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<RuleMode>,
    /// How suspicious rules are: 1 (the usual) to 4 (everything that is unusual).
    #[schemars(range(min = 1, max = 4))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paranoia: Option<u8>,
    /// The score from which a request is refused. A critical match counts 5, an error 4, a warning 3, a notice 2.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound_threshold: Option<u32>,
    /// The score from which an answer is refused.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound_threshold: Option<u32>,
    /// How much of a request's body is looked at, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
    /// What becomes of a longer body. Where it is absent, what rules read (forms, parts, JSON, XML, text, what names no
    /// type) is refused, and what they do not (images, archives, other binary types) passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_over: Option<Unseen>,
    /// What becomes of a request that uses up the time that looking at it may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exhausted: Option<Unseen>,
    /// Whether answers are looked at too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses: Option<bool>,
    /// What is left out.
    #[serde(rename = "exclude", skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Exclusion>,
    /// Only these sources may ask: addresses, ranges (`192.0.2.0/24`) or named sets (`set:NAME`). All where it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// These may not, even where `allow` has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// How often it may be asked.
    pub rate: Rates,
    /// How its runs are watched.
    pub profile: ProfileTuning,
}

/// What a node does where a manifest is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ShieldDefaults {
    /// What becomes of a request in which rules find an attack.
    pub mode: RuleMode,
    /// How suspicious rules are, 1 to 4.
    pub paranoia: u8,
    /// The score from which a request is refused.
    pub inbound_threshold: u32,
    /// The score from which an answer is refused.
    pub outbound_threshold: u32,
    /// How much of a request's body is looked at, in bytes.
    pub body_bytes: u64,
    /// What becomes of a request that uses up its time.
    pub exhausted: Unseen,
    /// Whether answers are looked at too.
    pub responses: bool,
}

impl Default for ShieldDefaults {
    fn default() -> Self {
        Self {
            mode: RuleMode::Block,
            paranoia: 1,
            inbound_threshold: 5,
            outbound_threshold: 4,
            body_bytes: limits::INSPECTED_BODY_BYTES,
            exhausted: Unseen::Refuse,
            responses: false,
        }
    }
}

impl ShieldDefaults {
    /// What is in force for a function.
    #[must_use]
    pub fn with(self, own: &Shield) -> Self {
        Self {
            mode: own.mode.unwrap_or(self.mode),
            paranoia: own.paranoia.unwrap_or(self.paranoia),
            inbound_threshold: own.inbound_threshold.unwrap_or(self.inbound_threshold),
            outbound_threshold: own.outbound_threshold.unwrap_or(self.outbound_threshold),
            body_bytes: own.body_bytes.unwrap_or(self.body_bytes),
            exhausted: own.exhausted.unwrap_or(self.exhausted),
            responses: own.responses.unwrap_or(self.responses),
        }
    }
}

impl Shield {
    /// What is weaker than on a node with these defaults, each in a sentence. Whoever deploys that wants the action
    /// `loosenShield`.
    #[must_use]
    pub fn loosened(&self, node: &ShieldDefaults) -> Vec<String> {
        let own = node.with(self);
        let mut said = Vec::new();
        match own.mode {
            mode if mode >= node.mode => {}
            RuleMode::Off => said.push("`mode` is `off`: no rule looks at its requests".to_owned()),
            _ => said.push("`mode` is `detect`: attacks that rules find go on".to_owned()),
        }
        let mut more = |name: &str, is_weaker: bool, value: u64, usual: u64| {
            if is_weaker {
                said.push(format!("`{name}` is {value}, where the node has {usual}"));
            }
        };
        let (own_in, usual_in) = (own.inbound_threshold, node.inbound_threshold);
        let (own_out, usual_out) = (own.outbound_threshold, node.outbound_threshold);
        more("paranoia", own.paranoia < node.paranoia, own.paranoia.into(), node.paranoia.into());
        more("inbound_threshold", own_in > usual_in, own_in.into(), usual_in.into());
        more("outbound_threshold", own_out > usual_out, own_out.into(), usual_out.into());
        more("body_bytes", own.body_bytes < node.body_bytes, own.body_bytes, node.body_bytes);
        if self.body_over == Some(Unseen::Pass) {
            said.push("`body_over` is `pass`: the rest of a long body is not looked at".to_owned());
        }
        if own.exhausted < node.exhausted {
            said.push("`exhausted` is `pass`: what costs rules too much time goes on".to_owned());
        }
        if node.responses && !own.responses {
            said.push("`responses` is false: answers are not looked at".to_owned());
        }
        said.extend(self.exclusions.iter().map(Exclusion::said));
        if self.profile.mode == ProfileMode::Off {
            said.push("`profile.mode` is `off`: nobody watches what its runs do".to_owned());
        }
        said
    }
}

impl Exclusion {
    fn said(&self) -> String {
        let which = |what: &[String]| what.join(", ");
        let mut rules = Vec::new();
        if !self.rules.is_empty() {
            rules.push(which(&self.rules));
        }
        if !self.tags.is_empty() {
            rules.push(format!("tagged {}", which(&self.tags)));
        }
        let of = match self.variables.as_slice() {
            [] => String::new(),
            variables => format!(" for {}", which(variables)),
        };
        let place = self.path.as_ref().map(|path| format!(" at `{path}`")).unwrap_or_default();
        format!("rules {} are left out{of}{place}: {}", rules.join(" and "), self.reason)
    }
}

/// The first thing about a manifest's `[shield]` that cannot be.
pub(crate) fn check(shield: &Shield) -> Result<(), String> {
    let within = |name: &str, value: Option<u64>, range: std::ops::RangeInclusive<u64>| match value {
        Some(value) if !range.contains(&value) => {
            let (min, max) = (range.start(), range.end());
            Err(format!("`shield.{name}` is {value}, but must be from {min} to {max}"))
        }
        _ => Ok(()),
    };
    within("paranoia", shield.paranoia.map(Into::into), 1..=4)?;
    within("inbound_threshold", shield.inbound_threshold.map(Into::into), 1..=1_000)?;
    within("outbound_threshold", shield.outbound_threshold.map(Into::into), 1..=1_000)?;
    within("body_bytes", shield.body_bytes, 1024..=limits::INSPECTED_BODY_BYTES_MAX)?;
    within("profile.learn_minutes", Some(shield.profile.learn_minutes.into()), 1..=43_200)?;
    let most = limits::SHIELD_EXCLUSIONS_MAX;
    if shield.exclusions.len() > most {
        return Err(format!("`shield.exclude` stands {} times, at most {most}", shield.exclusions.len()));
    }
    shield.exclusions.iter().try_for_each(check_exclusion)?;
    let (lists, most) = (shield.allow.len() + shield.deny.len(), limits::SHIELD_RANGES_MAX);
    if lists > most {
        return Err(format!("`shield.allow` and `shield.deny` name {lists} ranges, at most {most}"));
    }
    let rates =
        [("source", shield.rate.source), ("caller", shield.rate.caller), ("function", shield.rate.function)];
    rates
        .iter()
        .try_for_each(|(name, rate)| rate.map_or(Ok(()), |rate| rate.check(&format!("shield.rate.{name}"))))
}

fn check_exclusion(one: &Exclusion) -> Result<(), String> {
    if one.rules.is_empty() && one.tags.is_empty() {
        return Err("`shield.exclude` names neither `rules` nor `tags`".to_owned());
    }
    if one.reason.trim().len() < 8 {
        return Err("`shield.exclude.reason` wants a sentence (8 characters or more)".to_owned());
    }
    let id = |text: &str| text.parse::<u64>().is_ok();
    for rule in &one.rules {
        let range = rule.split_once('-').is_some_and(|(from, to)| id(from) && id(to));
        if !id(rule) && !range {
            return Err(format!("`{rule}` in `shield.exclude.rules` is neither an id nor a range of ids"));
        }
    }
    match &one.path {
        Some(path) if !path.starts_with('/') || path.contains(['?', '#']) => {
            Err(format!("`{path}` in `shield.exclude.path` is no path: write `/path` or `/path/...`"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&[&str], &str>) {
        let shield: Shield = toml::from_str(text).unwrap();
        let found = super::check(&shield).map(|()| shield.loosened(&ShieldDefaults::default()));
        match (found, expect) {
            (Ok(found), Ok(expect)) => {
                assert_eq!(found.len(), expect.len(), "{text}: {found:?}");
                assert!(found.iter().zip(expect).all(|(f, e)| f.contains(e)), "{text}: {found:?}");
            }
            (Err(found), Err(expect)) => assert!(found.contains(expect), "{text}: {found}"),
            (found, expect) => panic!("{text}: {found:?}, not {expect:?}"),
        }
    }

    #[test]
    fn what_is_weaker_is_said() {
        check("", Ok(&[]));
        check("mode = 'block'\nparanoia = 3\nresponses = true\nbody_over = 'refuse'", Ok(&[]));
        check("mode = 'detect'", Ok(&["`detect`"]));
        check("mode = 'off'\nexhausted = 'pass'", Ok(&["no rule", "`exhausted`"]));
        check(
            "inbound_threshold = 6\nbody_bytes = 2048\nbody_over = 'pass'",
            Ok(&["inbound", "body_bytes", "body_over"]),
        );
        check("[profile]\nmode = 'off'", Ok(&["profile"]));
        let one = "[[exclude]]\nrules = ['942100']\nvariables = ['ARGS:q']\npath = '/a/...'\n\
                   reason = 'people search for SQL'";
        check(one, Ok(&["rules 942100 are left out for ARGS:q at `/a/...`: people search for SQL"]));
        check("deny = ['192.0.2.0/24']\n[rate]\nsource = { requests = 10 }", Ok(&[]));
    }

    #[test]
    fn what_cannot_be() {
        check("paranoia = 5", Err("from 1 to 4"));
        check("paranoia = 0", Err("from 1 to 4"));
        check("inbound_threshold = 0", Err("from 1"));
        check("body_bytes = 10", Err("from 1024"));
        check("[[exclude]]\nreason = 'no rule is named'", Err("neither `rules` nor `tags`"));
        check("[[exclude]]\nrules = ['1']\nreason = 'short'", Err("wants a sentence"));
        check("[[exclude]]\nrules = ['x']\nreason = 'long enough'", Err("`x`"));
        check("[[exclude]]\nrules = ['1-']\nreason = 'long enough'", Err("`1-`"));
        check("[[exclude]]\nrules = ['1']\npath = 'a'\nreason = 'long enough'", Err("`a`"));
        check("[rate]\nsource = { requests = 0 }", Err("rate.source.requests"));
        check("[rate]\ncaller = { requests = 1, seconds = 0 }", Err("rate.caller.seconds"));
        assert!(toml::from_str::<Shield>("mod = 'off'").is_err());
    }
}
