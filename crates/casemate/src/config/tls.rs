//! Which certificates a node shows: the operator's files, an authority's by ACME, or its own. It never reads one.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use model::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Wrong, address};

/// Certificates of both listeners. Without files the node makes an authority of its own in its data folder. A client is
/// answered by the names that stand in a certificate, and no others.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTls {
    /// Names and addresses in the node's own certificate, beside `localhost`, `127.0.0.1`, `::1` and the
    /// domain.
    pub(super) names: Vec<String>,
    /// A certificate chain (PEM), the node's own first; relative to this file. Wants `key`.
    certificate: Option<PathBuf>,
    /// The chain's private key (PEM, PKCS#8), mode 0600; relative to this file.
    key: Option<PathBuf>,
    /// Certificates that an authority issues and renews by ACME (RFC 8555), in the place of files.
    acme: Option<RawAcme>,
}

/// Certificates by ACME (RFC 8555). The node's own authority vouches for it until there is one, and for all names that
/// are not among these.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAcme {
    /// The authority's directory: `https://acme-v02.api.letsencrypt.org/directory`, say.
    directory: String,
    /// Whether the authority's terms of service are agreed to. Without `true` nothing is ordered, and the node does not
    /// start.
    accept_terms: bool,
    /// Where the authority may write to: `mailto:ops@example.com`.
    contact: Vec<String>,
    /// Host names to be in the certificate, at least one; no address and no `*.`.
    names: Vec<String>,
    /// How the authority looks whether they are the node's: `tls-alpn-01` by default, at `listen`, which it must reach
    /// at port 443; or `http-01`, at `http`, which it must reach at port 80.
    challenge: AcmeChallenge,
    /// Where it looks over HTTP. Nothing else is answered there. Wants `challenge = "http-01"`.
    http: Option<String>,
    /// A certificate (PEM) that vouches for the directory in the place of the web's own; relative to this file.
    directory_ca: Option<PathBuf>,
}

/// How an authority looks whether a name is the node's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum AcmeChallenge {
    /// In a handshake, at the port of functions (RFC 8737).
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// Over HTTP, at a port for that alone (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
}

/// Which certificates are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shown {
    /// Those of the node's own authority.
    Own,
    /// The operator's: a chain and its key.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// An authority's, beside those of the node's own.
    Acme(Acme),
}

impl Shown {
    /// Where authorities look over HTTP.
    pub(crate) fn challenges(&self) -> Option<SocketAddr> {
        match self {
            Self::Acme(acme) => acme.http,
            Self::Own | Self::Files { .. } => None,
        }
    }

    /// The files that are read for it.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = match self {
            Self::Own => [None, None],
            Self::Files { certificate, key } => [Some(certificate), Some(key)],
            Self::Acme(acme) => [acme.directory_ca.as_ref(), None],
        };
        files.into_iter().flatten()
    }
}

/// What is ordered, and where, proved to make sense.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Acme {
    /// The authority's directory.
    pub(crate) directory: String,
    /// Where the authority may write to.
    pub(crate) contact: Vec<String>,
    /// What is to be in the certificate.
    pub(crate) names: Vec<String>,
    /// How the authority looks.
    pub(crate) challenge: AcmeChallenge,
    /// Where it looks over HTTP.
    pub(crate) http: Option<SocketAddr>,
    /// What vouches for the directory, where that is not the web's own.
    pub(crate) directory_ca: Option<PathBuf>,
}

/// Which certificates are shown on listeners at these addresses.
pub(super) fn shown(raw: &RawTls, base: &Path, listeners: [SocketAddr; 2]) -> Result<Shown, Wrong> {
    match (&raw.certificate, &raw.key, &raw.acme) {
        (None, None, None) => Ok(Shown::Own),
        (None, None, Some(raw)) => acme(raw, base, listeners).map(Shown::Acme),
        (Some(certificate), Some(key), None) => {
            Ok(Shown::Files { certificate: base.join(certificate), key: base.join(key) })
        }
        (Some(_), None, None) => Err(Wrong::new("tls.certificate", "wants `tls.key` beside it")),
        (None, Some(_), None) => Err(Wrong::new("tls.key", "wants `tls.certificate` beside it")),
        (Some(_), _, Some(_)) => Err(Wrong::new("tls.certificate", "excludes `tls.acme`")),
        (None, Some(_), Some(_)) => Err(Wrong::new("tls.key", "excludes `tls.acme`")),
    }
}

fn acme(raw: &RawAcme, base: &Path, listeners: [SocketAddr; 2]) -> Result<Acme, Wrong> {
    let wrong = |key: &str, message: String| Wrong::new(&format!("tls.acme.{key}"), message);
    let directory: Option<http::Uri> = raw.directory.parse().ok();
    if directory.is_none_or(|uri| uri.scheme_str() != Some("https") || uri.host().is_none()) {
        return Err(wrong("directory", format!("`{}` is no `https://` place", raw.directory)));
    }
    if !raw.accept_terms {
        let message = "the authority's terms of service must be agreed to: read them, then write `true`";
        return Err(wrong("accept_terms", message.to_owned()));
    }
    if let Some(contact) = raw.contact.iter().find(|contact| !is_contact(contact)) {
        return Err(wrong("contact", format!("`{contact}` is no `mailto:` address")));
    }
    if raw.names.is_empty() || raw.names.len() > limits::ACME_NAMES_MAX {
        let (found, most) = (raw.names.len(), limits::ACME_NAMES_MAX);
        return Err(wrong("names", format!("has {found} names, but must have from 1 to {most}")));
    }
    if let Some(name) = raw.names.iter().find(|name| name.parse::<IpAddr>().is_ok() || !is_host(name)) {
        let suggestion = "write host names; wildcards and addresses cannot be proved by these challenges";
        return Err(wrong("names", format!("`{name}` is no host name")).suggest(suggestion));
    }
    let mut names = raw.names.clone();
    names.sort_unstable();
    names.dedup();
    Ok(Acme {
        directory: raw.directory.clone(),
        contact: raw.contact.clone(),
        names,
        challenge: raw.challenge,
        http: challenge_address(raw, listeners)?,
        directory_ca: raw.directory_ca.as_ref().map(|file| base.join(file)),
    })
}

fn challenge_address(raw: &RawAcme, listeners: [SocketAddr; 2]) -> Result<Option<SocketAddr>, Wrong> {
    let key = "tls.acme.http";
    match (raw.challenge, raw.http.as_deref()) {
        (AcmeChallenge::TlsAlpn01, None) => Ok(None),
        (AcmeChallenge::TlsAlpn01, Some(_)) => Err(Wrong::new(key, "wants `challenge = \"http-01\"`")),
        (AcmeChallenge::Http01, None) => {
            let wrong = Wrong::new("tls.acme.challenge", "`http-01` wants `http`");
            Err(wrong.suggest("write `http = \"0.0.0.0:80\"`, say"))
        }
        (AcmeChallenge::Http01, Some(text)) => {
            let found = address(key, Some(text), 80)?;
            if found.port() != 0 && listeners.contains(&found) {
                return Err(Wrong::new(key, "must not be the address of another listener"));
            }
            Ok(Some(found))
        }
    }
}

/// What authorities write to (RFC 8555 §7.3): one address, no header fields (RFC 6068).
fn is_contact(text: &str) -> bool {
    let parts = text.strip_prefix("mailto:").and_then(|address| address.split_once('@'));
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b"@,?\"<>".contains(&b))
    };
    parts.is_some_and(|(who, at)| plain(who) && plain(at))
}

/// The names of the node's own certificate.
pub(super) fn names(typed: Vec<String>, domain: &str) -> Result<Vec<String>, Wrong> {
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names = own.to_vec();
    for name in typed {
        let plain = name.strip_prefix("*.").unwrap_or(&name);
        if name.parse::<IpAddr>().is_err() && !is_host(plain) {
            return Err(Wrong::new("tls.names", format!("`{name}` is neither a host name nor an address")));
        }
        names.push(name);
    }
    // Tenants' names below it have certificates of their own.
    names.push(domain.to_owned());
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

/// A host name as certificates have it (RFC 1123 §2.1).
pub(super) fn is_host(text: &str) -> bool {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}
