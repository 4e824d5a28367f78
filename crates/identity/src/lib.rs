//! Who asks: credentials in, a [`Caller`] out. It never opens a socket or a store, reads a clock, or decides
//! what a caller may do.
//!
//! The only exit is [`Caller`], which [`identify`] alone makes.

mod book;
mod caller;
mod credentials;
mod record;
mod secret;

pub use book::TokenBook;
pub use caller::{Caller, Refusal, identify};
pub use credentials::Credentials;
pub use record::{Issue, IssueError, Issuer, TokenRecord, covers};
pub use secret::{TOKEN_PATTERN, TokenError, TokenSecret};
