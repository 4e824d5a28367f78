//! Addresses of requests in one form, so that two that mean the same are the same text (RFC 3986 §6.2.2,
//! §6.2.3). It never resolves a name, and never repairs an address that could be read in two ways.

/// `scheme://host/path` of an absolute `http` or `https` address: scheme and host in lower case, the default
/// port left out, percent-encoding in one form, and without query and fragment (RFC 9449 §4.3). None for what
/// names a user, has dot segments, or is no such address.
pub(crate) fn normalise(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    join(scheme, authority, path)
}

/// The same from a request's parts.
pub(crate) fn join(scheme: &str, authority: &str, path: &str) -> Option<String> {
    let scheme = scheme.to_ascii_lowercase();
    Some(format!("{scheme}://{}{}", self::authority(&scheme, authority)?, self::path(path)?))
}

/// A host, in lower case, and its port where it is not the scheme's own.
pub(crate) fn authority(scheme: &str, text: &str) -> Option<String> {
    let default_port = match scheme {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let (host, port) = match text.strip_prefix('[') {
        // An address of IPv6, whose colons are its own.
        Some(rest) => {
            let (inside, port) = rest.split_once(']')?;
            if inside.is_empty() || !inside.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.') {
                return None;
            }
            (text.get(..inside.len() + 2)?, if port.is_empty() { "" } else { port.strip_prefix(':')? })
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            if host.is_empty() || !host.bytes().all(plain) {
                return None;
            }
            (host, port)
        }
    };
    let digits = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0') && port.len() <= 5;
    if !digits || (!port.is_empty() && port.parse::<u16>().is_err()) {
        return None;
    }
    let host = host.to_ascii_lowercase();
    Some(if port.is_empty() || port == default_port { host } else { format!("{host}:{port}") })
}

/// A path whose percent-encoding has one form. None where it has dot segments, however they are written.
fn path(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("/".to_owned());
    }
    if !text.starts_with('/') {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
                let value = high << 4 | low;
                if is_unreserved(value) {
                    out.push(char::from(value));
                } else {
                    out.push_str(&format!("%{value:02X}"));
                }
            }
            _ if is_unreserved(byte) || b"!$&'()*+,;=:@/".contains(&byte) => out.push(char::from(byte)),
            _ => return None,
        }
    }
    if out.split('/').any(|segment| segment == "." || segment == "..") { None } else { Some(out) }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The value of one hexadecimal digit.
pub(crate) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_one_address() {
        for (text, expect) in [
            ("https://API.example:443/A%2db%2Fc?x#y", Some("https://api.example/A-b%2Fc")),
            ("HTTPS://api.example", Some("https://api.example/")),
            ("https://api.example?q", Some("https://api.example/")),
            ("http://api.example:80/", Some("http://api.example/")),
            ("http://api.example:443/", Some("http://api.example:443/")),
            ("https://[2001:DB8::1]:8443/x", Some("https://[2001:db8::1]:8443/x")),
            ("https://api.example/a%c3%A4", Some("https://api.example/a%C3%A4")),
            ("https://api.example/a/../b", None),
            ("https://api.example/a/%2e%2E/b", None),
            ("https://user@api.example/", None),
            ("https://api.example:0443/", None),
            ("https://api.example:99999/", None),
            ("https://api.example:4x/", None),
            ("https://[::1/", None),
            ("https://[::1]x/", None),
            ("https:///x", None),
            ("ftp://api.example/", None),
            ("/x", None),
            ("https://api.example/%zz", None),
            ("https://api.example/%a", None),
            ("https://api.example/a b", None),
            ("https://api.example/\u{e4}", None),
            ("https://api.example\\@evil.example/", None),
        ] {
            assert_eq!(normalise(text).as_deref(), expect, "{text}");
        }
    }
}
