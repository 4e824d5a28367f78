//! `multipart/form-data` line by line, as strict as ModSecurity: whatever two readers could take differently becomes a
//! flag or ends the reading. Nothing is repaired.

mod boundary;
mod disposition;

use self::{boundary::Boundary, disposition::Disposition};
use super::{Bounds, Multipart, Pairs};

/// Bytes of a line of a part's head.
const HEADER_MAX: usize = 4096;
/// Headers of one part.
const HEADERS_MAX: usize = 32;

/// A body of `multipart/form-data` by the whole value of its Content-Type header. It is read as far as it can be;
/// [`Multipart::error`] says why it ended early.
#[must_use]
pub fn multipart(content_type: &[u8], input: &[u8], bounds: &Bounds) -> Multipart {
    let mut reader = Reader {
        found: Multipart::default(),
        boundary: Boundary::default(),
        part: None,
        boundaries: 0,
        is_complete: false,
        bare_lf: false,
        crlf_lines: false,
        bounds,
    };
    let result = match Boundary::parse(content_type, &mut reader.found.flags) {
        Ok(boundary) => {
            reader.boundary = boundary;
            reader.body(input)
        }
        Err(why) => Err(why),
    };
    reader.found.error = result.err();
    // What was being read when the reading ended is looked at too.
    if reader.found.error.is_some() {
        reader.close();
    }
    reader.found.flags.crlf_lf_lines = reader.crlf_lines && reader.found.flags.lf_line;
    reader.found
}

/// A part that is being read.
#[derive(Debug, Default)]
struct Part {
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    disposition: Disposition,
    in_body: bool,
    /// A line of the body was read.
    has_data: bool,
    data: Vec<u8>,
}

struct Reader<'a> {
    found: Multipart,
    boundary: Boundary,
    part: Option<Part>,
    boundaries: usize,
    is_complete: bool,
    /// The line before ended in LF alone.
    bare_lf: bool,
    crlf_lines: bool,
    bounds: &'a Bounds,
}

/// What a line is.
enum Line {
    /// A boundary; whether it is the last one.
    Boundary(bool),
    Data,
}

impl Reader<'_> {
    fn body(&mut self, input: &[u8]) -> Result<(), &'static str> {
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            if self.is_complete {
                self.found.flags.data_after = true;
                break;
            }
            match self.kind(line)? {
                Line::Boundary(last) => self.next_part(last)?,
                Line::Data => self.data(line)?,
            }
            self.bare_lf = line.ends_with(b"\n") && !line.ends_with(b"\r\n");
        }
        if input.is_empty() || self.is_complete {
            return Ok(());
        }
        Err(if self.boundaries > 0 { "the final boundary is missing" } else { "no boundary was found" })
    }

    fn kind(&mut self, line: &[u8]) -> Result<Line, &'static str> {
        let Some(rest) = line.strip_prefix(b"--").filter(|_| line.len() > 3) else {
            if self.boundary.is_within(line) {
                self.found.flags.unmatched_boundary = 1;
            }
            return Ok(Line::Data);
        };
        let Some(end) = rest.strip_prefix(self.boundary.text()) else {
            if self.found.flags.boundary_quoted
                && rest.strip_prefix(b"\"").is_some_and(|rest| rest.starts_with(self.boundary.text()))
            {
                return Err("a boundary in quotes");
            }
            let trimmed = rest.trim_ascii_start();
            if trimmed.len() != rest.len() && trimmed.starts_with(self.boundary.text()) {
                return Err("a boundary after white space");
            }
            self.found.flags.unmatched_boundary = 1;
            return Ok(Line::Data);
        };
        self.found.flags.lf_line |= self.bare_lf;
        let is_empty = self.part.as_ref().is_some_and(|part| !part.has_data);
        if is_empty && self.boundaries > 0 {
            // It stands where the head or the data of a part should begin.
            self.found.flags.invalid_part = true;
            if self.part.as_ref().is_some_and(|part| !part.in_body) {
                return Err("a boundary in the head of a part");
            }
        }
        if self.boundaries > 0 && self.found.flags.unmatched_boundary == 0 {
            self.found.flags.unmatched_boundary = 2;
        }
        let (last, end) = match end.strip_prefix(b"--") {
            Some(end) => (true, end),
            None => (false, end),
        };
        match end {
            b"\r\n" => self.crlf_lines = true,
            b"\n" => self.found.flags.lf_line = true,
            b"" if last => {}
            _ => return Err("something follows a boundary in its line"),
        }
        Ok(Line::Boundary(last))
    }

    fn next_part(&mut self, last: bool) -> Result<(), &'static str> {
        self.close();
        self.boundaries += 1;
        self.is_complete = last;
        if last {
            return Ok(());
        }
        if self.boundaries > self.bounds.pairs_max {
            return Err("more parts than the bound");
        }
        self.part = Some(Part::default());
        Ok(())
    }

    /// Ends a part and keeps what it held.
    fn close(&mut self) {
        let Some(mut part) = self.part.take() else { return };
        // The line break before a boundary belongs to the boundary.
        if part.data.ends_with(b"\n") && self.found.error.is_none() {
            part.data.pop();
            if part.data.ends_with(b"\r") {
                part.data.pop();
            }
        }
        let disposition = &part.disposition;
        let name = disposition.name.as_deref().unwrap_or_default();
        for (header, value) in &part.headers {
            self.found.part_headers.push(name, &[header.as_slice(), b": ", value].concat());
        }
        if name.is_empty() {
            self.found.flags.invalid_part = true;
        }
        let add = |pairs: &mut Pairs, value: &[u8]| pairs.push(name, value);
        match disposition.file.as_deref().filter(|file| !file.is_empty()) {
            Some(file) => {
                add(&mut self.found.files, file);
                add(&mut self.found.file_contents, &part.data);
            }
            None => add(&mut self.found.fields, &part.data),
        }
        add(&mut self.found.names, disposition.file.as_deref().unwrap_or_default());
    }

    fn data(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let Some(part) = &mut self.part else {
            self.found.flags.data_before = true;
            return Ok(());
        };
        if part.in_body {
            part.has_data = true;
            part.data.extend_from_slice(line);
            return Ok(());
        }
        self.header(line)
    }

    fn header(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let flags = &mut self.found.flags;
        let Some(part) = &mut self.part else { return Ok(()) };
        if line.len() > HEADER_MAX {
            return Err("a line of a part's head is too long");
        }
        if line.contains(&0) {
            return Err("a NUL byte in a part's head");
        }
        let Some(text) = line.strip_suffix(b"\n") else { return Err("a part's head does not end") };
        let text = match text.strip_suffix(b"\r") {
            Some(text) => {
                self.crlf_lines = true;
                text
            }
            None => {
                flags.lf_line = true;
                text
            }
        };
        let Some(first) = text.first() else {
            let found =
                part.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"content-disposition"));
            let (_, value) = found.ok_or("a part without Content-Disposition")?;
            let value = value.clone();
            part.in_body = true;
            return disposition::read(&value, &mut part.disposition, flags);
        };
        if is_space(*first) {
            flags.header_folding = true;
            let end = text.iter().take_while(|byte| is_space(**byte)).count();
            let (folding, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
            flags.invalid_header_folding |= folding.iter().any(|byte| !matches!(byte, b' ' | b'\t'));
            let Some((_, value)) = part.headers.last_mut() else {
                return Err("a part's head begins with a folded line");
            };
            value.push(b' ');
            value.extend_from_slice(rest);
            return if value.len() > HEADER_MAX {
                Err("a line of a part's head is too long")
            } else {
                Ok(())
            };
        }
        let Some(colon) = text.iter().position(|byte| *byte == b':') else {
            return Err("a line of a part's head without colon");
        };
        let (name, value) = text.split_at_checked(colon).unwrap_or_default();
        if name.is_empty() {
            return Err("a header of a part without name");
        }
        if part.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Err("a header of a part comes twice");
        }
        if part.headers.len() >= HEADERS_MAX {
            return Err("a part with more than 32 headers");
        }
        let value = value.get(1..).unwrap_or_default();
        let skip = value.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        part.headers.push((name.to_vec(), value.get(skip..).unwrap_or_default().to_vec()));
        Ok(())
    }
}

/// As C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}
