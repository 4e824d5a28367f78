//! Whether an uploaded component may become a function: its digest, its validity, what it exports and what it
//! imports. It never compiles or runs it, and never reads a file.
//!
//! The only exit is [`Admitted`], which [`admit`] alone makes.

mod admit;
mod imports;
mod outline;
mod refusal;

pub use admit::{Admitted, Finding, admit};
pub use refusal::Refusal;
