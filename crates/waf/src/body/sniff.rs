//! What a body looks like whose media type says nothing: its first bytes are asked, never all of it.

/// What a body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It begins as an object or an array.
    Json,
    /// It begins with `<`.
    Xml,
    /// A name, and `=` or `&`, or names alone.
    Form,
    /// Anything else.
    Text,
}

/// Bytes of a name that are looked at.
const NAME_MAX: usize = 256;

/// What the body looks like.
#[must_use]
pub fn look(body: &[u8]) -> Look {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let start = body.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(body.len());
    match body.get(start) {
        Some(b'{' | b'[') => Look::Json,
        Some(b'<') => Look::Xml,
        Some(_) if is_form(body) => Look::Form,
        _ => Look::Text,
    }
}

/// Whether a document of XML or JSON begins here in UTF-16 or UTF-32, by a byte order mark or without one.
#[must_use]
pub fn is_wide(body: &[u8]) -> bool {
    let opens = |byte: u8| matches!(byte, b'<' | b'{' | b'[') || byte.is_ascii_whitespace();
    match body {
        [0, 0, 0xfe, 0xff, ..] | [0xff, 0xfe, 0, 0, ..] => true,
        [0xfe, 0xff, 0, byte, ..] | [0xff, 0xfe, byte, 0, ..] => opens(*byte),
        [0, 0, 0, byte, ..] | [0, byte, ..] | [byte, 0, ..] => opens(*byte),
        _ => false,
    }
}

/// A name of a field, then `=`; no white space anywhere, since a form encodes it.
fn is_form(body: &[u8]) -> bool {
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.[]%+$*~:".contains(byte);
    let name = body.iter().take(NAME_MAX).take_while(|byte| in_name(byte)).count();
    name > 0
        && body.get(name) == Some(&b'=')
        && !body.trim_ascii_end().iter().any(|byte| *byte <= b' ' || *byte >= 0x7f)
}
