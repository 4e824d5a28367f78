//! Detection of SQL injection and cross-site scripting as libinjection answers it; what the answer leads to is never
//! decided here.
//!
//! The answers are those of `libinjectionrs`, a port of libinjection 3.9.2 in safe Rust, which is only asked where a cheap
//! look at the text cannot rule an injection out.

#[cfg(test)]
mod tests;
mod words;

/// What libinjection calls the fingerprint: up to eight letters, one for each token left after folding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    letters: [u8; 8],
    length: u8,
}

impl Fingerprint {
    fn new(letters: &[u8]) -> Self {
        let mut fingerprint = Self { letters: [0; 8], length: 0 };
        for (place, letter) in
            fingerprint.letters.iter_mut().zip(letters.iter().take_while(|letter| **letter != 0))
        {
            *place = *letter;
            fingerprint.length += 1;
        }
        fingerprint
    }

    /// The letters, such as `s&1c`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.letters.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// The fingerprint, where libinjection takes the input for SQL injection.
#[must_use]
pub fn sqli(input: &[u8]) -> Option<Fingerprint> {
    if is_plain(input) {
        return None;
    }
    let found = libinjectionrs::detect_sqli(input);
    found
        .is_injection()
        .then(|| Fingerprint::new(found.fingerprint.as_ref().map_or(&[], |letters| letters.as_bytes())))
}

/// Whether libinjection takes the input for cross-site scripting.
#[must_use]
pub fn xss(input: &[u8]) -> bool {
    input.iter().any(|byte| XSS_BYTES.contains(byte)) && libinjectionrs::detect_xss(input).is_injection()
}

/// A text that holds none of these is no cross-site scripting: tags, comments and document types begin with `<`, and an
/// attribute only counts with its value, which needs `=` in each of the five contexts that are tried.
pub(crate) const XSS_BYTES: [u8; 2] = [b'<', b'='];

/// Whether a text is made of names, numbers, functions without arguments, commas, dots and arithmetic alone. None of the
/// 8,367 fingerprints is made of such tokens only, so that no such text is SQL injection; nor can folding or a second
/// reading within quotes make others of them, for there are no brackets and no quotes.
fn is_plain(input: &[u8]) -> bool {
    let mut rest = input.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b'.' | b'+' => {}
            // `--` and `/*` begin comments.
            b'-' if rest.peek() != Some(&b'-') => {}
            b'/' if rest.peek().is_none_or(|next| !matches!(next, b'*' | b'/')) => {}
            b'0'..=b'9' => {
                while rest.next_if(u8::is_ascii_digit).is_some() {}
                // `1e5`, `0x1f`, `1union`: numbers with letters are read in ways of their own.
                if rest.peek().is_some_and(|next| is_word(*next)) {
                    return false;
                }
            }
            _ if is_word(byte) => {
                let mut hash = hashed(0, byte);
                while let Some(next) = rest.next_if(|next| is_word(*next)) {
                    hash = hashed(hash, next);
                }
                if WORDS_SEEN.has(hash) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

/// Letters, digits, `_` and what is not ASCII, but for 0xA0, which is white space to libinjection.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || (byte >= 0x80 && byte != 0xa0)
}

const fn hashed(hash: u32, byte: u8) -> u32 {
    (hash ^ byte.to_ascii_uppercase() as u32).wrapping_mul(0x9e37_79b1).rotate_left(5)
}

/// Which hashes a word of the table has. A word that is in none is in no list; one that is may be in none either, which
/// costs a full look.
struct Seen([u64; 512]);

static WORDS_SEEN: Seen = Seen::new();

impl Seen {
    #[expect(
        clippy::indexing_slicing,
        reason = "worked out by the compiler, which refuses what is out of bounds"
    )]
    const fn new() -> Self {
        let mut bits = [0; 512];
        let mut at = 0;
        while at < words::WORDS.len() {
            let word = words::WORDS[at].as_bytes();
            let (mut hash, mut letter) = (0, 0);
            while letter < word.len() {
                hash = hashed(hash, word[letter]);
                letter += 1;
            }
            let bit = hash as usize % (512 * 64);
            bits[bit / 64] |= 1 << (bit % 64);
            at += 1;
        }
        Self(bits)
    }

    fn has(&self, hash: u32) -> bool {
        let bit = usize::try_from(hash).unwrap_or(0) % (512 * 64);
        self.0.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }
}
