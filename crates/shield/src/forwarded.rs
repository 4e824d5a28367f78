//! Whose connections and whose headers are believed about where a request came from. It never believes anybody else.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use crate::Ranges;

/// Which header a forwarder of HTTP writes. The other one is never read: what a forwarder does not write, its clients do.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardHeader {
    /// `X-Forwarded-For`, a list of addresses.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), of whose elements `for` is read.
    Forwarded,
}

impl ForwardHeader {
    /// Its name.
    pub const fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Self::Forwarded => HeaderName::from_static("forwarded"),
        }
    }

    /// What it says of one source.
    pub fn of(self, source: IpAddr) -> String {
        match (self, source) {
            (Self::XForwardedFor, source) => source.to_string(),
            (Self::Forwarded, IpAddr::V4(v4)) => format!("for={v4}"),
            //= RFC 7239 §6: an IPv6 address is in brackets, and so in quotes
            (Self::Forwarded, IpAddr::V6(v6)) => format!("for=\"[{v6}]\""),
        }
    }
}

/// Who stands in front of the node.
#[derive(Debug, Clone, Default)]
pub struct Forwarders {
    /// Those whose connections begin with a PROXY header.
    pub connections: Ranges,
    /// Whether also at the control API.
    pub control: bool,
    /// Those whose header names the source of each request.
    pub requests: Ranges,
    /// That header.
    pub header: ForwardHeader,
}

/// A forwarder's header names no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the forwarder's header does not say where the request came from")]
pub struct ForwardedMalformed;

impl Forwarders {
    /// Whether a peer's connection must begin with a PROXY header.
    pub fn begins_with_header(&self, port: crate::Port, peer: IpAddr, now_ms: u64) -> bool {
        (port == crate::Port::Data || self.control) && self.connections.hold(peer, now_ms)
    }

    /// Where a request came from: the right-most address in the header that is no forwarder's, or the left-most where
    /// all are. `None`: the peer is no forwarder, or says nothing, so that it is the source itself.
    ///
    /// Each forwarder adds the address that it saw at the right. So what stands to the left of the first that is not
    /// trusted was written by somebody who is not, and is not read.
    ///
    /// # Errors
    /// [`ForwardedMalformed`]: what a trusted forwarder wrote is no address.
    pub fn source(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        now_ms: u64,
    ) -> Result<Option<IpAddr>, ForwardedMalformed> {
        if !self.requests.hold(peer, now_ms) {
            return Ok(None);
        }
        let mut farthest = None;
        for line in headers.get_all(self.header.name()).iter().rev() {
            let line = line.to_str().map_err(|_| ForwardedMalformed)?;
            for element in elements(line).ok_or(ForwardedMalformed)?.into_iter().rev() {
                let address = match self.header {
                    ForwardHeader::XForwardedFor => node(element),
                    ForwardHeader::Forwarded => for_of(element).and_then(node),
                };
                let address = address.ok_or(ForwardedMalformed)?;
                farthest = Some(address);
                if !self.requests.hold(address, now_ms) {
                    return Ok(farthest);
                }
            }
        }
        Ok(farthest)
    }
}

/// The elements of a list, of which those in quotes may hold commas. Empty ones say nothing (RFC 9110 §5.6.1).
fn elements(line: &str) -> Option<Vec<&str>> {
    let parts = split(line, ',')?.into_iter().map(str::trim);
    Some(parts.filter(|element| !element.is_empty()).collect())
}

/// Splits where a character stands outside of quotes. None where quotes do not end: a client that leaves one open would
/// hide in it what a forwarder adds.
fn split(text: &str, at: char) -> Option<Vec<&str>> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == at && !quoted => return true,
            _ => {}
        }
        false
    });
    let parts = parts.collect();
    (!quoted).then_some(parts)
}

/// The one `for` of an element.
fn for_of(element: &str) -> Option<&str> {
    let mut found = None;
    for pair in split(element, ';')? {
        let (name, value) = pair.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
    }
    let value = found?;
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').filter(|inner| !inner.contains(['"', '\\'])),
        None => Some(value),
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    let found = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(found.to_canonical())
}

#[cfg(test)]
mod tests;
