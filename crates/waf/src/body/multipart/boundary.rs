//! The boundary that a Content-Type header names. It reads no body.

use super::is_space;
use crate::{body::MultipartFlags, operator::find};

/// What stands after `--` at the start of the lines between parts.
#[derive(Debug, Default)]
pub(super) struct Boundary(Vec<u8>);

const MALFORMED: &str = "the boundary of the Content-Type is malformed";

impl Boundary {
    /// Reads the header's whole value, with all that ModSecurity refuses of it.
    pub(super) fn parse(header: &[u8], flags: &mut MultipartFlags) -> Result<Self, &'static str> {
        if header.len() > 1024 {
            return Err("a Content-Type of more than 1,024 bytes");
        }
        let kind = b"multipart/form-data";
        if !header.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind)) {
            return Err("the Content-Type is not multipart/form-data");
        }
        if parameters(header) > 1 {
            return Err("the Content-Type names more than one boundary");
        }
        let Some(at) = find(header, b"boundary") else {
            return Err(if parameters(header) > 0 {
                "the Content-Type names its boundary in capital letters"
            } else {
                "the Content-Type names no boundary"
            });
        };
        let between = header.get(kind.len()..at).unwrap_or_default();
        let odd: Vec<u8> = between.iter().copied().filter(|byte| !is_space(*byte)).collect();
        match odd.as_slice() {
            b"" => flags.missing_semicolon = true,
            b";" => {}
            _ => return Err(MALFORMED),
        }
        let rest = header.get(at + b"boundary".len()..).unwrap_or_default();
        let equals = rest.iter().position(|byte| *byte == b'=').ok_or(MALFORMED)?;
        let (before, value) = rest.split_at_checked(equals).unwrap_or_default();
        if !before.iter().all(|byte| is_space(*byte)) {
            return Err(MALFORMED);
        }
        let value = value.get(1..).unwrap_or_default();
        flags.boundary_whitespace = !before.is_empty() || value.first().is_some_and(|byte| is_space(*byte));
        Self::value(value, flags)
    }

    fn value(value: &[u8], flags: &mut MultipartFlags) -> Result<Self, &'static str> {
        let opened = value.strip_prefix(b"\"");
        let text = match (opened.and_then(|value| value.strip_suffix(b"\"")), opened) {
            (Some(text), _) => {
                flags.boundary_quoted = true;
                text
            }
            (None, Some(_)) => return Err("the boundary of the Content-Type has one quote"),
            (None, None) if value.len() > 1 && value.ends_with(b"\"") => {
                return Err("the boundary of the Content-Type has one quote");
            }
            (None, None) => value,
        };
        if parameters(text) != 0 {
            return Err("the boundary of the Content-Type names another");
        }
        // A parameter after the boundary, such as a charset, is tolerated.
        let text = match text.iter().position(|byte| *byte == b';') {
            Some(end) if !is_valid(text) => text.get(..end).unwrap_or_default(),
            _ => text,
        };
        if !is_valid(text) {
            return Err("the boundary of the Content-Type holds characters that no boundary may");
        }
        if text.is_empty() {
            return Err("the boundary of the Content-Type is empty");
        }
        Ok(Self(text.to_vec()))
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.0
    }

    /// Whether `--` and the boundary stand somewhere in a line.
    pub(super) fn is_within(&self, line: &[u8]) -> bool {
        let mut rest = line;
        while let Some(at) = find(rest, b"--") {
            rest = rest.get(at + 1..).unwrap_or_default();
            if rest.get(1..).is_some_and(|after| after.starts_with(&self.0)) {
                return true;
            }
        }
        false
    }
}

/// How often the word stands before a `=`.
fn parameters(header: &[u8]) -> usize {
    let lower = header.to_ascii_lowercase();
    let mut rest = lower.as_slice();
    let mut count = 0;
    while let Some(at) = find(rest, b"boundary") {
        rest = rest.get(at + b"boundary".len()..).unwrap_or_default();
        count += usize::from(rest.contains(&b'='));
    }
    count
}

/// RFC 2046, section 5.1.1.
fn is_valid(text: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b" '()+_,-./:=?".contains(byte);
    text.iter().all(allowed) && !text.ends_with(b" ")
}
