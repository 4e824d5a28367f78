//! A text read as HTML, token by token, as `libinjection_html5.c` reads it: more leniently than any browser. It never
//! looks at what a token says.

/// Where in a page the text is thought to stand.
#[derive(Clone, Copy)]
pub(super) enum Context {
    /// Between tags.
    Data,
    /// In a tag, before an attribute.
    Attributes,
    /// In the value of an attribute within this quote.
    Quoted(u8),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Text,
    TagOpen,
    TagEnd,
    AttributeName,
    AttributeValue,
    Comment,
    Doctype,
}

#[derive(Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) length: usize,
}

#[derive(Clone, Copy)]
enum State {
    End,
    Data,
    TagOpen,
    TagNameClose,
    BeforeName,
    AfterName,
    BeforeValue,
    Quoted(u8),
    AfterQuoted,
    SelfClosing,
}

/// Reads a text from the front.
pub(super) struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    state: State,
    closes: bool,
}

/// White space, and zero, which C's `strchr` finds in any list.
const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0)
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t [u8], context: Context) -> Self {
        let state = match context {
            Context::Data => State::Data,
            Context::Attributes => State::BeforeName,
            Context::Quoted(quote) => State::Quoted(quote),
        };
        Self { text, at: 0, state, closes: false }
    }

    /// The next token; none at the end.
    pub(super) fn next(&mut self) -> Option<Token> {
        match self.state {
            State::End => None,
            State::Data => self.data(),
            State::TagOpen => self.tag_open(),
            State::TagNameClose => self.tag_name_close(),
            State::BeforeName => self.before_name(),
            State::AfterName => self.after_name(),
            State::BeforeValue => self.before_value(),
            State::Quoted(quote) => self.quoted(quote),
            State::AfterQuoted => self.after_quoted(),
            State::SelfClosing => self.self_closing(),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// A token of the next bytes; reading goes on `skipped` bytes behind it.
    fn take(&mut self, kind: TokenKind, length: usize, skipped: usize, next: State) -> Option<Token> {
        let token = Token { kind, start: self.at, length };
        self.at = (self.at + length + skipped).min(self.text.len());
        self.state = next;
        Some(token)
    }

    /// A token of all that is left.
    fn take_rest(&mut self, kind: TokenKind) -> Option<Token> {
        self.take(kind, self.rest().len(), 0, State::End)
    }

    /// The first byte that is not white; none at the end, and none for 0xFF, which is the end to C's signed characters.
    fn skip_white(&mut self) -> Option<u8> {
        let blank = self.rest().iter().take_while(|byte| is_white(**byte)).count();
        self.at += blank;
        self.peek().filter(|byte| *byte != 0xff)
    }

    fn data(&mut self) -> Option<Token> {
        let Some(length) = self.rest().iter().position(|byte| *byte == b'<') else {
            return self.take_rest(TokenKind::Text).filter(|token| token.length > 0);
        };
        let token = self.take(TokenKind::Text, length, 1, State::TagOpen);
        if length == 0 { self.tag_open() } else { token }
    }

    fn tag_open(&mut self) -> Option<Token> {
        match self.peek()? {
            b'!' => {
                self.at += 1;
                self.declaration()
            }
            b'/' => {
                self.at += 1;
                self.closes = true;
                match self.peek()? {
                    b'>' => self.data(),
                    byte if byte.is_ascii_alphabetic() => self.tag_name(),
                    _ => {
                        self.closes = false;
                        self.bogus_comment()
                    }
                }
            }
            b'?' => {
                self.at += 1;
                self.bogus_comment()
            }
            b'%' => {
                self.at += 1;
                let end = self.rest().windows(2).position(|pair| pair == b"%>");
                match end {
                    Some(length) => self.take(TokenKind::Comment, length, 2, State::Data),
                    None => self.take_rest(TokenKind::Comment),
                }
            }
            byte if byte.is_ascii_alphabetic() || byte == 0 => self.tag_name(),
            _ => {
                self.state = State::Data;
                Some(Token { kind: TokenKind::Text, start: self.at.saturating_sub(1), length: 1 })
            }
        }
    }

    fn tag_name_close(&mut self) -> Option<Token> {
        self.closes = false;
        let next = if self.at + 1 < self.text.len() { State::Data } else { State::End };
        self.take(TokenKind::TagEnd, 1, 0, next)
    }

    fn tag_name(&mut self) -> Option<Token> {
        let ends = |byte: &u8| *byte != 0 && (is_white(*byte) || matches!(*byte, b'/' | b'>'));
        let Some(length) = self.rest().iter().position(ends) else {
            return self.take_rest(TokenKind::TagOpen);
        };
        match self.rest().get(length) {
            Some(b'/') => self.take(TokenKind::TagOpen, length, 1, State::SelfClosing),
            Some(b'>') if self.closes => {
                self.closes = false;
                self.take(TokenKind::TagEnd, length, 1, State::Data)
            }
            Some(b'>') => self.take(TokenKind::TagOpen, length, 0, State::TagNameClose),
            _ => self.take(TokenKind::TagOpen, length, 1, State::BeforeName),
        }
    }

    fn before_name(&mut self) -> Option<Token> {
        loop {
            match self.skip_white()? {
                b'/' => {
                    self.at += 1;
                    if self.peek()? == b'>' {
                        return self.take(TokenKind::TagEnd, 1, 0, State::Data);
                    }
                }
                b'>' => return self.take(TokenKind::TagEnd, 1, 0, State::Data),
                _ => return self.name(),
            }
        }
    }

    fn name(&mut self) -> Option<Token> {
        let ends = |byte: &u8| is_white(*byte) || matches!(*byte, b'/' | b'=' | b'>');
        let behind = self.rest().get(1..).unwrap_or_default();
        let Some(length) = behind.iter().position(ends).map(|length| length + 1) else {
            return self.take_rest(TokenKind::AttributeName);
        };
        let (skipped, next) = match self.rest().get(length) {
            Some(b'/') => (1, State::SelfClosing),
            Some(b'=') => (1, State::BeforeValue),
            Some(b'>') => (0, State::TagNameClose),
            _ => (1, State::AfterName),
        };
        self.take(TokenKind::AttributeName, length, skipped, next)
    }

    fn after_name(&mut self) -> Option<Token> {
        match self.skip_white()? {
            b'/' => {
                self.at += 1;
                self.self_closing()
            }
            b'=' => {
                self.at += 1;
                self.before_value()
            }
            b'>' => self.tag_name_close(),
            _ => self.name(),
        }
    }

    fn before_value(&mut self) -> Option<Token> {
        let Some(byte) = self.skip_white() else {
            self.state = State::End;
            return None;
        };
        if matches!(byte, b'"' | b'\'' | b'`') {
            return self.quoted(byte);
        }
        let Some(length) = self.rest().iter().position(|byte| is_white(*byte) || *byte == b'>') else {
            return self.take_rest(TokenKind::AttributeValue);
        };
        match self.rest().get(length) {
            Some(b'>') => self.take(TokenKind::AttributeValue, length, 0, State::TagNameClose),
            _ => self.take(TokenKind::AttributeValue, length, 1, State::BeforeName),
        }
    }

    fn quoted(&mut self, quote: u8) -> Option<Token> {
        // At the beginning there is no quote to pass over.
        self.at += usize::from(self.at > 0);
        match self.rest().iter().position(|byte| *byte == quote) {
            Some(length) => self.take(TokenKind::AttributeValue, length, 1, State::AfterQuoted),
            None => self.take_rest(TokenKind::AttributeValue),
        }
    }

    fn after_quoted(&mut self) -> Option<Token> {
        match self.peek()? {
            b'/' => {
                self.at += 1;
                self.self_closing()
            }
            b'>' => self.take(TokenKind::TagEnd, 1, 0, State::Data),
            _ => self.before_name(),
        }
    }

    fn self_closing(&mut self) -> Option<Token> {
        match self.peek()? {
            b'>' => self.take(TokenKind::TagEnd, 1, 0, State::Data),
            _ => self.before_name(),
        }
    }

    fn bogus_comment(&mut self) -> Option<Token> {
        match self.rest().iter().position(|byte| *byte == b'>') {
            Some(length) => self.take(TokenKind::Comment, length, 1, State::Data),
            None => self.take_rest(TokenKind::Comment),
        }
    }

    fn declaration(&mut self) -> Option<Token> {
        let rest = self.rest();
        if rest.get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"DOCTYPE")) {
            return self.take(TokenKind::Doctype, rest.len(), 0, State::End);
        }
        if rest.starts_with(b"[CDATA[") {
            self.at += 7;
            return match self.rest().windows(3).position(|end| end == b"]]>") {
                Some(length) => self.take(TokenKind::Text, length, 3, State::Data),
                None => self.take_rest(TokenKind::Text),
            };
        }
        if rest.starts_with(b"--") {
            self.at += 2;
            return self.comment();
        }
        self.bogus_comment()
    }

    /// To `-->` or `-!>`, with zeros after the first dash.
    fn comment(&mut self) -> Option<Token> {
        let rest = self.rest();
        let mut from = 0;
        loop {
            let dash = rest.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'-'));
            let Some(dash) = dash.map(|dash| dash + from).filter(|dash| dash + 3 <= rest.len()) else {
                return self.take_rest(TokenKind::Comment);
            };
            let behind = rest.get(dash + 1..).unwrap_or_default();
            let zeros = behind.iter().take_while(|byte| **byte == 0).count();
            match (behind.get(zeros), behind.get(zeros + 1)) {
                (None, _) | (Some(b'-' | b'!'), None) => return self.take_rest(TokenKind::Comment),
                (Some(b'-' | b'!'), Some(b'>')) => {
                    return self.take(TokenKind::Comment, dash, zeros + 3, State::Data);
                }
                _ => from = dash + 1,
            }
        }
    }
}
