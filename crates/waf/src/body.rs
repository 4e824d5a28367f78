//! Bodies of requests taken apart into names and values, within bounds, with every irregularity told; what a rule makes
//! of it is never known here.

mod json;
mod multipart;
mod packed;
mod sniff;
#[cfg(test)]
mod tests;
mod xml;

use std::ops::Range;

pub use json::json;
pub use multipart::multipart;
pub use packed::decompress;
pub use sniff::{Look, is_wide, look};
pub use xml::xml;

use crate::transform::Transformation;

/// What a body may cost. Whatever is over a bound is told in the answer, never silently dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Names and values (arguments, parts, attributes) kept.
    pub pairs_max: usize,
    /// Levels of JSON or XML.
    pub depth_max: usize,
    /// Bytes of what is unpacked or decoded.
    pub bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { pairs_max: 4096, depth_max: 64, bytes_max: 1024 * 1024 }
    }
}

/// Why a body could not be taken apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not of its format; the client's fault.
    #[error("the body is not valid {format}: {reason} at byte {offset}")]
    Malformed {
        /// `JSON`, `XML`, `gzip` …
        format: &'static str,
        /// What was wrong.
        reason: &'static str,
        /// Where, in bytes from the start.
        offset: usize,
    },
    /// More levels than [`Bounds::depth_max`].
    #[error("the body has more than {max} levels")]
    TooDeep {
        /// The bound.
        max: usize,
    },
    /// More names and values than [`Bounds::pairs_max`].
    #[error("the body has more than {max} values")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// More bytes than [`Bounds::bytes_max`].
    #[error("the body has more than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// An encoding that is not known.
    #[error("the content encoding `{name}` is not known: use gzip, deflate, br or zstd")]
    UnknownEncoding {
        /// As it was sent, cut to 64 characters.
        name: String,
    },
}

/// Bytes before the end in which what is cut there may look wrong: half of an escape, of a number, of a letter.
const CUT_BYTES: usize = 64;

impl BodyError {
    /// Whether that is what a document of `length` bytes looks like which was cut at its end.
    pub(crate) fn is_of_end(&self, length: usize) -> bool {
        match self {
            Self::Malformed { offset, reason, .. } => offset + CUT_BYTES >= length || is_of_end(reason),
            _ => false,
        }
    }
}

/// Whether a reason says that something had no end.
pub(crate) fn is_of_end(reason: &str) -> bool {
    reason.ends_with("does not end") || reason == "the final boundary is missing"
}

/// Names and values in the order they came, duplicates kept, in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    buffer: Vec<u8>,
    spans: Vec<(Range<usize>, Range<usize>)>,
}

impl Pairs {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The name and value at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let (name, value) = self.spans.get(index)?;
        Some((self.buffer.get(name.clone())?, self.buffer.get(value.clone())?))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|(name, value)| {
            let part = |range: &Range<usize>| self.buffer.get(range.clone()).unwrap_or_default();
            (part(name), part(value))
        })
    }

    /// How many bytes all names and values have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Adds one at the end.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(name);
        let middle = self.buffer.len();
        self.buffer.extend_from_slice(value);
        self.spans.push((start..middle, middle..self.buffer.len()));
    }
}

/// A body taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Names and values. Of XML: the name is the XPath expression that selects the value, `/*` (the text of the whole
    /// document, once) or `//@*` (each attribute).
    pub pairs: Pairs,
    /// A `%` without two hexadecimal digits after it (URLENCODED_ERROR); only of urlencoded.
    pub invalid_encoding: bool,
    /// A JSON object with the same key twice.
    pub duplicate_keys: bool,
    /// The deepest level that was met.
    pub depth: usize,
    /// There were more pairs than the bound; those over it are not in `pairs`.
    pub truncated: bool,
}

/// A multipart body taken apart. It is always given, as far as it could be read; `flags` tells what was wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multipart {
    /// Form fields without a file name (ARGS_POST).
    pub fields: Pairs,
    /// (name of the field, name of the file) of each file: FILES by the field's name; FILES_NAMES are the fields' names.
    pub files: Pairs,
    /// (name of the field, contents) of each file, in the order of `files`: FILES_TMP_CONTENT; FILES_SIZES
    /// are their lengths.
    pub file_contents: Pairs,
    /// (name of the part, whole header line) of each header of each part: MULTIPART_PART_HEADERS.
    pub part_headers: Pairs,
    /// MULTIPART_NAME and MULTIPART_FILENAME: (name, filename) as they stood in each Content-Disposition.
    pub names: Pairs,
    /// What was irregular.
    pub flags: MultipartFlags,
    /// Why the rest could not be read (REQBODY_ERROR with REQBODY_ERROR_MSG).
    pub error: Option<&'static str>,
}

/// The flags of ModSecurity's multipart parser; MULTIPART_STRICT_ERROR is [`MultipartFlags::strict_error`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each MULTIPART_ variable of ModSecurity")]
pub struct MultipartFlags {
    /// MULTIPART_BOUNDARY_QUOTED
    pub boundary_quoted: bool,
    /// MULTIPART_BOUNDARY_WHITESPACE
    pub boundary_whitespace: bool,
    /// MULTIPART_DATA_BEFORE
    pub data_before: bool,
    /// MULTIPART_DATA_AFTER
    pub data_after: bool,
    /// MULTIPART_HEADER_FOLDING
    pub header_folding: bool,
    /// MULTIPART_LF_LINE
    pub lf_line: bool,
    /// MULTIPART_CRLF_LF_LINES
    pub crlf_lf_lines: bool,
    /// MULTIPART_MISSING_SEMICOLON
    pub missing_semicolon: bool,
    /// MULTIPART_INVALID_QUOTING
    pub invalid_quoting: bool,
    /// MULTIPART_INVALID_PART
    pub invalid_part: bool,
    /// MULTIPART_INVALID_HEADER_FOLDING
    pub invalid_header_folding: bool,
    /// MULTIPART_FILE_LIMIT_EXCEEDED
    pub file_limit_exceeded: bool,
    /// MULTIPART_UNMATCHED_BOUNDARY: 1 where a line looks like a boundary and is none; else 2 where a boundary came
    /// after the first (as in every body), or 0.
    pub unmatched_boundary: u8,
}

impl MultipartFlags {
    /// MULTIPART_STRICT_ERROR, but for the parser's own error ([`Multipart::error`]), which the caller adds.
    #[must_use]
    pub fn strict_error(&self) -> bool {
        self.boundary_quoted
            || self.boundary_whitespace
            || self.data_before
            || self.data_after
            || self.header_folding
            || self.lf_line
            || self.missing_semicolon
            || self.invalid_quoting
            || self.invalid_part
            || self.invalid_header_folding
            || self.file_limit_exceeded
    }
}

/// A query string or a body of `application/x-www-form-urlencoded`; `separator` is `&` as a rule. Names and values are
/// decoded as ModSecurity does: `+` and `%HH`, a broken `%` kept and told. Empty parts between separators are no pairs.
#[must_use]
pub fn urlencoded(input: &[u8], separator: u8, bounds: &Bounds) -> Parsed {
    let mut parsed = Parsed::default();
    for part in input.split(|byte| *byte == separator).filter(|part| !part.is_empty()) {
        if parsed.pairs.len() >= bounds.pairs_max {
            parsed.truncated = true;
            break;
        }
        let equals = part.iter().position(|byte| *byte == b'=');
        let (name, value) = match equals.and_then(|at| part.split_at_checked(at)) {
            Some((name, value)) => (name, value.get(1..).unwrap_or_default()),
            None => (part, [].as_slice()),
        };
        parsed.invalid_encoding |= crate::operator::invalid_url_encoding(part).is_some();
        parsed.pairs.push(&Transformation::UrlDecode.apply(name), &Transformation::UrlDecode.apply(value));
    }
    parsed
}
