//! `[firewall]` and `[proxy]` of a node's configuration: who may connect, and who stands in front. It never reads a list's
//! file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shield::{Cidr, Entry, ForwardHeader};

use super::{Wrong, ranges};

/// Which peers may connect at all; refused ones are dropped before TLS. An entry is an address, a range or a named set
/// (`set:NAME`), each for good or ` until=TIME` (RFC 3339).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawFirewall {
    /// Only these; everyone where it is empty.
    allow: Vec<String>,
    /// Never these, even where `allow` has them.
    deny: Vec<String>,
    /// Named sets of ranges, for these lists, those of tenants (`casemate tenant set`) and those of manifests.
    sets: BTreeMap<String, RawSet>,
    /// Who of them may connect to the control API.
    control: RawLists,
}

/// Two lists.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLists {
    /// Only these; everyone where it is empty.
    allow: Vec<String>,
    /// Never these, even where `allow` has them.
    deny: Vec<String>,
}

/// A named set: one of these.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSet {
    /// A file with one range a line and comments from `#` on, read again when it changes; relative to this file.
    file: Option<PathBuf>,
    /// Addresses and ranges.
    ranges: Option<Vec<String>>,
}

/// Who stands in front of the node and says for whom.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawProxy {
    /// Addresses and ranges of forwarders of connections. Each of their connections begins with a header of the PROXY
    /// protocol, version 2, or is refused.
    trusted: Vec<String>,
    /// Whether `trusted` counts at the control API too. It does not by default.
    control: bool,
    /// Addresses and ranges of forwarders of requests, whose header names the source of each.
    forwarded: Vec<String>,
    /// That header: `x-forwarded-for` (by default) or `forwarded` (RFC 7239). The other one is never believed.
    header: ForwardHeader,
}

/// Where a named set comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SetSource {
    /// A file, absolute.
    File(PathBuf),
    /// Entries.
    Ranges(Vec<Entry>),
}

/// Who may connect and who stands in front, proved as far as it is not in files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Network {
    /// Who may connect; everyone where it is empty.
    pub(crate) allow: Vec<Entry>,
    /// Who may not.
    pub(crate) deny: Vec<Entry>,
    /// Who of those may connect to the control API.
    pub(crate) control_allow: Vec<Entry>,
    /// Who may not.
    pub(crate) control_deny: Vec<Entry>,
    /// Named sets.
    pub(crate) sets: BTreeMap<String, SetSource>,
    /// Forwarders of connections.
    pub(crate) trusted: Vec<Cidr>,
    /// Whether they are at the control API too.
    pub(crate) trusted_control: bool,
    /// Forwarders of requests.
    pub(crate) forwarded: Vec<Cidr>,
    /// Their header.
    pub(crate) header: ForwardHeader,
}

impl Network {
    /// # Errors
    /// The key whose value is no list, or names a set that is not there.
    pub(super) fn prove(raw: &RawFirewall, proxy: &RawProxy, base: &Path) -> Result<Self, Wrong> {
        let mut sets = BTreeMap::new();
        for (name, set) in &raw.sets {
            sets.insert(name.clone(), source(name, set, base)?);
        }
        let entries = |key: &str, texts: &[String]| -> Result<Vec<Entry>, Wrong> {
            texts.iter().map(|text| entry(key, text, &sets)).collect()
        };
        Ok(Self {
            allow: entries("firewall.allow", &raw.allow)?,
            deny: entries("firewall.deny", &raw.deny)?,
            control_allow: entries("firewall.control.allow", &raw.control.allow)?,
            control_deny: entries("firewall.control.deny", &raw.control.deny)?,
            trusted: ranges("proxy.trusted", &proxy.trusted)?,
            trusted_control: proxy.control,
            forwarded: ranges("proxy.forwarded", &proxy.forwarded)?,
            header: proxy.header,
            sets,
        })
    }
}

fn entry(key: &str, text: &str, sets: &BTreeMap<String, SetSource>) -> Result<Entry, Wrong> {
    let entry: Entry = text.parse().map_err(|e| Wrong::new(key, e))?;
    match entry.set() {
        Some(name) if !sets.contains_key(name) => {
            let wrong = Wrong::new(key, format!("`set:{name}` is no set"));
            Err(wrong.suggest(format!("name it as `[firewall.sets.{name}]`")))
        }
        _ => Ok(entry),
    }
}

fn source(name: &str, raw: &RawSet, base: &Path) -> Result<SetSource, Wrong> {
    let key = format!("firewall.sets.{name}");
    // As an entry would name it.
    let named: Result<Entry, _> = format!("set:{name}").parse();
    named.map_err(|e| Wrong::new(&key, e))?;
    match (&raw.file, &raw.ranges) {
        (Some(file), None) => Ok(SetSource::File(base.join(file))),
        (None, Some(texts)) => {
            let key = format!("{key}.ranges");
            let entries = texts.iter().map(|text| {
                let entry: Entry = text.parse().map_err(|e| Wrong::new(&key, e))?;
                match entry.set() {
                    Some(other) => Err(Wrong::new(&key, format!("`set:{other}` stands within a set"))),
                    None => Ok(entry),
                }
            });
            Ok(SetSource::Ranges(entries.collect::<Result<_, _>>()?))
        }
        _ => Err(Wrong::new(&key, "wants either `file` or `ranges`")),
    }
}
