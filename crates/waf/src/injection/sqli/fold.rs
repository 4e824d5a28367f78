//! Folding: what stands beside each other and means nothing more than a part of it becomes that part, until five tokens are
//! left. It follows `libinjection_sqli_fold`, and never reads the text itself.

use super::{
    TOKENS_MAX, tables,
    tokens::{Reader, Token, VALUE_MAX, kind},
};

type Tokens = [Token; 8];

/// Words that are functions where a bracket follows.
const FUNCTIONS: [&str; 11] = [
    "USER_ID",
    "USER_NAME",
    "DATABASE",
    "PASSWORD",
    "USER",
    "CURRENT_USER",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "LOCALTIME",
    "LOCALTIMESTAMP",
];

/// Where folding stands.
struct Fold<'r, 't, 'k> {
    reader: &'r mut Reader<'t>,
    tokens: &'k mut Tokens,
    /// Where the next token goes.
    at: usize,
    /// How many are done.
    left: usize,
    more: bool,
    comment: Option<Token>,
}

/// What a rule of folding did.
enum Step {
    /// It changed something: begin again.
    Again,
    /// Nothing: look further.
    Nothing,
    /// What cannot be read: so many tokens.
    Evil(usize),
}

/// Folds a text into at most five tokens, and says how many.
pub(super) fn fold(reader: &mut Reader<'_>, tokens: &mut Tokens) -> usize {
    // Comments, brackets, types and signs at the front say nothing.
    let first = loop {
        let Some(token) = reader.next() else { return 0 };
        if !matches!(token.kind, kind::COMMENT | b'(' | kind::SQLTYPE) && !token.is_unary() {
            break token;
        }
    };
    let mut fold = Fold { reader, tokens, at: 0, left: 0, more: true, comment: None };
    fold.put(0, first);
    fold.at = 1;
    fold.run()
}

impl Fold<'_, '_, '_> {
    fn run(&mut self) -> usize {
        loop {
            if self.at >= TOKENS_MAX && self.is_spent() {
                if self.at > TOKENS_MAX {
                    let last = self.token(TOKENS_MAX);
                    self.put(1, last);
                    self.at = 2;
                } else {
                    self.at = 1;
                }
                self.left = 0;
            }
            if !self.more || self.left >= TOKENS_MAX {
                self.left = self.at;
                break;
            }
            self.read(2);
            if self.at < self.left + 2 {
                self.left = self.at;
                continue;
            }
            match self.two() {
                Step::Again => continue,
                Step::Evil(length) => return length,
                Step::Nothing => {}
            }
            self.read(3);
            if self.at < self.left + 3 {
                self.left = self.at;
                continue;
            }
            if !self.three() {
                self.left += 1;
            }
        }
        if self.left < TOKENS_MAX
            && let Some(comment) = self.comment
        {
            self.put(self.left, comment);
            self.left += 1;
        }
        self.left.min(TOKENS_MAX)
    }

    fn token(&self, at: usize) -> Token {
        self.tokens.get(at).copied().unwrap_or_default()
    }

    fn put(&mut self, at: usize, token: Token) {
        self.tokens.get_mut(at).into_iter().for_each(|place| *place = token);
    }

    fn become_kind(&mut self, at: usize, kind: u8) {
        self.tokens.get_mut(at).into_iter().for_each(|token| token.kind = kind);
    }

    fn kind(&self, at: usize) -> u8 {
        self.tokens.get(at).map_or(0, |token| token.kind)
    }

    fn is_unary(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(Token::is_unary)
    }

    /// Reads until there are so many beyond those that are done.
    fn read(&mut self, wanted: usize) {
        while self.more && self.at <= TOKENS_MAX && self.at < self.left + wanted {
            let next = self.reader.next();
            self.put(self.at, next.unwrap_or_default());
            match next {
                None => self.more = false,
                Some(token) if token.kind == kind::COMMENT => self.comment = Some(token),
                Some(_) => {
                    self.comment = None;
                    self.at += 1;
                }
            }
        }
    }

    /// Five tokens that are no more than their first.
    fn is_spent(&self) -> bool {
        let kinds = [0, 1, 2, 3, 4].map(|at| self.kind(at));
        matches!(
            kinds,
            [kind::NUMBER, kind::OPERATOR | b',', b'(', kind::NUMBER, b')']
                | [kind::BAREWORD, kind::OPERATOR, b'(', kind::BAREWORD | kind::NUMBER, b')']
                | [kind::NUMBER, b')', b',', b'(', kind::NUMBER]
                | [kind::BAREWORD, b')', kind::OPERATOR, b'(', kind::BAREWORD]
        )
    }

    /// Takes tokens away from the end, and goes on at `left`.
    fn drop(&mut self, tokens: usize, left: usize) -> Step {
        self.at = self.at.saturating_sub(tokens);
        self.left = left;
        Step::Again
    }

    /// Looks at two tokens.
    fn two(&mut self) -> Step {
        let (left, before) = (self.left, self.left.saturating_sub(1));
        let (first, second) = (self.token(left), self.token(left + 1));
        match (first.kind, second.kind) {
            (kind::STRING, kind::STRING) | (b';', b';') => return self.drop(1, left),
            (kind::OPERATOR | kind::LOGIC, _) if second.is_unary() || second.kind == kind::SQLTYPE => {
                return self.drop(1, 0);
            }
            (b'(', _) if second.is_unary() => return self.drop(1, before),
            _ => {}
        }
        if let Some(merged) = merged(&first, &second) {
            self.put(left, merged);
            return self.drop(1, before);
        }
        self.two_others(left, &first, &second)
    }

    fn two_others(&mut self, left: usize, first: &Token, second: &Token) -> Step {
        match (first.kind, second.kind) {
            (b';', kind::FUNCTION)
                if second.value().get(..2).is_some_and(|v| v.eq_ignore_ascii_case(b"IF")) =>
            {
                self.become_kind(left + 1, kind::TSQL);
            }
            (kind::BAREWORD | kind::VARIABLE, b'(') if FUNCTIONS.iter().any(|name| first.is(name)) => {
                self.become_kind(left, kind::FUNCTION);
            }
            (kind::KEYWORD, _) if first.is("IN") || first.is("NOT IN") => {
                let is_operator = second.kind == b'(';
                self.become_kind(left, if is_operator { kind::OPERATOR } else { kind::BAREWORD });
            }
            (kind::OPERATOR, _) if first.is("LIKE") || first.is("NOT LIKE") => {
                if second.kind == b'(' {
                    self.become_kind(left, kind::FUNCTION);
                }
                return Step::Nothing;
            }
            (
                kind::SQLTYPE,
                kind::BAREWORD
                | kind::NUMBER
                | kind::SQLTYPE
                | b'('
                | kind::FUNCTION
                | kind::VARIABLE
                | kind::STRING,
            ) => {
                self.put(left, *second);
                return self.drop(1, 0);
            }
            (kind::COLLATE, kind::BAREWORD) => {
                let name = second.value().split(|byte| *byte == 0).next().unwrap_or_default();
                if name.contains(&b'_') {
                    self.become_kind(left + 1, kind::SQLTYPE);
                    self.left = 0;
                }
                return Step::Nothing;
            }
            (kind::BACKSLASH, _) => {
                self.left = 0;
                if second.is_arithmetic() {
                    self.become_kind(left, kind::NUMBER);
                } else {
                    self.put(left, *second);
                    return self.drop(1, 0);
                }
            }
            (b'(', b'(') | (b')', b')') => return self.drop(1, 0),
            (b'{', kind::BAREWORD) if second.length == 0 => {
                self.become_kind(left + 1, kind::EVIL);
                return Step::Evil(left + 2);
            }
            (b'{', kind::BAREWORD) => return self.drop(2, 0),
            (_, b'}') => return self.drop(1, 0),
            _ => return Step::Nothing,
        }
        Step::Again
    }

    /// Looks at three tokens; whether something changed.
    fn three(&mut self) -> bool {
        use kind::{
            BAREWORD, EXPRESSION, FUNCTION, GROUP, KEYWORD, LOGIC, NUMBER, OPERATOR, SQLTYPE, STRING,
            VARIABLE,
        };
        let left = self.left;
        let kinds = [left, left + 1, left + 2].map(|at| self.kind(at));
        let unary = self.is_unary(left + 1);
        match kinds {
            [NUMBER, OPERATOR, NUMBER]
            | [LOGIC, _, LOGIC]
            | [VARIABLE, OPERATOR, VARIABLE | NUMBER | BAREWORD]
            | [BAREWORD | NUMBER, OPERATOR, NUMBER | BAREWORD]
            | [BAREWORD | NUMBER | STRING | VARIABLE, b',', NUMBER | BAREWORD | STRING | VARIABLE]
            | [BAREWORD, b'.', BAREWORD] => {
                self.drop(2, 0);
            }
            [OPERATOR, second, OPERATOR] if second != b'(' => {
                self.drop(2, 0);
            }
            [BAREWORD | NUMBER | VARIABLE | STRING, OPERATOR, SQLTYPE]
                if self.token(left + 1).value() == b"::" =>
            {
                self.drop(2, 0);
            }
            [EXPRESSION | GROUP | b',', _, b'('] if unary => self.without_second(left, 1),
            [KEYWORD | EXPRESSION | GROUP, _, NUMBER | BAREWORD | VARIABLE | STRING | FUNCTION] if unary => {
                self.without_second(left, 1);
            }
            // `1,-1` becomes `1`.
            [b',', _, NUMBER | BAREWORD | VARIABLE | STRING] if unary => self.without_second(left, 3),
            [b',', _, FUNCTION] if unary => self.without_second(left, 1),
            [EXPRESSION, b'.', BAREWORD] => self.without_second(left, 1),
            [FUNCTION, b'(', third] if third != b')' => {
                // `USER(foo)` is none of SQL's functions.
                if self.token(left).is("USER") {
                    self.become_kind(left, BAREWORD);
                }
                return false;
            }
            _ => return false,
        }
        true
    }

    fn without_second(&mut self, left: usize, tokens: usize) {
        let third = self.token(left + 2);
        self.put(left + 1, third);
        self.drop(tokens, 0);
    }
}

/// Two words that are one phrase: `UNION ALL`.
fn merged(first: &Token, second: &Token) -> Option<Token> {
    let is_word = |of: u8| {
        matches!(
            of,
            kind::KEYWORD
                | kind::BAREWORD
                | kind::OPERATOR
                | kind::UNION
                | kind::FUNCTION
                | kind::EXPRESSION
                | kind::TSQL
                | kind::SQLTYPE
        )
    };
    if !is_word(first.kind) || !(is_word(second.kind) || second.kind == kind::LOGIC) {
        return None;
    }
    let (length, mut phrase) = (first.length + second.length + 1, [0; VALUE_MAX]);
    if length >= VALUE_MAX {
        return None;
    }
    let joined = first.value().iter().chain(b" ").chain(second.value());
    phrase.iter_mut().zip(joined).for_each(|(to, from)| *to = *from);
    let phrase = phrase.get(..length)?;
    let kind = tables::keyword(phrase)?;
    let mut token = Token::new(kind, phrase);
    (token.open, token.close) = (first.open, first.close);
    Some(token)
}
