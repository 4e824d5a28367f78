//! The node's own log, on stderr. It never writes a secret: what is logged are ids, names and counts.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::{
    config::LogFormat,
    exit::{Exit, Failure},
};

/// Starts the log of this process. `CASEMATE_LOG` may narrow or widen it, by module, too.
///
/// # Errors
/// If `CASEMATE_LOG` is no filter.
pub(crate) fn start(format: LogFormat, level: &str, colour: bool) -> Result<(), Failure> {
    let text = std::env::var("CASEMATE_LOG").unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::try_new(&text).map_err(|e| {
        Failure::new(Exit::Invalid, format!("`CASEMATE_LOG`: `{text}` is no filter: {e}"))
            .next("write `info`, or `info,gateway=debug`")
    })?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let registry = tracing_subscriber::registry().with(filter);
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => registry
            .with(fmt::layer().with_writer(std::io::stderr).with_ansi(colour && !plain).with_target(false))
            .try_init(),
        LogFormat::Json => registry
            .with(
                fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(std::io::stderr),
            )
            .try_init(),
    };
    Ok(())
}
