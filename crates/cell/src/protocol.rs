//! Frames, their bytes, and the fuzzed codec. It never touches a file descriptor.

mod codec;
mod frame;

pub use codec::{Malformed, PART_BYTES_MAX, TooLong};
pub use frame::*;
