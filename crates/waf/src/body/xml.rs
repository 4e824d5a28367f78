//! XML 1.0 as its text and its attributes, in one pass. No entity but the five that are always there is resolved, no
//! declaration of a document type is followed; one is told as an irregularity.

use super::{BodyError, Bounds, Parsed};

/// Reads a document: one pair `/*` with the text of the root and all in it, one pair `//text()` for each text between
/// two tags that is not blank, one pair `//@*` for each attribute but those that declare namespaces. The second is what
/// was wrong; the first then holds all up to there.
#[must_use]
pub fn xml(input: &[u8], bounds: &Bounds) -> (Parsed, Option<BodyError>) {
    let decoded = decoded(input);
    let (input, error) = match &decoded {
        Ok(None) => (input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input), None),
        Ok(Some(text)) => (text.as_bytes(), None),
        Err(error) => (input, Some(error.clone())),
    };
    if error.is_some() {
        return (Parsed::default(), error);
    }
    let mut reader = Reader {
        input,
        at: 0,
        bounds,
        parsed: Parsed::default(),
        text: Vec::new(),
        run: 0,
        open: Vec::new(),
        odd: None,
    };
    let result = reader.document();
    let told = reader.tell_run();
    let error = result.and(told).err().or(reader.odd);
    let mut parsed = Parsed { depth: reader.parsed.depth, ..Parsed::default() };
    parsed.pairs.push(b"/*", &reader.text);
    for (name, value) in reader.parsed.pairs.iter() {
        parsed.pairs.push(name, value);
    }
    (parsed, error)
}

/// UTF-16 as UTF-8; none where the bytes are to be read as they are.
fn decoded(input: &[u8]) -> Result<Option<String>, BodyError> {
    let big = match input {
        [0xfe, 0xff, ..] | [0, b'<', ..] => true,
        [0xff, 0xfe, ..] | [b'<', 0, ..] => false,
        _ => return Ok(None),
    };
    let pairs = input.as_chunks::<2>();
    let units =
        pairs.0.iter().map(|pair| if big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) });
    let text: Result<String, _> = char::decode_utf16(units).collect();
    match text {
        Ok(text) if pairs.1.is_empty() => Ok(Some(text.trim_start_matches('\u{feff}').to_owned())),
        _ => Err(BodyError::Malformed { format: "XML", reason: "text that is not UTF-16", offset: 0 }),
    }
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    bounds: &'a Bounds,
    parsed: Parsed,
    text: Vec<u8>,
    /// Where in `text` the text behind the last tag begins.
    run: usize,
    open: Vec<&'a [u8]>,
    /// What is read on after, but told.
    odd: Option<BodyError>,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':') || byte >= 0x80
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<(), BodyError> {
        self.declaration()?;
        let mut seen_root = false;
        loop {
            let before = self.at;
            if self.open.is_empty() {
                self.skip_space();
            } else {
                self.characters()?;
            }
            if self.at >= self.input.len() {
                break;
            }
            if self.open.is_empty() && !self.rest().starts_with(b"<") {
                return Err(self.wrong("text outside of the root element"));
            }
            if self.take(b"<!--") {
                let comment = self.until(b"-->", "a comment does not end")?;
                if comment.windows(2).any(|two| two == b"--") {
                    return Err(self.wrong("`--` in a comment"));
                }
            } else if self.take(b"<?") {
                self.until(b"?>", "a processing instruction does not end")?;
            } else if !self.open.is_empty() && self.take(b"<![CDATA[") {
                let text = self.until(b"]]>", "a CDATA section does not end")?;
                self.text.extend_from_slice(text);
            } else if !seen_root && self.take(b"<!DOCTYPE") {
                self.document_type()?;
            } else if self.take(b"</") {
                self.tell_run()?;
                self.end()?;
            } else if self.take(b"<") {
                self.tell_run()?;
                if self.open.is_empty() && seen_root {
                    return Err(self.wrong("a second root element"));
                }
                seen_root = true;
                self.start()?;
            }
            if self.at == before {
                return Err(self.wrong("markup that is not known"));
            }
        }
        if !self.open.is_empty() {
            return Err(self.wrong("an element does not end"));
        }
        if seen_root { Ok(()) } else { Err(self.wrong("no root element")) }
    }

    fn wrong(&self, reason: &'static str) -> BodyError {
        BodyError::Malformed { format: "XML", reason, offset: self.at }
    }

    /// Tells the text behind the last tag.
    fn tell_run(&mut self) -> Result<(), BodyError> {
        let run = self.text.get(self.run..).unwrap_or_default();
        self.run = self.text.len();
        if run.trim_ascii().is_empty() {
            return Ok(());
        }
        if self.parsed.pairs.len() >= self.bounds.pairs_max {
            self.parsed.truncated = true;
            return Err(BodyError::TooMany { max: self.bounds.pairs_max });
        }
        self.parsed.pairs.push(b"//text()", run);
        Ok(())
    }

    fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, start: &[u8]) -> bool {
        let taken = self.rest().starts_with(start);
        self.at += if taken { start.len() } else { 0 };
        taken
    }

    fn run_of(&mut self, holds: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|byte| !holds(*byte)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn skip_space(&mut self) -> bool {
        !self.run_of(is_space).is_empty()
    }

    fn until(&mut self, end: &[u8], reason: &'static str) -> Result<&'a [u8], BodyError> {
        let rest = self.rest();
        let Some(found) = crate::operator::find(rest, end) else { return Err(self.wrong(reason)) };
        self.at += found + end.len();
        Ok(rest.get(..found).unwrap_or_default())
    }

    /// `<?xml … encoding="…"?>`: only encodings that hold ASCII as it is are read.
    fn declaration(&mut self) -> Result<(), BodyError> {
        let mut encoding = b"utf-8".to_vec();
        if self.rest().starts_with(b"<?xml") && self.rest().get(5).is_some_and(|byte| is_space(*byte)) {
            let text = self.until(b"?>", "the XML declaration does not end")?;
            if let Some(at) = crate::operator::find(text, b"encoding") {
                let value = text.get(at + 8..).unwrap_or_default();
                let name = value.iter().filter(|byte| !is_space(**byte) && **byte != b'=');
                let mut name = name.copied().skip_while(|byte| matches!(byte, b'"' | b'\''));
                encoding = name.by_ref().take_while(|byte| !matches!(byte, b'"' | b'\'')).collect();
            }
        }
        encoding.make_ascii_lowercase();
        match encoding.as_slice() {
            b"utf-8" | b"utf8" | b"us-ascii" | b"ascii" | b"utf-16" => {
                match std::str::from_utf8(self.input) {
                    Ok(_) => Ok(()),
                    Err(e) => {
                        self.at = e.valid_up_to();
                        Err(self.wrong("text that is not UTF-8"))
                    }
                }
            }
            other if other.starts_with(b"iso-8859-") || other.starts_with(b"windows-125") => Ok(()),
            _ => Err(self.wrong("an encoding that is not read")),
        }
    }

    /// Goes over a document type declaration, which may have an internal subset.
    fn document_type(&mut self) -> Result<(), BodyError> {
        self.odd = Some(self.wrong("a document type is declared"));
        let mut depth = 0u32;
        loop {
            self.run_of(|byte| !matches!(byte, b'"' | b'\'' | b'[' | b']' | b'>' | b'<'));
            if self.take(b"<!--") {
                self.until(b"-->", "a comment does not end")?;
                continue;
            }
            let Some(byte) = self.rest().first().copied() else {
                return Err(self.wrong("a document type does not end"));
            };
            self.at += 1;
            match byte {
                b'"' | b'\'' => {
                    self.until(&[byte], "a quoted text does not end")?;
                }
                b'[' | b'<' => depth += 1,
                b']' => depth = depth.saturating_sub(1),
                _ if depth == 0 => return Ok(()),
                _ => depth -= 1,
            }
        }
    }

    fn characters(&mut self) -> Result<(), BodyError> {
        loop {
            let text = self.run_of(|byte| !matches!(byte, b'<' | b'&'));
            self.text.extend_from_slice(text);
            if !self.rest().starts_with(b"&") {
                return Ok(());
            }
            let mut text = std::mem::take(&mut self.text);
            let done = self.reference(&mut text);
            self.text = text;
            done?;
        }
    }

    /// `&lt;`, `&#60;`, `&#x3c;`
    fn reference(&mut self, into: &mut Vec<u8>) -> Result<(), BodyError> {
        self.at += 1;
        let name = self.until(b";", "a reference does not end")?;
        let known = match name {
            b"lt" => Some('<'),
            b"gt" => Some('>'),
            b"amp" => Some('&'),
            b"quot" => Some('"'),
            b"apos" => Some('\''),
            _ => {
                let digits = name.strip_prefix(b"#").unwrap_or_default();
                let (digits, radix) = match digits.strip_prefix(b"x") {
                    Some(digits) => (digits, 16),
                    None => (digits, 10),
                };
                let plain = digits.iter().all(u8::is_ascii_hexdigit);
                let text = std::str::from_utf8(digits).ok().filter(|_| plain);
                text.and_then(|text| u32::from_str_radix(text, radix).ok()).and_then(char::from_u32)
            }
        };
        let Some(letter) = known else {
            return Err(self.wrong("a reference to an entity that is not known"));
        };
        into.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn name(&mut self) -> Result<&'a [u8], BodyError> {
        let name = self.run_of(is_name);
        match name.first() {
            Some(byte) if !byte.is_ascii_digit() && !matches!(byte, b'-' | b'.') => Ok(name),
            _ => Err(self.wrong("a name is missing")),
        }
    }

    fn start(&mut self) -> Result<(), BodyError> {
        let element = self.name()?;
        let mut names: Vec<&[u8]> = Vec::new();
        loop {
            let spaced = self.skip_space();
            if self.take(b"/>") {
                return self.depth(self.open.len() + 1);
            }
            if self.take(b">") {
                self.open.push(element);
                return self.depth(self.open.len());
            }
            if !spaced {
                return Err(self.wrong("a tag does not end"));
            }
            let name = self.name()?;
            if names.contains(&name) {
                return Err(self.wrong("an attribute comes twice"));
            }
            if names.len() >= self.bounds.pairs_max {
                return Err(BodyError::TooMany { max: self.bounds.pairs_max });
            }
            names.push(name);
            self.attribute(name)?;
        }
    }

    fn depth(&mut self, depth: usize) -> Result<(), BodyError> {
        self.parsed.depth = self.parsed.depth.max(depth);
        if depth > self.bounds.depth_max {
            return Err(BodyError::TooDeep { max: self.bounds.depth_max });
        }
        Ok(())
    }

    fn attribute(&mut self, name: &[u8]) -> Result<(), BodyError> {
        self.skip_space();
        if !self.take(b"=") {
            return Err(self.wrong("`=` is missing"));
        }
        self.skip_space();
        let quote = match self.rest().first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => return Err(self.wrong("a quote is missing")),
        };
        self.at += 1;
        let mut value = Vec::new();
        loop {
            let text = self.run_of(|byte| byte != quote && !matches!(byte, b'&' | b'<'));
            value.extend(text.iter().map(|byte| if is_space(*byte) { b' ' } else { *byte }));
            match self.rest().first() {
                Some(b'&') => self.reference(&mut value)?,
                Some(b'<') => return Err(self.wrong("`<` in the value of an attribute")),
                Some(_) => break,
                None => return Err(self.wrong("the value of an attribute does not end")),
            }
        }
        self.at += 1;
        if name == b"xmlns" || name.starts_with(b"xmlns:") {
            return Ok(());
        }
        if self.parsed.pairs.len() >= self.bounds.pairs_max {
            self.parsed.truncated = true;
            return Err(BodyError::TooMany { max: self.bounds.pairs_max });
        }
        self.parsed.pairs.push(b"//@*", &value);
        Ok(())
    }

    fn end(&mut self) -> Result<(), BodyError> {
        let name = self.name()?;
        self.skip_space();
        if !self.take(b">") {
            return Err(self.wrong("a tag does not end"));
        }
        match self.open.pop() {
            Some(opened) if opened == name => Ok(()),
            _ => Err(self.wrong("an element ends that did not begin")),
        }
    }
}
