//! Packed bodies unpacked within a bound: a few bytes never become more than it, whatever their headers claim.

use std::io::Read;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{BodyError, Bounds};

/// Encodings that one body may have on top of each other.
const LAYERS_MAX: usize = 3;

/// What a body of that `Content-Encoding` (one or more, by commas, the last applied last) unpacks to. `identity` and an
/// empty one leave it as it is.
///
/// # Errors
/// An encoding that is not known, a stream that is broken, ends early or has something behind it, or more bytes than
/// `bytes_max`.
pub fn decompress(encoding: &[u8], input: &[u8], bounds: &Bounds) -> Result<Vec<u8>, BodyError> {
    let layers: Vec<&[u8]> = encoding
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"))
        .collect();
    if layers.len() > LAYERS_MAX {
        return Err(BodyError::TooDeep { max: LAYERS_MAX });
    }
    let mut body = None;
    for name in layers.iter().rev() {
        let packed = body.as_deref().unwrap_or(input);
        body = Some(layer(name, packed, bounds.bytes_max)?);
    }
    match body {
        Some(body) => Ok(body),
        None if input.len() > bounds.bytes_max => Err(BodyError::TooLong { max: bounds.bytes_max }),
        None => Ok(input.to_vec()),
    }
}

/// One encoding.
fn layer(name: &[u8], packed: &[u8], max: usize) -> Result<Vec<u8>, BodyError> {
    match name.to_ascii_lowercase().as_slice() {
        b"gzip" | b"x-gzip" => read("gzip", flate2::bufread::MultiGzDecoder::new(packed), max),
        // RFC 9110 §8.4.1.2 means zlib; some clients send bare deflate, which servers take too.
        b"deflate" if is_zlib(packed) => {
            let mut rest = packed;
            let body = read("deflate", flate2::bufread::ZlibDecoder::new(&mut rest), max)?;
            nothing_behind("deflate", rest, packed.len(), body)
        }
        b"deflate" => {
            let mut rest = packed;
            let body = read("deflate", flate2::bufread::DeflateDecoder::new(&mut rest), max)?;
            nothing_behind("deflate", rest, packed.len(), body)
        }
        b"br" => brotli(packed, max),
        b"zstd" => {
            let mut rest = packed;
            let decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest)
                .map_err(|_| malformed("zstd", "no frame of zstd", 0))?;
            let body = read("zstd", decoder, max)?;
            nothing_behind("zstd", rest, packed.len(), body)
        }
        _ => {
            let name: String = String::from_utf8_lossy(name).chars().take(64).collect();
            Err(BodyError::UnknownEncoding { name })
        }
    }
}

/// Brotli (RFC 7932), by the stream's own interface, which alone tells where the stream ends.
fn brotli(packed: &[u8], max: usize) -> Result<Vec<u8>, BodyError> {
    let heap = StandardAlloc::default;
    let mut state = BrotliState::new(heap(), heap(), heap());
    let mut body = Vec::new();
    let mut block = [0_u8; 8192];
    let (mut left, mut at, mut total) = (packed.len(), 0, 0);
    loop {
        let (mut room, mut written) = (block.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut at,
            packed,
            &mut room,
            &mut written,
            &mut block,
            &mut total,
            &mut state,
        );
        body.extend_from_slice(block.get(..written).unwrap_or_default());
        if body.len() > max {
            return Err(BodyError::TooLong { max });
        }
        match result {
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultSuccess => {
                return nothing_behind("br", packed.get(at..).unwrap_or_default(), packed.len(), body);
            }
            BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => {
                return Err(malformed("br", "the stream is broken or ends early", at));
            }
        }
    }
}

/// Whether the first two bytes are a header of zlib (RFC 1950 §2.2).
fn is_zlib(packed: &[u8]) -> bool {
    matches!(packed, [method, flags, ..]
        if method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)).is_multiple_of(31))
}

/// All that a decoder gives, but one byte over the bound at most.
fn read(format: &'static str, decoder: impl Read, max: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .take(limit)
        .read_to_end(&mut body)
        .map_err(|_| malformed(format, "the stream is broken or ends early", 0))?;
    if body.len() > max { Err(BodyError::TooLong { max }) } else { Ok(body) }
}

/// The body, if its stream was all there was.
fn nothing_behind(
    format: &'static str,
    rest: &[u8],
    packed_bytes: usize,
    body: Vec<u8>,
) -> Result<Vec<u8>, BodyError> {
    if rest.is_empty() {
        return Ok(body);
    }
    Err(malformed(format, "something stands behind the stream", packed_bytes.saturating_sub(rest.len())))
}

fn malformed(format: &'static str, reason: &'static str, offset: usize) -> BodyError {
    BodyError::Malformed { format, reason, offset }
}
