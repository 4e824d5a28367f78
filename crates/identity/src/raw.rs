//! A request as it stands in a file: request line, headers, an empty line, the body (RFC 9112 §2.1). It is for
//! looking at one request offline; what comes from a socket goes through `shield::http1`, not here.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    Request,
    bounds::{REQUEST_BYTES_MAX, REQUEST_HEADERS_MAX},
    uri,
};

/// One request, whole.
#[derive(Debug, Clone)]
pub struct RawRequest {
    method: String,
    scheme: String,
    authority: String,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Why a text is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// Larger than is read.
    #[error("the request is larger than {} MiB", REQUEST_BYTES_MAX / (1024 * 1024))]
    TooLarge,
    /// No empty line after the headers.
    #[error("the request's head does not end: an empty line is missing")]
    HeadOpen,
    /// Both kinds of line ends in one head.
    #[error("line {0} ends otherwise than those before it")]
    LineEnd(usize),
    /// A request line that is none.
    #[error("the first line is no request line: write `GET /path HTTP/1.1`")]
    RequestLine,
    /// A header line that is none.
    #[error("line {0} is no header: write `name: value`, and nothing before the name")]
    Header(usize),
    /// Too many of them.
    #[error("there are more than {REQUEST_HEADERS_MAX} header lines")]
    TooManyHeaders,
    /// None, several, or another than the target's.
    #[error("the request names no host, several, or one that is malformed")]
    Host,
    /// Another length than the body has.
    #[error("`Content-Length` says {said}, and the body has {found} bytes")]
    Length {
        /// What the header says.
        said: String,
        /// How many there are.
        found: usize,
    },
    /// A body in another form than its own bytes.
    #[error("a `Transfer-Encoding` is not taken: write the body as it is, with `Content-Length` or without")]
    Coding,
}

impl RawRequest {
    /// Reads a request. It came over TLS unless its target says `http://`. Lines end in CRLF, or all of them
    /// in LF, as people's editors write them. The body is what follows the head: where `Content-Length` says
    /// one byte less than there is and that byte is a line end, it is the editor's and not the body's.
    ///
    /// # Errors
    /// [`RawError`], with the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, RawError> {
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(RawError::TooLarge);
        }
        let (lines, body) = split(bytes)?;
        let (first, rest) = lines.split_first().ok_or(RawError::RequestLine)?;
        let (method, target) = request_line(first).ok_or(RawError::RequestLine)?;
        if rest.len() > REQUEST_HEADERS_MAX {
            return Err(RawError::TooManyHeaders);
        }
        let mut headers = HeaderMap::new();
        for (at, line) in rest.iter().enumerate() {
            let (name, value) = header(line).ok_or(RawError::Header(at + 2))?;
            headers.append(name, value);
        }
        if headers.contains_key("transfer-encoding") {
            return Err(RawError::Coding);
        }
        let mut hosts = headers.get_all("host").iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).ok_or(RawError::Host)?;
        let (scheme, authority, target) = parts(target, host).ok_or(RawError::Host)?;
        if hosts.next().is_some() || uri::authority(scheme, authority).is_none() {
            return Err(RawError::Host);
        }
        let body = body_of(body, &headers)?.to_vec();
        let (scheme, authority) = (scheme.to_owned(), authority.to_owned());
        Ok(Self { method: method.to_owned(), scheme, authority, target: target.to_owned(), headers, body })
    }

    /// As credentials are read from it, with the client's certificate where there is one.
    pub fn request<'a>(&'a self, certificate: Option<&'a [u8]>) -> Request<'a> {
        Request {
            method: &self.method,
            scheme: &self.scheme,
            authority: &self.authority,
            target: &self.target,
            headers: &self.headers,
            body: &self.body,
            certificate,
            vouched: None,
        }
    }
}

/// The lines of the head, and what follows it.
fn split(bytes: &[u8]) -> Result<(Vec<&[u8]>, &[u8]), RawError> {
    let (mut lines, mut rest, mut with_return) = (Vec::new(), bytes, None);
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(RawError::HeadOpen)?;
        let (line, after) = rest.split_at_checked(end).ok_or(RawError::HeadOpen)?;
        rest = after.get(1..).unwrap_or_default();
        let cut = line.strip_suffix(b"\r");
        if *with_return.get_or_insert(cut.is_some()) != cut.is_some() {
            return Err(RawError::LineEnd(lines.len() + 1));
        }
        match cut.unwrap_or(line) {
            [] => return Ok((lines, rest)),
            line => lines.push(line),
        }
        if lines.len() > REQUEST_HEADERS_MAX + 1 {
            return Err(RawError::TooManyHeaders);
        }
    }
}

fn request_line(line: &[u8]) -> Option<(&str, &str)> {
    let line =
        std::str::from_utf8(line).ok().filter(|line| line.bytes().all(|b| (b' '..=b'~').contains(&b)))?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let known = ["HTTP/1.1", "HTTP/2", "HTTP/2.0"].contains(&version) && words.next().is_none();
    let is_method = http::Method::from_bytes(method.as_bytes()).is_ok();
    (known && is_method && !target.is_empty() && !target.contains('#')).then_some((method, target))
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = HeaderName::from_bytes(name).ok()?;
    Some((name, HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?))
}

/// Scheme, host and origin form of a target (RFC 9112 §3.2).
fn parts<'a>(target: &'a str, host: &'a str) -> Option<(&'static str, &'a str, &'a str)> {
    if target.starts_with('/') || target == "*" {
        return Some(("https", host, target));
    }
    let (scheme, rest) = match (target.strip_prefix("https://"), target.strip_prefix("http://")) {
        (Some(rest), _) => ("https", rest),
        (None, Some(rest)) => ("http", rest),
        (None, None) => return None,
    };
    let (authority, path) = rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len()))?;
    // Two names of one request are one too many (RFC 9112 §3.2.2).
    if !authority.eq_ignore_ascii_case(host) || path.starts_with('?') {
        return None;
    }
    Some((scheme, authority, if path.is_empty() { "/" } else { path }))
}

fn body_of<'a>(body: &'a [u8], headers: &HeaderMap) -> Result<&'a [u8], RawError> {
    let lengths: Vec<_> = headers.get_all("content-length").iter().collect();
    let said = match lengths.as_slice() {
        [] => return Ok(body),
        [one] => String::from_utf8_lossy(one.as_bytes()).into_owned(),
        _ => "several".to_owned(),
    };
    let digits = !said.is_empty() && said.bytes().all(|b| b.is_ascii_digit());
    let length = if digits { said.parse::<usize>().ok() } else { None };
    match length {
        Some(length) if length == body.len() => Ok(body),
        Some(length) if body.get(length..) == Some(b"\n") || body.get(length..) == Some(b"\r\n") => {
            Ok(body.get(..length).unwrap_or(body))
        }
        _ => Err(RawError::Length { said, found: body.len() }),
    }
}

#[cfg(test)]
mod tests;
