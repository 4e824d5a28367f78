//! Detection of SQL injection and cross-site scripting as libinjection answers it; what the answer leads to is never
//! decided here.
//!
//! Both are ports of libinjection 3.9.2, the version within ModSecurity 3.0; `tests/libinjection.rs` holds them to its
//! answers.

mod sqli;
#[cfg(test)]
mod tests;
mod xss;

/// What libinjection calls the fingerprint: up to five letters, one for each token left after folding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    letters: [u8; 8],
    length: usize,
}

impl Fingerprint {
    /// The letters, such as `s&1c`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.letters.get(..self.length).unwrap_or_default()
    }
}

/// The fingerprint, where libinjection takes the input for SQL injection.
#[must_use]
pub fn sqli(input: &[u8]) -> Option<Fingerprint> {
    if is_one_token(input) {
        return None;
    }
    sqli::detect(input).map(|(letters, length)| Fingerprint { letters, length })
}

/// A word or a number: one token of SQL, and each fingerprint of an attack has two or more.
fn is_one_token(input: &[u8]) -> bool {
    let rest = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match input.first() {
        Some(first) if first.is_ascii_alphabetic() => input.iter().all(rest),
        _ => input.iter().all(u8::is_ascii_digit),
    }
}

/// Whether libinjection takes the input for cross-site scripting.
#[must_use]
pub fn xss(input: &[u8]) -> bool {
    input.iter().any(|byte| XSS_BYTES.contains(byte)) && xss::detect(input)
}

/// A text that holds none of these is no cross-site scripting: tags, comments and document types begin with `<`, and an
/// attribute only counts with its value, which needs `=` in each of the five contexts that are tried.
pub(crate) const XSS_BYTES: [u8; 2] = [b'<', b'='];
