//! The transformations of SecLang, each a pure function of bytes; which rule asks for which is never known here.
//!
//! They follow ModSecurity's reference manual and its C sources (3.0), with the exceptions that `docs/waf.md` lists.

mod code_page;
mod comments;
mod css;
mod decode;
mod digest;
mod encode;
pub(crate) mod hex;
mod path;
#[cfg(test)]
mod tests;
mod text;
mod triggers;

use std::borrow::Cow;

pub use triggers::{ByteSet, Triggers};

/// One transformation of the ModSecurity reference manual. `t:none` is none: it empties the list that stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named as in the reference manual; `NAMES` below has both spellings")]
pub enum Transformation {
    Base64Decode,
    Base64DecodeExt,
    Base64Encode,
    CmdLine,
    CompressWhitespace,
    CssDecode,
    EscapeSeqDecode,
    HexDecode,
    HexEncode,
    HtmlEntityDecode,
    JsDecode,
    Length,
    Lowercase,
    Md5,
    NormalisePath,
    NormalisePathWin,
    ParityEven7bit,
    ParityOdd7bit,
    ParityZero7bit,
    RemoveComments,
    RemoveCommentsChar,
    RemoveNulls,
    RemoveWhitespace,
    ReplaceComments,
    ReplaceNulls,
    Sha1,
    SqlHexDecode,
    Trim,
    TrimLeft,
    TrimRight,
    Uppercase,
    UrlDecode,
    UrlDecodeUni,
    UrlEncode,
    Utf8ToUnicode,
}

/// Each transformation with its name; the first name of each is the one that the manual prefers.
const NAMES: [(&str, Transformation); 37] = [
    ("base64Decode", Transformation::Base64Decode),
    ("base64DecodeExt", Transformation::Base64DecodeExt),
    ("base64Encode", Transformation::Base64Encode),
    ("cmdLine", Transformation::CmdLine),
    ("compressWhitespace", Transformation::CompressWhitespace),
    ("cssDecode", Transformation::CssDecode),
    ("escapeSeqDecode", Transformation::EscapeSeqDecode),
    ("hexDecode", Transformation::HexDecode),
    ("hexEncode", Transformation::HexEncode),
    ("htmlEntityDecode", Transformation::HtmlEntityDecode),
    ("jsDecode", Transformation::JsDecode),
    ("length", Transformation::Length),
    ("lowercase", Transformation::Lowercase),
    ("md5", Transformation::Md5),
    ("normalisePath", Transformation::NormalisePath),
    ("normalizePath", Transformation::NormalisePath),
    ("normalisePathWin", Transformation::NormalisePathWin),
    ("normalizePathWin", Transformation::NormalisePathWin),
    ("parityEven7bit", Transformation::ParityEven7bit),
    ("parityOdd7bit", Transformation::ParityOdd7bit),
    ("parityZero7bit", Transformation::ParityZero7bit),
    ("removeComments", Transformation::RemoveComments),
    ("removeCommentsChar", Transformation::RemoveCommentsChar),
    ("removeNulls", Transformation::RemoveNulls),
    ("removeWhitespace", Transformation::RemoveWhitespace),
    ("replaceComments", Transformation::ReplaceComments),
    ("replaceNulls", Transformation::ReplaceNulls),
    ("sha1", Transformation::Sha1),
    ("sqlHexDecode", Transformation::SqlHexDecode),
    ("trim", Transformation::Trim),
    ("trimLeft", Transformation::TrimLeft),
    ("trimRight", Transformation::TrimRight),
    ("uppercase", Transformation::Uppercase),
    ("urlDecode", Transformation::UrlDecode),
    ("urlDecodeUni", Transformation::UrlDecodeUni),
    ("urlEncode", Transformation::UrlEncode),
    ("utf8toUnicode", Transformation::Utf8ToUnicode),
];

impl Transformation {
    /// The transformation of that name, in any case, without the `t:`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, transformation)| *transformation)
    }

    /// Every transformation, once.
    pub fn all() -> impl Iterator<Item = Self> {
        let mut last = None;
        NAMES.iter().filter_map(move |(_, each)| (last.replace(*each) != Some(*each)).then_some(*each))
    }

    /// The name that the manual prefers.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, each)| *each == self).map_or("", |(name, _)| *name)
    }

    /// What the input becomes: borrowed where nothing changed or only ends fell away, and never longer than
    /// [`Self::bytes_max`] says.
    #[must_use]
    pub fn apply(self, input: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Base64Decode => decode::base64(input),
            Self::Base64DecodeExt => decode::base64_forgiving(input),
            Self::Base64Encode => encode::base64(input),
            Self::CmdLine => text::command_line(input),
            Self::CompressWhitespace => text::compress_whitespace(input),
            Self::CssDecode => css::decode(input),
            Self::EscapeSeqDecode => decode::escape_sequences(input),
            Self::HexDecode => decode::hexadecimal(input),
            Self::HexEncode => encode::hexadecimal(input),
            Self::HtmlEntityDecode => decode::html_entities(input),
            Self::JsDecode => decode::javascript(input),
            Self::Length => Cow::Owned(input.len().to_string().into_bytes()),
            Self::Lowercase => text::lowercase(input),
            Self::Md5 => Cow::Owned(digest::md5(input)),
            Self::NormalisePath => path::normalise(input, false),
            Self::NormalisePathWin => path::normalise(input, true),
            Self::ParityEven7bit => text::parity(input, text::Parity::Even),
            Self::ParityOdd7bit => text::parity(input, text::Parity::Odd),
            Self::ParityZero7bit => text::parity(input, text::Parity::Zero),
            Self::RemoveComments => comments::remove(input),
            Self::RemoveCommentsChar => comments::remove_marks(input),
            Self::RemoveNulls => text::remove_nulls(input),
            Self::RemoveWhitespace => text::remove_whitespace(input),
            Self::ReplaceComments => comments::replace(input),
            Self::ReplaceNulls => text::replace_nulls(input),
            Self::Sha1 => Cow::Owned(digest::sha1(input)),
            Self::SqlHexDecode => decode::sql_hexadecimal(input),
            Self::Trim => Cow::Borrowed(text::trim_left(text::trim_right(input))),
            Self::TrimLeft => Cow::Borrowed(text::trim_left(input)),
            Self::TrimRight => Cow::Borrowed(text::trim_right(input)),
            Self::Uppercase => text::uppercase(input),
            Self::UrlDecode => decode::url(input),
            Self::UrlDecodeUni => decode::url_unicode(input),
            Self::UrlEncode => encode::url(input),
            Self::Utf8ToUnicode => encode::utf8_to_unicode(input),
        }
    }

    /// The most bytes that come of `length` bytes.
    #[must_use]
    pub fn bytes_max(self, length: usize) -> usize {
        match self {
            Self::Base64Encode => length.div_ceil(3).saturating_mul(4),
            Self::HexEncode => length.saturating_mul(2),
            Self::Length => 20,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::UrlEncode => length.saturating_mul(3),
            // An overlong sequence of two bytes becomes `%u` with four digits and its first byte.
            Self::Utf8ToUnicode => length.saturating_mul(4),
            // `\0` becomes the three bytes of U+FFFD.
            Self::CssDecode => length.saturating_mul(2),
            _ => length,
        }
    }
}

/// What was made, unless it is what came in.
fn settle(input: &[u8], made: Vec<u8>) -> Cow<'_, [u8]> {
    if made == input { Cow::Borrowed(input) } else { Cow::Owned(made) }
}
