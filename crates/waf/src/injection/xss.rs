//! Cross-site scripting as libinjection 3.9.2 finds it: a text is read as HTML in five ways, and tags, attributes and
//! addresses that run scripts are looked for. It follows `libinjection_xss.c` (Copyright (c) 2012-2016 Nick Galbreath,
//! BSD-3-Clause), quirks and all; it never decides what is done.

mod html;

use self::html::{Context, Reader, TokenKind};

/// What an attribute can do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attribute {
    Harmless,
    /// It runs a script, or may.
    Script,
    /// Its value is an address.
    Address,
    /// Its value names an attribute.
    Name,
}

const ATTRIBUTES: [(&str, Attribute); 20] = [
    ("ACTION", Attribute::Address),
    ("ATTRIBUTENAME", Attribute::Name),
    ("BY", Attribute::Address),
    ("BACKGROUND", Attribute::Address),
    ("DATAFORMATAS", Attribute::Script),
    ("DATASRC", Attribute::Script),
    ("DYNSRC", Attribute::Address),
    ("FILTER", Attribute::Script),
    ("FORMACTION", Attribute::Address),
    ("FOLDER", Attribute::Address),
    ("FROM", Attribute::Address),
    ("HANDLER", Attribute::Address),
    ("HREF", Attribute::Address),
    ("LOWSRC", Attribute::Address),
    ("POSTER", Attribute::Address),
    ("SRC", Attribute::Address),
    ("STYLE", Attribute::Script),
    ("TO", Attribute::Address),
    ("VALUES", Attribute::Address),
    ("XLINK:HREF", Attribute::Address),
];

const TAGS: [&str; 20] = [
    "APPLET", "BASE", "COMMENT", "EMBED", "FRAME", "FRAMESET", "HANDLER", "IFRAME", "IMPORT", "ISINDEX",
    "LINK", "LISTENER", "META", "NOSCRIPT", "OBJECT", "SCRIPT", "STYLE", "VMLFRAME", "XML", "XSS",
];

const ADDRESSES: [&str; 4] = ["DATA", "VIEW-SOURCE", "JAVA", "VBSCRIPT"];

/// Whether any of the five readings finds scripting.
pub(super) fn detect(text: &[u8]) -> bool {
    [Context::Data, Context::Attributes, Context::Quoted(b'\''), Context::Quoted(b'"'), Context::Quoted(b'`')]
        .into_iter()
        .any(|context| is_scripting(text, context))
}

fn is_scripting(text: &[u8], context: Context) -> bool {
    let mut reader = Reader::new(text, context);
    let mut attribute = Attribute::Harmless;
    while let Some(token) = reader.next() {
        let value = text.get(token.start..token.start + token.length).unwrap_or_default();
        match token.kind {
            TokenKind::Doctype => return true,
            TokenKind::TagOpen if is_black_tag(value) => return true,
            TokenKind::Comment if is_black_comment(value) => return true,
            TokenKind::AttributeName => {
                attribute = kind_of(value);
                continue;
            }
            TokenKind::AttributeValue => {
                let found = match attribute {
                    Attribute::Harmless => false,
                    Attribute::Script => true,
                    Attribute::Address => is_black_address(text, token.start, value.len()),
                    Attribute::Name => kind_of(value) != Attribute::Harmless,
                };
                if found {
                    return true;
                }
            }
            _ => {}
        }
        attribute = Attribute::Harmless;
    }
    false
}

/// Without regard to case and zeros; `name` is in capital letters.
fn is_named(value: &[u8], name: &str) -> bool {
    let letters = value.iter().filter(|byte| **byte != 0).map(u8::to_ascii_uppercase);
    letters.eq(name.bytes())
}

fn begins(value: &[u8], name: &str) -> bool {
    value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
}

fn is_black_tag(name: &[u8]) -> bool {
    name.len() >= 3
        && (TAGS.iter().any(|tag| is_named(name, tag)) || begins(name, "SVG") || begins(name, "XSL"))
}

fn kind_of(name: &[u8]) -> Attribute {
    if name.len() < 2 {
        return Attribute::Harmless;
    }
    if let Some(start) = name.get(..5)
        && (begins(name, "ON") || is_named(start, "XMLNS") || is_named(start, "XLINK"))
    {
        return Attribute::Script;
    }
    let known = ATTRIBUTES.iter().find(|(known, _)| is_named(name, known));
    known.map_or(Attribute::Harmless, |(_, kind)| *kind)
}

fn is_black_comment(value: &[u8]) -> bool {
    if value.contains(&b'`') || (value.len() > 3 && (begins(value, "[IF") || begins(value, "XML"))) {
        return true;
    }
    let word = value.get(..6).filter(|_| value.len() > 5);
    word.is_some_and(|word| is_named(word, "IMPORT") || is_named(word, "ENTITY"))
}

/// Whether the address at `start` names a scheme that runs scripts. What stands behind it is seen too, as in C.
fn is_black_address(text: &[u8], start: usize, length: usize) -> bool {
    let value = text.get(start..start + length).unwrap_or_default();
    let blank = value.iter().take_while(|byte| **byte <= 32 || **byte >= 127).count();
    let (from, length) = (text.get(start + blank..).unwrap_or_default(), length - blank);
    ADDRESSES.iter().any(|scheme| begins_decoded(from, length, scheme.as_bytes()))
}

/// Whether the first `length` bytes, with HTML's numbered characters decoded, begin with `scheme`.
fn begins_decoded(mut text: &[u8], mut length: usize, scheme: &[u8]) -> bool {
    let (mut left, mut first) = (scheme, true);
    while length > 0 {
        let Some((wanted, rest)) = left.split_first() else { return true };
        let (value, consumed) = decoded(text, length);
        text = text.get(consumed..).unwrap_or_default();
        length = length.saturating_sub(consumed);
        if first && value <= 32 {
            continue;
        }
        first = false;
        if value == 0 || value == 10 {
            continue;
        }
        let value = if (97..=122).contains(&value) { value - 32 } else { value };
        // C compares the lowest byte alone.
        if u32::from(*wanted) != value & 0xff {
            return false;
        }
        left = rest;
    }
    left.is_empty()
}

/// The first character of a text of which `length` bytes count, and how many bytes it takes.
fn decoded(text: &[u8], length: usize) -> (u32, usize) {
    let byte = |at: usize| text.get(at).copied().unwrap_or(0);
    let first = u32::from(byte(0));
    if byte(0) != b'&' || length < 2 || byte(1) != b'#' {
        return (first, 1);
    }
    let (radix, start) = if matches!(byte(2), b'x' | b'X') { (16, 3) } else { (10, 2) };
    let digit = |at: usize| char::from(byte(at)).to_digit(radix);
    let Some(mut value) = digit(start) else { return (first, 1) };
    let mut at = start + 1;
    while at < length {
        let Some(next) = digit(at) else { return (value, at + usize::from(byte(at) == b';')) };
        value = value * radix + next;
        if value > 0x10_00ff {
            return (first, 1);
        }
        at += 1;
    }
    (value, at)
}
