//! The operators that need neither patterns nor phrases: numbers, strings, addresses, encodings and check digits. Which
//! rule asks, and what follows, is never known here.
//!
//! Each is true where ModSecurity's operator matches.

mod address;
mod checks;

pub use address::{AddressError, AddressSet};
pub use checks::{is_card_number, is_cpf, is_national_id, is_ssn, is_svnr};

use crate::transform::hex;

/// The number that `@eq`, `@ge`, `@gt`, `@le`, `@lt` and `setvar` read, as C's `atoi`: white space, a sign, digits; 0 where
/// there are none. Too large a number stays at the largest.
#[must_use]
pub fn number(input: &[u8]) -> i64 {
    let input = input.trim_ascii_start();
    let (negative, digits) = match input.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, input),
    };
    let value = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_i64, |value, byte| value.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    if negative { -value } else { value }
}

/// `@contains`: where `needle` first stands in `input`; an empty one stands everywhere. Its time grows with the sum of
/// both lengths, whatever they are.
#[must_use]
pub fn find(input: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(input, needle)
}

/// `@contains` and `@strmatch`.
#[must_use]
pub fn contains(input: &[u8], needle: &[u8]) -> bool {
    find(input, needle).is_some()
}

/// `@containsWord`: no ASCII letter stands right before or behind.
#[must_use]
pub fn contains_word(input: &[u8], word: &[u8]) -> bool {
    if word.is_empty() {
        return true;
    }
    let mut from = 0;
    while let Some(at) = input.get(from..).and_then(|tail| find(tail, word)).map(|at| at + from) {
        let letter = |position: Option<usize>| {
            position.and_then(|position| input.get(position)).is_some_and(u8::is_ascii_alphabetic)
        };
        if !letter(at.checked_sub(1)) && !letter(Some(at + word.len())) {
            return true;
        }
        from = at + 1;
    }
    false
}

/// `@within`: the input stands in the parameter; an empty one does.
#[must_use]
pub fn within(input: &[u8], parameter: &[u8]) -> bool {
    contains(parameter, input)
}

/// `@validateUrlEncoding`: the offset of the first `%` without two hexadecimal digits.
#[must_use]
pub fn invalid_url_encoding(input: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(byte) = input.get(at) {
        if *byte != b'%' {
            at += 1;
        } else if hex::pair(input, at + 1).is_some() {
            at += 3;
        } else {
            return Some(at);
        }
    }
    None
}

/// `@validateUtf8Encoding`: the offset of the first sequence that is not UTF-8 (RFC 3629: none overlong, no surrogate).
#[must_use]
pub fn invalid_utf8(input: &[u8]) -> Option<usize> {
    std::str::from_utf8(input).err().map(|error| error.valid_up_to())
}

/// Why a parameter of `@validateByteRange` was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no byte or range of bytes: write them as `9,10,13,32-126`, each 0 to 255")]
pub struct ByteRangeError(pub String);

/// The bytes that `@validateByteRange` allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange(crate::transform::ByteSet);

impl ByteRange {
    /// The parameter as `1-255` or `9,10,13,32-126`; an empty one allows nothing.
    ///
    /// # Errors
    /// The first part that is neither a number of 0 to 255 nor a range of such.
    pub fn parse(parameter: &str) -> Result<Self, ByteRangeError> {
        let mut allowed = crate::transform::ByteSet::default();
        for part in parameter.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || ByteRangeError(part.to_owned());
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: u8 = first.trim().parse().map_err(|_| wrong())?;
            let last: u8 = last.trim().parse().map_err(|_| wrong())?;
            if first > last {
                return Err(wrong());
            }
            for byte in first..=last {
                allowed = allowed.with(byte);
            }
        }
        Ok(Self(allowed))
    }

    /// The offset of the first byte that is not allowed: there the operator matches.
    #[must_use]
    pub fn violation(&self, input: &[u8]) -> Option<usize> {
        input.iter().position(|byte| !self.0.contains(*byte))
    }
}
