//! Requests as they stand on the wire: made of a test as go-ftw makes them, and taken apart without any strictness,
//! because tests send what no server should take.

use data_encoding::BASE64;

use super::{Input, suite::Scalar};

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

/// The requests of a stage: one, or one for each of its `uris`.
pub(super) fn raws(input: &Input) -> Result<Vec<Raw>, String> {
    if let Some(encoded) = input.encoded_request.as_deref().filter(|encoded| !encoded.is_empty()) {
        return Ok(vec![parse_request(&decoded("encoded_request", encoded)?)]);
    }
    if let Some(raw) = input.raw_request.as_deref().filter(|raw| !raw.is_empty()) {
        return Ok(vec![parse_request(raw.as_bytes())]);
    }
    if input.uris.is_empty() {
        return Ok(vec![made(input, input.uri.as_deref().unwrap_or("/"))?]);
    }
    input.uris.iter().map(|uri| made(input, uri)).collect()
}

/// Base64, in however many lines.
pub(super) fn decoded(what: &str, text: &str) -> Result<Vec<u8>, String> {
    let plain: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(&plain).map_err(|e| format!("`{what}` is not Base64: {e}"))
}

/// The request as go-ftw writes it (its `ftwhttp/request.go`).
fn made(input: &Input, uri: &str) -> Result<Raw, String> {
    let bytes_of = |name: &str, value: &Scalar| (name.as_bytes().to_vec(), value.0.clone().into_bytes());
    let mut headers: Vec<(Vec<u8>, Vec<u8>)> = if input.ordered_headers.is_empty() {
        input.headers.iter().map(|(name, value)| bytes_of(name, value)).collect()
    } else {
        input.ordered_headers.iter().map(|header| bytes_of(&header.name, &header.value)).collect()
    };
    let complete = input.autocomplete_headers.unwrap_or(!input.stop_magic.unwrap_or(false));
    let method = input.method.as_deref().unwrap_or("GET");
    let body = body_of(input, complete, &mut headers)?;
    if complete {
        add(&mut headers, "Connection", "close");
        // go-ftw's pattern is `^POST|PUT|PATCH|DELETE$`, which is what it says.
        let has_body = method.starts_with("POST") || method.contains("PUT");
        if !body.is_empty() || has_body || method.contains("PATCH") || method.ends_with("DELETE") {
            add(&mut headers, "Content-Length", &body.len().to_string());
        }
    }
    let line = [method, " ", uri, " ", input.version.as_deref().unwrap_or("HTTP/1.1"), "\r\n"];
    let mut bytes = line.concat().into_bytes();
    for (name, value) in &headers {
        bytes.extend_from_slice(&[name.as_slice(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    Ok(parse_request(&bytes))
}

/// Adds a header that is not there, or is empty.
fn add(headers: &mut Vec<(Vec<u8>, Vec<u8>)>, name: &str, value: &str) {
    let same = |known: &[u8]| known.eq_ignore_ascii_case(name.as_bytes());
    if headers.iter().any(|(known, value)| same(known) && !value.is_empty()) {
        return;
    }
    headers.retain(|(known, _)| !same(known));
    headers.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
}

fn body_of(input: &Input, complete: bool, headers: &mut Vec<(Vec<u8>, Vec<u8>)>) -> Result<Vec<u8>, String> {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    if let Some(encoded) = &input.encoded_data {
        let body = decoded("encoded_data", encoded)?;
        if complete && !body.is_empty() {
            add(headers, "Content-Type", "application/x-www-form-urlencoded");
        }
        return Ok(body);
    }
    let mut body = input.data.clone().unwrap_or_default().into_bytes();
    if complete && !body.is_empty() {
        add(headers, "Content-Type", "application/x-www-form-urlencoded");
    }
    let named = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
    let media = named.map(|(_, value)| value.as_slice()).unwrap_or_default();
    if complete && media == FORM && !body.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        body = form_encoded(&body);
    }
    if media.starts_with(b"multipart/form-data;") {
        body = with_crlf(&body);
    }
    Ok(body)
}

/// The names and values of a form that was written without encoding.
fn form_encoded(body: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(body.len());
    let mut tokens: Vec<&[u8]> = body.split(|byte| *byte == b'&').collect();
    // go-ftw drops a `&` at the end.
    if tokens.last().is_some_and(|last| last.is_empty()) {
        tokens.pop();
    }
    for (index, token) in tokens.iter().enumerate() {
        if index > 0 {
            made.push(b'&');
        }
        for (part, text) in token.splitn(2, |byte| *byte == b'=').enumerate() {
            if part > 0 {
                made.push(b'=');
            }
            for byte in text {
                match byte {
                    b' ' => made.push(b'+'),
                    b'-' | b'_' | b'.' | b'~' => made.push(*byte),
                    _ if byte.is_ascii_alphanumeric() => made.push(*byte),
                    _ => made.extend_from_slice(format!("%{byte:02X}").as_bytes()),
                }
            }
        }
    }
    made
}

/// The lines of parts, which end in CRLF however YAML has them.
fn with_crlf(body: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(body.len() + 32);
    for byte in body {
        if *byte == b'\n' && made.last() != Some(&b'\r') {
            made.push(b'\r');
        }
        made.push(*byte);
    }
    made
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
