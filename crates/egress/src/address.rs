//! Which addresses a guest may never reach. It never resolves a name.
//!
//! The lists follow the IANA special-purpose registries (RFC 6890) and the metadata addresses of clouds.
//! IPv6 is the other way round: only global unicast passes, less its special parts.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`; an address alone is a range of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    base: IpAddr,
    prefix: u8,
}

/// A text that is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of addresses: write `10.0.0.0/8`, `fd00::/8`, or one address")]
pub struct CidrError(String);

impl Cidr {
    /// A range of its first address and the length of its prefix in bits.
    ///
    /// # Errors
    /// If the prefix is too long or the address has bits beyond it.
    pub fn new(base: IpAddr, prefix: u8) -> Result<Self, CidrError> {
        let range = Self { base, prefix };
        let widest = if base.is_ipv4() { 32 } else { 128 };
        if prefix <= widest && range.masked(base) == Some(bits(base)) {
            return Ok(range);
        }
        Err(CidrError(format!("{base}/{prefix}")))
    }

    /// Whether the address lies in the range. One of IPv4 is never in a range of IPv6, in whatever form.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.masked(address) == Some(bits(self.base))
    }

    fn masked(&self, address: IpAddr) -> Option<u128> {
        let width: u32 = match (self.base, address) {
            (IpAddr::V4(_), IpAddr::V4(_)) => 32,
            (IpAddr::V6(_), IpAddr::V6(_)) => 128,
            _ => return None,
        };
        let free = width.checked_sub(u32::from(self.prefix))?;
        Some(bits(address).checked_shr(free).unwrap_or(0).checked_shl(free).unwrap_or(0))
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let bad = || CidrError(text.chars().take(80).collect());
        let (base, prefix) = text.split_once('/').map_or((text, None), |(base, prefix)| (base, Some(prefix)));
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| bad())?
            }
            Some(_) => return Err(bad()),
            None if base.is_ipv4() => 32,
            None => 128,
        };
        Self::new(base, prefix).map_err(|_| bad())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Refused ranges of IPv4: four octets, prefix, and what they are.
const REFUSED_V4: &[([u8; 4], u8, &str)] = &[
    ([0, 0, 0, 0], 8, "unspecified"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "shared by carriers"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([168, 63, 129, 16], 32, "cloud metadata"),
    ([169, 254, 0, 0], 16, "link-local or cloud metadata"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "protocol assignments"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 88, 99, 0], 24, "6to4 relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved or broadcast"),
];

/// Refused ranges of IPv6: eight groups, prefix, and what they are. What no row names must lie in `2000::/3`.
const REFUSED_V6: &[([u16; 8], u8, &str)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4 in IPv6"),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4 in IPv6"),
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "IPv4 in IPv6"),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "NAT64"),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "NAT64"),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discarded"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments or benchmarking"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing"),
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, "cloud metadata"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique-local"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

/// What may be reached beside the public internet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    allow: Vec<Cidr>,
}

impl Reach {
    pub(crate) fn new(allow: Vec<Cidr>) -> Self {
        Self { allow }
    }

    /// Says why the address is refused, if it is. An address of IPv6 that carries one of IPv4 and is allowed
    /// passes only if the carried one passes too: what a translator behind it would reach is what counts.
    pub(crate) fn refuses(&self, address: IpAddr) -> Option<&'static str> {
        let why = special(address)?;
        if !self.allow.iter().any(|range| range.contains(address)) {
            return Some(why);
        }
        match address {
            IpAddr::V6(v6) => carried(v6).and_then(|v4| self.refuses(IpAddr::V4(v4))),
            IpAddr::V4(_) => None,
        }
    }
}

/// What kind of special address it is; none if it is public.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => {
            let within = |base: [u8; 4], prefix: u8| {
                Cidr { base: IpAddr::V4(Ipv4Addr::from(base)), prefix }.contains(IpAddr::V4(v4))
            };
            REFUSED_V4.iter().find(|(base, prefix, _)| within(*base, *prefix)).map(|(_, _, why)| *why)
        }
        IpAddr::V6(v6) => {
            let within = |base: [u16; 8], prefix: u8| {
                Cidr { base: IpAddr::V6(Ipv6Addr::from(base)), prefix }.contains(IpAddr::V6(v6))
            };
            let named = REFUSED_V6.iter().find(|(base, prefix, _)| within(*base, *prefix));
            match named {
                Some((_, _, why)) => Some(why),
                None if within([0x2000, 0, 0, 0, 0, 0, 0, 0], 3) => None,
                None => Some("not global"),
            }
        }
    }
}

/// The address of IPv4 in one of IPv6: mapped and compatible (RFC 4291 §2.5.5), translated (RFC 2765), NAT64
/// (RFC 6052), 6to4 (RFC 3056) and Teredo (RFC 4380, inverted).
fn carried(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let all = v6.to_bits();
    let low = (all & u128::from(u32::MAX)) as u32;
    let loopback_or_none = all <= 1;
    match v6.segments() {
        _ if loopback_or_none => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Some(Ipv4Addr::from_bits(low)),
        [0x64, 0xff9b, ..] => Some(Ipv4Addr::from_bits(low)),
        [0x2001, 0, ..] => Some(Ipv4Addr::from_bits(!low)),
        [0x2002, high, next, ..] => Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(next))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
