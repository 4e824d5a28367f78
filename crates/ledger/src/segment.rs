//! Many leaves in one value: what the writer of the ledger stores at once. It never interprets a leaf unless
//! asked to.

use bytes::{Buf, Bytes};

use crate::{Event, LEAF_BYTES_MAX, LeafError};

/// No segment is longer, in bytes: it fits one value of the store.
pub const SEGMENT_BYTES_MAX: usize = 4 << 20;
/// No segment holds more leaves.
pub const LEAVES_MAX: usize = 65_536;

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 1 + 8 + 4;

/// The segment takes no more; finish it and start the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the segment is full")]
pub struct SegmentFull;

/// Bytes that are not a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Its first byte is no format that this version reads.
    #[error("the segment has an unknown format")]
    Format,
    /// It ends before its leaves do.
    #[error("the segment is cut short")]
    Short,
    /// There is more after the last leaf.
    #[error("the segment has bytes after its last leaf")]
    Trailing,
    /// Longer, or with more or longer leaves, than any that is written; or its numbers run out.
    #[error("the segment is beyond its bounds")]
    Bounds,
    /// A leaf is no event.
    #[error("record {sequence}: {error}")]
    Leaf {
        /// The leaf's sequence number.
        sequence: u64,
        /// What is wrong with it.
        error: LeafError,
    },
    /// A leaf does not have the number of its place.
    #[error("record {0} has another number than its place")]
    Sequence(u64),
}

/// Encodes events into a segment, one after another.
#[derive(Debug)]
pub struct SegmentWriter {
    buffer: Vec<u8>,
    first: u64,
    count: u32,
}

impl SegmentWriter {
    /// An empty segment whose first event will have the number `first`.
    pub fn new(first: u64) -> Self {
        let mut buffer = Vec::with_capacity(16 << 10);
        buffer.push(FORMAT);
        buffer.extend_from_slice(&first.to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        Self { buffer, first, count: 0 }
    }

    /// Appends an event under the next number, which is the answer.
    ///
    /// # Errors
    /// [`SegmentFull`] if it does not fit; the segment is then as it was.
    pub fn push(&mut self, event: &Event) -> Result<u64, SegmentFull> {
        let sequence = self.next();
        let start = self.buffer.len();
        if self.count as usize >= LEAVES_MAX || sequence == u64::MAX {
            return Err(SegmentFull);
        }
        self.buffer.extend_from_slice(&[0; 4]);
        event.encode(sequence, &mut self.buffer);
        let length = u32::try_from(self.buffer.len() - start - 4).unwrap_or(u32::MAX).to_le_bytes();
        if self.buffer.len() > SEGMENT_BYTES_MAX {
            self.buffer.truncate(start);
            return Err(SegmentFull);
        }
        patch(&mut self.buffer, start, length);
        self.count += 1;
        Ok(sequence)
    }

    /// The number that the next event gets.
    pub fn next(&self) -> u64 {
        self.first.saturating_add(self.count.into())
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The segment's bytes.
    pub fn finish(mut self) -> Bytes {
        let count = self.count.to_le_bytes();
        patch(&mut self.buffer, HEAD_BYTES - 4, count);
        self.buffer.into()
    }
}

fn patch(buffer: &mut [u8], at: usize, bytes: [u8; 4]) {
    if let Some(slot) = buffer.get_mut(at..at + 4) {
        slot.copy_from_slice(&bytes);
    }
}

/// A segment that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    first: u64,
    leaves: Vec<Bytes>,
}

impl Segment {
    /// Reads what [`SegmentWriter::finish`] gave; the leaves share its bytes and are not interpreted.
    ///
    /// # Errors
    /// [`SegmentError`] for any other bytes.
    pub fn decode(mut bytes: Bytes) -> Result<Self, SegmentError> {
        if bytes.len() > SEGMENT_BYTES_MAX {
            return Err(SegmentError::Bounds);
        }
        if bytes.first() != Some(&FORMAT) {
            return Err(SegmentError::Format);
        }
        if bytes.len() < HEAD_BYTES {
            return Err(SegmentError::Short);
        }
        bytes.advance(1);
        let (first, count) = (bytes.get_u64_le(), bytes.get_u32_le());
        if count as usize > LEAVES_MAX || first.checked_add(count.into()).is_none() {
            return Err(SegmentError::Bounds);
        }
        // Each leaf takes four bytes at least, so that a count alone cannot ask for memory.
        let mut leaves = Vec::with_capacity((count as usize).min(bytes.len() / 4));
        for _ in 0..count {
            let length = bytes.try_get_u32_le().map_err(|_| SegmentError::Short)? as usize;
            if length > LEAF_BYTES_MAX {
                return Err(SegmentError::Bounds);
            }
            if length > bytes.len() {
                return Err(SegmentError::Short);
            }
            leaves.push(bytes.split_to(length));
        }
        if bytes.is_empty() { Ok(Self { first, leaves }) } else { Err(SegmentError::Trailing) }
    }

    /// The number of its first leaf.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Its leaves in order.
    pub fn leaves(&self) -> &[Bytes] {
        &self.leaves
    }

    /// Its events with their numbers, in order; reversible for "newest first".
    pub fn events(&self) -> impl DoubleEndedIterator<Item = Result<(u64, Event), SegmentError>> + '_ {
        let count = self.leaves.len() as u64;
        let numbered = (self.first..self.first.saturating_add(count)).zip(&self.leaves);
        // A zip of two is only reversible when both know their length, which a range of `u64` does not.
        let numbered: Vec<(u64, &Bytes)> = numbered.collect();
        numbered.into_iter().map(|(sequence, leaf)| match Event::decode(leaf) {
            Ok((found, event)) if found == sequence => Ok((sequence, event)),
            Ok(_) => Err(SegmentError::Sequence(sequence)),
            Err(error) => Err(SegmentError::Leaf { sequence, error }),
        })
    }
}
