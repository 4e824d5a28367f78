//! Structured fields (RFC 8941): dictionaries and what is in them, read and written. It never takes a key
//! twice, where the standard would let the last one win.

use data_encoding::BASE64;

use crate::encoding;

/// One value without parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bare {
    /// At most 15 digits.
    Integer(i64),
    /// Kept as its canonical text.
    Decimal(String),
    /// A string.
    Text(String),
    /// A token.
    Token(String),
    /// A byte sequence.
    Bytes(Vec<u8>),
    /// A boolean.
    Boolean(bool),
}

/// Parameters in their order.
pub(crate) type Params = Vec<(String, Bare)>;

/// What a dictionary holds under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Member {
    Item(Bare, Params),
    List(Vec<(Bare, Params)>, Params),
}

/// Keys with their members, in their order.
pub(crate) type Dictionary = Vec<(String, Member)>;

/// Reads a dictionary (RFC 8941 §4.2.2).
pub(crate) fn dictionary(text: &str) -> Option<Dictionary> {
    let mut read = Reader(text.trim_matches(' '));
    let mut found = Dictionary::new();
    while !read.0.is_empty() {
        let key = read.key()?;
        let member =
            if read.eat('=') { read.member()? } else { Member::Item(Bare::Boolean(true), read.params()?) };
        if found.iter().any(|(other, _)| *other == key) {
            return None;
        }
        found.push((key, member));
        read.blanks();
        if read.0.is_empty() {
            return Some(found);
        }
        if !read.eat(',') {
            return None;
        }
        read.blanks();
        if read.0.is_empty() {
            return None;
        }
    }
    Some(found)
}

/// The parameter of that name.
pub(crate) fn param<'a>(params: &'a Params, name: &str) -> Option<&'a Bare> {
    params.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn eat(&mut self, c: char) -> bool {
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn spaces(&mut self) {
        self.0 = self.0.trim_start_matches(' ');
    }

    fn take_while(&mut self, good: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !good(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at_checked(end).unwrap_or((self.0, ""));
        self.0 = rest;
        taken
    }

    fn key(&mut self) -> Option<String> {
        self.0.starts_with(|c: char| c.is_ascii_lowercase() || c == '*').then_some(())?;
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c);
        Some(self.take_while(good).to_owned())
    }

    fn member(&mut self) -> Option<Member> {
        if self.eat('(') {
            let items = self.items()?;
            return Some(Member::List(items, self.params()?));
        }
        Some(Member::Item(self.bare()?, self.params()?))
    }

    fn items(&mut self) -> Option<Vec<(Bare, Params)>> {
        let mut items = Vec::new();
        loop {
            self.spaces();
            if self.eat(')') {
                return Some(items);
            }
            items.push((self.bare()?, self.params()?));
            if !self.0.starts_with([' ', ')']) {
                return None;
            }
        }
    }

    fn params(&mut self) -> Option<Params> {
        let mut params = Params::new();
        while self.eat(';') {
            self.spaces();
            let key = self.key()?;
            let value = if self.eat('=') { self.bare()? } else { Bare::Boolean(true) };
            if params.iter().any(|(other, _)| *other == key) {
                return None;
            }
            params.push((key, value));
        }
        Some(params)
    }

    fn bare(&mut self) -> Option<Bare> {
        let first = self.0.chars().next()?;
        match first {
            '"' => self.text(),
            ':' => {
                let (inside, rest) = self.0.get(1..)?.split_once(':')?;
                self.0 = rest;
                encoding::base64(inside).map(Bare::Bytes)
            }
            '?' => {
                let value = self.0.get(1..2)?;
                self.0 = self.0.get(2..)?;
                match value {
                    "0" => Some(Bare::Boolean(false)),
                    "1" => Some(Bare::Boolean(true)),
                    _ => None,
                }
            }
            '-' | '0'..='9' => self.number(),
            _ if first.is_ascii_alphabetic() || first == '*' => {
                let good = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c);
                Some(Bare::Token(self.take_while(good).to_owned()))
            }
            _ => None,
        }
    }

    fn text(&mut self) -> Option<Bare> {
        let mut out = String::new();
        let mut chars = self.0.get(1..)?.chars();
        loop {
            match chars.next()? {
                '"' => {
                    self.0 = chars.as_str();
                    return Some(Bare::Text(out));
                }
                '\\' => match chars.next()? {
                    c @ ('"' | '\\') => out.push(c),
                    _ => return None,
                },
                c @ ' '..='~' => out.push(c),
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<Bare> {
        let negative = self.eat('-');
        let whole = self.take_while(|c| c.is_ascii_digit());
        let sign = if negative { "-" } else { "" };
        if whole.is_empty() || whole.len() > 15 {
            return None;
        }
        if !self.eat('.') {
            return format!("{sign}{whole}").parse().ok().map(Bare::Integer);
        }
        let fraction = self.take_while(|c| c.is_ascii_digit());
        if fraction.is_empty() || fraction.len() > 3 || whole.len() > 12 {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let fraction = fraction.trim_end_matches('0');
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        Some(Bare::Decimal(format!("{sign}{whole}.{fraction}")))
    }
}

/// Writes a member in its one form (RFC 8941 §4.1).
pub(crate) fn serialize(member: &Member) -> String {
    match member {
        Member::Item(bare, params) => serialize_item(bare, params),
        Member::List(items, params) => serialize_list(items, params),
    }
}

/// Writes an inner list.
pub(crate) fn serialize_list(items: &[(Bare, Params)], params: &Params) -> String {
    let items: Vec<String> = items.iter().map(|(bare, params)| serialize_item(bare, params)).collect();
    let mut out = format!("({})", items.join(" "));
    write_params(&mut out, params);
    out
}

/// Writes one item.
pub(crate) fn serialize_item(bare: &Bare, params: &Params) -> String {
    let mut out = String::new();
    write_bare(&mut out, bare);
    write_params(&mut out, params);
    out
}

fn write_params(out: &mut String, params: &Params) {
    for (key, value) in params {
        out.push(';');
        out.push_str(key);
        if *value != Bare::Boolean(true) {
            out.push('=');
            write_bare(out, value);
        }
    }
}

fn write_bare(out: &mut String, bare: &Bare) {
    match bare {
        Bare::Integer(value) => out.push_str(&value.to_string()),
        Bare::Decimal(text) | Bare::Token(text) => out.push_str(text),
        Bare::Text(text) => {
            out.push('"');
            for c in text.chars() {
                if c == '"' || c == '\\' {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        }
        Bare::Bytes(bytes) => {
            out.push(':');
            out.push_str(&BASE64.encode(bytes));
            out.push(':');
        }
        Bare::Boolean(value) => out.push_str(if *value { "?1" } else { "?0" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<&str>) {
        let written = dictionary(text).map(|members| {
            let one = |(key, member): &(String, Member)| format!("{key}={}", serialize(member));
            members.iter().map(one).collect::<Vec<_>>().join(", ")
        });
        assert_eq!(written.as_deref(), expect, "{text}");
    }

    #[test]
    fn read_and_written_in_one_form() {
        check("", Some(""));
        check("a=1,  b=(  \"x\"   y;q );z", Some("a=1, b=(\"x\" y;q);z"));
        check("a", Some("a=?1"));
        check("a;x=?0, b=?0", Some("a=?1;x=?0, b=?0"));
        check("a=:AQI=:, b=\"q\\\"\\\\\"", Some("a=:AQI=:, b=\"q\\\"\\\\\""));
        check("a=-015, b=001.50, c=tok/en:x", Some("a=-15, b=1.5, c=tok/en:x"));
        check("*k.1-_=()", Some("*k.1-_=()"));
        for text in [
            "A=1",
            "a=",
            "a=1,",
            "a=1,,b=2",
            "a=1 b=2",
            "a=(1",
            "a=(1 2",
            "a=(1,2)",
            "a=(1\t2)",
            "a=\"x",
            "a=\"\\n\"",
            "a=:AQI:",
            "a=:A",
            "a=?2",
            "a=1234567890123456",
            "a=1.",
            "a=1.1234",
            "a=-",
            "a=@1",
            "a=1;",
            "a=1;B",
            "a=1, a=2",
            "a=1;b;b",
            "a=\"\u{e9}\"",
            "a=\"\u{7}\"",
            "1=2",
            "a=(\"x\"\"y\")",
            "a=%",
            "=1",
            ",",
        ] {
            check(text, None);
        }
    }
}
