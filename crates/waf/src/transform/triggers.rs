//! Which bytes a transformation needs to find before it can change anything; it never looks at a value.

use super::Transformation;

/// The bytes that a transformation can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triggers {
    /// Where the input holds none of these bytes, the output is the input.
    Bytes(ByteSet),
    /// Where neither the first nor the last byte is one of these, the output is the input.
    Ends(ByteSet),
    /// Any input may change.
    Always,
}

/// A set of byte values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// The set of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        bytes.iter().copied().collect()
    }

    /// Adds a byte.
    pub fn insert(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    /// The set with one byte more.
    #[must_use]
    pub fn with(mut self, byte: u8) -> Self {
        self.insert(byte);
        self
    }

    /// Whether `byte` is in the set.
    #[must_use]
    pub fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }

    /// Whether both have a byte in common.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(left, right)| left & right != 0)
    }

    /// The set of all bytes between two, both included.
    fn range(first: u8, last: u8) -> Self {
        (first..=last).fold(Self::default(), Self::with)
    }

    /// What either holds.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (left, right) in self.0.iter_mut().zip(&other.0) {
            *left |= right;
        }
        self
    }
}

impl FromIterator<u8> for ByteSet {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        let mut set = Self::default();
        for byte in bytes {
            set.insert(byte);
        }
        set
    }
}

const SPACES: &[u8] = b" \t\n\x0b\x0c\r";

impl Transformation {
    /// The bytes without which [`Self::apply`] changes nothing.
    #[must_use]
    pub fn triggers(self) -> Triggers {
        let capitals = ByteSet::range(b'A', b'Z');
        let bytes = match self {
            Self::CmdLine => ByteSet::of(b"\"'\\^ ,;\t\r\n").union(&capitals),
            Self::CompressWhitespace => ByteSet::of(SPACES),
            Self::CssDecode | Self::EscapeSeqDecode | Self::JsDecode => ByteSet::of(b"\\"),
            Self::HtmlEntityDecode => ByteSet::of(b"&"),
            Self::Lowercase => capitals,
            Self::NormalisePath => ByteSet::of(b"/."),
            Self::NormalisePathWin => ByteSet::of(b"/.\\"),
            Self::ParityZero7bit => ByteSet::range(0x80, 0xff),
            Self::RemoveComments => ByteSet::of(b"/<-#"),
            Self::RemoveCommentsChar => ByteSet::of(b"/*<-#"),
            Self::RemoveNulls | Self::ReplaceNulls => ByteSet::of(b"\0"),
            Self::RemoveWhitespace => ByteSet::of(SPACES).with(0xa0).with(0xc2),
            Self::ReplaceComments => ByteSet::of(b"/"),
            Self::SqlHexDecode => ByteSet::of(b"xX"),
            Self::Trim | Self::TrimLeft | Self::TrimRight => return Triggers::Ends(ByteSet::of(SPACES)),
            Self::Uppercase => ByteSet::range(b'a', b'z'),
            Self::UrlDecode | Self::UrlDecodeUni => ByteSet::of(b"%+"),
            Self::Utf8ToUnicode => ByteSet::range(0x80, 0xff).with(0),
            Self::Base64Decode
            | Self::Base64DecodeExt
            | Self::Base64Encode
            | Self::HexDecode
            | Self::HexEncode
            | Self::Length
            | Self::Md5
            | Self::ParityEven7bit
            | Self::ParityOdd7bit
            | Self::Sha1
            | Self::UrlEncode => return Triggers::Always,
        };
        Triggers::Bytes(bytes)
    }
}
