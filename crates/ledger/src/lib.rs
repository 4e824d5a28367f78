//! The record of what was decided and done: the event, its one encoding, segments of many, and the event as others
//! read it (OCSF). It never knows where they are stored, never asks for the time, and never lets a field break its
//! line.

mod event;
mod glance;
mod leaf;
mod ocsf;
mod segment;
#[cfg(test)]
mod tests;

pub use event::{Event, Kind};
pub use glance::Group;
pub use leaf::{LEAF_BYTES_MAX, LeafError, leaf_hash};
pub use ocsf::{OCSF_VERSION, Ocsf};
pub use segment::{LEAVES_MAX, SEGMENT_BYTES_MAX, Segment, SegmentError, SegmentFull, SegmentWriter};
