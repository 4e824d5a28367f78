//! Where a guest may call: scheme, host, port, path and method, compared exactly. It never repairs a target:
//! what two servers could read in two ways is refused.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use http::{Method, Uri, uri::Scheme};
use model::{FunctionName, OutboundGrant, function_host};

/// A grant that names no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is no outbound destination: {why}")]
pub struct GrantError {
    /// The grant's URL, or its method.
    pub url: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What one revision of a function may reach. Parse it once for a revision and keep it: connections are kept
/// open for, and counted by, this very value, so that no two functions share one.
#[derive(Debug)]
pub struct Destinations {
    pub(crate) id: u64,
    grants: Vec<Grant>,
}

#[derive(Debug)]
struct Grant {
    place: Place,
    path: PathRule,
    methods: Vec<Method>,
}

/// Scheme, host and port: what a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) tls: bool,
    /// In lowercase; an address of IPv6 without brackets.
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// A name to be resolved, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    Name(Box<str>),
    Address(IpAddr),
}

#[derive(Debug, PartialEq, Eq)]
enum PathRule {
    All,
    Exact(String),
    /// That path, and all below it.
    Below(String),
}

const NO_PATH: &str = "no grant names this path";

/// The function of the tenant that a target names, whoever may call it; none where the target is the network's.
///
/// # Errors
/// What is wrong with a target that is no network's and names no function.
pub fn function(uri: &Uri) -> Option<Result<FunctionName, &'static str>> {
    Place::of(uri).ok()?.function()
}

impl Destinations {
    /// Reads a revision's grants.
    ///
    /// # Errors
    /// The first grant that names no destination.
    pub fn parse(grants: &[OutboundGrant]) -> Result<Self, GrantError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let grants = grants.iter().map(parse_grant).collect::<Result<_, _>>()?;
        Ok(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), grants })
    }

    /// Whether a grant covers a call, before any name is resolved.
    ///
    /// # Errors
    /// What is not covered.
    pub fn permits(&self, method: &Method, uri: &Uri) -> Result<(), &'static str> {
        self.cover(method, uri).map(|_| ())
    }

    /// The place that the request goes to, if a grant covers it.
    pub(crate) fn cover(&self, method: &Method, uri: &Uri) -> Result<Place, &'static str> {
        let place = Place::of(uri)?;
        let mut reasons = Vec::new();
        for grant in self.grants.iter().filter(|grant| grant.place == place) {
            match grant.permits(method, uri.path()) {
                Ok(()) => return Ok(place),
                Err(why) => reasons.push(why),
            }
        }
        // The grant that came nearest says why.
        let near = reasons.iter().find(|why| **why != NO_PATH).or(reasons.first());
        Err(near.copied().unwrap_or("no grant names this host"))
    }
}

impl Grant {
    fn permits(&self, method: &Method, path: &str) -> Result<(), &'static str> {
        let covers = match &self.path {
            PathRule::All => true,
            PathRule::Exact(exact) => exact == path,
            PathRule::Below(base) => {
                path.strip_prefix(base.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        };
        if !covers {
            return Err(NO_PATH);
        }
        if self.path != PathRule::All {
            plain_path(path)?;
        }
        if self.methods.contains(method) { Ok(()) } else { Err("no grant names this method") }
    }
}

impl Place {
    /// Reads scheme, host and port of an absolute target.
    pub(crate) fn of(uri: &Uri) -> Result<Self, &'static str> {
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err("the scheme is neither `https` nor `http`"),
        };
        let authority = uri.authority().ok_or("it names no host")?.as_str();
        let (host, port) = split_port(authority)?;
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host: Host::parse(host)?, port })
    }

    /// The function that it is, where it is none of the network's.
    pub(crate) fn function(&self) -> Option<Result<FunctionName, &'static str>> {
        let Host::Name(name) = &self.host else { return None };
        let function = function_host(name)?;
        if self.tls || self.port != 80 {
            return Some(Err("a function is called with `http` and without a port"));
        }
        Some(function.map_err(|_| "it names no function of the tenant"))
    }

    /// What `Host` says: without the port where it is the scheme's own.
    pub(crate) fn authority(&self) -> String {
        let host = match &self.host {
            Host::Name(name) => name.to_string(),
            Host::Address(IpAddr::V4(v4)) => v4.to_string(),
            Host::Address(IpAddr::V6(v6)) => format!("[{v6}]"),
        };
        let own = if self.tls { 443 } else { 80 };
        if self.port == own { host } else { format!("{host}:{}", self.port) }
    }
}

/// Cuts `host:port` and `[v6]:port`. User names, empty ports and ports in odd forms are refused.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    if authority.contains('@') {
        return Err("a user name in the target");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (_, after) = rest.split_once(']').ok_or("a bracket without its end")?;
            let host = authority.strip_suffix(after).unwrap_or(authority);
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or("no port")?) })
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let Some(digits) = port else { return Ok((host, None)) };
    match digits.parse::<u16>() {
        Ok(port) if port != 0 && port.to_string() == digits => Ok((host, Some(port))),
        _ => Err("the port is no number in its plain form"),
    }
}

impl Host {
    /// Takes names of letters, digits and hyphens, and addresses in their canonical form alone: what a
    /// resolver of the C library would also read as an address (`127.1`, `0x7f000001`, `2130706433`) is
    /// refused, as are zones, final dots and underscores.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or("a bracket without its end")?;
            let address: std::net::Ipv6Addr = inner.parse().map_err(|_| "no address of IPv6 in brackets")?;
            let plain = address.to_string() == inner.to_ascii_lowercase();
            return if plain { Ok(Self::Address(address.into())) } else { Err("an address in an odd form") };
        }
        if let Ok(address) = text.parse::<std::net::Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let label = |part: &str| {
            (1..=63).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return Err("the host is no name");
        }
        // The last label of a name is never a number (RFC 3696 §2); of an address in an odd form it is.
        let last = text.rsplit('.').next().unwrap_or_default();
        let hex = last.len() >= 2 && last.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("0x"));
        if hex || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err("an address in an odd form");
        }
        Ok(Self::Name(text.to_ascii_lowercase().into()))
    }
}

/// Refuses paths that a server might read as another path (RFC 3986 §6.2.2): a rule on paths would not hold.
fn plain_path(path: &str) -> Result<(), &'static str> {
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let pair = after.first().zip(after.get(1));
                let digit = |b: &u8| char::from(*b).to_digit(16);
                match pair.and_then(|(high, low)| Some(digit(high)? << 4 | digit(low)?)) {
                    None => return Err("a `%` without two hex digits"),
                    Some(0..=0x20 | 0x25 | 0x2e | 0x2f | 0x5c | 0x7f) => return Err("a disguised character"),
                    Some(_) => {}
                }
            }
            b'/' if after.first() == Some(&b'/') => return Err("an empty segment in the path"),
            b'/' if dots(after) => return Err("a dot segment in the path"),
            b'\\' => return Err("a backslash in the path"),
            0x21..=0x7e => {}
            _ => return Err("a byte in the path that is no visible ASCII"),
        }
    }
    Ok(())
}

/// A segment `.` or `..`, also with a parameter (`..;a`), which some servers cut off.
fn dots(segment: &[u8]) -> bool {
    let end = segment.iter().position(|b| matches!(b, b'/' | b';')).unwrap_or(segment.len());
    matches!(segment.get(..end), Some(b"." | b".."))
}

fn parse_grant(grant: &OutboundGrant) -> Result<Grant, GrantError> {
    let wrong = |why| GrantError { url: grant.url.clone(), why };
    if grant.url.contains(['?', '#', '*']) {
        return Err(wrong("no `?`, `#` or `*`"));
    }
    let uri: Uri = grant.url.parse().map_err(|_| wrong("it is no URL"))?;
    let place = Place::of(&uri).map_err(wrong)?;
    if let Some(Err(why)) = place.function() {
        return Err(wrong(why));
    }
    let typed = grant.url.splitn(4, '/').nth(3).map(|path| format!("/{path}"));
    let path = match typed {
        None => PathRule::All,
        Some(path) => {
            let (rule, bare) = match path.strip_suffix("/...") {
                Some("") => (PathRule::All, String::new()),
                Some(base) => (PathRule::Below(base.to_owned()), base.to_owned()),
                None => (PathRule::Exact(path.clone()), path.clone()),
            };
            plain_path(&bare).map_err(wrong)?;
            if bare.contains("...") {
                return Err(wrong("`/...` stands at the end alone"));
            }
            rule
        }
    };
    let methods = match grant.methods.as_slice() {
        [] => vec![Method::GET, Method::HEAD],
        named => named.iter().map(|name| parse_method(name)).collect::<Result<_, _>>()?,
    };
    Ok(Grant { place, path, methods })
}

fn parse_method(name: &str) -> Result<Method, GrantError> {
    let wrong = |why| GrantError { url: name.to_owned(), why };
    if matches!(name, "CONNECT" | "TRACE" | "TRACK") {
        return Err(wrong("no function may use this method"));
    }
    if !name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Err(wrong("a method is a word of uppercase letters"));
    }
    Method::from_bytes(name.as_bytes()).map_err(|_| wrong("it is no method"))
}

#[cfg(test)]
mod tests;
