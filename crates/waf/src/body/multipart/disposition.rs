//! The value of a part's Content-Disposition header. It keeps names as they stand, with nothing decoded.

use crate::body::MultipartFlags;

/// What the header says of its part.
#[derive(Debug, Default)]
pub(super) struct Disposition {
    pub(super) name: Option<Vec<u8>>,
    pub(super) file: Option<Vec<u8>>,
}

const WRONG: &str = "a Content-Disposition is malformed";

/// Reads the value; what was read before something wrong stays in `into`.
pub(super) fn read(
    value: &[u8],
    into: &mut Disposition,
    flags: &mut MultipartFlags,
) -> Result<(), &'static str> {
    let mut cursor = Cursor { input: value, at: 0 };
    if !value.starts_with(b"form-data") {
        return Err("a Content-Disposition that is not form-data");
    }
    cursor.at = b"form-data".len();
    cursor.blanks();
    let mut has_extended = false;
    while cursor.peek().is_some() {
        if cursor.next() != Some(b';') {
            cursor.at = cursor.at.saturating_sub(2);
            flags.invalid_quoting |= matches!(cursor.peek(), Some(b'"' | b'\''));
            return Err(WRONG);
        }
        cursor.blanks();
        let name = cursor.run_of(|byte| !matches!(byte, b'=' | b'\t' | b' '));
        cursor.blanks();
        if cursor.next() != Some(b'=') {
            return Err(WRONG);
        }
        cursor.blanks();
        if cursor.peek().is_none() {
            return Err(WRONG);
        }
        match name {
            b"name" => keep(&mut into.name, cursor.value(flags)?, "a part's name is given twice")?,
            b"filename" => keep(&mut into.file, cursor.value(flags)?, "a file's name is given twice")?,
            b"filename*" if !has_extended => {
                has_extended = true;
                cursor.extended()?;
            }
            _ => return Err("a Content-Disposition with a parameter that is not known"),
        }
        cursor.blanks();
    }
    if into.name.as_ref().is_none_or(Vec::is_empty) {
        return Err("a part without name");
    }
    let has_file = into.file.as_ref().is_some_and(|file| !file.is_empty());
    if has_extended && !has_file {
        return Err("`filename*` without `filename`");
    }
    if has_file && crate::operator::find(value, b"filename=").is_none() {
        return Err("white space before the `=` of a file's name");
    }
    Ok(())
}

fn keep(of: &mut Option<Vec<u8>>, value: Vec<u8>, twice: &'static str) -> Result<(), &'static str> {
    if of.as_ref().is_some_and(|known| !known.is_empty()) {
        return Err(twice);
    }
    *of = Some(value);
    Ok(())
}

struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    fn run_of(&mut self, holds: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| !holds(*byte)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn blanks(&mut self) {
        self.run_of(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn value(&mut self, flags: &mut MultipartFlags) -> Result<Vec<u8>, &'static str> {
        let Some(quote @ (b'"' | b'\'')) = self.peek() else {
            let value = self.run_of(is_token).to_vec();
            flags.invalid_quoting |= value.contains(&b'\'');
            return Ok(value);
        };
        flags.invalid_quoting |= quote == b'\'';
        self.at += 1;
        if self.peek().is_none() {
            return Err(WRONG);
        }
        let mut value = Vec::new();
        while let Some(byte) = self.next() {
            match (byte, self.peek()) {
                (b'\\', None) => return Err(WRONG),
                (b'\\', Some(escaped)) if escaped == quote || escaped == b'\\' => {
                    value.push(escaped);
                    self.at += 1;
                }
                _ if byte == quote => return Ok(value),
                _ => value.push(byte),
            }
        }
        Err("a quoted name does not end")
    }

    /// `UTF-8'en'na%20me` (RFC 5987); it is only checked.
    fn extended(&mut self) -> Result<(), &'static str> {
        let wrong = "a `filename*` that is malformed";
        let charset = self.run_of(|byte| byte.is_ascii_alphanumeric() || b"!#$%&+-^_`{}~".contains(&byte));
        if charset.is_empty() || self.next() != Some(b'\'') {
            return Err(wrong);
        }
        self.run_of(|byte| byte != b'\'');
        if self.next() != Some(b'\'') {
            return Err(wrong);
        }
        while let Some(byte) = self.peek().filter(|byte| *byte != b';') {
            self.at += 1;
            if byte == b'%' {
                let digits = self.input.get(self.at..self.at + 2);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(wrong);
                }
                self.at += 2;
            } else if !byte.is_ascii_alphanumeric() && !b"!#$&+-.^_`~".contains(&byte) {
                return Err(wrong);
            }
        }
        Ok(())
    }
}

/// RFC 7230, `tchar`, as ModSecurity takes it.
fn is_token(byte: u8) -> bool {
    byte > 32 && byte < 127 && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}
