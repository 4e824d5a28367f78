//! A text read as SQL, token by token. It follows libinjection's `parse_…` functions, and never looks at two tokens at once.

use super::{Mode, tables};

/// The longest value of a token, with the zero that ends it in C.
pub(super) const VALUE_MAX: usize = 32;

/// The kinds of tokens.
pub(super) mod kind {
    pub(crate) const KEYWORD: u8 = b'k';
    pub(crate) const UNION: u8 = b'U';
    pub(crate) const GROUP: u8 = b'B';
    pub(crate) const EXPRESSION: u8 = b'E';
    pub(crate) const SQLTYPE: u8 = b't';
    pub(crate) const FUNCTION: u8 = b'f';
    pub(crate) const BAREWORD: u8 = b'n';
    pub(crate) const NUMBER: u8 = b'1';
    pub(crate) const VARIABLE: u8 = b'v';
    pub(crate) const STRING: u8 = b's';
    pub(crate) const OPERATOR: u8 = b'o';
    pub(crate) const LOGIC: u8 = b'&';
    pub(crate) const COMMENT: u8 = b'c';
    pub(crate) const COLLATE: u8 = b'A';
    pub(crate) const TSQL: u8 = b'T';
    pub(crate) const UNKNOWN: u8 = b'?';
    pub(crate) const EVIL: u8 = b'X';
    pub(crate) const BACKSLASH: u8 = b'\\';
}

/// A token.
#[derive(Clone, Copy, Default)]
pub(super) struct Token {
    /// One of [`kind`], or 0.
    pub(super) kind: u8,
    /// The quote that opened it, or 0.
    pub(super) open: u8,
    /// The quote that closed it, or 0.
    pub(super) close: u8,
    /// Bytes of its value.
    pub(super) length: usize,
    value: [u8; VALUE_MAX],
}

impl Token {
    pub(super) fn new(kind: u8, value: &[u8]) -> Self {
        let mut token = Self { kind, length: value.len().min(VALUE_MAX - 1), ..Self::default() };
        token.value.iter_mut().take(VALUE_MAX - 1).zip(value).for_each(|(to, from)| *to = *from);
        token
    }

    pub(super) fn one(kind: u8, byte: u8) -> Self {
        Self::new(kind, &[byte])
    }

    pub(super) fn value(&self) -> &[u8] {
        self.value.get(..self.length).unwrap_or_default()
    }

    /// Its first byte, or 0.
    pub(super) fn first(&self) -> u8 {
        self.value.first().copied().unwrap_or(0)
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.value().eq_ignore_ascii_case(word.as_bytes())
    }

    pub(super) fn is_unary(&self) -> bool {
        self.kind == kind::OPERATOR
            && (matches!(self.value(), b"+" | b"-" | b"!" | b"~" | b"!!") || self.is("NOT"))
    }

    pub(super) fn is_arithmetic(&self) -> bool {
        self.kind == kind::OPERATOR && matches!(self.value(), b"*" | b"/" | b"-" | b"+" | b"%")
    }
}

/// Reads a text from the front.
pub(super) struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    mode: Mode,
    pub(super) tokens_read: usize,
    pub(super) differs_in_mysql: bool,
}

/// White space, as libinjection sees it between tokens.
const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0xa0 | 0)
}

/// What ends a word.
const WORD_ENDS: [bool; 256] = ends(b" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r\"\xa0\0");
/// What ends the name of a variable; C's `strchr` finds the zero in any list.
const VARIABLE_ENDS: [bool; 256] = ends(b" <>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r'`\"\0");

#[expect(
    clippy::indexing_slicing,
    reason = "worked out by the compiler, which refuses what is out of bounds"
)]
const fn ends(list: &[u8]) -> [bool; 256] {
    let (mut table, mut at) = ([false; 256], 0);
    while at < list.len() {
        table[list[at] as usize] = true;
        at += 1;
    }
    table
}

fn until(text: &[u8], ends: &[bool; 256]) -> usize {
    let ended = |byte: &u8| ends.get(usize::from(*byte)).copied().unwrap_or(false);
    text.iter().position(ended).unwrap_or(text.len())
}

/// How many bytes are accepted; zeros are, because C's `strchr` finds them in any list.
fn span(text: &[u8], accepted: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| *byte != 0 && !accepted(*byte)).unwrap_or(text.len())
}

fn find(text: &[u8], byte: u8) -> Option<usize> {
    text.iter().position(|other| *other == byte)
}

fn find_pair(text: &[u8], first: u8, second: u8) -> Option<usize> {
    text.windows(2).position(|pair| pair == [first, second])
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t [u8], mode: Mode) -> Self {
        Self { text, at: 0, mode, tokens_read: 0, differs_in_mysql: false }
    }

    /// The next token; none at the end.
    pub(super) fn next(&mut self) -> Option<Token> {
        if let Some(quote) = self.mode.quote.filter(|_| self.at == 0) {
            self.tokens_read += 1;
            return Some(self.quoted(quote, 0));
        }
        while let Some(byte) = self.text.get(self.at).copied() {
            if byte <= 32 || byte == 127 || byte == 160 {
                self.at += 1;
                continue;
            }
            self.tokens_read += 1;
            return Some(self.token(byte));
        }
        None
    }

    fn token(&mut self, byte: u8) -> Token {
        match byte {
            b'!' | b'&' | b'*' | b':' | b'<' | b'=' | b'>' | b'|' => self.operator(),
            b'"' | b'\'' => self.quoted(byte, 1),
            b'#' => self.hash(),
            b'$' => self.money(),
            b'%' | b'+' | b'^' | b'~' => self.single(kind::OPERATOR),
            b'(' | b')' | b',' | b';' | b'{' | b'}' => self.single(byte),
            b'-' => self.dash(),
            b'.' | b'0'..=b'9' => self.number(),
            b'/' => self.slash(),
            b'?' | b']' => self.single(kind::UNKNOWN),
            b'@' => self.variable(),
            b'B' | b'b' => self.literal(|byte| matches!(byte, b'0' | b'1')),
            b'X' | b'x' => self.literal(|byte| byte.is_ascii_hexdigit()),
            b'E' | b'e' => self.prefixed(),
            b'N' | b'n' if self.peek(1) == Some(b'\'') && self.peek(2).is_some() => self.prefixed(),
            b'N' | b'n' => self.oracle(1),
            b'Q' | b'q' => self.oracle(0),
            b'U' | b'u' => self.unicode(),
            b'[' => self.bracketed(),
            b'\\' => match self.peek(1) {
                Some(b'N') => self.take(kind::NUMBER, 2),
                _ => self.single(kind::BACKSLASH),
            },
            b'`' => self.ticked(),
            _ => self.word(),
        }
    }

    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// A token of the next bytes.
    fn take(&mut self, kind: u8, length: usize) -> Token {
        let value = self.rest().get(..length).unwrap_or(self.rest());
        self.at += value.len();
        Token::new(kind, value)
    }

    fn single(&mut self, kind: u8) -> Token {
        self.take(kind, 1)
    }

    /// To the end of the line.
    fn line(&mut self) -> Token {
        let rest = self.rest();
        let end = find(rest, b'\n');
        let token = self.take(kind::COMMENT, end.unwrap_or(rest.len()));
        self.at += usize::from(end.is_some());
        token
    }

    fn hash(&mut self) -> Token {
        self.differs_in_mysql = true;
        if self.mode.mysql { self.line() } else { self.single(kind::OPERATOR) }
    }

    fn dash(&mut self) -> Token {
        if self.peek(1) != Some(b'-') {
            return self.single(kind::OPERATOR);
        }
        match self.peek(2) {
            None => self.line(),
            Some(byte) if is_white(byte) => self.line(),
            Some(_) if !self.mode.mysql => {
                self.differs_in_mysql = true;
                self.line()
            }
            Some(_) => self.single(kind::OPERATOR),
        }
    }

    fn slash(&mut self) -> Token {
        let Some(inside) = self.rest().strip_prefix(b"/*") else { return self.single(kind::OPERATOR) };
        let end = find_pair(inside, b'*', b'/');
        // Comments in comments, and those that MySQL runs.
        let nested =
            end.and_then(|end| inside.get(..=end)).is_some_and(|part| find_pair(part, b'/', b'*').is_some());
        let evil = nested || inside.first() == Some(&b'!');
        let length = end.map_or(inside.len() + 2, |end| end + 4);
        self.take(if evil { kind::EVIL } else { kind::COMMENT }, length)
    }

    fn operator(&mut self) -> Token {
        let rest = self.rest();
        if rest.len() < 2 {
            return self.single(kind::OPERATOR);
        }
        if rest.starts_with(b"<=>") {
            return self.take(kind::OPERATOR, 3);
        }
        match rest.get(..2).and_then(tables::keyword) {
            Some(kind) => self.take(kind, 2),
            None if rest.first() == Some(&b':') => self.single(b':'),
            None => self.single(kind::OPERATOR),
        }
    }

    /// A string: `offset` bytes before what it holds, up to the quote that is neither escaped nor doubled.
    fn quoted(&mut self, quote: u8, offset: usize) -> Token {
        let start = self.at + offset;
        let inside = self.text.get(start..).unwrap_or_default();
        let mut from = 0;
        let end = loop {
            let Some(next) = inside.get(from..).and_then(|rest| find(rest, quote)) else { break None };
            let end = from + next;
            let before = inside.get(..end).unwrap_or_default();
            let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 1 {
                from = end + 1;
            } else if inside.get(end + 1) == Some(&quote) {
                from = end + 2;
            } else {
                break Some(end);
            }
        };
        let mut token =
            Token::new(kind::STRING, inside.get(..end.unwrap_or(inside.len())).unwrap_or_default());
        token.open = if offset > 0 { quote } else { 0 };
        token.close = if end.is_some() { quote } else { 0 };
        self.at = end.map_or(self.text.len(), |end| start + end + 1);
        token
    }

    /// `E'…'`, `N'…'`
    fn prefixed(&mut self) -> Token {
        if self.peek(1) == Some(b'\'') && self.peek(2).is_some() {
            self.quoted(b'\'', 2)
        } else {
            self.word()
        }
    }

    /// `U&'…'`
    fn unicode(&mut self) -> Token {
        if self.peek(1) != Some(b'&') || self.peek(2) != Some(b'\'') {
            return self.word();
        }
        self.at += 2;
        let mut token = self.quoted(b'\'', 1);
        token.open = b'u';
        token.close = if token.close == b'\'' { b'u' } else { token.close };
        token
    }

    /// `q'(…)'`, after `offset` bytes
    fn oracle(&mut self, offset: usize) -> Token {
        let text = self.rest().get(offset..).unwrap_or_default();
        let (Some(b'q' | b'Q'), Some(b'\''), Some(delimiter)) = (text.first(), text.get(1), text.get(2))
        else {
            return self.word();
        };
        let delimiter = match delimiter {
            0..=32 | 128..=255 => return self.word(),
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            other => *other,
        };
        let inside = text.get(3..).unwrap_or_default();
        let end = find_pair(inside, delimiter, b'\'');
        let mut token =
            Token::new(kind::STRING, inside.get(..end.unwrap_or(inside.len())).unwrap_or_default());
        token.open = b'q';
        token.close = if end.is_some() { b'q' } else { 0 };
        self.at = end.map_or(self.text.len(), |end| self.at + offset + 3 + end + 2);
        token
    }

    /// `b'01'`, `x'af'`
    fn literal(&mut self, digit: impl Fn(u8) -> bool) -> Token {
        let inside = self.rest().get(1..).and_then(|rest| rest.strip_prefix(b"'")).unwrap_or_default();
        let digits = span(inside, digit);
        if inside.get(digits) == Some(&b'\'') { self.take(kind::NUMBER, digits + 3) } else { self.word() }
    }

    /// `[name]`
    fn bracketed(&mut self) -> Token {
        let rest = self.rest();
        self.take(kind::BAREWORD, find(rest, b']').map_or(rest.len(), |end| end + 1))
    }

    fn word(&mut self) -> Token {
        let rest = self.rest();
        let length = until(rest, &WORD_ENDS);
        let word = rest.get(..length).unwrap_or_default();
        let seen = word.get(..VALUE_MAX - 1).unwrap_or(word);
        // A keyword before a point or a backquote: `SELECT.1`
        for (at, _) in seen.iter().enumerate().filter(|(_, byte)| matches!(byte, b'.' | b'`')) {
            let before = seen.get(..at).and_then(tables::keyword);
            if let Some(kind) = before.filter(|known| *known != kind::BAREWORD) {
                return self.take(kind, at);
            }
        }
        let known = if length < VALUE_MAX { tables::keyword(word) } else { None };
        self.take(known.unwrap_or(kind::BAREWORD), length)
    }

    fn ticked(&mut self) -> Token {
        let mut token = self.quoted(b'`', 1);
        let known = tables::keyword(token.value());
        token.kind = if known == Some(kind::FUNCTION) { kind::FUNCTION } else { kind::BAREWORD };
        token
    }

    fn variable(&mut self) -> Token {
        self.at += if self.peek(1) == Some(b'@') { 2 } else { 1 };
        let quoted = match self.peek(0) {
            Some(b'`') => Some(self.ticked()),
            Some(quote @ (b'\'' | b'"')) => Some(self.quoted(quote, 1)),
            _ => None,
        };
        match quoted {
            Some(token) => Token { kind: kind::VARIABLE, ..token },
            None => self.take(kind::VARIABLE, until(self.rest(), &VARIABLE_ENDS)),
        }
    }

    fn money(&mut self) -> Token {
        let behind = self.rest().get(1..).unwrap_or_default();
        if behind.is_empty() {
            return self.single(kind::BAREWORD);
        }
        let digits = span(behind, |byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','));
        if digits == 1 && behind.first() == Some(&b'.') {
            return self.word();
        }
        if digits > 0 {
            return self.take(kind::NUMBER, digits + 1);
        }
        // `$$…$$` and `$tag$…$tag$`
        let name =
            if behind.first() == Some(&b'$') { 0 } else { span(behind, |byte| byte.is_ascii_alphabetic()) };
        if behind.get(name) != Some(&b'$') {
            return self.single(kind::BAREWORD);
        }
        let tag = self.rest().get(..name + 2).unwrap_or_default();
        let inside = self.rest().get(name + 2..).unwrap_or_default();
        let end = inside.windows(tag.len()).position(|part| part == tag);
        let mut token =
            Token::new(kind::STRING, inside.get(..end.unwrap_or(inside.len())).unwrap_or_default());
        token.open = b'$';
        token.close = if end.is_some() { b'$' } else { 0 };
        self.at = end.map_or(self.text.len(), |end| self.at + tag.len() + end + tag.len());
        token
    }

    fn number(&mut self) -> Token {
        let rest = self.rest();
        let digit: Option<fn(&u8) -> bool> = match (rest.first(), rest.get(1)) {
            (Some(b'0'), Some(b'x' | b'X')) => Some(u8::is_ascii_hexdigit),
            (Some(b'0'), Some(b'b' | b'B')) => Some(|byte| matches!(byte, b'0' | b'1')),
            _ => None,
        };
        if let Some(digit) = digit {
            let digits = span(rest.get(2..).unwrap_or_default(), |byte| digit(&byte));
            return self.take(if digits == 0 { kind::BAREWORD } else { kind::NUMBER }, digits + 2);
        }
        let byte = |at: usize| rest.get(at).copied();
        let digits = |from: usize| {
            rest.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let mut at = digits(0);
        if byte(at) == Some(b'.') {
            at += 1;
            at += digits(at);
            if at == 1 {
                return self.single(b'.');
            }
        }
        let mut bare_exponent = false;
        if matches!(byte(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(byte(at), Some(b'+' | b'-')));
            let exponent = digits(at);
            bare_exponent = exponent == 0;
            at += exponent;
        }
        // Oracle's suffixes, and `1fUNION`
        if matches!(byte(at), Some(b'd' | b'D' | b'f' | b'F'))
            && byte(at + 1).is_none_or(|next| is_white(next) || matches!(next, b';' | b'u' | b'U'))
        {
            at += 1;
        }
        self.take(if bare_exponent { kind::BAREWORD } else { kind::NUMBER }, at)
    }
}
