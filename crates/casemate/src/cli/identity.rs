//! The words of `identity`. It never decides what they mean.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use model::Timestamp;

use super::parse_time;

pub(super) const IDENTITY: &str = "\
Example:
  casemate identity check --config identity.toml --at 2026-12-31T00:00:00Z < request.http

The request is as it is sent: request line, headers, an empty line, the body. Lines may end in LF.";

/// `identity …`
#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    /// Accept what a file names from the next request on, in place of what was accepted before
    #[command(after_help = "Example:\n  casemate identity set identity.toml")]
    Set {
        /// What is accepted, as docs/identity.md has it; what its `…_file` keys point to is sent along
        file: PathBuf,
    },
    /// Show what is accepted, without secrets
    #[command(after_help = "Example:\n  casemate identity show")]
    Show,
    /// Check one request, read from stdin, against a configuration of what is accepted
    #[command(after_help = IDENTITY)]
    Check(IdentityCheck),
}

/// `identity check`
#[derive(Debug, Args)]
pub(crate) struct IdentityCheck {
    /// What is accepted, as docs/identity.md has it; paths in it count from its folder
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The time to check at, RFC 3339; now where it is absent
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) at: Option<Timestamp>,
    /// The client's certificate (PEM), as if TLS had proved its chain and its key
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// The request; stdin where it is absent
    #[arg(value_name = "REQUEST")]
    pub(crate) request: Option<PathBuf>,
}
