//! Whether a request's head can be read in one way only. It never repairs one: what is ambiguous is refused.

use http::{HeaderMap, Uri, Version, header, request::Parts};

use crate::Blocked;

/// Refuses methods that no function answers and words that are no method.
pub(crate) fn method(name: &str) -> Result<(), Blocked> {
    if matches!(name, "CONNECT" | "TRACE" | "TRACK") {
        return Err(Blocked::Method(name.to_owned()));
    }
    let word = name.len() <= 32 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    if word { Ok(()) } else { Err(Blocked::MethodToken) }
}

/// Refuses targets that a function behind us might read otherwise than we did.
pub(crate) fn target(uri: &Uri, bytes_max: usize) -> Result<(), Blocked> {
    let bytes = uri.path_and_query().map_or(0, |text| text.as_str().len());
    if bytes > bytes_max {
        return Err(Blocked::TargetTooLong { bytes, max: bytes_max });
    }
    path(uri.path()).map_err(Blocked::TargetAmbiguous)?;
    query(uri.query().unwrap_or_default()).map_err(Blocked::TargetAmbiguous)
}

//= RFC 3986 §6.2.2 names the normalisations in which two readers differ; a path that one would change is
//= refused.
fn path(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("the path does not begin with `/`");
    }
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => return Err("a backslash in the path"),
            b'%' => {
                let (Some(high), Some(low)) = (hex(after.first()), hex(after.get(1))) else {
                    return Err("a `%` without two hex digits");
                };
                match high << 4 | low {
                    0 => return Err("an encoded NUL in the path"),
                    0x01..=0x1f | 0x7f => return Err("an encoded control character in the path"),
                    b'.' => return Err("an encoded dot in the path"),
                    b'/' => return Err("an encoded slash in the path"),
                    b'\\' => return Err("an encoded backslash in the path"),
                    b'%' if hex(after.get(2)).is_some() && hex(after.get(3)).is_some() => {
                        return Err("a doubly encoded character in the path");
                    }
                    // Policies and routes would see another path than a function that decodes it.
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                        return Err("an encoded letter, digit, `-`, `_` or `~` in the path");
                    }
                    _ => {}
                }
            }
            b'/' if after.first() == Some(&b'/') => return Err("an empty segment in the path"),
            // A segment `.` or `..`, also with a parameter (`..;a`), which some servers cut off.
            b'/' if dots(after) => return Err("a dot segment in the path"),
            0x21..=0x7e => {}
            _ => return Err("a byte in the path that is no visible ASCII"),
        }
    }
    Ok(())
}

fn dots(segment: &[u8]) -> bool {
    let rest = match segment {
        [b'.', b'.', rest @ ..] | [b'.', rest @ ..] => rest,
        _ => return false,
    };
    matches!(rest.first(), None | Some(b'/' | b';'))
}

fn query(query: &str) -> Result<(), &'static str> {
    let mut rest = query.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' if hex(after.first()).is_none() || hex(after.get(1)).is_none() => {
                return Err("a `%` without two hex digits in the query");
            }
            0x21..=0x7e => {}
            _ => return Err("a byte in the query that is no visible ASCII"),
        }
    }
    Ok(())
}

fn hex(byte: Option<&u8>) -> Option<u8> {
    char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Refuses too many or too large headers, of which a line counts its name and its value, and a body of two media types.
pub(crate) fn headers(headers: &HeaderMap, count_max: usize, bytes_max: usize) -> Result<(), Blocked> {
    //= RFC 9110 §8.3: `Content-Type` is a singleton field; whoever reads the first of several and whoever reads the last
    //= see two bodies
    if headers.get_all(header::CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(Blocked::MediaTypes);
    }
    let count = headers.len();
    if count > count_max {
        return Err(Blocked::TooManyHeaders { count, max: count_max });
    }
    let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > bytes_max { Err(Blocked::HeadersTooLarge { bytes, max: bytes_max }) } else { Ok(()) }
}

/// Refuses a request that names no host, or two. A host is a name or an address, and perhaps a port.
pub(crate) fn host(head: &Parts) -> Result<(), Blocked> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let named = hosts.next();
    if hosts.next().is_some() {
        return Err(Blocked::Host("more than one `Host`"));
    }
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let text = match (named, authority) {
        //= RFC 9112 §3.2: a server must answer 400 to a request of HTTP/1.1 that lacks `Host`
        (None, None) => return Err(Blocked::Host("none is named")),
        (Some(value), authority) => {
            let text = value.to_str().map_err(|_| Blocked::Host("it is not ASCII"))?;
            if authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(text)) {
                return Err(Blocked::Host("`Host` and the target differ"));
            }
            text
        }
        (None, Some(authority)) => authority,
    };
    if text.len() <= 255 + 6 && is_host(text) {
        Ok(())
    } else {
        Err(Blocked::Host("it is no host name or address, with a port or without"))
    }
}

//= RFC 3986 §3.2: host [ ":" port ], the host of an address of IPv6 in brackets
fn is_host(text: &str) -> bool {
    let (is_named, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let port = if rest.is_empty() { Some(None) } else { rest.strip_prefix(':').map(Some) };
            let Some(port) = port else { return false };
            (address.parse::<std::net::Ipv6Addr>().is_ok(), port)
        }
        None => {
            let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            (plain && !name.is_empty(), port)
        }
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_named && port.is_none_or(is_port)
}

//= RFC 9112 §6.3: a message with both lengths "ought to be handled as an error"
//= RFC 9112 §6.1: a transfer coding that is not understood must not be passed on
pub(crate) fn framing(head: &Parts) -> Result<(), Blocked> {
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(Blocked::Framing("more than one `Content-Length`"));
    }
    let digits = |b: &[u8]| !b.is_empty() && b.len() <= 19 && b.iter().all(u8::is_ascii_digit);
    if length.is_some_and(|value| !digits(value.as_bytes())) {
        return Err(Blocked::Framing("`Content-Length` is no number"));
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if head.version >= Version::HTTP_2 || head.version < Version::HTTP_11 {
        return Err(Blocked::Framing("`Transfer-Encoding` outside HTTP/1.1"));
    }
    if length.is_some() {
        return Err(Blocked::Framing("`Content-Length` and `Transfer-Encoding` together"));
    }
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(Blocked::Framing("`Transfer-Encoding` other than `chunked`"));
    }
    Ok(())
}
