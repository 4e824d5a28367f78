//! Where events go beside the record: what a node's configuration says of its sinks. It never opens one.

use std::path::{Path, PathBuf};

use model::{TenantId, limits};
use platform::EventGroup;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Wrong, tls::is_host, within};

/// What a sink gets where nobody says.
const USUAL: [EventGroup; 4] =
    [EventGroup::Signals, EventGroup::Actions, EventGroup::Refusals, EventGroup::Changes];
/// Size of a file, in bytes: usual, least, most.
const FILE_BYTES: (u64, u64, u64) = (64 << 20, 4 << 10, 1 << 40);
/// Older files that are kept: usual, most.
const FILES_KEPT: (u64, u64) = (4, 1_000);
/// The port of syslog over TLS (RFC 5425 §4.1).
const SYSLOG_TLS: u16 = 6514;

/// Where events go beside the record.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawEvents {
    /// Each gets events in the order of the record, as OCSF.
    sink: Vec<RawSink>,
}

/// What a sink is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum RawKind {
    /// One JSON object a line.
    File,
    /// RFC 5424 over TLS (RFC 5425).
    Syslog,
    /// `POST` of batches over TLS.
    Http,
}

/// A place that events go to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSink {
    /// `file`, `syslog` or `http`.
    kind: RawKind,
    /// Its name, in the node's report and its metrics, and by which the node remembers how far it came. The kind by
    /// default.
    name: Option<String>,
    /// Which events: `signals`, `actions`, `refusals`, `changes`, `decisions`, `runs`, or `all`. All but `decisions`
    /// and `runs` by default.
    what: Option<Vec<String>>,
    /// Whose: these tenants' alone. Everybody's and the node's own by default.
    #[serde(default)]
    tenants: Vec<String>,
    /// How many records it may be behind; the oldest beyond that are passed over. 10000000 by default.
    behind_max: Option<u64>,
    /// Of a file: where; relative to this file.
    path: Option<PathBuf>,
    /// Of a file: after which size the next one begins, in bytes. 67108864 by default.
    bytes_max: Option<u64>,
    /// Of a file: how many older ones are kept, as `PATH.1` and so on. 4 by default.
    keep: Option<u64>,
    /// Of syslog: the receiver, as `HOST` or `HOST:PORT`. Port 6514 by default.
    address: Option<String>,
    /// Of syslog: a certificate chain (PEM) that proves this node; relative to this file. Wants `key`.
    certificate: Option<PathBuf>,
    /// Of syslog: the chain's private key (PEM), mode 0600; relative to this file.
    key: Option<PathBuf>,
    /// Of HTTP: an absolute `https` URL.
    url: Option<String>,
    /// Of HTTP: a file of mode 0600 with a bearer token, read at each delivery; relative to this file.
    token_file: Option<PathBuf>,
    /// Of HTTP: `ndjson` (by default) or `json`, an array.
    format: Option<RawFormat>,
    /// Of syslog and HTTP: who vouches for the receiver (PEM); relative to this file. The web's own roots by default.
    ca: Option<PathBuf>,
}

/// How a batch is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RawFormat {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// One array.
    Json,
}

/// A sink that is proved to be one, as far as that is so without its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SinkConfig {
    /// Its name.
    pub(crate) name: String,
    /// What it gets.
    #[serde(serialize_with = "names")]
    pub(crate) what: Vec<EventGroup>,
    /// Whose; everybody's where it is empty.
    pub(crate) tenants: Vec<TenantId>,
    /// How many records it may be behind.
    pub(crate) behind_max: u64,
    /// Where it is.
    pub(crate) to: SinkPlace,
}

/// Where a sink is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SinkPlace {
    /// A file.
    File { path: PathBuf, bytes_max: u64, keep: u32 },
    /// A receiver of syslog.
    Syslog { host: String, port: u16, ca: Option<PathBuf>, identity: Option<(PathBuf, PathBuf)> },
    /// A receiver of HTTP.
    Http { url: String, ca: Option<PathBuf>, token_file: Option<PathBuf>, format: RawFormat },
}

impl RawEvents {
    /// # Errors
    /// The first key that does not hold.
    pub(super) fn prove(self, base: &Path) -> Result<Vec<SinkConfig>, Wrong> {
        if self.sink.len() > limits::SINKS_MAX {
            return Err(Wrong::new("events.sink", format!("there may be {} at most", limits::SINKS_MAX)));
        }
        let mut proved: Vec<SinkConfig> = Vec::new();
        for raw in self.sink {
            let sink = raw.prove(base)?;
            if proved.iter().any(|other| other.name == sink.name) {
                return Err(wrong("name", format!("`{}` is the name of another sink", sink.name))
                    .suggest("give each a `name` of its own"));
            }
            proved.push(sink);
        }
        Ok(proved)
    }
}

fn wrong(key: &str, why: impl std::fmt::Display) -> Wrong {
    Wrong::new(&format!("events.sink.{key}"), why)
}

impl RawSink {
    fn prove(self, base: &Path) -> Result<SinkConfig, Wrong> {
        let kind = match self.kind {
            RawKind::File => "file",
            RawKind::Syslog => "syslog",
            RawKind::Http => "http",
        };
        self.own(kind)?;
        let name = self.name.clone().unwrap_or_else(|| kind.to_owned());
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
            return Err(wrong(
                "name",
                format!("`{name}` is not of 1 to 32 characters `a`–`z`, `0`–`9` and `-`"),
            ));
        }
        let tenants =
            self.tenants.iter().map(|name| name.parse().map_err(|e: model::IdError| wrong("tenants", e)));
        Ok(SinkConfig {
            tenants: tenants.collect::<Result<_, _>>()?,
            what: groups(self.what.as_deref())?,
            behind_max: within(
                "events.sink.behind_max",
                self.behind_max.unwrap_or(limits::SINK_BEHIND),
                1..=limits::SINK_BEHIND_MAX,
            )?,
            to: self.place(base)?,
            name,
        })
    }

    /// No key that only another kind has.
    fn own(&self, kind: &str) -> Result<(), Wrong> {
        let keys = [
            ("path", self.path.is_some(), "file"),
            ("bytes_max", self.bytes_max.is_some(), "file"),
            ("keep", self.keep.is_some(), "file"),
            ("address", self.address.is_some(), "syslog"),
            ("certificate", self.certificate.is_some(), "syslog"),
            ("key", self.key.is_some(), "syslog"),
            ("url", self.url.is_some(), "http"),
            ("token_file", self.token_file.is_some(), "http"),
            ("format", self.format.is_some(), "http"),
            ("ca", self.ca.is_some() && kind == "file", "syslog` or `http"),
        ];
        match keys.iter().find(|(_, typed, of)| *typed && *of != kind) {
            Some((key, _, of)) => {
                Err(wrong(key, format!("is of a sink of kind `{of}`, and this is `{kind}`")))
            }
            None => Ok(()),
        }
    }

    fn place(self, base: &Path) -> Result<SinkPlace, Wrong> {
        let path = |path: Option<PathBuf>| path.map(|path| base.join(path));
        match self.kind {
            RawKind::File => {
                let (usual, least, most) = FILE_BYTES;
                let bytes_max = self.bytes_max.unwrap_or(usual);
                let kept = within("events.sink.keep", self.keep.unwrap_or(FILES_KEPT.0), 0..=FILES_KEPT.1)?;
                Ok(SinkPlace::File {
                    path: path(self.path).ok_or_else(|| wrong("path", "is wanted for a file"))?,
                    bytes_max: within("events.sink.bytes_max", bytes_max, least..=most)?,
                    keep: u32::try_from(kept).unwrap_or(u32::MAX),
                })
            }
            RawKind::Syslog => {
                let typed = self.address.ok_or_else(|| wrong("address", "is wanted for syslog"))?;
                let (host, port) = host_and_port(&typed).ok_or_else(|| {
                    wrong("address", format!("`{typed}` is no host, with or without a port"))
                })?;
                let identity = match (path(self.certificate), path(self.key)) {
                    (None, None) => None,
                    (Some(certificate), Some(key)) => Some((certificate, key)),
                    _ => return Err(wrong("key", "and `certificate` want each other")),
                };
                Ok(SinkPlace::Syslog { host, port, ca: path(self.ca), identity })
            }
            RawKind::Http => {
                let url = self.url.ok_or_else(|| wrong("url", "is wanted for HTTP"))?;
                let target: Option<http::Uri> = url.parse().ok();
                let whole = |uri: &http::Uri| {
                    uri.scheme_str() == Some("https")
                        && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
                };
                if !target.as_ref().is_some_and(whole) {
                    return Err(wrong(
                        "url",
                        format!("`{url}` is no absolute `https` URL without a password"),
                    ));
                }
                let format = self.format.unwrap_or_default();
                Ok(SinkPlace::Http { url, ca: path(self.ca), token_file: path(self.token_file), format })
            }
        }
    }
}

/// `HOST`, `HOST:PORT`, `[::1]` or `[::1]:PORT`; an address of IPv6 keeps its brackets.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let bracket = text.strip_prefix('[').and_then(|rest| rest.find(']')).map(|end| end + 2);
    let (host, rest) = text.split_at_checked(bracket.or_else(|| text.find(':')).unwrap_or(text.len()))?;
    let port = match rest.strip_prefix(':') {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse().ok().filter(|port| *port != 0)?
        }
        None if rest.is_empty() => SYSLOG_TLS,
        _ => return None,
    };
    let known = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    known.then(|| (host.to_owned(), port))
}

fn groups(typed: Option<&[String]>) -> Result<Vec<EventGroup>, Wrong> {
    let Some(typed) = typed else { return Ok(USUAL.to_vec()) };
    if typed.is_empty() {
        return Err(wrong("what", "names nothing"));
    }
    let mut groups = Vec::new();
    for name in typed {
        match EventGroup::named(name) {
            Some(group) => groups.push(group),
            None if name == "all" => groups.extend(EventGroup::ALL.map(|(group, _)| group)),
            None => {
                let known = EventGroup::ALL.map(|(_, name)| name).join(", ");
                return Err(wrong("what", format!("`{name}` is no kind of events"))
                    .suggest(format!("there are {known}, and all")));
            }
        }
    }
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

fn names<S: serde::Serializer>(groups: &[EventGroup], s: S) -> Result<S::Ok, S::Error> {
    let name =
        |group: &EventGroup| EventGroup::ALL.iter().find(|(known, _)| known == group).map(|(_, name)| *name);
    s.collect_seq(groups.iter().filter_map(name))
}
