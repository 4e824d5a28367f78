//! The escapes of CSS; it never parses style sheets.

use std::borrow::Cow;

use super::hex::digit;
use super::text::is_space;

/// `\HHHHHH` to the character in UTF-8 (CSS Syntax §4.3.7; full width made narrow, U+FFFD for what is no character), `\`
/// before a line feed to nothing, before any other byte to that byte. ModSecurity gives the low byte of the number
/// instead; below U+0080 both are the same.
pub(super) fn decode(input: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = input.iter().position(|byte| *byte == b'\\') else { return Cow::Borrowed(input) };
    let mut output = input.get(..first).unwrap_or_default().to_vec();
    let mut at = first;
    while let Some(byte) = input.get(at) {
        at += 1;
        if *byte != b'\\' {
            output.push(*byte);
            continue;
        }
        let digits = input.iter().skip(at).take(6).map_while(|byte| digit(*byte));
        let (code, length) =
            digits.fold((0_u32, 0), |(code, length), digit| (code << 4 | u32::from(digit), length + 1));
        if length > 0 {
            push(&mut output, code);
            at += length;
            at += usize::from(input.get(at).is_some_and(|byte| is_space(*byte)));
        } else if let Some(escaped) = input.get(at) {
            if *escaped != b'\n' {
                output.push(*escaped);
            }
            at += 1;
        }
    }
    Cow::Owned(output)
}

/// One character.
fn push(output: &mut Vec<u8>, code: u32) {
    let narrowed = if (0xff01..=0xff5e).contains(&code) { code - 0xfee0 } else { code };
    let character = char::from_u32(narrowed).filter(|c| *c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER);
    output.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}
