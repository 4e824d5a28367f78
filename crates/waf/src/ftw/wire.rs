//! Requests as they stand on the wire: made of a test as go-ftw makes them, and taken apart without any strictness,
//! because tests send what no server should take.

use data_encoding::BASE64;

use super::Input;

/// A request taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// Up to the first space.
    pub method: Vec<u8>,
    /// Between.
    pub uri: Vec<u8>,
    /// After the last space.
    pub protocol: Vec<u8>,
    /// Names and values.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// As far as Content-Length or the chunks say; empty where neither does (RFC 9112, section 6.3).
    pub body: Vec<u8>,
    /// A carriage return that ends no line stands in the head: a server answers 400 (RFC 9112, section 2.2).
    pub has_bare_return: bool,
}

/// The request of a test.
pub(super) fn raw(input: &Input) -> Result<Raw, String> {
    if let Some(encoded) = &input.encoded_request {
        let bytes = BASE64.decode(encoded.trim().as_bytes());
        return Ok(parse_request(&bytes.map_err(|e| format!("`encoded_request` is not Base64: {e}"))?));
    }
    if let Some(raw) = &input.raw_request {
        return Ok(parse_request(raw.as_bytes()));
    }
    let mut headers: Vec<(Vec<u8>, Vec<u8>)> = if input.ordered_headers.is_empty() {
        let pair = |(name, value): (&String, &super::suite::Scalar)| {
            (name.clone().into_bytes(), value.0.clone().into_bytes())
        };
        input.headers.iter().map(pair).collect()
    } else {
        let each = input.ordered_headers.iter();
        each.map(|header| (header.name.clone().into_bytes(), header.value.0.clone().into_bytes())).collect()
    };
    let data = input.data.clone().unwrap_or_default().into_bytes();
    let complete = input.autocomplete_headers.unwrap_or(!input.stop_magic.unwrap_or(false));
    let has = |headers: &[(Vec<u8>, Vec<u8>)], name: &[u8]| {
        headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    let body = data;
    if complete {
        if !body.is_empty() && !has(&headers, b"content-type") {
            headers.push((b"Content-Type".to_vec(), b"application/x-www-form-urlencoded".to_vec()));
        }
        let method = input.method.as_deref().unwrap_or("GET");
        let empty_wants = body.is_empty() && matches!(method, "POST" | "PUT" | "PATCH");
        if !has(&headers, b"content-length")
            && !has(&headers, b"transfer-encoding")
            && (!body.is_empty() || empty_wants)
        {
            headers.push((b"Content-Length".to_vec(), body.len().to_string().into_bytes()));
        }
        if !has(&headers, b"connection") {
            headers.push((b"Connection".to_vec(), b"close".to_vec()));
        }
    }
    let mut bytes = Vec::new();
    let line = [
        input.method.as_deref().unwrap_or("GET"),
        " ",
        input.uri.as_deref().unwrap_or("/"),
        " ",
        input.version.as_deref().unwrap_or("HTTP/1.1"),
        "\r\n",
    ];
    bytes.extend_from_slice(line.concat().as_bytes());
    for (name, value) in &headers {
        bytes.extend_from_slice(&[name.as_slice(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    Ok(parse_request(&bytes))
}

/// Takes a request apart. Lines may end in LF; nothing is refused.
#[must_use]
pub fn parse_request(bytes: &[u8]) -> Raw {
    let (line, mut rest) = line(bytes);
    let mut raw = request_line(line);
    loop {
        let (header, after) = self::line(rest);
        let ended = rest.is_empty() || header.is_empty();
        rest = after;
        if ended {
            break;
        }
        if header.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'))
            && let Some((_, value)) = raw.headers.last_mut()
        {
            value.push(b' ');
            value.extend_from_slice(header.trim_ascii());
            continue;
        }
        raw.has_bare_return |= header.contains(&b'\r');
        let colon = header.iter().position(|byte| *byte == b':').unwrap_or(header.len());
        let name = header.get(..colon).unwrap_or_default();
        let value = header.get(colon + 1..).unwrap_or_default();
        raw.headers.push((name.trim_ascii().to_vec(), value.trim_ascii().to_vec()));
    }
    raw.body = body(&raw, rest);
    if is_chunked(&raw) {
        // The length of the chunks holds, and a server takes the other header out (RFC 9112, section 6.3).
        raw.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"));
    }
    raw
}

fn request_line(line: &[u8]) -> Raw {
    // The method may begin with white space, which a test of 920100 sends.
    let start = line.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    let first = line.iter().skip(start).position(|byte| *byte == b' ').map(|at| at + start);
    let last = line.iter().rposition(|byte| *byte == b' ');
    let (method, rest) = match first {
        Some(at) => (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default()),
        None => (line, &[][..]),
    };
    let (uri, protocol) = match (first, last) {
        (Some(first), Some(last)) if last > first => {
            (line.get(first + 1..last).unwrap_or_default(), line.get(last + 1..).unwrap_or_default())
        }
        _ => (rest, &[][..]),
    };
    // A line without a version is a request of HTTP/0.9.
    let protocol = if protocol.is_empty() { b"HTTP/0.9" } else { protocol };
    Raw { method: method.to_vec(), uri: uri.to_vec(), protocol: protocol.to_vec(), ..Raw::default() }
}

fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let line = bytes.get(..end).unwrap_or_default();
    (line.strip_suffix(b"\r").unwrap_or(line), bytes.get(end + 1..).unwrap_or_default())
}

fn body(raw: &Raw, rest: &[u8]) -> Vec<u8> {
    let header = |name: &[u8]| {
        let found = raw.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_slice())
    };
    if is_chunked(raw) {
        return chunks(rest).unwrap_or_else(|| rest.to_vec());
    }
    let length = header(b"content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    match length {
        Some(length) => rest.get(..length).unwrap_or(rest).to_vec(),
        None => Vec::new(),
    }
}

fn is_chunked(raw: &Raw) -> bool {
    let chunked = |(name, value): &(Vec<u8>, Vec<u8>)| {
        name.eq_ignore_ascii_case(b"transfer-encoding") && value.eq_ignore_ascii_case(b"chunked")
    };
    raw.headers.iter().any(chunked)
}

fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (size, after) = line(rest);
        let size = size.split(|byte| *byte == b';').next()?.trim_ascii();
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(after.get(..size)?);
        let after = after.get(size..)?;
        rest = after.strip_prefix(b"\r\n").or_else(|| after.strip_prefix(b"\n"))?;
    }
}
