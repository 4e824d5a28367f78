//! How the command line ends: exit codes that scripts can trust, and errors that say what to do next. It
//! never prints.

use std::{fmt, process::ExitCode};

/// Why the program ended, as its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The node refused or failed, or something on this machine did.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The node cannot be reached, or it is not the one whose certificate is trusted.
    Unreachable = 3,
    /// No credential, or one that does not hold.
    Unauthenticated = 4,
    /// A policy refuses it.
    Forbidden = 5,
    /// `invoke`: the function answered with an error, or was stopped.
    FunctionFailed = 6,
    /// A manifest or a configuration is wrong, or a build or a test failed.
    Invalid = 7,
    /// `up`: the node cannot start here: a wrong key, a missing wall, a port in use.
    NotStarted = 8,
}

/// What went wrong and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) next: Option<String>,
    /// The node's code for it.
    pub(crate) code: Option<String>,
    /// The node's id of the request.
    pub(crate) request_id: Option<String>,
}

impl Failure {
    /// Something that did not work out, without advice yet.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), next: None, code: None, request_id: None }
    }

    /// Says what to do next.
    pub(crate) fn next(mut self, next: impl fmt::Display) -> Self {
        self.next = Some(next.to_string());
        self
    }

    /// A file or folder that could not be read or written.
    pub(crate) fn file(verb: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(Exit::Failed, format!("cannot {verb} `{}`: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
