//! The secret half of an API token, and its text. It never prints itself and is wiped when dropped.
//!
//! A token is `casemate_`, 43 characters of base 62 (256 random bits, most significant digit first), and 6
//! characters of base 62: the CRC-32 (ISO-HDLC) of all before it. The digits are `0-9`, `A-Z`, `a-z`. Each
//! value has exactly one text. The checksum is no secret: with it a scanner tells a token from a look-alike,
//! and a node refuses a mistyped one before it looks anything up.

use keyring::sha256;
use model::{Digest, Entropy, EntropyError};
use zeroize::Zeroizing;

/// What a token looks like, as a regular expression for secret scanners.
pub const TOKEN_PATTERN: &str = r"\bcasemate_[0-9A-Za-z]{49}\b";

const PREFIX: &str = "casemate_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_DIGITS: usize = 43;
const CHECK_DIGITS: usize = 6;
/// Length of a token's text, in bytes.
pub(crate) const TEXT_BYTES: usize = PREFIX.len() + RANDOM_DIGITS + CHECK_DIGITS;

/// 256 random bits. It has no `Debug`, no `Display` and no serialisation; its text is shown once, when it is
/// made.
///
/// ```compile_fail
/// fn show(secret: identity::TokenSecret) { println!("{secret:?}"); }
/// ```
pub struct TokenSecret(Zeroizing<[u8; 32]>);

/// Why a text is no token. The text itself is not repeated: it may be a secret of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Another prefix, length or alphabet, or a number beyond 256 bits.
    #[error("this is no token: expected `casemate_` and 49 letters and digits")]
    Malformed,
    /// The checksum does not fit: mistyped or cut.
    #[error("the token's checksum does not fit: it is mistyped or cut")]
    Checksum,
}

impl TokenSecret {
    /// A fresh secret.
    ///
    /// # Errors
    /// If the source of randomness fails.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut bits = Zeroizing::new([0_u8; 32]);
        entropy.fill(bits.as_mut_slice())?;
        Ok(Self(bits))
    }

    /// Reads a token's text, checksum first.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let digits = text.strip_prefix(PREFIX).ok_or(TokenError::Malformed)?;
        if text.len() != TEXT_BYTES || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(TokenError::Malformed);
        }
        let (random, check) = digits.split_at_checked(RANDOM_DIGITS).ok_or(TokenError::Malformed)?;
        let (said, _) = text.split_at_checked(PREFIX.len() + RANDOM_DIGITS).ok_or(TokenError::Malformed)?;
        if check.as_bytes() != check_digits(said).as_slice() {
            return Err(TokenError::Checksum);
        }
        decode(random.as_bytes()).map(Self).ok_or(TokenError::Malformed)
    }

    /// The token's text, wiped when dropped. Whoever shows it shows it once.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES));
        text.push_str(PREFIX);
        encode(&self.0).iter().for_each(|digit| text.push(char::from(*digit)));
        check_digits(&text).iter().for_each(|digit| text.push(char::from(*digit)));
        text
    }

    /// What is kept of it: SHA-256 of the 256 random bits. No salt and no slow hash are wanted, because there
    /// is nothing to guess: unlike a password, the input is as long as the output.
    pub fn hash(&self) -> Digest {
        sha256(self.0.as_slice())
    }
}

fn digit(value: u64) -> u8 {
    usize::try_from(value % 62).ok().and_then(|at| DIGITS.get(at)).copied().unwrap_or(b'0')
}

fn value(digit: u8) -> Option<u64> {
    VALUES.get(usize::from(digit)).filter(|value| **value < 62).map(|value| u64::from(*value))
}

/// The value of each digit; 255 for what is none.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, and an index beyond is its error")]
const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut at = 0;
    while at < DIGITS.len() {
        values[DIGITS[at] as usize] = at as u8;
        at += 1;
    }
    values
};

fn check_digits(text: &str) -> [u8; CHECK_DIGITS] {
    let mut rest = u64::from(crc32fast::hash(text.as_bytes()));
    let mut out = [b'0'; CHECK_DIGITS];
    for slot in out.iter_mut().rev() {
        *slot = digit(rest);
        rest /= 62;
    }
    out
}

/// The number in four limbs, the most significant first.
fn limbs(bits: &[u8; 32]) -> Zeroizing<[u64; 4]> {
    let mut limbs = Zeroizing::new([0_u64; 4]);
    let (chunks, _) = bits.as_chunks::<8>();
    limbs.iter_mut().zip(chunks).for_each(|(limb, chunk)| *limb = u64::from_be_bytes(*chunk));
    limbs
}

fn encode(bits: &[u8; 32]) -> Zeroizing<[u8; RANDOM_DIGITS]> {
    let mut limbs = limbs(bits);
    let mut out = Zeroizing::new([b'0'; RANDOM_DIGITS]);
    for slot in out.iter_mut().rev() {
        let mut rest = 0_u128;
        for limb in limbs.iter_mut() {
            let with_rest = (rest << 64) | u128::from(*limb);
            *limb = u64::try_from(with_rest / 62).unwrap_or_default();
            rest = with_rest % 62;
        }
        *slot = digit(u64::try_from(rest).unwrap_or_default());
    }
    out
}

/// Ten digits at a time, which fit into 64 bits. None where a character is no digit or the number is beyond
/// 256 bits.
fn decode(digits: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut limbs = Zeroizing::new([0_u64; 4]);
    for chunk in digits.chunks(10) {
        let (mut sum, mut base) = (0_u64, 1_u64);
        for digit in chunk {
            sum = sum * 62 + value(*digit)?;
            base *= 62;
        }
        let (mut carry, base) = (u128::from(sum), u128::from(base));
        for limb in limbs.iter_mut().rev() {
            let sum = u128::from(*limb) * base + carry;
            *limb = u64::try_from(sum & u128::from(u64::MAX)).ok()?;
            carry = sum >> 64;
        }
        if carry != 0 {
            return None;
        }
    }
    let mut bits = Zeroizing::new([0_u8; 32]);
    let (chunks, _) = bits.as_chunks_mut::<8>();
    chunks.iter_mut().zip(limbs.iter()).for_each(|(chunk, limb)| *chunk = limb.to_be_bytes());
    Some(bits)
}

#[cfg(test)]
mod tests;
