//! Frames, their bytes, and the fuzzed codec. It never touches a file descriptor.

mod frame;

pub use frame::*;
