//! A node's configuration: what was typed, and what is proved valid. It never binds, opens or starts anything.

mod events;
mod names;
mod network;
mod rates;
mod shield;
mod tls;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ::shield::{Cidr, CidrError, Responses};
use cell::Walls;
use model::{Limits, ManifestError, ShieldDefaults, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use events::RawEvents;
pub(crate) use events::{RawFormat, SinkConfig, SinkPlace};
pub(crate) use network::{Network, SetSource};
use network::{RawFirewall, RawProxy};
use rates::{Rates, RawRates};
use tls::RawTls;
pub(crate) use tls::{Acme, AcmeChallenge, Shown};

/// A node's configuration file. Every key has a default; an unknown one is an error.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "casemate node configuration")]
pub(crate) struct RawConfig {
    /// The folder that holds everything the node keeps; relative to this file.
    /// `$XDG_DATA_HOME/casemate` by default.
    data: Option<PathBuf>,
    /// Where functions answer, over TLS. `127.0.0.1:8443` by default.
    listen: Option<String>,
    /// Where the control API answers, over TLS. `127.0.0.1:8444` by default.
    control: Option<String>,
    /// The domain below which tenants answer as `TENANT.DOMAIN`. `localhost` by default.
    domain: Option<String>,
    /// The trust domain of functions that call: `spiffe://TRUST-DOMAIN/TENANT/FUNCTION`. The domain by default.
    trust_domain: Option<String>,
    /// Worker processes. One for each core by default.
    workers: Option<u64>,
    /// Certificates of both listeners.
    tls: RawTls,
    /// Where the root key comes from.
    root_key: RawRootKey,
    /// Compilation of components.
    compile: RawCompile,
    /// The highest that a manifest may set each of its limits, by the names that the manifest uses.
    limits: BTreeMap<String, u64>,
    /// Bounds of whole tenants.
    tenants: RawTenants,
    /// How long requests may go on when the node stops, in milliseconds. 30000 by default.
    drain_ms: Option<u64>,
    /// Outbound calls of functions.
    egress: RawEgress,
    /// Which peers may connect at all.
    firewall: RawFirewall,
    /// Who stands in front of the node and says for whom.
    proxy: RawProxy,
    /// How often anyone may ask.
    rates: RawRates,
    /// How requests are looked at before anything runs.
    shield: shield::RawShield,
    /// The node's own log.
    log: RawLog,
    /// Where events go beside the record.
    events: RawEvents,
    /// What weakens the node. Each entry is logged as a warning at every start.
    dangerous: RawDangerous,
}

/// Where the root key comes from: at most one of these. `root.key` in the data folder by default.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRootKey {
    /// A file of mode 0600, made at the first start; relative to this file.
    file: Option<PathBuf>,
    /// A file of mode 0600 with a passphrase (Argon2id makes the key of it); relative to this file.
    passphrase_file: Option<PathBuf>,
    /// An environment variable with a passphrase.
    passphrase_env: Option<String>,
}

/// Compilation of components.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawCompile {
    /// How long one compilation may take, in milliseconds. The highest, 120,000, by default.
    wall_ms: Option<u64>,
}

/// Bounds of whole tenants.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTenants {
    /// The most runs at once that any tenant may have, whatever `casemate tenant set` says. 10000 by default.
    concurrency: Option<u64>,
}

/// Outbound calls of functions.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawEgress {
    /// Private, loopback or otherwise refused ranges that functions may reach where a grant names them.
    allow: Vec<String>,
}

/// How the node's own log is written, on stderr.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The node's own log.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLog {
    /// `text` or `json`.
    format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`. `info` by default.
    level: Option<String>,
}

/// What weakens the node.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawDangerous {
    /// Walls that may be missing around workers, by the names that `doctor` shows.
    missing_walls: Vec<String>,
    /// A loopback address where functions answer without TLS, behind a proxy of this machine that ends it, say.
    plain_http: Option<String>,
    /// Whether TLS 1.2 is taken beside 1.3.
    tls12: bool,
}

/// Where the root key comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RootKeySource {
    /// A file, made at the first start.
    File(PathBuf),
    /// A file with a passphrase.
    PassphraseFile(PathBuf),
    /// An environment variable with a passphrase.
    PassphraseEnv(String),
}

/// What weakens the node, proved to mean something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Dangerous {
    /// Walls that may be missing.
    #[serde(serialize_with = "wall_names")]
    pub(crate) missing_walls: Walls,
    /// Where functions answer without TLS.
    pub(crate) plain_http: Option<SocketAddr>,
    /// Whether TLS 1.2 is taken.
    pub(crate) tls12: bool,
}

/// A configuration that is proved valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Config {
    /// The folder that holds everything; absolute.
    pub(crate) data: PathBuf,
    /// Where functions answer.
    pub(crate) listen: SocketAddr,
    /// Where the control API answers.
    pub(crate) control: SocketAddr,
    /// The domain below which tenants answer.
    pub(crate) domain: String,
    /// The machine's clock is right, whatever later time this node has seen.
    pub(crate) accept_clock: bool,
    /// The trust domain of functions that call.
    pub(crate) trust_domain: String,
    /// Worker processes.
    pub(crate) workers: usize,
    /// Names and addresses in the node's own certificate.
    pub(crate) tls_names: Vec<String>,
    /// Which certificates are shown.
    pub(crate) shown: Shown,
    /// Where the root key comes from.
    pub(crate) root_key: RootKeySource,
    /// How long one compilation may take, in milliseconds.
    pub(crate) compile_wall_ms: u64,
    /// The highest that a manifest may set its limits.
    pub(crate) ceiling: Limits,
    /// The most runs at once that any tenant may have.
    pub(crate) tenant_concurrency: u64,
    /// How long requests may go on when the node stops.
    pub(crate) drain_ms: u64,
    /// Refused ranges that functions may reach all the same.
    pub(crate) egress_allow: Vec<Cidr>,
    /// How often anyone may ask.
    pub(crate) rates: Rates,
    /// How requests are looked at where a manifest is silent.
    pub(crate) shield: ShieldDefaults,
    /// What the node does by itself when it finds something suspicious.
    pub(crate) responses: Responses,
    /// Who may connect, and who stands in front.
    pub(crate) network: Network,
    /// Where events go beside the record.
    pub(crate) sinks: Vec<SinkConfig>,
    /// How the log is written.
    pub(crate) log_format: LogFormat,
    /// How much is logged.
    pub(crate) log_level: String,
    /// What weakens the node.
    pub(crate) dangerous: Dangerous,
}

/// What the command line says over the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// `--data`
    pub(crate) data: Option<PathBuf>,
    /// `--listen`
    pub(crate) listen: Option<SocketAddr>,
    /// `--control`
    pub(crate) control: Option<SocketAddr>,
    /// `--accept-clock`
    pub(crate) accept_clock: bool,
}

/// What the machine says where nobody else does.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Relative paths start here: the configuration's folder, or the current one.
    pub(crate) base: PathBuf,
    /// The data folder where none is named.
    pub(crate) data: PathBuf,
    /// Cores of this machine.
    pub(crate) cores: usize,
}

impl Config {
    /// Reads and proves a configuration.
    ///
    /// # Errors
    /// The first thing that is wrong, with line, column and a suggestion where there is one.
    pub(crate) fn parse(text: &str, over: &Overrides, around: &Surroundings) -> Result<Self, ManifestError> {
        let raw: RawConfig = toml::from_str(text).map_err(|e| ManifestError::from_toml(text, &e))?;
        prove(raw, over, around).map_err(|wrong| wrong.locate(text))
    }

    /// The JSON schema of the file (draft 2020-12), for editors.
    pub(crate) fn json_schema() -> serde_json::Value {
        schemars::schema_for!(RawConfig).to_value()
    }
}

impl Dangerous {
    /// A sentence for each thing that is weaker than it could be.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut said: Vec<String> = self
            .missing_walls
            .names()
            .iter()
            .map(|wall| format!("dangerous.missing_walls: workers may run without the wall `{wall}`"))
            .collect();
        if let Some(address) = self.plain_http {
            said.push(format!("dangerous.plain_http: functions answer without TLS on {address}"));
        }
        if self.tls12 {
            said.push("dangerous.tls12: TLS 1.2 is taken beside 1.3".to_owned());
        }
        said
    }
}

/// A wrong value: the key as a path (`log.level`) and what is the matter with it.
#[derive(Debug)]
struct Wrong {
    key: String,
    message: String,
    suggestion: Option<String>,
}

impl Wrong {
    fn new(key: &str, message: impl fmt::Display) -> Self {
        Self { key: key.to_owned(), message: format!("`{key}`: {message}"), suggestion: None }
    }

    fn suggest(mut self, suggestion: impl fmt::Display) -> Self {
        self.suggestion = Some(suggestion.to_string());
        self
    }

    /// Finds the line of the key: below its section's heading, or dotted.
    fn locate(self, text: &str) -> ManifestError {
        let (section, key) = self.key.rsplit_once('.').unwrap_or(("", &self.key));
        let mut here = String::new();
        let at = text.lines().enumerate().find_map(|(index, line)| {
            let bare = line.trim();
            if let Some(heading) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                let heading = heading.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(heading);
                heading.trim().clone_into(&mut here);
                return None;
            }
            let named = bare.split('=').next().unwrap_or_default().trim();
            let whole = if here.is_empty() { named.to_owned() } else { format!("{here}.{named}") };
            let inline = whole == section && !section.is_empty() && bare.contains(key);
            (whole == self.key || inline).then(|| (index + 1, line.len() - line.trim_start().len() + 1))
        });
        ManifestError { at, message: self.message, suggestion: self.suggestion }
    }
}

fn prove(raw: RawConfig, over: &Overrides, around: &Surroundings) -> Result<Config, Wrong> {
    let path = |p: PathBuf| around.base.join(p);
    let data = match &over.data {
        Some(data) => std::path::absolute(data).unwrap_or_else(|_| data.clone()),
        None => raw.data.map_or_else(|| around.data.clone(), path),
    };
    let listen = over.listen.map_or_else(|| address("listen", raw.listen.as_deref(), 8443), Ok)?;
    let control = over.control.map_or_else(|| address("control", raw.control.as_deref(), 8444), Ok)?;
    if listen == control && listen.port() != 0 {
        return Err(Wrong::new("control", "must not be the address of `listen`").suggest("take another port"));
    }
    let (domain, trust_domain) = names::prove(raw.domain, raw.trust_domain)?;
    let log_level = raw.log.level.unwrap_or_else(|| "info".to_owned());
    if !["error", "warn", "info", "debug", "trace"].contains(&log_level.as_str()) {
        let known = "write `error`, `warn`, `info`, `debug` or `trace`";
        return Err(Wrong::new("log.level", format!("`{log_level}` is no level")).suggest(known));
    }
    Ok(Config {
        accept_clock: over.accept_clock,
        root_key: root_key(raw.root_key, &data, &around.base)?,
        shown: tls::shown(&raw.tls, &around.base, [listen, control])?,
        tls_names: tls::names(raw.tls.names, &domain)?,
        workers: workers(raw.workers, around.cores)?,
        compile_wall_ms: compile_wall_ms(raw.compile.wall_ms)?,
        ceiling: ceiling(&raw.limits)?,
        tenant_concurrency: within(
            "tenants.concurrency",
            raw.tenants.concurrency.unwrap_or(limits::TENANT_CONCURRENCY_MAX),
            1..=limits::TENANT_CONCURRENCY_MAX,
        )?,
        drain_ms: within("drain_ms", raw.drain_ms.unwrap_or(limits::DRAIN_MS), 0..=limits::DRAIN_MS_MAX)?,
        egress_allow: ranges("egress.allow", &raw.egress.allow)?,
        rates: Rates::prove(&raw.rates)?,
        shield: shield::prove(&raw.shield)?,
        responses: shield::prove_responses(&raw.shield)?,
        network: Network::prove(&raw.firewall, &raw.proxy, &around.base)?,
        dangerous: dangerous(&raw.dangerous, listen, control)?,
        sinks: raw.events.prove(&around.base)?,
        log_format: raw.log.format,
        data,
        listen,
        control,
        domain,
        trust_domain,
        log_level,
    })
}

fn address(key: &str, text: Option<&str>, port: u16) -> Result<SocketAddr, Wrong> {
    let Some(text) = text else { return Ok(SocketAddr::from(([127, 0, 0, 1], port))) };
    let wrong = || {
        Wrong::new(key, format!("`{text}` is no address with a port"))
            .suggest(format!("write `127.0.0.1:{port}` or `[::1]:{port}`"))
    };
    text.parse().map_err(|_| wrong())
}

fn root_key(raw: RawRootKey, data: &Path, base: &Path) -> Result<RootKeySource, Wrong> {
    match (raw.file, raw.passphrase_file, raw.passphrase_env) {
        (None, None, None) => Ok(RootKeySource::File(data.join("root.key"))),
        (Some(file), None, None) => Ok(RootKeySource::File(base.join(file))),
        (None, Some(file), None) => Ok(RootKeySource::PassphraseFile(base.join(file))),
        (None, None, Some(name)) if name.is_empty() || name.contains(['=', '\0', ' ']) => {
            Err(Wrong::new("root_key.passphrase_env", format!("`{name}` is no environment variable")))
        }
        (None, None, Some(name)) => Ok(RootKeySource::PassphraseEnv(name)),
        _ => Err(Wrong::new("root_key", "`file`, `passphrase_file` and `passphrase_env` exclude each other")),
    }
}

fn workers(typed: Option<u64>, cores: usize) -> Result<usize, Wrong> {
    const WORKERS_MAX: u64 = 1024;
    match typed {
        None => Ok(cores.max(1)),
        Some(n) => within("workers", n, 1..=WORKERS_MAX).map(|n| usize::try_from(n).unwrap_or(1)),
    }
}

fn compile_wall_ms(typed: Option<u64>) -> Result<u64, Wrong> {
    const MOST: u64 = limits::COMPILE_WALL_MS;
    match typed {
        None => Ok(MOST),
        Some(ms @ 1..=MOST) => Ok(ms),
        Some(ms) => Err(Wrong::new("compile.wall_ms", format!("is {ms}, but must be from 1 to {MOST}"))),
    }
}

fn ceiling(typed: &BTreeMap<String, u64>) -> Result<Limits, Wrong> {
    let wrong = |e: serde_json::Error| Wrong::new("limits", e);
    let mut rows = serde_json::to_value(Limits::CEILING).map_err(wrong)?;
    for (name, value) in typed {
        let key = format!("limits.{name}");
        let Some((_, min, _, max)) = limits::TABLE.iter().find(|(known, ..)| known == name) else {
            let near =
                limits::TABLE.iter().map(|(known, ..)| (strsim::damerau_levenshtein(name, known), known));
            let near = near.min().filter(|(distance, _)| *distance <= 3);
            let mut wrong = Wrong::new(&key, "is no limit");
            wrong.suggestion = near.map(|(_, known)| format!("did you mean `{known}`?"));
            return Err(wrong);
        };
        if value < min || value > max {
            return Err(Wrong::new(&key, format!("is {value}, but must be from {min} to {max}")));
        }
        if let Some(slot) = rows.get_mut(name) {
            *slot = (*value).into();
        }
    }
    serde_json::from_value(rows).map_err(wrong)
}

fn within(key: &str, value: u64, allowed: std::ops::RangeInclusive<u64>) -> Result<u64, Wrong> {
    if allowed.contains(&value) {
        return Ok(value);
    }
    let (min, max) = (allowed.start(), allowed.end());
    Err(Wrong::new(key, format!("is {value}, but must be from {min} to {max}")))
}

fn ranges(key: &str, texts: &[String]) -> Result<Vec<Cidr>, Wrong> {
    texts.iter().map(|text| text.parse().map_err(|e: CidrError| Wrong::new(key, e))).collect()
}

fn dangerous(raw: &RawDangerous, listen: SocketAddr, control: SocketAddr) -> Result<Dangerous, Wrong> {
    let mut missing_walls = Walls::default();
    for name in &raw.missing_walls {
        let Some((wall, _)) = Walls::ALL.iter().find(|(_, known)| known == name) else {
            let known: Vec<&str> = Walls::ALL.iter().map(|(_, known)| *known).collect();
            let wrong = Wrong::new("dangerous.missing_walls", format!("`{name}` is no wall"));
            return Err(wrong.suggest(format!("there are {}", known.join(", "))));
        };
        missing_walls = missing_walls.with(*wall);
    }
    let plain_http = raw.plain_http.as_deref();
    let plain_http = plain_http.map(|a| address("dangerous.plain_http", Some(a), 8080)).transpose()?;
    if plain_http.is_some_and(|a| !a.ip().is_loopback()) {
        return Err(Wrong::new(
            "dangerous.plain_http",
            "must be a loopback address, such as `127.0.0.1:8080`",
        ));
    }
    if plain_http.is_some_and(|a| a.port() != 0 && (a == listen || a == control)) {
        return Err(Wrong::new("dangerous.plain_http", "must not be the address of another listener"));
    }
    Ok(Dangerous { missing_walls, plain_http, tls12: raw.tls12 })
}

fn wall_names<S: serde::Serializer>(walls: &Walls, s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(walls.names())
}

#[cfg(test)]
mod tests;
