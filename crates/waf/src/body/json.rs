//! JSON as names and values in one pass (RFC 8259, no extension). What is wrong ends the reading; what came before stays
//! and is told, so that an irregular document cannot hide what it holds.

use std::collections::HashSet;

use super::{BodyError, Bounds, Parsed};

/// Reads a document: names as ModSecurity 3 gives them (`json.a.b`, `json.array_0`). The second is what was wrong; the
/// first then holds all up to there.
#[must_use]
pub fn json(input: &[u8], bounds: &Bounds) -> (Parsed, Option<BodyError>) {
    let mut reader = Reader {
        input,
        at: 0,
        bounds,
        parsed: Parsed::default(),
        path: b"json".to_vec(),
        text: Vec::new(),
        levels: Vec::new(),
    };
    let error = reader.document().err();
    (reader.parsed, error)
}

/// An object or array that is open.
struct Level {
    /// Bytes of the path before the key or number of what is in it.
    prefix: usize,
    /// How many values an array had.
    count: usize,
    /// The keys of an object; none in an array.
    keys: Option<HashSet<Vec<u8>>>,
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    bounds: &'a Bounds,
    parsed: Parsed,
    path: Vec<u8>,
    text: Vec<u8>,
    levels: Vec<Level>,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), BodyError> {
        self.value()?;
        while let Some(level) = self.levels.last() {
            let (is_object, prefix, count) = (level.keys.is_some(), level.prefix, level.count);
            let close = if is_object { b'}' } else { b']' };
            let next = self.skip_space();
            if next == Some(close) {
                self.at += 1;
                self.close(prefix, count)?;
                continue;
            }
            if count > 0 {
                if next != Some(b',') {
                    return Err(self.wrong("a comma or the end of the object or array is missing"));
                }
                self.at += 1;
            }
            self.path.truncate(prefix);
            if is_object {
                self.key()?;
            } else {
                self.path.extend_from_slice(count.to_string().as_bytes());
            }
            self.levels.last_mut().into_iter().for_each(|level| level.count += 1);
            self.value()?;
        }
        match self.skip_space() {
            None => Ok(()),
            Some(_) => Err(self.wrong("something follows the document")),
        }
    }

    fn wrong(&self, reason: &'static str) -> BodyError {
        BodyError::Malformed { format: "JSON", reason, offset: self.at }
    }

    /// The next byte that is no white space.
    fn skip_space(&mut self) -> Option<u8> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.input.get(self.at).copied()
    }

    fn open(&mut self, is_object: bool) -> Result<(), BodyError> {
        if self.levels.len() >= self.bounds.depth_max {
            return Err(BodyError::TooDeep { max: self.bounds.depth_max });
        }
        self.at += 1;
        self.path.extend_from_slice(if is_object { b"." } else { b".array_" });
        let keys = is_object.then(HashSet::new);
        self.levels.push(Level { prefix: self.path.len(), count: 0, keys });
        self.parsed.depth = self.parsed.depth.max(self.levels.len());
        Ok(())
    }

    /// Ends an object or array; an empty one is told as an empty value, so that its name is looked at.
    fn close(&mut self, prefix: usize, count: usize) -> Result<(), BodyError> {
        let is_object = self.levels.pop().is_some_and(|level| level.keys.is_some());
        if count > 0 || self.levels.is_empty() {
            return Ok(());
        }
        self.path.truncate(prefix.saturating_sub(if is_object { 1 } else { b".array_".len() }));
        self.text.clear();
        self.tell()
    }

    fn key(&mut self) -> Result<(), BodyError> {
        if self.skip_space() != Some(b'"') {
            return Err(self.wrong("a key in quotes is missing"));
        }
        self.string()?;
        let keys = self.levels.last_mut().and_then(|level| level.keys.as_mut());
        if let Some(keys) = keys
            && !keys.insert(self.text.clone())
        {
            self.parsed.duplicate_keys = true;
        }
        let key: &[u8] = if self.text.is_empty() { b"empty-key" } else { &self.text };
        self.path.extend_from_slice(key);
        if self.skip_space() != Some(b':') {
            return Err(self.wrong("a colon is missing"));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self) -> Result<(), BodyError> {
        match self.skip_space() {
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'"') => {
                let read = self.string();
                // What there is of a string that is none is looked at, too.
                let told = self.tell();
                read.and(told)
            }
            Some(b't') => self.word(b"true", b"true"),
            Some(b'f') => self.word(b"false", b"false"),
            Some(b'n') => self.word(b"null", b""),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.wrong("a value is missing")),
            None => Err(self.wrong("the document ends too early")),
        }
    }

    fn tell(&mut self) -> Result<(), BodyError> {
        let parsed = &mut self.parsed;
        if parsed.pairs.len() >= self.bounds.pairs_max {
            parsed.truncated = true;
            return Err(BodyError::TooMany { max: self.bounds.pairs_max });
        }
        // Names hold all keys above, so that a long key above many values would take far more than the document.
        let most = self.bounds.bytes_max.saturating_mul(4);
        if parsed.pairs.bytes() + self.path.len() + self.text.len() > most {
            return Err(BodyError::TooLong { max: most });
        }
        parsed.pairs.push(&self.path, &self.text);
        Ok(())
    }

    fn word(&mut self, word: &[u8], told: &[u8]) -> Result<(), BodyError> {
        if !self.input.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.wrong("a word that is not `true`, `false` or `null`"));
        }
        self.at += word.len();
        self.text.clear();
        self.text.extend_from_slice(told);
        self.tell()
    }

    fn digits(&mut self) -> Result<(), BodyError> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.wrong("a digit is missing")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<(), BodyError> {
        let start = self.at;
        let next = |reader: &Self| reader.input.get(reader.at).copied();
        if next(self) == Some(b'-') {
            self.at += 1;
        }
        if next(self) == Some(b'0') {
            self.at += 1;
            if next(self).is_some_and(|byte| byte.is_ascii_digit()) {
                return Err(self.wrong("a number that begins with 0"));
            }
        } else {
            self.digits()?;
        }
        if next(self) == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(next(self), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(next(self), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.text.clear();
        self.text.extend_from_slice(self.input.get(start..self.at).unwrap_or_default());
        self.tell()
    }

    /// Reads a string into `text`.
    fn string(&mut self) -> Result<(), BodyError> {
        self.at += 1;
        self.text.clear();
        loop {
            let rest = self.input.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\') || *byte < 0x20);
            let Some(plain) = plain else {
                self.text.extend_from_slice(rest);
                return Err(self.wrong("a string does not end"));
            };
            self.text.extend_from_slice(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match rest.get(plain) {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                _ => return Err(self.wrong("a control character in a string")),
            }
        }
        self.at += 1;
        if std::str::from_utf8(&self.text).is_err() {
            return Err(self.wrong("a string that is not UTF-8"));
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), BodyError> {
        let letter = self.input.get(self.at + 1).copied();
        let byte = match letter {
            Some(b'"' | b'\\' | b'/') => letter.unwrap_or_default(),
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.wrong("an escape that is not known")),
        };
        self.text.push(byte);
        self.at += 2;
        Ok(())
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.input.get(at..at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// `\uHHHH`, or two of them for what needs two; half of a pair alone becomes U+FFFD.
    fn unicode(&mut self) -> Result<(), BodyError> {
        let Some(first) = self.hex(self.at + 2) else { return Err(self.wrong("`\\u` without four digits")) };
        self.at += 6;
        let mut code = first;
        if (0xd800..0xdc00).contains(&first)
            && self.input.get(self.at..self.at + 2) == Some(b"\\u")
            && let Some(second) = self.hex(self.at + 2).filter(|code| (0xdc00..0xe000).contains(code))
        {
            code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            self.at += 6;
        }
        let letter = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}
