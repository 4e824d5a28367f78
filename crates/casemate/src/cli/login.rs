//! The words of `login` and `session`. It never decides what they mean.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use model::TokenId;

pub(super) const LOGIN: &str = "\
Example:
  casemate login --node https://127.0.0.1:8444 --ca ca.pem --token-file token
  casemate login --oidc                         # in a browser, where the tenant has a login
  casemate login --oidc --device                # in a browser of another machine

The token is read from --token-file, from CASEMATE_TOKEN or from stdin, never from an argument: arguments
are seen by every process of the machine. With --oidc there is none: the session that the node opens is
good with a key alone that lies beside the saved login, and ends after some hours, or with `casemate logout`.";

/// `login`
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Delete the file of `--token-file` once the login is saved
    #[arg(long, requires = "token_file", conflicts_with = "oidc")]
    pub(crate) consume: bool,
    /// Log in at the tenant's provider, in a browser
    #[arg(long)]
    pub(crate) oidc: bool,
    /// Show a code to type in a browser anywhere, and wait
    #[arg(long, requires = "oidc")]
    pub(crate) device: bool,
    /// Print the address to open, and open no browser
    #[arg(long, requires = "oidc")]
    pub(crate) no_browser: bool,
    /// The certificates (PEM) that sign the provider's; without them, the web's authorities count
    #[arg(long, value_name = "FILE", requires = "oidc")]
    pub(crate) provider_ca: Option<PathBuf>,
}

/// `session …`
#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List sessions, without their secrets
    #[command(after_help = "Example:\n  casemate session list")]
    List,
    /// Revoke a session: the next request with it is refused
    #[command(after_help = "Example:\n  casemate session revoke t4x8k2m9q1r7z")]
    Revoke {
        /// The session's id
        id: TokenId,
    },
}
