//! The record of what was decided and done: the event, its one encoding, and segments of many. It never
//! knows where they are stored, never asks for the time, and never lets a field break its line.

mod event;
mod leaf;
mod segment;
#[cfg(test)]
mod tests;

pub use event::{Event, Kind};
pub use leaf::{LEAF_BYTES_MAX, LeafError, leaf_hash};
pub use segment::{LEAVES_MAX, SEGMENT_BYTES_MAX, Segment, SegmentError, SegmentFull, SegmentWriter};
