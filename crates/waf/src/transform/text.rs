//! Letters, white space and zero bytes: transformations that look at one byte at a time and never decode any.

use std::borrow::Cow;

/// What C's `isspace` says in the C locale.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// Each byte mapped; borrowed as long as nothing changes.
fn map(input: &[u8], change: impl Fn(u8) -> u8) -> Cow<'_, [u8]> {
    match input.iter().position(|byte| change(*byte) != *byte) {
        None => Cow::Borrowed(input),
        Some(first) => {
            let mut output = input.to_vec();
            for byte in output.get_mut(first..).unwrap_or_default() {
                *byte = change(*byte);
            }
            Cow::Owned(output)
        }
    }
}

/// The bytes that `keep` keeps.
fn filter(input: &[u8], keep: impl Fn(u8) -> bool) -> Cow<'_, [u8]> {
    if input.iter().all(|byte| keep(*byte)) {
        return Cow::Borrowed(input);
    }
    Cow::Owned(rewrite(input, |byte, _| (byte, keep(byte))))
}

/// ASCII letters to small ones.
pub(super) fn lowercase(input: &[u8]) -> Cow<'_, [u8]> {
    map(input, |byte| byte.to_ascii_lowercase())
}

/// ASCII letters to capitals.
pub(super) fn uppercase(input: &[u8]) -> Cow<'_, [u8]> {
    map(input, |byte| byte.to_ascii_uppercase())
}

/// Zero bytes to spaces.
pub(super) fn replace_nulls(input: &[u8]) -> Cow<'_, [u8]> {
    map(input, |byte| if byte == 0 { b' ' } else { byte })
}

/// Zero bytes away.
pub(super) fn remove_nulls(input: &[u8]) -> Cow<'_, [u8]> {
    filter(input, |byte| byte != 0)
}

/// White space away, and both bytes of the no-break space (as ModSecurity does, each alone).
pub(super) fn remove_whitespace(input: &[u8]) -> Cow<'_, [u8]> {
    filter(input, |byte| !is_space(byte) && byte != 0xa0 && byte != 0xc2)
}

/// Each run of white space to one space.
pub(super) fn compress_whitespace(input: &[u8]) -> Cow<'_, [u8]> {
    let mut before = b'x';
    let changes = input.iter().any(|byte| {
        let change = is_space(*byte) && (*byte != b' ' || before == b' ');
        before = *byte;
        change
    });
    if !changes {
        return Cow::Borrowed(input);
    }
    let mut in_space = false;
    Cow::Owned(rewrite(input, |byte, _| {
        let space = is_space(byte);
        let keeps = !(space && in_space);
        in_space = space;
        (if space { b' ' } else { byte }, keeps)
    }))
}

/// Each byte as `change` tells it, unless it tells to drop it; `change` also gets how many bytes stand, and may take some
/// of them back. Each byte is written; only one that is kept moves the place for the next, so that nothing is decided that
/// a processor would have to guess.
fn rewrite(input: &[u8], mut change: impl FnMut(u8, &mut usize) -> (u8, bool)) -> Vec<u8> {
    let mut output = vec![0; input.len()];
    let mut length = 0;
    for byte in input {
        let (made, keeps) = change(*byte, &mut length);
        output.get_mut(length).into_iter().for_each(|place| *place = made);
        length += usize::from(keeps);
    }
    output.truncate(length);
    output
}

/// Without white space before.
pub(super) fn trim_left(input: &[u8]) -> &[u8] {
    let first = input.iter().position(|byte| !is_space(*byte)).unwrap_or(input.len());
    input.get(first..).unwrap_or_default()
}

/// Without white space behind.
pub(super) fn trim_right(input: &[u8]) -> &[u8] {
    let end = input.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    input.get(..end).unwrap_or_default()
}

/// What shells do not see goes: quotes and escapes; separators become one space, none before `/` and `(`; small letters.
pub(super) fn command_line(input: &[u8]) -> Cow<'_, [u8]> {
    let plain = |byte: &u8| {
        !matches!(byte, b'"' | b'\'' | b'\\' | b'^' | b',' | b';' | b'\t' | b'\r' | b'\n')
            && !byte.is_ascii_uppercase()
    };
    let mut spaced = false;
    let unchanged = input.iter().all(|byte| {
        let keeps = plain(byte) && !(spaced && matches!(byte, b' ' | b'/' | b'('));
        spaced = *byte == b' ';
        keeps
    });
    if unchanged {
        return Cow::Borrowed(input);
    }
    let mut spaced = false;
    let output = rewrite(input, |byte, length| {
        let drops = matches!(byte, b'"' | b'\'' | b'\\' | b'^');
        let space = matches!(byte, b' ' | b',' | b';' | b'\t' | b'\r' | b'\n');
        // The space before goes.
        *length -= usize::from(spaced && matches!(byte, b'/' | b'('));
        let keeps = !(drops || space && spaced);
        spaced = space || drops && spaced;
        (if space { b' ' } else { byte.to_ascii_lowercase() }, keeps)
    });
    super::settle(input, output)
}

/// What the eighth bit becomes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Parity {
    /// So that the number of set bits is even.
    Even,
    /// So that it is odd.
    Odd,
    /// Zero.
    Zero,
}

/// The eighth bit of each byte made a parity bit.
pub(super) fn parity(input: &[u8], parity: Parity) -> Cow<'_, [u8]> {
    map(input, |byte| {
        let low = byte & 0x7f;
        let odd = low.count_ones() % 2 == 1;
        let bit = match parity {
            Parity::Even => odd,
            Parity::Odd => !odd,
            Parity::Zero => false,
        };
        if bit { low | 0x80 } else { low }
    })
}
