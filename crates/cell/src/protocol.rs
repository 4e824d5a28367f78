//! Frames, their bytes, and the fuzzed codec. It never touches a file descriptor.

mod codec;
mod frame;
mod numbers;

pub(crate) use codec::encode_start;
pub use codec::{Malformed, PART_BYTES_MAX, TooLong};
pub use frame::*;
pub(crate) use numbers::Numbered;
