//! The PROXY protocol, version 2: who is behind a forwarder of connections. It never reads from one.
//!
//! After "The PROXY protocol, versions 1 & 2" (HAProxy, 2020-03-05, §2.2). Version 1 is text that anybody can send by
//! mistake, and is not taken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use model::limits;

/// What every header begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family and protocol, and the length of the rest.
pub const FIXED_BYTES: usize = 16;
/// A checksum over the whole header, with zeros in its own place.
const TLV_CRC32C: u8 = 0x03;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// The forwarder speaks for itself, to look whether all is well (`LOCAL`).
    Local,
    /// The connection is this client's.
    Source(SocketAddr),
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It does not begin like one, or it is one of version 1.
    #[error("the connection does not begin with a PROXY header of version 2")]
    Signature,
    /// Another version or command.
    #[error("the PROXY header is of another version, or of an unknown command")]
    Command,
    /// What is forwarded has no address of IP, or is no stream.
    #[error("the PROXY header names no source by an address of IP")]
    Family,
    /// Longer than `PROXY_HEADER_BYTES_MAX`, or shorter than what it is to hold.
    #[error("the PROXY header's length does not fit what is in it")]
    Length,
    /// Its extensions do not fill the rest.
    #[error("the PROXY header's extensions are cut or too long")]
    Extension,
    /// Its checksum is another.
    #[error("the PROXY header's checksum is wrong")]
    Checksum,
}

/// How many bytes follow the fixed part, once that is there.
///
/// # Errors
/// [`ProxyError`] for what is no header of version 2, or too long.
pub fn rest_bytes(fixed: &[u8; FIXED_BYTES]) -> Result<usize, ProxyError> {
    let [signature @ .., command, _, high, low] = fixed;
    if *signature != SIGNATURE {
        return Err(ProxyError::Signature);
    }
    if !matches!(command, 0x20 | 0x21) {
        return Err(ProxyError::Command);
    }
    let bytes = usize::from(u16::from_be_bytes([*high, *low]));
    if FIXED_BYTES + bytes > limits::PROXY_HEADER_BYTES_MAX { Err(ProxyError::Length) } else { Ok(bytes) }
}

/// Reads a whole header: the fixed part and exactly as many bytes as [`rest_bytes`] says.
///
/// # Errors
/// [`ProxyError`].
pub fn parse(fixed: &[u8; FIXED_BYTES], rest: &[u8]) -> Result<Proxied, ProxyError> {
    if rest_bytes(fixed)? != rest.len() {
        return Err(ProxyError::Length);
    }
    let [.., command, family, _, _] = *fixed;
    // What a health check carries beside that is skipped (§2.2), but not its checksum.
    let (source, extensions) = match (command, family) {
        (0x20, _) => (Proxied::Local, local_extensions(family, rest)?),
        (_, 0x11) => {
            let (addresses, extensions) = rest.split_first_chunk::<12>().ok_or(ProxyError::Length)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            let source = (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]));
            (Proxied::Source(source.into()), extensions)
        }
        (_, 0x21) => {
            let (addresses, extensions) = rest.split_first_chunk::<36>().ok_or(ProxyError::Length)?;
            let (source, ports) = addresses.split_first_chunk::<16>().ok_or(ProxyError::Length)?;
            let [.., high, low, _, _] = *ports else { return Err(ProxyError::Length) };
            // One address has one form, whatever the forwarder's.
            let source = IpAddr::V6(Ipv6Addr::from(*source)).to_canonical();
            (Proxied::Source((source, u16::from_be_bytes([high, low])).into()), extensions)
        }
        _ => return Err(ProxyError::Family),
    };
    check(fixed, rest, extensions)?;
    Ok(source)
}

/// Behind the addresses of a family that a `LOCAL` header may name, or behind nothing.
fn local_extensions(family: u8, rest: &[u8]) -> Result<&[u8], ProxyError> {
    let addresses = match family {
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => return Err(ProxyError::Family),
    };
    rest.get(addresses..).ok_or(ProxyError::Length)
}

/// Walks through the extensions: each whole, and the checksum right where there is one.
fn check(fixed: &[u8], rest: &[u8], mut extensions: &[u8]) -> Result<(), ProxyError> {
    let mut summed = false;
    while let Some((head, after)) = extensions.split_first_chunk::<3>() {
        let [kind, high, low] = *head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, next) = after.split_at_checked(length).ok_or(ProxyError::Extension)?;
        if kind == TLV_CRC32C {
            let said = <[u8; 4]>::try_from(value).map_err(|_| ProxyError::Extension)?;
            // Two of them would leave open which of the two is left out of the sum.
            if std::mem::replace(&mut summed, true) {
                return Err(ProxyError::Extension);
            }
            let before = rest.len() - next.len() - said.len();
            let (before, _) = rest.split_at_checked(before).ok_or(ProxyError::Extension)?;
            let parts = [fixed, before, &[0; 4], next];
            if crc32c(parts.into_iter().flatten().copied()) != u32::from_be_bytes(said) {
                return Err(ProxyError::Checksum);
            }
        }
        extensions = next;
    }
    if extensions.is_empty() { Ok(()) } else { Err(ProxyError::Extension) }
}

/// CRC-32C (Castagnoli, RFC 9260 appendix A), bit by bit: a header has few bytes.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let sum = bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            let mask = (sum & 1).wrapping_neg();
            (sum >> 1) ^ (0x82F6_3B78 & mask)
        })
    });
    !sum
}

#[cfg(test)]
mod tests;
