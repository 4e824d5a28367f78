//! The transformations of SecLang, each a pure function of bytes; which rule asks for which is never known here.

use std::borrow::Cow;

/// One transformation of the ModSecurity reference manual. `t:none` is none: it empties the list that stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transformation {
    /// `lowercase`
    Lowercase,
}

/// The bytes that a transformation can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triggers {
    /// Where the input holds none of these bytes, the output is the input.
    Bytes(ByteSet),
    /// Any input may change.
    Always,
}

/// A set of byte values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// Whether `byte` is in the set.
    #[must_use]
    pub fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }
}

impl Transformation {
    /// The transformation of that name, in any case.
    #[must_use]
    pub fn parse(_name: &str) -> Option<Self> {
        None
    }

    /// What the input becomes: borrowed where nothing changed.
    #[must_use]
    pub fn apply(self, input: &[u8]) -> Cow<'_, [u8]> {
        Cow::Borrowed(input)
    }

    /// The bytes without which [`Self::apply`] changes nothing.
    #[must_use]
    pub fn triggers(self) -> Triggers {
        Triggers::Always
    }
}
