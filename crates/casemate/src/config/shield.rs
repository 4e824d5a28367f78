//! `[shield]` of a node's configuration: how requests are looked at where a manifest is silent. It never looks at one.

use model::{RuleMode, ShieldDefaults, Unseen, limits};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Wrong, within};
use ::shield::{Measure, Responses};

/// How requests are looked at where a manifest is silent. A manifest may be stricter; one that is weaker wants the action
/// `loosenShield` of whoever deploys it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawShield {
    /// What becomes of a request in which rules find an attack: `block` (by default), `detect` or `off`.
    mode: Option<RuleMode>,
    /// How suspicious rules are, 1 (by default) to 4.
    paranoia: Option<u64>,
    /// The score from which a request is refused, 1 to 1000. 5 by default.
    inbound_threshold: Option<u64>,
    /// The score from which an answer is refused, 1 to 1000. 4 by default.
    outbound_threshold: Option<u64>,
    /// How much of a request's body is looked at, in bytes. 131072 by default, at most 1048576.
    body_bytes: Option<u64>,
    /// What becomes of a request that uses up the time that looking at it may take: `refuse` (by default) or `pass`.
    exhausted: Option<Unseen>,
    /// Whether answers are looked at too. They are not by default.
    responses: Option<bool>,
    /// What the node does by itself when it finds something suspicious.
    response: RawResponse,
}

/// What is done about a source.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OfSource {
    /// A signal in the record, and no more.
    Log,
    /// Its refusals are answered late.
    Slow,
    /// Nobody there is answered who presents no credential that holds.
    BlockStrangers,
    /// Nobody there is answered.
    Block,
}

/// What is done about a token.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OfToken {
    /// A signal in the record, and no more.
    Log,
    /// It proves nobody. Tokens of owners and administrators are never suspended by the node itself.
    Suspend,
}

/// What is done about a revision.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OfRevision {
    /// A signal in the record, and no more.
    Log,
    /// Calls of it are answered with 503.
    Quarantine,
}

/// What the node does by itself when it finds something suspicious. Everything ends by itself, and is undone with
/// `casemate shield unblock`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawResponse {
    /// When a source looks for what is not there, or sends attacks: `log`, `slow` (by default), `block-strangers` or
    /// `block`.
    probing: Option<OfSource>,
    /// When a source tries one credential after the other: `slow` by default.
    stuffing: Option<OfSource>,
    /// When a source touches bait: `block-strangers` by default.
    honey: Option<OfSource>,
    /// When one token comes from many places: `log` (by default) or `suspend`.
    token_places: Option<OfToken>,
    /// When a run is unlike its function's profile: `log` (by default) or `quarantine`.
    profile: Option<OfRevision>,
    /// For how long, in minutes, 1 to 43200. 10 by default.
    minutes: Option<u64>,
}

impl OfSource {
    const fn measure(self) -> Option<Measure> {
        match self {
            Self::Log => None,
            Self::Slow => Some(Measure::Slow),
            Self::BlockStrangers => Some(Measure::BlockStrangers),
            Self::Block => Some(Measure::Block),
        }
    }
}

/// # Errors
/// The key whose value is out of its range.
pub(super) fn prove_responses(raw: &RawShield) -> Result<Responses, Wrong> {
    let (raw, usual) = (&raw.response, Responses::default());
    let source = |own: Option<OfSource>, usual: Option<Measure>| own.map_or(usual, OfSource::measure);
    let minutes = raw.minutes.unwrap_or(usual.minutes);
    Ok(Responses {
        probing: source(raw.probing, usual.probing),
        stuffing: source(raw.stuffing, usual.stuffing),
        honey: source(raw.honey, usual.honey),
        token_places: match raw.token_places {
            Some(OfToken::Suspend) => Some(Measure::Suspend),
            Some(OfToken::Log) => None,
            None => usual.token_places,
        },
        profile: match raw.profile {
            Some(OfRevision::Quarantine) => Some(Measure::Quarantine),
            Some(OfRevision::Log) => None,
            None => usual.profile,
        },
        minutes: within("shield.response.minutes", minutes, 1..=limits::ACTION_MINUTES_MAX)?,
    })
}

/// # Errors
/// The key whose value is out of its range.
pub(super) fn prove(raw: &RawShield) -> Result<ShieldDefaults, Wrong> {
    let usual = ShieldDefaults::default();
    let number = |key: &str, value: Option<u64>, usual: u32, most: u64| -> Result<u32, Wrong> {
        let value = within(key, value.unwrap_or(usual.into()), 1..=most)?;
        Ok(u32::try_from(value).unwrap_or(usual))
    };
    let paranoia = number("shield.paranoia", raw.paranoia, usual.paranoia.into(), 4)?;
    let (inbound, outbound) = (usual.inbound_threshold, usual.outbound_threshold);
    Ok(ShieldDefaults {
        mode: raw.mode.unwrap_or(usual.mode),
        paranoia: u8::try_from(paranoia).unwrap_or(usual.paranoia),
        inbound_threshold: number("shield.inbound_threshold", raw.inbound_threshold, inbound, 1_000)?,
        outbound_threshold: number("shield.outbound_threshold", raw.outbound_threshold, outbound, 1_000)?,
        body_bytes: within(
            "shield.body_bytes",
            raw.body_bytes.unwrap_or(usual.body_bytes),
            1_024..=limits::INSPECTED_BODY_BYTES_MAX,
        )?,
        exhausted: raw.exhausted.unwrap_or(usual.exhausted),
        responses: raw.responses.unwrap_or(usual.responses),
    })
}
