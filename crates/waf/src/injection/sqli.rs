//! SQL injection as libinjection 3.9.2 finds it: a text is read as SQL in up to five ways, each reading is folded into five
//! tokens, and their kinds are looked up among those of known attacks. It follows `libinjection_sqli.c` statement by
//! statement (Copyright (c) 2012-2016 Nick Galbreath, BSD-3-Clause), quirks and all; it never decides what is done.

mod fold;
mod tables;
mod tokens;

use self::tokens::{Reader, Token, kind};

/// The most tokens of a fingerprint.
const TOKENS_MAX: usize = 5;

/// How a text is read.
#[derive(Clone, Copy)]
struct Mode {
    /// As if it stood within this quote.
    quote: Option<u8>,
    /// `#` begins a comment, and `--` does only before white space.
    mysql: bool,
}

/// What one reading gave: its fingerprint, and what the exceptions look at.
struct Reading<'t> {
    text: &'t [u8],
    tokens: [Token; 8],
    /// How many of them are in the fingerprint.
    length: usize,
    tokens_read: usize,
    /// MySQL would have read it otherwise.
    differs_in_mysql: bool,
}

/// The fingerprint of the first reading that is an injection.
pub(super) fn detect(text: &[u8]) -> Option<([u8; 8], usize)> {
    if text.is_empty() {
        return None;
    }
    let single = text.contains(&b'\'').then_some(Some(b'\''));
    for quote in [Some(None), single].into_iter().flatten() {
        let reading = Reading::new(text, Mode { quote, mysql: false });
        if reading.is_injection() {
            return Some(reading.print());
        }
        if reading.differs_in_mysql {
            let reading = Reading::new(text, Mode { quote, mysql: true });
            if reading.is_injection() {
                return Some(reading.print());
            }
        }
    }
    if text.contains(&b'"') {
        let reading = Reading::new(text, Mode { quote: Some(b'"'), mysql: true });
        return reading.is_injection().then(|| reading.print());
    }
    None
}

impl<'t> Reading<'t> {
    fn new(text: &'t [u8], mode: Mode) -> Self {
        let mut reader = Reader::new(text, mode);
        let mut tokens = [Token::default(); 8];
        let mut length = fold::fold(&mut reader, &mut tokens);
        // PHP's backquote comment: an empty name in a backquote that is not closed.
        if length > 2
            && let Some(last) = tokens.get_mut(length - 1)
            && last.kind == kind::BAREWORD
            && last.open == b'`'
            && last.length == 0
            && last.close == 0
        {
            last.kind = kind::COMMENT;
        }
        let is_evil = tokens.iter().take(length).any(|token| token.kind == kind::EVIL);
        if let Some(first) = tokens.first_mut().filter(|_| is_evil) {
            *first = Token::one(kind::EVIL, kind::EVIL);
            length = 1;
        }
        let (tokens_read, differs_in_mysql) = (reader.tokens_read, reader.differs_in_mysql);
        Self { text, tokens, length, tokens_read, differs_in_mysql }
    }

    fn print(&self) -> ([u8; 8], usize) {
        let mut letters = [0; 8];
        for (letter, token) in letters.iter_mut().zip(&self.tokens).take(self.length) {
            *letter = token.kind;
        }
        (letters, self.length)
    }

    fn is_injection(&self) -> bool {
        let (letters, length) = self.print();
        let print = letters.get(..length).unwrap_or_default();
        tables::is_known(print) && !self.is_harmless(print)
    }

    /// What has the fingerprint of an attack and is none.
    fn is_harmless(&self, print: &[u8]) -> bool {
        let ends_in_comment = print.len() > 1 && print.last() == Some(&kind::COMMENT);
        if ends_in_comment && self.text.windows(11).any(|part| part == b"sp_password") {
            return false;
        }
        let [first, second, third, ..] = &self.tokens;
        match print.len() {
            2 => self.is_harmless_pair(first, second),
            3 => match print {
                b"sos" | b"s&s" => !(first.open == 0 && third.close == 0 && first.close == third.open),
                b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => self.tokens_read == 3,
                _ if second.kind == kind::KEYWORD => {
                    let into = second.value().get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"INTO"));
                    second.length < 5 || !into
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn is_harmless_pair(&self, first: &Token, second: &Token) -> bool {
        if second.kind == kind::UNION {
            return self.tokens_read == 2;
        }
        if second.first() == b'#' {
            return true;
        }
        let comment = second.kind == kind::COMMENT;
        if first.kind == kind::BAREWORD && comment && second.first() != b'/' {
            return true;
        }
        if first.kind == kind::NUMBER && comment {
            if second.first() == b'/' || self.tokens_read > 2 {
                return false;
            }
            // What follows the number in the text; bytes above 127 are negative to C.
            let behind = |at: usize| self.text.get(first.length + at).copied().unwrap_or(0);
            let next = behind(0);
            let begins_comment = (next == b'/' && behind(1) == b'*') || (next == b'-' && behind(1) == b'-');
            return !(next <= 32 || next >= 128 || begins_comment);
        }
        second.length > 2 && second.first() == b'-'
    }
}
