//! Detection of SQL injection and cross-site scripting as libinjection answers it; what the answer leads to is never
//! decided here.
//!
//! The answers are those of `libinjectionrs`, a port of libinjection 3.9.2 in safe Rust.

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
    let found = libinjectionrs::detect_sqli(input);
    found
        .is_injection()
        .then(|| Fingerprint::new(found.fingerprint.as_ref().map_or(&[], |letters| letters.as_bytes())))
}

/// Whether libinjection takes the input for cross-site scripting.
#[must_use]
pub fn xss(input: &[u8]) -> bool {
    libinjectionrs::detect_xss(input).is_injection()
}
