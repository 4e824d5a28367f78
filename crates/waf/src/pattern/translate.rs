//! PCRE's way of writing patterns, rewritten so that the `regex` crate reads the same meaning over bytes.

use std::{iter::Peekable, str::Bytes};

/// What a pattern has that this engine has not.
pub(super) type Refusal = &'static str;

struct Writer<'a> {
    input: Peekable<Bytes<'a>>,
    out: String,
    backtracks: bool,
}

/// A pattern rewritten.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) text: String,
    /// It has what only a backtracking engine can match: lookaround, backreferences, atomic groups, possessive
    /// quantifiers.
    pub(super) backtracks: bool,
}

/// Rewrites a pattern.
pub(super) fn translate(pattern: &str) -> Result<Translated, Refusal> {
    let out = String::with_capacity(pattern.len() + 8);
    let mut writer = Writer { input: pattern.bytes().peekable(), out, backtracks: false };
    let mut quantified = false;
    while let Some(byte) = writer.input.next() {
        let before = std::mem::take(&mut quantified);
        match byte {
            b'\\' => writer.escape()?,
            b'[' => writer.class()?,
            b'(' => writer.group()?,
            b'{' => quantified = writer.braces(before)?,
            b'+' if before => {
                writer.out.push('+');
                writer.backtracks = true;
            }
            b'*' | b'+' | b'?' => {
                writer.out.push(char::from(byte));
                quantified = !before;
            }
            _ if byte.is_ascii() => writer.out.push(char::from(byte)),
            _ => writer.hex(byte),
        }
    }
    Ok(Translated { text: writer.out, backtracks: writer.backtracks })
}

impl Writer<'_> {
    fn hex(&mut self, byte: u8) {
        self.out.push_str(&format!("\\x{byte:02x}"));
    }

    fn rest(&self) -> impl Iterator<Item = u8> {
        self.input.clone()
    }

    fn escape(&mut self) -> Result<(), Refusal> {
        let Some(byte) = self.input.next() else { return Err("it ends in a backslash") };
        match byte {
            b'Q' => self.quoted(),
            b'E' => {}
            b'h' => self.out.push_str("[\\x09\\x20\\xa0]"),
            b'H' => self.out.push_str("[^\\x09\\x20\\xa0]"),
            b'v' => self.out.push_str("[\\x0a-\\x0d\\x85]"),
            b'V' => self.out.push_str("[^\\x0a-\\x0d\\x85]"),
            b'R' => self.out.push_str("(?:\\x0d\\x0a|[\\x0a-\\x0d\\x85])"),
            b'N' => self.out.push_str("[^\\n]"),
            b'd' | b'D' | b'w' | b'W' | b's' | b'S' | b'b' | b'B' | b'A' | b'z' => {
                self.out.push('\\');
                self.out.push(char::from(byte));
            }
            // The end, or before a line end that is the last byte.
            b'Z' => self.out.push_str("(?:\\x0a?\\z)"),
            b'G' | b'K' | b'X' | b'C' => return Err("`\\G`, `\\K`, `\\X` and `\\C` are not taken"),
            b'p' | b'P' => return Err("Unicode's properties are not taken: patterns are over bytes"),
            b'1'..=b'9' if !self.input.peek().is_some_and(u8::is_ascii_digit) => {
                self.out.push('\\');
                self.out.push(char::from(byte));
                self.backtracks = true;
            }
            b'1'..=b'9' | b'g' | b'k' => return Err("of backreferences `\\1` to `\\9` are taken"),
            _ => {
                let value = self.value(byte)?;
                self.hex(value);
            }
        }
        Ok(())
    }

    /// The byte that `\` and `byte` stand for.
    fn value(&mut self, byte: u8) -> Result<u8, Refusal> {
        Ok(match byte {
            b'x' => self.hexadecimal()?,
            b'0'..=b'7' => {
                let mut value = u32::from(byte - b'0');
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = self.input.peek().copied() else { break };
                    value = value * 8 + u32::from(digit - b'0');
                    self.input.next();
                }
                u8::try_from(value).map_err(|_| "an octal escape is over 377")?
            }
            b'a' => 7,
            b'e' => 0x1b,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'c' => self.input.next().ok_or("`\\c` wants a letter")?.to_ascii_uppercase() ^ 0x40,
            other => other,
        })
    }

    fn hexadecimal(&mut self) -> Result<u8, Refusal> {
        let braced = self.input.peek() == Some(&b'{');
        if braced {
            self.input.next();
        }
        let mut value = 0u32;
        let mut digits = 0;
        while let Some(digit) = self.input.peek().and_then(|b| char::from(*b).to_digit(16)) {
            if !braced && digits == 2 {
                break;
            }
            value = value.saturating_mul(16).saturating_add(digit);
            digits += 1;
            self.input.next();
        }
        if braced && self.input.next() != Some(b'}') {
            return Err("`\\x{` has no `}`");
        }
        u8::try_from(value).map_err(|_| "`\\x{…}` is over ff: patterns are over bytes")
    }

    fn quoted(&mut self) {
        while let Some(byte) = self.input.next() {
            if byte == b'\\' && self.input.peek() == Some(&b'E') {
                self.input.next();
                return;
            }
            self.hex(byte);
        }
    }

    fn group(&mut self) -> Result<(), Refusal> {
        let head: Vec<u8> = self.rest().take(3).collect();
        match head.as_slice() {
            [b'?', b'#', ..] => {
                for byte in self.input.by_ref() {
                    if byte == b')' {
                        return Ok(());
                    }
                }
                Err("a comment is not closed")
            }
            [b'?', b'=' | b'!' | b'>', ..] => {
                self.opened(2);
                Ok(())
            }
            [b'?', b'<', b'=' | b'!'] => {
                self.opened(3);
                Ok(())
            }
            [b'?', b'|' | b'&' | b'R' | b'(' | b'0'..=b'9', ..] => {
                Err("conditional groups and recursion are not taken")
            }
            [b'*', ..] => Err("verbs are not taken"),
            [b'?', ..] => {
                self.input.next();
                self.out.push_str("(?");
                Ok(())
            }
            _ => {
                self.out.push('(');
                Ok(())
            }
        }
    }

    /// A group that only a backtracking engine has, by the bytes after its bracket.
    fn opened(&mut self, bytes: usize) {
        self.backtracks = true;
        self.out.push('(');
        for byte in self.input.by_ref().take(bytes) {
            self.out.push(char::from(byte));
        }
    }

    /// `{` as a quantifier, or as itself where none follows.
    fn braces(&mut self, quantified: bool) -> Result<bool, Refusal> {
        let inner: Vec<u8> = self.rest().take_while(|byte| *byte != b'}').take(16).collect();
        let closed = self.rest().nth(inner.len()) == Some(b'}');
        let mut parts = inner.split(|byte| *byte == b',');
        let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        let first = parts.next().is_some_and(is_number);
        let second = parts.next().is_none_or(|part| part.is_empty() || is_number(part));
        if !(closed && first && second && parts.next().is_none()) {
            self.out.push_str("\\{");
            return Ok(false);
        }
        if quantified {
            return Err("a quantifier follows a quantifier");
        }
        self.out.push('{');
        for _ in 0..=inner.len() {
            if let Some(byte) = self.input.next() {
                self.out.push(char::from(byte));
            }
        }
        Ok(true)
    }

    fn class(&mut self) -> Result<(), Refusal> {
        self.out.push('[');
        if self.input.peek() == Some(&b'^') {
            self.input.next();
            self.out.push('^');
        }
        let mut first = true;
        // Whether a `-` here would be itself: at the start, after a range, after `\d` and its like.
        let mut literal_dash = true;
        while let Some(byte) = self.input.next() {
            match byte {
                b']' if !first => {
                    self.out.push(']');
                    return Ok(());
                }
                b'[' if self.posix() => literal_dash = true,
                b'\\' => literal_dash = self.class_escape()?,
                b'-' if literal_dash || self.shorthand_follows() => {
                    self.hex(byte);
                    literal_dash = false;
                }
                b'-' => {
                    self.out.push('-');
                    first = false;
                    self.range_end()?;
                    literal_dash = true;
                    continue;
                }
                _ => {
                    self.hex(byte);
                    literal_dash = false;
                }
            }
            first = false;
        }
        Err("a class has no `]`")
    }

    /// What follows a `-` that stands for a range; a `]` makes the `-` itself.
    fn range_end(&mut self) -> Result<(), Refusal> {
        match self.input.peek().copied() {
            Some(b']') | None => {
                self.out.pop();
                self.hex(b'-');
            }
            Some(b'\\') => {
                self.input.next();
                self.class_escape()?;
            }
            Some(byte) => {
                self.input.next();
                self.hex(byte);
            }
        }
        Ok(())
    }

    fn shorthand_follows(&self) -> bool {
        let mut rest = self.rest();
        rest.next() == Some(b'\\')
            && rest.next().is_some_and(|b| matches!(b, b'd' | b'D' | b'w' | b'W' | b's' | b'S' | b'h' | b'v'))
    }

    /// `[:name:]`, passed on as it stands.
    fn posix(&mut self) -> bool {
        let rest: Vec<u8> = self.rest().take(12).collect();
        let Some(inner) = rest.strip_prefix(b":") else {
            self.hex(b'[');
            return false;
        };
        let name: Vec<u8> =
            inner.iter().copied().take_while(|b| b.is_ascii_lowercase() || *b == b'^').collect();
        if !inner.get(name.len()..).is_some_and(|tail| tail.starts_with(b":]")) {
            self.hex(b'[');
            return false;
        }
        self.out.push_str(&format!("[:{}:]", String::from_utf8_lossy(&name)));
        for _ in 0..name.len() + 3 {
            self.input.next();
        }
        true
    }

    /// Whether a `-` that follows would be itself.
    fn class_escape(&mut self) -> Result<bool, Refusal> {
        let Some(byte) = self.input.next() else { return Err("it ends in a backslash") };
        match byte {
            b'd' | b'D' | b'w' | b'W' | b's' | b'S' => {
                self.out.push('\\');
                self.out.push(char::from(byte));
                return Ok(true);
            }
            b'h' => self.out.push_str("\\x09\\x20\\xa0"),
            b'v' => self.out.push_str("\\x0a-\\x0d\\x85"),
            b'H' | b'V' | b'N' | b'R' => {
                return Err("`\\H`, `\\V`, `\\N` and `\\R` are not taken in a class");
            }
            b'p' | b'P' => return Err("Unicode's properties are not taken: patterns are over bytes"),
            b'Q' => {
                self.quoted();
                return Ok(false);
            }
            b'E' => return Ok(false),
            b'b' => self.hex(8),
            _ => {
                let value = self.value(byte)?;
                self.hex(value);
                return Ok(false);
            }
        }
        Ok(true)
    }
}
