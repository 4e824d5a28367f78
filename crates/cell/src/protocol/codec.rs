//! Frames to bytes and back. It never trusts a length, never panics and never allocates more than a frame
//! may be long.
//!
//! `length u32 | kind u8 | run u64 | payload`, little-endian; `length` counts what follows it. The run's
//! field carries the number of a ping, the id of code, or 0, where a frame is about no run. Byte strings
//! are `length u32 | bytes`, but the last field of a body or a log, which goes up to the frame's end.

mod wire;

#[cfg(test)]
mod tests;

use bytes::BytesMut;
use model::limits;

use crate::{
    Walls,
    protocol::{CodeId, RunId, ToNode, ToWorker},
};
use wire::{Reader, Writer};

/// The most that one frame may carry of a body or a log, in bytes: small enough to go beside a request head
/// of its greatest size.
pub const PART_BYTES_MAX: usize = 48 * 1024;

const LENGTH_BYTES: usize = 4;
const HEAD_BYTES: usize = 9;

/// Bytes that are no frame. Whoever sent them is not to be listened to any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The length is below that of an empty frame or above `FRAME_BYTES_MAX`.
    #[error("a frame of {0} bytes")]
    Length(u32),
    /// No frame has this kind.
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    /// A field ends beyond its frame.
    #[error("a field that ends beyond its frame")]
    Short,
    /// Bytes were left over after the last field.
    #[error("{0} bytes after a frame's last field")]
    Trailing(usize),
    /// A field has a value that it cannot have.
    #[error("a {0} that cannot be")]
    Value(&'static str),
}

/// A frame would be longer than `FRAME_BYTES_MAX`, or its head have more lines than `FRAME_HEADERS_MAX`.
/// Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes is too long to be sent, or has too many header lines")]
pub struct TooLong(pub usize);

impl ToWorker {
    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// [`TooLong`]; `out` is as it was then.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let (kind, subject) = match self {
            Self::Load { code, .. } => (1, code.0),
            Self::Unload { code } => (2, code.0),
            Self::Start { run, .. } => (3, run.0),
            Self::Body { run, .. } => (4, run.0),
            Self::Credit { run, .. } => (5, run.0),
            Self::Cancel { run } => (6, run.0),
            Self::CallHead { run, .. } => (7, run.0),
            Self::CallBody { run, .. } => (8, run.0),
            Self::CallFailed { run, .. } => (9, run.0),
            Self::CallCredit { run, .. } => (10, run.0),
            Self::Ping { number } => (11, *number),
        };
        framed(out, kind, subject, |w| self.payload(w))
    }

    fn payload(&self, w: &mut Writer<'_>) {
        match self {
            Self::Load { world, .. } => w.world(*world),
            Self::Start { code, limits, head, body, body_ends, .. } => {
                w.u64(code.0).limits(limits).request_head(head).flag(*body_ends).rest(body)
            }
            Self::Body { bytes, ends, .. } => w.flag(*ends).rest(bytes),
            Self::Credit { bytes, .. } => w.u32(*bytes),
            Self::CallHead { call, head, .. } => w.u32(*call).response_head(head),
            Self::CallBody { call, bytes, ends, .. } => w.u32(*call).flag(*ends).rest(bytes),
            Self::CallFailed { call, why, .. } => w.u32(*call).call_error(*why),
            Self::CallCredit { call, bytes, .. } => w.u32(*call).u32(*bytes),
            Self::Unload { .. } | Self::Cancel { .. } | Self::Ping { .. } => w,
        };
    }

    /// Takes the first frame off `input`, or nothing if it is not all there yet.
    ///
    /// # Errors
    /// [`Malformed`]; what is left of `input` has no meaning then.
    pub fn decode(input: &mut BytesMut) -> Result<Option<Self>, Malformed> {
        let Some((kind, subject, mut r)) = next(input)? else { return Ok(None) };
        let run = RunId(subject);
        let frame = match kind {
            1 => Self::Load { code: CodeId(subject), world: r.world()? },
            2 => Self::Unload { code: CodeId(subject) },
            3 => {
                let (code, limits, head) = (r.code()?, r.limits()?, r.request_head()?);
                let body_ends = r.flag()?;
                Self::Start { run, code, limits, head, body_ends, body: r.rest() }
            }
            4 => Self::Body { run, ends: r.flag()?, bytes: r.rest() },
            5 => Self::Credit { run, bytes: r.u32()? },
            6 => Self::Cancel { run },
            7 => Self::CallHead { run, call: r.u32()?, head: r.response_head()? },
            8 => Self::CallBody { run, call: r.u32()?, ends: r.flag()?, bytes: r.rest() },
            9 => Self::CallFailed { run, call: r.u32()?, why: r.call_error()? },
            10 => Self::CallCredit { run, call: r.u32()?, bytes: r.u32()? },
            11 => Self::Ping { number: subject },
            unknown => return Err(Malformed::Kind(unknown)),
        };
        at_end(&r)?;
        Ok(Some(frame))
    }
}

impl ToNode {
    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// [`TooLong`]; `out` is as it was then.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let (kind, subject) = match self {
            Self::Ready { .. } => (1, 0),
            Self::Loaded { code } => (2, code.0),
            Self::LoadFailed { code, .. } => (3, code.0),
            Self::Head { run, .. } => (4, run.0),
            Self::Body { run, .. } => (5, run.0),
            Self::Credit { run, .. } => (6, run.0),
            Self::Log { run, .. } => (7, run.0),
            Self::Call { run, .. } => (8, run.0),
            Self::CallBody { run, .. } => (9, run.0),
            Self::CallDropped { run, .. } => (10, run.0),
            Self::CallCredit { run, .. } => (11, run.0),
            Self::Done { run, .. } => (12, run.0),
            Self::Pong { number } => (13, *number),
            Self::CallsExhausted { run } => (14, run.0),
            Self::Heavy { run } => (15, run.0),
        };
        framed(out, kind, subject, |w| self.payload(w))
    }

    fn payload(&self, w: &mut Writer<'_>) {
        match self {
            Self::Ready { version, walls } => w.u16(*version).u16(walls.0),
            Self::LoadFailed { why, .. } => w.text(why),
            Self::Head { head, .. } => w.response_head(head),
            Self::Body { bytes, ends, .. } => w.flag(*ends).rest(bytes),
            Self::Credit { bytes, .. } => w.u32(*bytes),
            Self::Log { stream, bytes, .. } => w.stream(*stream).rest(bytes),
            Self::Call { call, head, .. } => w.u32(*call).request_head(head),
            Self::CallBody { call, bytes, ends, .. } => w.u32(*call).flag(*ends).rest(bytes),
            Self::CallDropped { call, .. } => w.u32(*call),
            Self::CallCredit { call, bytes, .. } => w.u32(*call).u32(*bytes),
            Self::Done { usage, fault, .. } => w.usage(usage).fault(fault.as_ref()),
            Self::Loaded { .. } | Self::Pong { .. } | Self::CallsExhausted { .. } | Self::Heavy { .. } => w,
        };
    }

    /// Takes the first frame off `input`, or nothing if it is not all there yet.
    ///
    /// # Errors
    /// [`Malformed`]; what is left of `input` has no meaning then.
    pub fn decode(input: &mut BytesMut) -> Result<Option<Self>, Malformed> {
        let Some((kind, subject, mut r)) = next(input)? else { return Ok(None) };
        let run = RunId(subject);
        let frame = match kind {
            1 if subject != 0 => return Err(Malformed::Value("subject")),
            1 => Self::Ready { version: r.u16()?, walls: Walls(r.u16()?) },
            2 => Self::Loaded { code: CodeId(subject) },
            3 => Self::LoadFailed { code: CodeId(subject), why: r.text()? },
            4 => Self::Head { run, head: r.response_head()? },
            5 => Self::Body { run, ends: r.flag()?, bytes: r.rest() },
            6 => Self::Credit { run, bytes: r.u32()? },
            7 => Self::Log { run, stream: r.stream()?, bytes: r.rest() },
            8 => Self::Call { run, call: r.u32()?, head: r.request_head()? },
            9 => Self::CallBody { run, call: r.u32()?, ends: r.flag()?, bytes: r.rest() },
            10 => Self::CallDropped { run, call: r.u32()? },
            11 => Self::CallCredit { run, call: r.u32()?, bytes: r.u32()? },
            12 => Self::Done { run, usage: r.usage()?, fault: r.fault()? },
            13 => Self::Pong { number: subject },
            14 => Self::CallsExhausted { run },
            15 => Self::Heavy { run },
            unknown => return Err(Malformed::Kind(unknown)),
        };
        at_end(&r)?;
        Ok(Some(frame))
    }
}

/// Appends the frame that [`ToWorker::Start`] stands for, without the copies that it would be made of.
pub(crate) fn encode_start(
    out: &mut BytesMut,
    (run, code): (RunId, CodeId),
    limits: &model::Limits,
    head: &http::request::Parts,
    (body, body_ends): (&[u8], bool),
) -> Result<(), TooLong> {
    framed(out, 3, run.0, |w| {
        w.u64(code.0).limits(limits).request_parts(head).flag(body_ends).rest(body);
    })
}

fn framed(
    out: &mut BytesMut,
    kind: u8,
    subject: u64,
    payload: impl FnOnce(&mut Writer<'_>),
) -> Result<(), TooLong> {
    let start = out.len();
    let mut writer = Writer { out, too_many_lines: false };
    writer.u32(0).u8(kind).u64(subject);
    payload(&mut writer);
    let too_many_lines = writer.too_many_lines;
    let length = out.len() - start - LENGTH_BYTES;
    match u32::try_from(length) {
        Ok(said) if said <= limits::FRAME_BYTES_MAX && !too_many_lines => {
            if let Some(slot) = out.get_mut(start..start + LENGTH_BYTES) {
                slot.copy_from_slice(&said.to_le_bytes());
            }
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(TooLong(length))
        }
    }
}

/// Kind, subject and payload of the first frame, if all of it is there.
fn next(input: &mut BytesMut) -> Result<Option<(u8, u64, Reader)>, Malformed> {
    let Some(said) = input.first_chunk::<LENGTH_BYTES>().map(|b| u32::from_le_bytes(*b)) else {
        return Ok(None);
    };
    let length = usize::try_from(said).map_err(|_| Malformed::Length(said))?;
    if said > limits::FRAME_BYTES_MAX || length < HEAD_BYTES {
        return Err(Malformed::Length(said));
    }
    if input.len() < LENGTH_BYTES + length {
        return Ok(None);
    }
    let mut reader = Reader(input.split_to(LENGTH_BYTES + length).freeze());
    reader.u32()?;
    Ok(Some((reader.u8()?, reader.u64()?, reader)))
}

fn at_end(reader: &Reader) -> Result<(), Malformed> {
    match reader.0.len() {
        0 => Ok(()),
        left => Err(Malformed::Trailing(left)),
    }
}
