//! Encoders: what they make is longer than what came in, by the factor that `Transformation::bytes_max` states.

use std::borrow::Cow;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn push_hexadecimal(output: &mut Vec<u8>, byte: u8) {
    for digit in [byte >> 4, byte & 15] {
        output.push(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0'));
    }
}

/// Each byte as two small hexadecimal digits.
pub(super) fn hexadecimal(input: &[u8]) -> Cow<'_, [u8]> {
    let mut output = Vec::with_capacity(input.len() * 2);
    for byte in input {
        push_hexadecimal(&mut output, *byte);
    }
    Cow::Owned(output)
}

/// All but letters, digits and `*` as `%hh`, a space as `+`.
pub(super) fn url(input: &[u8]) -> Cow<'_, [u8]> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'*';
    if input.iter().all(plain) {
        return Cow::Borrowed(input);
    }
    let mut output = Vec::with_capacity(input.len() * 2);
    for byte in input {
        if plain(byte) {
            output.push(*byte);
        } else if *byte == b' ' {
            output.push(b'+');
        } else {
            output.push(b'%');
            push_hexadecimal(&mut output, *byte);
        }
    }
    Cow::Owned(output)
}

/// Base64 with padding (RFC 4648 §4).
pub(super) fn base64(input: &[u8]) -> Cow<'_, [u8]> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u32| LETTERS.get((bits & 63) as usize).copied().unwrap_or(b'A');
    let mut output = Vec::with_capacity(input.len().div_ceil(3) * 4);
    for chunk in input.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        output.push(letter(bits >> 18));
        output.push(letter(bits >> 12));
        output.push(if chunk.len() > 1 { letter(bits >> 6) } else { b'=' });
        output.push(if chunk.len() > 2 { letter(bits) } else { b'=' });
    }
    Cow::Owned(output)
}

/// Each character of two bytes or more as `%uhhhh`; zero bytes and broken sequences fall away, as in ModSecurity, and
/// after an overlong sequence or a surrogate its first byte is repeated.
pub(super) fn utf8_to_unicode(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = input.iter().position(|byte| *byte == 0 || *byte >= 0x80) else {
        return Cow::Borrowed(input);
    };
    let mut output = Vec::with_capacity(input.len() * 2);
    output.extend_from_slice(input.get(..first).unwrap_or_default());
    let mut at = first;
    while let Some(lead) = input.get(at).copied() {
        at += 1;
        let (tail, bits) = match lead {
            0 => continue,
            0x01..=0x7f | 0x80..=0xbf | 0xf8.. => {
                output.push(lead);
                continue;
            }
            0xc0..=0xdf => (1, lead & 0x1f),
            0xe0..=0xef => (2, lead & 0x0f),
            0xf0..=0xf7 => (3, lead & 0x07),
        };
        if lead >= 0xf5 {
            output.push(lead);
        }
        let rest = input.get(at..at + tail).filter(|rest| rest.iter().all(|byte| byte & 0xc0 == 0x80));
        let Some(rest) = rest else { continue };
        let code = rest.iter().fold(u32::from(bits), |code, byte| code << 6 | u32::from(byte & 0x3f));
        output.extend_from_slice(format!("%u{code:04x}").as_bytes());
        let shortest = [0x80, 0x800, 0x1_0000].get(tail - 1).copied().unwrap_or(0);
        if (0xd800..=0xdfff).contains(&code) {
            output.push(lead);
        }
        if code < shortest {
            output.push(lead);
        }
        at += tail;
    }
    super::settle(input, output)
}
