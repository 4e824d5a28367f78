//! The node's own log, on stderr. It never writes a secret: what is logged are ids, names and counts.

mod lines;
mod runs;

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::{
    config::LogFormat,
    exit::{Exit, Failure},
};

pub(crate) use lines::Flush;
use lines::Lines;
use runs::{Others, Runs};

/// Starts the log of this process. `CASEMATE_LOG` may narrow or widen it, by module, too. Its last lines are
/// written when the answer is dropped.
///
/// # Errors
/// If `CASEMATE_LOG` is no filter, or the system has no thread for the log.
pub(crate) fn start(format: LogFormat, level: &str, colour: bool) -> Result<Flush, Failure> {
    let text = std::env::var("CASEMATE_LOG").unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::try_new(&text).map_err(|e| {
        Failure::new(Exit::Invalid, format!("`CASEMATE_LOG`: `{text}` is no filter: {e}"))
            .next("write `info`, or `info,gateway=debug`")
    })?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let (lines, flush) = Lines::start(std::io::stderr())
        .map_err(|e| Failure::new(Exit::NotStarted, format!("cannot start the log: {e}")))?;
    let runs = Runs { lines: lines.clone(), json: matches!(format, LogFormat::Json) };
    let registry = tracing_subscriber::registry().with(filter).with(runs);
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => registry
            .with(Others(fmt::layer().with_writer(lines).with_ansi(colour && !plain).with_target(false)))
            .try_init(),
        LogFormat::Json => registry
            .with(Others(fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(lines)))
            .try_init(),
    };
    Ok(flush)
}
