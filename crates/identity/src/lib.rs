//! Who asks: credentials in, a [`Caller`] or a [`Proved`] out. It never opens a socket or a store, reads a clock,
//! or decides what a caller may do.
//!
//! Its exits are [`Caller`], which [`identify`] makes of this node's own tokens and [`Identity::identify`] of
//! every kind of credential that an [`IdentityConfig`] names, and [`Proved`], which says by what proof. A function
//! that calls another is a [`Caller`] too, made by [`Functions`] of the proof of who called it.

mod accept;
mod book;
mod bounds;
mod cache;
mod caller;
mod certificate;
mod chain;
mod config;
mod credentials;
mod encoding;
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod jose;
mod proved;
mod raw;
mod reason;
mod record;
mod replay;
mod request;
mod secret;
mod session;
mod signature;
#[cfg(test)]
mod testing;
mod uri;
mod webhook;

pub use accept::Accept;
pub use book::TokenBook;
pub use caller::{Caller, Refusal, identify};
pub use chain::{Chain, Functions, Link, NoCall, Running, TrustDomainError};
pub use config::{
    CertificateConfig, ClaimPath, ClaimsConfig, ConfigError, ControlConfig, DocumentError, DpopConfig, Files,
    Flow, GrantConfig, IdentityConfig, IssuerConfig, LoginConfig, Secret, SignatureConfig, TokensConfig,
    WebhookConfig,
};
pub use credentials::{Credentials, presented};
pub use identity::{Identity, LoggedIn, LoginAsked, Offer, Proves, Trusted, login_nonce};
pub use jose::jwk::{Algorithm, JwkError, KeySet};
pub use proved::{Bound, ProofKind, Proved};
pub use raw::{RawError, RawRequest};
pub use reason::{Nobody, Reason};
pub use record::{Issue, IssueError, Issuer, TokenRecord, covers, holds};
pub use request::Request;
pub use secret::{TOKEN_PATTERN, TokenError, TokenSecret};
pub use session::{PresentedSession, SessionBook, SessionEntry, SessionRecord};
pub use signature::MessageAlgorithm;
pub use webhook::WebhookScheme;
