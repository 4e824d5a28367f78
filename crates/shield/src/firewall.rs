//! Ranges of addresses, and lists of them. It never asks a name server.

mod lists;
mod ranges;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

pub use lists::{At, Entry, EntryError, Firewall, Lists, SetError, Sets};
pub use ranges::Ranges;

/// A range of addresses, `192.0.2.0/24` or `2001:db8::/32`; an address alone is a range of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    base: IpAddr,
    bits: u8,
}

/// A text that is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of addresses: write `192.0.2.0/24`, `2001:db8::/32`, or one address")]
pub struct CidrError(String);

impl Cidr {
    /// The first and the last address as 128-bit numbers; IPv4 in its mapped form (`::ffff:0:0/96`).
    pub(crate) fn range(self) -> (u128, u128) {
        let host_bits = match self.base {
            IpAddr::V4(_) => 32 - u32::from(self.bits),
            IpAddr::V6(_) => 128 - u32::from(self.bits),
        };
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        let base = number(self.base);
        (base & mask, base | !mask)
    }
}

impl Cidr {
    /// Whether an address is in it. IPv4-mapped IPv6 addresses count as IPv4, and no IPv4 is in a range of IPv6, however
    /// wide.
    pub fn contains(self, address: IpAddr) -> bool {
        let ((first, last), address) = (self.range(), address.to_canonical());
        address.is_ipv4() == self.base.is_ipv4() && (first..=last).contains(&number(address))
    }

    /// The one source that it is, where it is one: an address of IPv4, or the network (`/64`) of one of IPv6.
    pub fn one_source(self) -> Option<IpAddr> {
        let whole = match self.base {
            IpAddr::V4(_) => self.bits == 32,
            IpAddr::V6(_) => self.bits == 64,
        };
        whole.then_some(self.base)
    }

    /// What is counted as one source with an address.
    pub fn of_source(address: IpAddr) -> Self {
        let base = source(address);
        Self { base, bits: if base.is_ipv4() { 32 } else { 64 } }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let bad = || CidrError(text.chars().take(80).collect());
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let bits = match bits {
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().map_err(|_| bad())?,
            Some(_) => return Err(bad()),
            None if base.is_ipv4() => 32,
            None => 128,
        };
        // One source has one name: a range of mapped addresses is one of IPv4.
        let (base, bits) = match base.to_canonical() {
            IpAddr::V4(v4) if base.is_ipv6() && (96..=128).contains(&bits) => (IpAddr::V4(v4), bits - 96),
            _ => (base, bits),
        };
        let most = if base.is_ipv4() { 32 } else { 128 };
        let found = Self { base, bits };
        // A base with bits beyond its mask is most often a slip: `10.0.0.1/8` for `10.0.0.1/32`.
        if bits > most || found.range().0 != number(base) {
            return Err(bad());
        }
        Ok(found)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Cidr {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Both families on one line: IPv4 stands where its mapped form stands.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address that a source is counted under: IPv4 whole (also from its mapped form), IPv6 by its /64,
/// which is what one subscriber gets.
pub fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits())),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests;
