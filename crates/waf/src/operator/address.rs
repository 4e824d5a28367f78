//! Sets of addresses for `@ipMatch` and `@ipMatchFromFile`; names are never resolved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no IPv4 or IPv6 address or network: write `192.0.2.1` or `2001:db8::/32`")]
pub struct AddressError(pub String);

/// An IPv4 address inside of IPv6 (RFC 4291 §2.5.5.2) is that IPv4 address, so that no client leaves a set by its spelling.
fn unmapped(address: IpAddr, prefix: Option<u32>) -> (IpAddr, Option<u32>) {
    match (address.to_canonical(), prefix) {
        (inner @ IpAddr::V4(_), Some(prefix)) if address.is_ipv6() => match prefix.checked_sub(96) {
            Some(prefix) => (inner, Some(prefix)),
            None => (address, Some(prefix)),
        },
        (inner, prefix) => (inner, prefix),
    }
}

/// Addresses and networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl AddressSet {
    /// Addresses and networks with commas or line ends between them; from `#` to the end of a line is a comment.
    ///
    /// # Errors
    /// The first that is no address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let mut set = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            for part in line.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                set.add(part).ok_or_else(|| AddressError(part.chars().take(64).collect()))?;
            }
        }
        set.v4.sort_unstable();
        set.v6.sort_unstable();
        Ok(set)
    }

    fn add(&mut self, part: &str) -> Option<()> {
        let (address, prefix) = match part.split_once('/') {
            Some((address, prefix)) => (address.parse().ok()?, Some(prefix.parse::<u32>().ok()?)),
            None => (part.parse().ok()?, None),
        };
        let (address, prefix) = unmapped(address, prefix);
        match address {
            IpAddr::V4(address) => {
                let prefix = prefix.unwrap_or(32);
                let mask = if prefix == 0 { 0 } else { u32::MAX.checked_shl(32_u32.checked_sub(prefix)?)? };
                self.v4.push((address.to_bits() & mask, mask));
            }
            IpAddr::V6(address) => {
                let prefix = prefix.unwrap_or(128);
                let mask =
                    if prefix == 0 { 0 } else { u128::MAX.checked_shl(128_u32.checked_sub(prefix)?)? };
                self.v6.push((address.to_bits() & mask, mask));
            }
        }
        Some(())
    }

    /// Whether the set holds the address that `input` spells; what spells none is in no set.
    #[must_use]
    pub fn contains(&self, input: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(input) else { return false };
        match text.parse().map(|address: IpAddr| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => self.holds_v4(address),
            Ok(IpAddr::V6(address)) => self.holds_v6(address),
            Err(_) => false,
        }
    }

    fn holds_v4(&self, address: Ipv4Addr) -> bool {
        self.v4.iter().any(|(network, mask)| address.to_bits() & mask == *network)
    }

    fn holds_v6(&self, address: Ipv6Addr) -> bool {
        self.v6.iter().any(|(network, mask)| address.to_bits() & mask == *network)
    }
}
