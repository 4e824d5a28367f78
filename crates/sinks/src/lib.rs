//! Where events go: a file, a receiver of syslog over TLS, a receiver of HTTP. It never reads the record, never
//! chooses which events go, and never remembers how far it came: `platform` does.

mod file;
mod http;
mod syslog;

pub use file::{FileConfig, FileSink};
pub use http::{Format, HttpConfig, HttpSink};
pub use syslog::{SyslogConfig, SyslogSink};

/// A sink cannot be set up. The operator's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(pub(crate) String);

impl From<egress::SetupError> for SetupError {
    fn from(error: egress::SetupError) -> Self {
        Self(error.to_string())
    }
}

/// Later, with no time named.
fn later(why: impl std::fmt::Display) -> platform::SinkError {
    platform::SinkError::Later { why: why.to_string(), after: None }
}
