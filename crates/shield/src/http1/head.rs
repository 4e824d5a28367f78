//! The head of a request: its lines as they come, and what it says of the body. It never looks beyond the head.

use std::mem::MaybeUninit;

use http::Uri;
use httparse::{Error, ParserConfig, Request, Status};

use super::{Body, Follows, HEADERS_MAX, Malformed, TARGET_MAX, is_token};

/// A method, a version and the blanks of a request line, with room to spare.
const REQUEST_LINE_EXTRA: usize = 64;

/// How far a head was looked at.
#[derive(Debug, Default)]
pub(super) struct Lines {
    looked: usize,
    /// Where the line begins that is under way.
    begins: usize,
    /// Lines that ended.
    ended: usize,
    /// Bytes of the empty line before the head.
    blank: usize,
}

impl Lines {
    pub(super) const fn is_untouched(&self) -> bool {
        self.looked == 0
    }

    /// Looks at what is new of a window that begins with the head. The answer, once the head is whole: where it
    /// begins and where it ends.
    pub(super) fn look(
        &mut self,
        window: &[u8],
        bytes_max: usize,
    ) -> Result<Option<(usize, usize)>, Malformed> {
        let mut before = self.looked.checked_sub(1).and_then(|at| window.get(at)).copied();
        for (at, byte) in window.iter().copied().enumerate().skip(self.looked) {
            //= RFC 9112 §2.2: a bare CR is not to be taken for the end of a line; nor is a bare LF here
            match (before, byte) {
                (Some(b'\r'), b'\n') => {
                    if let Some(length) = self.line(at)? {
                        return Ok(Some((self.blank, length)));
                    }
                }
                (Some(b'\r'), _) => return Err(Malformed::Head("a bare CR")),
                (_, b'\n') => return Err(Malformed::Head("a bare LF")),
                (_, b'\r' | b'\t' | b' '..=b'~' | 0x80..) => {}
                _ => return Err(Malformed::Head("a control character")),
            }
            if at == self.blank && !is_token(byte) && byte != b'\r' {
                return Err(Malformed::Head("no method"));
            }
            self.bounded(window, at, bytes_max)?;
            before = Some(byte);
            self.looked = at + 1;
        }
        Ok(None)
    }

    /// A line ended at `at`. The answer is the head's length if it was the empty one.
    fn line(&mut self, at: usize) -> Result<Option<usize>, Malformed> {
        let next = at + 1;
        if next - self.begins == 2 {
            if self.begins > self.blank {
                return Ok(Some(next));
            }
            //= RFC 9112 §2.2: a server "SHOULD ignore at least one empty line" before a request
            if self.blank > 0 {
                return Err(Malformed::Head("empty lines before it"));
            }
            self.blank = next;
        } else {
            self.ended += 1;
            if self.ended > HEADERS_MAX + 1 {
                return Err(Malformed::TooManyHeaders);
            }
        }
        self.begins = next;
        Ok(None)
    }

    fn bounded(&self, window: &[u8], at: usize, bytes_max: usize) -> Result<(), Malformed> {
        let bytes = at - self.blank.min(at);
        if self.ended == 0 && bytes >= TARGET_MAX + REQUEST_LINE_EXTRA {
            let method = window.get(self.blank..).unwrap_or_default().iter().take(REQUEST_LINE_EXTRA / 2);
            let named = method.clone().any(|byte| *byte == b' ');
            return Err(if named { Malformed::TargetTooLong } else { Malformed::Head("no method") });
        }
        if bytes >= bytes_max { Err(Malformed::HeadersTooLarge) } else { Ok(()) }
    }
}

/// What a whole head says about what follows it.
pub(super) fn follows(head: &[u8]) -> Result<Follows, Malformed> {
    let mut lines = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = Request::new(&mut []);
    let parsed = ParserConfig::default().parse_request_with_uninit_headers(&mut request, head, &mut lines);
    match parsed {
        Ok(Status::Complete(bytes)) if bytes == head.len() => {}
        // The parser and the lines disagree on where the head ends.
        Ok(_) => return Err(Malformed::Head("it ends early")),
        Err(Error::TooManyHeaders) => return Err(Malformed::TooManyHeaders),
        Err(Error::Version) if words(head) == 3 => return Err(version(head)),
        Err(Error::HeaderName) => return Err(Malformed::Head("a header's name")),
        Err(Error::HeaderValue) => return Err(Malformed::Head("a header's value")),
        Err(Error::Token) if request.method.is_some() && words(head) == 3 => return Err(Malformed::Target),
        Err(_) => return Err(Malformed::Head("the request line")),
    }
    target(request.method.unwrap_or_default(), request.path.unwrap_or_default())?;
    // What follows a tunnel that is asked for is no request, and none is opened here.
    let mut said = Said { close: request.method == Some("CONNECT"), ..Said::default() };
    for line in request.headers.iter() {
        said.header(line.name, line.value)?;
    }
    said.follows(request.version == Some(1))
}

fn words(head: &[u8]) -> usize {
    1 + request_line(head).filter(|byte| **byte == b' ').count()
}

fn request_line(head: &[u8]) -> impl Iterator<Item = &u8> {
    head.iter().take_while(|byte| **byte != b'\r')
}

/// Whether it names a version that is none of ours, or none at all.
fn version(head: &[u8]) -> Malformed {
    let line = head.get(..request_line(head).count()).unwrap_or_default();
    match line.rsplit(|byte| *byte == b' ').next() {
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Malformed::Version
        }
        _ => Malformed::Head("the request line"),
    }
}

fn target(method: &str, text: &str) -> Result<(), Malformed> {
    if text.len() > TARGET_MAX {
        return Err(Malformed::TargetTooLong);
    }
    // What stands for itself in a path or a query, what is not ASCII apart. The screen judges what it means.
    let plain = |b: u8| matches!(b, b'!' | b'"' | b'$'..=b';' | b'=' | b'?'..=b'_' | b'a'..=b'~');
    // In a query a quotation mark stands for nothing (URL Standard, query state), and the parser refuses it.
    let quoted = text.split_once('?').is_some_and(|(_, query)| query.contains('"'));
    let well = text.bytes().all(plain) && !quoted && (text.starts_with('/') || is_rare(method, text));
    if well { Ok(()) } else { Err(Malformed::Target) }
}

//= RFC 9112 §3.2: beside origin-form there are authority-form, for `CONNECT` alone, asterisk-form, for `OPTIONS`
//= alone, and absolute-form
fn is_rare(method: &str, text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    match method {
        "CONNECT" => uri.scheme().is_none() && uri.authority().is_some(),
        "OPTIONS" if text == "*" => true,
        _ => matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some(),
    }
}

/// What the headers say that decide on framing.
#[derive(Debug, Default)]
struct Said {
    hosts: usize,
    length: Option<u64>,
    codings: usize,
    chunked: bool,
    close: bool,
}

impl Said {
    fn header(&mut self, name: &str, value: &[u8]) -> Result<(), Malformed> {
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => self.hosts += 1,
            14 if name.eq_ignore_ascii_case("content-length") => {
                let length = length(value)?;
                //= RFC 9110 §8.6: the same length twice may be taken for one
                if self.length.is_some_and(|before| before != length) {
                    return Err(Malformed::Framing("two lengths"));
                }
                self.length = Some(length);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.codings += 1;
                self.chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                let mut words = value.split(|byte| *byte == b',');
                self.close |= words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"));
            }
            _ => {}
        }
        Ok(())
    }

    fn follows(&self, newer: bool) -> Result<Follows, Malformed> {
        if self.codings > 0 {
            //= RFC 9112 §6.1: a client must not send it in HTTP/1.0, and a server ought to refuse both lengths
            if !newer {
                return Err(Malformed::Framing("a transfer coding in HTTP/1.0"));
            }
            if self.length.is_some() {
                return Err(Malformed::Framing("a length and a transfer coding"));
            }
            if self.codings > 1 {
                return Err(Malformed::Framing("two transfer codings"));
            }
            if !self.chunked {
                return Err(Malformed::Coding);
            }
        }
        if self.hosts > 1 {
            return Err(Malformed::HostTwice);
        }
        if self.hosts == 0 && newer {
            return Err(Malformed::HostMissing);
        }
        let body = if self.chunked { Body::Chunks } else { self.length.map_or(Body::None, Body::Length) };
        // HTTP/1.0 is refused further on; nothing that follows it is read.
        Ok(Follows { body, last: self.close || !newer })
    }
}

//= RFC 9110 §8.6: Content-Length = 1*DIGIT
fn length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() || value.len() > 19 {
        return Err(Malformed::Length);
    }
    value.iter().try_fold(0_u64, |sum, byte| match byte {
        b'0'..=b'9' => Ok(sum * 10 + u64::from(byte - b'0')),
        _ => Err(Malformed::Length),
    })
}
