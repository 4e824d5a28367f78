//! Decoders that attackers' encodings call for: URL, HTML, JavaScript, C escapes, hexadecimal, Base64. What does not
//! decode is kept as it stands; none of them ever makes more bytes than came in.

use std::borrow::Cow;

use super::code_page::best_fit;
use super::hex::{narrow, octal, pair, quad};
use super::settle;

/// Decodes in one pass: `step` gets the input and the position of a byte that is one of `marks`, and tells what it
/// becomes and how many bytes it took; where it tells nothing, the byte stands as it is.
fn decode<'a>(
    input: &'a [u8],
    marks: &[u8],
    step: impl Fn(&[u8], usize) -> Option<(u8, usize)>,
) -> Cow<'a, [u8]> {
    let next = |from: usize| {
        let rest = input.get(from..).unwrap_or_default();
        let found = match marks {
            [one] => memchr::memchr(*one, rest),
            [one, other] => memchr::memchr2(*one, *other, rest),
            _ => rest.iter().position(|byte| marks.contains(byte)),
        };
        found.map(|at| from + at)
    };
    let Some(mut mark) = next(0) else { return Cow::Borrowed(input) };
    let mut output = Vec::with_capacity(input.len());
    let mut at = 0;
    loop {
        output.extend_from_slice(input.get(at..mark).unwrap_or_default());
        let Some(byte) = input.get(mark) else { break };
        let (made, taken) = step(input, mark).unwrap_or((*byte, 1));
        output.push(made);
        at = mark + taken;
        // Marks often stand close together.
        mark = match input.get(at) {
            Some(byte) if marks.contains(byte) => at,
            _ => next(at).unwrap_or(input.len()),
        };
    }
    settle(input, output)
}

/// `%HH` and `+`.
pub(super) fn url(input: &[u8]) -> Cow<'_, [u8]> {
    decode(input, b"%+", |input, at| match input.get(at) {
        Some(b'+') => Some((b' ', 1)),
        _ => pair(input, at + 1).map(|byte| (byte, 3)),
    })
}

/// `%HH`, `+` and `%uHHHH`: the last by code page 20127, else by its low byte (full width made narrow).
pub(super) fn url_unicode(input: &[u8]) -> Cow<'_, [u8]> {
    decode(input, b"%+", |input, at| match (input.get(at), input.get(at + 1)) {
        (Some(b'+'), _) => Some((b' ', 1)),
        (_, Some(b'u' | b'U')) => {
            quad(input, at + 2).map(|code| (best_fit(code).unwrap_or_else(|| narrow(code)), 6))
        }
        _ => pair(input, at + 1).map(|byte| (byte, 3)),
    })
}

/// `\uHHHH`, `\xHH`, octal, and the letters of JavaScript.
pub(super) fn javascript(input: &[u8]) -> Cow<'_, [u8]> {
    decode(input, b"\\", |input, at| {
        let escaped = *input.get(at + 1)?;
        match escaped {
            b'u' if let Some(code) = quad(input, at + 2) => return Some((narrow(code), 6)),
            b'x' if let Some(byte) = pair(input, at + 2) => return Some((byte, 4)),
            _ => {}
        }
        if let Some((value, length)) = octal(input, at + 1, 3) {
            return Some(match u8::try_from(value) {
                Ok(byte) => (byte, 1 + length),
                // More than one byte: two digits are read.
                Err(_) => (u8::try_from(value >> 3).unwrap_or(u8::MAX), length),
            });
        }
        Some((letter(escaped).unwrap_or(escaped), 2))
    })
}

/// What a letter means after a backslash, in C and JavaScript.
fn letter(byte: u8) -> Option<u8> {
    Some(match byte {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        _ => return None,
    })
}

/// The escapes of ANSI C; of one that is none, the backslash goes.
pub(super) fn escape_sequences(input: &[u8]) -> Cow<'_, [u8]> {
    decode(input, b"\\", |input, at| {
        let escaped = *input.get(at + 1)?;
        if let Some(byte) = letter(escaped) {
            return Some((byte, 2));
        }
        if matches!(escaped, b'x' | b'X')
            && let Some(byte) = pair(input, at + 2)
        {
            return Some((byte, 4));
        }
        if let Some((value, length)) = octal(input, at + 1, 3) {
            let [_, low] = value.to_be_bytes();
            return Some((low, 1 + length));
        }
        Some((escaped, 2))
    })
}

/// `&quot;`, `&amp;`, `&lt;`, `&gt;`, `&nbsp;` and numbers, with or without the semicolon, each to one byte.
pub(super) fn html_entities(input: &[u8]) -> Cow<'_, [u8]> {
    decode(input, b"&", |input, at| {
        let (byte, end) = if input.get(at + 1) == Some(&b'#') {
            let hexadecimal = matches!(input.get(at + 2), Some(b'x' | b'X'));
            let (start, base) = if hexadecimal { (at + 3, 16) } else { (at + 2, 10) };
            number(input, start, base)?
        } else {
            named(input, at + 1)?
        };
        let semicolon = usize::from(input.get(end) == Some(&b';'));
        Some((byte, end + semicolon - at))
    })
}

/// The low byte of a number of any length and where it ends; too large a number counts as C's `LONG_MAX`.
fn number(input: &[u8], start: usize, base: u32) -> Option<(u8, usize)> {
    let mut value = 0_i64;
    let mut end = start;
    while let Some(digit) = input.get(end).and_then(|byte| char::from(*byte).to_digit(base)) {
        value = value.saturating_mul(i64::from(base)).saturating_add(i64::from(digit));
        end += 1;
    }
    let [.., low] = value.to_be_bytes();
    (end > start).then_some((low, end))
}

/// One of the five entities that ModSecurity knows, in any case, and where it ends.
fn named(input: &[u8], start: usize) -> Option<(u8, usize)> {
    let tail = input.get(start..)?;
    let length = tail.iter().take(5).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let name = tail.get(..length)?;
    let byte = [
        (b"quot".as_slice(), b'"'),
        (b"amp".as_slice(), b'&'),
        (b"lt".as_slice(), b'<'),
        (b"gt".as_slice(), b'>'),
        (b"nbsp".as_slice(), 0xa0),
    ]
    .iter()
    .find_map(|(entity, byte)| name.eq_ignore_ascii_case(entity).then_some(*byte))?;
    Some((byte, start + length))
}

/// Pairs of digits to bytes; what is not hexadecimal throughout becomes nothing.
pub(super) fn hexadecimal(input: &[u8]) -> Cow<'_, [u8]> {
    if !input.len().is_multiple_of(2) {
        return Cow::Owned(Vec::new());
    }
    let decoded: Option<Vec<u8>> = (0..input.len()).step_by(2).map(|at| pair(input, at)).collect();
    Cow::Owned(decoded.unwrap_or_default())
}

/// `0x4142` inside of other text to `AB`.
pub(super) fn sql_hexadecimal(input: &[u8]) -> Cow<'_, [u8]> {
    let starts = |at: usize| {
        input.get(at) == Some(&b'0')
            && matches!(input.get(at + 1), Some(b'x' | b'X'))
            && pair(input, at + 2).is_some()
    };
    let Some(first) = (0..input.len()).find(|at| starts(*at)) else { return Cow::Borrowed(input) };
    let mut output = input.get(..first).unwrap_or_default().to_vec();
    let mut at = first;
    while let Some(byte) = input.get(at) {
        if starts(at) {
            at += 2;
            while let Some(byte) = pair(input, at) {
                output.push(byte);
                at += 2;
            }
        } else {
            output.push(*byte);
            at += 1;
        }
    }
    Cow::Owned(output)
}

/// The six bits of a letter of Base64 (RFC 4648 §4).
fn six_bits(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// The bytes of a sequence of letters of Base64; bits that make no whole byte fall away.
fn unpack(letters: impl Iterator<Item = u32>, length: usize) -> Vec<u8> {
    let mut output = Vec::with_capacity(length / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for letter in letters {
        bits = (bits << 6 | letter) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            let [_, _, _, low] = (bits >> count).to_be_bytes();
            output.push(low);
        }
    }
    output
}

/// Base64 up to the first byte that is none, line ends passed over.
pub(super) fn base64(input: &[u8]) -> Cow<'_, [u8]> {
    let letters =
        input.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).map_while(|byte| six_bits(*byte));
    Cow::Owned(unpack(letters, input.len()))
}

/// Base64 with everything else passed over.
pub(super) fn base64_forgiving(input: &[u8]) -> Cow<'_, [u8]> {
    Cow::Owned(unpack(input.iter().filter_map(|byte| six_bits(*byte)), input.len()))
}
