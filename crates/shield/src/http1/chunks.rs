//! A body in chunks (RFC 9112 §7.1): its sizes, its ends, its trailers. It never looks at the data.

use model::limits;

use super::{Malformed, is_token};

/// Hex digits of a size: less than 2⁶⁰ bytes, so that no reader's number overflows.
const DIGITS_MAX: u8 = 15;

/// One body under way.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailers: usize,
}

#[derive(Debug, Clone, Copy)]
enum At {
    Size {
        digits: u8,
        size: u64,
    },
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// At the beginning of a trailer, or of the empty line that ends the body.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self { at: At::Size { digits: 0, size: 0 }, extension_bytes: 0, trailer_bytes: 0, trailers: 0 }
    }

    /// How many bytes of a window are of this body, and whether it ends with them. Where a byte is refused, the
    /// ones before it come first.
    pub(super) fn look(&mut self, window: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut done = 0;
        while let Some(byte) = window.get(done).copied() {
            if let At::Data(left) = self.at {
                let here = u64::try_from(window.len() - done).map_or(left, |bytes| bytes.min(left));
                self.at = if here == left { At::DataCr } else { At::Data(left - here) };
                done += usize::try_from(here).unwrap_or(window.len() - done);
                continue;
            }
            match self.next(byte) {
                Ok(at) => self.at = at,
                Err(_) if done > 0 => return Ok((done, false)),
                Err(malformed) => return Err(malformed),
            }
            done += 1;
            if matches!(self.at, At::End) {
                return Ok((done, true));
            }
        }
        Ok((done, false))
    }

    fn next(&mut self, byte: u8) -> Result<At, Malformed> {
        let bad = |what| Err(Malformed::Chunks(what));
        match (self.at, byte) {
            (At::Size { digits, size }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == DIGITS_MAX {
                    return bad("a size that is too long");
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Ok(At::Size { digits: digits + 1, size: size << 4 | u64::from(digit) })
            }
            (At::Size { digits: 1.., size }, b';') => Ok(At::Extension(size)),
            (At::Size { digits: 1.., size } | At::Extension(size), b'\r') => Ok(At::SizeLf(size)),
            (At::Size { .. }, _) => bad("a size that is none"),
            (At::Extension(size), b'\t' | b' '..=b'~') => {
                self.extension_bytes += 1;
                if self.extension_bytes > limits::CHUNK_EXTENSION_BYTES_MAX {
                    return bad("extensions that are too long");
                }
                Ok(At::Extension(size))
            }
            (At::Extension(_), _) => bad("an extension"),
            (At::SizeLf(0), b'\n') => Ok(At::Trailer),
            (At::SizeLf(size), b'\n') => Ok(At::Data(size)),
            (At::SizeLf(_), _) => bad("a size without its line's end"),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size { digits: 0, size: 0 }),
            (At::DataCr | At::DataLf, _) => bad("data that is not as long as it says"),
            (At::EndLf, b'\n') => Ok(At::End),
            (At::Data(_) | At::End | At::EndLf, _) => bad("its end"),
            (At::Trailer, b'\r') => Ok(At::EndLf),
            _ => self.trailer(byte),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<At, Malformed> {
        self.trailer_bytes += 1;
        if matches!(self.at, At::Trailer) {
            self.trailers += 1;
        }
        if self.trailer_bytes > limits::TRAILER_BYTES_MAX || self.trailers > limits::TRAILERS_MAX {
            return Err(Malformed::Chunks("trailers that are too many or too long"));
        }
        match (self.at, byte) {
            (At::Trailer | At::TrailerName, _) if is_token(byte) => Ok(At::TrailerName),
            (At::TrailerName, b':') => Ok(At::TrailerValue),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Ok(At::TrailerValue),
            (At::TrailerLf, b'\n') => Ok(At::Trailer),
            _ => Err(Malformed::Chunks("a trailer")),
        }
    }
}
