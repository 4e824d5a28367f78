//! Hexadecimal and octal digits of hostile text; it never looks at more than it is given.

/// The value of a hexadecimal digit.
pub(crate) fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The value of the two hexadecimal digits at `at`.
pub(crate) fn pair(input: &[u8], at: usize) -> Option<u8> {
    let high = digit(*input.get(at)?)?;
    let low = digit(*input.get(at + 1)?)?;
    Some(high << 4 | low)
}

/// The value of the four hexadecimal digits at `at`.
pub(crate) fn quad(input: &[u8], at: usize) -> Option<u16> {
    Some(u16::from(pair(input, at)?) << 8 | u16::from(pair(input, at + 2)?))
}

/// The value of up to `most` octal digits at `at`, and how many there were; none where there is no digit.
pub(crate) fn octal(input: &[u8], at: usize, most: usize) -> Option<(u16, usize)> {
    let digits = input.iter().skip(at).take(most).take_while(|byte| matches!(byte, b'0'..=b'7'));
    let (value, length) =
        digits.fold((0_u16, 0), |(value, length), byte| (value << 3 | u16::from(byte - b'0'), length + 1));
    (length > 0).then_some((value, length))
}

/// What a full-width character (U+FF01 to U+FF5E) stands for in ASCII, else the low byte.
pub(crate) fn narrow(code: u16) -> u8 {
    let [high, low] = code.to_be_bytes();
    if high == 0xff && low > 0 && low < 0x5f { low + 0x20 } else { low }
}
