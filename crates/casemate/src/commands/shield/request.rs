//! One request as somebody typed it: what of it the rules are asked, and what a node would refuse before it asks any.
//! Lines may end in LF and a length may be missing; whatever was mended is told. It runs no rule.

use model::limits;
use shield::http1::{Framer, Malformed, Step};
use waf::ftw::{self, Raw};

use crate::exit::{Exit, Failure};

/// A request, and what is to be known of it.
#[derive(Debug)]
pub(super) struct Request {
    /// What the rules are asked.
    pub(super) raw: Raw,
    /// What was mended or left out.
    pub(super) notes: Vec<String>,
    /// Why a node refuses it before it asks the rules.
    pub(super) refused: Option<String>,
}

/// Takes what was typed apart.
pub(super) fn read(bytes: &[u8]) -> Result<Request, Failure> {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let (blank, rest) = bytes.split_at_checked(start).unwrap_or_default();
    let none = |why: &str| {
        Failure::new(Exit::Invalid, why)
            .next("write `GET /path HTTP/1.1`, headers, an empty line and the body to stdin")
    };
    if rest.trim_ascii().is_empty() {
        return Err(none("there is no request on stdin"));
    }
    let mut notes = Vec::new();
    let (head, body) = split(rest);
    if !is_request_line(head) {
        return Err(none("the first line is none of a request of HTTP/1"));
    }
    if is_bare(head) {
        notes.push("lines of the head end in LF alone; they were read as if in CRLF".to_owned());
    }
    let mut wire = with_crlf(blank);
    wire.extend(with_crlf(head));
    let refused = refusal(&wire, body);
    let mut raw = ftw::parse_request(&[head, body].concat());
    let has = |raw: &Raw, name: &[u8]| raw.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let told = has(&raw, b"content-length") || has(&raw, b"transfer-encoding");
    if !told && !body.is_empty() {
        raw.headers.push((b"Content-Length".to_vec(), body.len().to_string().into_bytes()));
        raw.body = body.to_vec();
        notes.push(format!(
            "the head tells of no body; the {} bytes behind it were taken for one",
            body.len()
        ));
    } else if raw.body.is_empty() && refused.is_some() && !body.is_empty() {
        raw.body = body.to_vec();
        notes.push(format!("all {} bytes behind the head were taken for the body", body.len()));
    } else {
        notes.extend(length_note(&raw, body));
    }
    Ok(Request { raw, notes, refused })
}

/// What follows the body, or is missing of it.
fn length_note(raw: &Raw, body: &[u8]) -> Option<String> {
    let named = raw.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
    let length: usize = std::str::from_utf8(&named?.1).ok()?.trim().parse().ok()?;
    if length > body.len() {
        return Some(format!(
            "`Content-Length` says {length} bytes, {} came; they were inspected",
            body.len()
        ));
    }
    let over = body.get(length..).unwrap_or_default();
    let is_line_end = over.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
    let note =
        || format!("{} bytes behind the body were not inspected: they are another request", over.len());
    (!is_line_end).then(note)
}

/// The head with its empty line, and what follows.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut begins = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        let line = bytes.get(begins..at).unwrap_or_default();
        begins = at + 1;
        if line.is_empty() || line == b"\r" {
            return bytes.split_at_checked(begins).unwrap_or((bytes, &[]));
        }
    }
    (bytes, &[])
}

/// `METHOD target HTTP/1.1`, however odd its parts are.
fn is_request_line(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    words.len() >= 3 && words.last().is_some_and(|last| last.to_ascii_uppercase().starts_with(b"HTTP/"))
}

fn is_bare(head: &[u8]) -> bool {
    let mut before = 0;
    head.iter().any(|byte| std::mem::replace(&mut before, *byte) != b'\r' && *byte == b'\n')
}

/// The head as it stands on a wire; one that was not ended is.
fn with_crlf(head: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(head.len() + 64);
    for byte in head {
        if *byte == b'\n' && made.last() != Some(&b'\r') {
            made.push(b'\r');
        }
        made.push(*byte);
    }
    if !made.is_empty() && !made.ends_with(b"\r\n") {
        made.extend_from_slice(b"\r\n");
    }
    made
}

/// Why the parser of a node takes it for no request.
fn refusal(head: &[u8], body: &[u8]) -> Option<String> {
    let most = usize::try_from(model::Limits::CEILING.request_header_bytes).unwrap_or(usize::MAX);
    let mut framer = Framer::new(most.saturating_add(limits::REQUEST_TARGET_BYTES_MAX));
    let whole = if head.ends_with(b"\r\n\r\n") { head.to_vec() } else { [head, b"\r\n"].concat() };
    match framer.step(&whole) {
        Step::Head(_) => {}
        Step::Refuse(malformed) => return Some(format!("{malformed} ({})", malformed.status())),
        _ => return Some("the head does not end".to_owned()),
    }
    let mut rest = body;
    while !rest.is_empty() {
        match framer.step(rest) {
            Step::Body(bytes) if bytes > 0 => rest = rest.get(bytes..).unwrap_or_default(),
            // What follows the body is another request, which nobody asked about.
            Step::Refuse(malformed @ Malformed::Chunks(_)) => {
                return Some(format!("{malformed} ({})", malformed.status()));
            }
            _ => break,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_read_and_what_was_mended_is_told() {
        for (typed, body, refused, note) in [
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "", "", ""),
            ("POST / HTTP/1.1\nHost: h\n\na=1", "a=1", "", "tells of no body"),
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=1\n", "a=1", "", ""),
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na=1", "a", "", "were not inspected"),
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\na=1", "a=1", "", "says 9 bytes"),
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\na=1", "a=1", "no number", "all 3 bytes"),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\na=1",
                "a=1",
                "ambiguous",
                "",
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "",
                "ambiguous",
                "",
            ),
            ("GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "", "more than one host", ""),
            ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", "", "malformed", ""),
            ("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", "", "malformed", ""),
            ("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "", "empty lines", ""),
        ] {
            let request = read(typed.as_bytes()).unwrap();
            let said = request.refused.clone().unwrap_or_default();
            assert_eq!(said.is_empty(), refused.is_empty(), "{typed:?}: {said}");
            assert!(said.contains(refused), "{typed:?}: {said}");
            assert!(request.notes.join(" ").contains(note), "{typed:?}: {:?}", request.notes);
            if !body.is_empty() {
                assert_eq!(String::from_utf8_lossy(&request.raw.body), body, "{typed:?}");
            }
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for typed in ["", "\n\n", "garbage", "\x16\x03\x01\x02", "GET /\r\nHost: h\r\n\r\n"] {
            assert_eq!(read(typed.as_bytes()).unwrap_err().exit, Exit::Invalid, "{typed:?}");
        }
    }
}
