//! Sinks of a node, made of what its configuration says. It never delivers an event.

use std::path::Path;

use platform::{Sink, SinkOrder};
use sinks::{FileConfig, FileSink, Format, HttpConfig, HttpSink, SyslogConfig, SyslogSink};

use crate::{
    config::{Config, RawFormat, SinkConfig, SinkPlace},
    exit::Failure,
    node::{not_started, unstarted},
    session::read_private,
};

/// Makes each sink; connects to nothing and writes nothing.
///
/// # Errors
/// A certificate, key or token that cannot be read or used.
pub(crate) fn sinks(config: &Config) -> Result<Vec<SinkOrder>, Failure> {
    config.sinks.iter().map(|sink| order(sink, &config.domain)).collect()
}

/// Refuses what can be seen without a key: a sink's file that is none.
///
/// # Errors
/// Which sink, and why.
pub(crate) fn check_files(config: &Config) -> Result<(), Failure> {
    let files = config.sinks.iter().filter(|sink| matches!(sink.to, SinkPlace::File { .. }));
    files.map(|sink| order(sink, &config.domain)).try_for_each(|made| made.map(drop))
}

fn order(config: &SinkConfig, domain: &str) -> Result<SinkOrder, Failure> {
    let (kind, sink) = place(&config.to, domain).map_err(|failure| Failure {
        message: format!("the sink `{}`: {}", config.name, failure.message),
        ..failure
    })?;
    Ok(SinkOrder {
        name: config.name.clone(),
        kind,
        groups: config.what.clone(),
        tenants: config.tenants.clone(),
        behind_max: config.behind_max,
        sink,
    })
}

fn place(place: &SinkPlace, domain: &str) -> Result<(&'static str, Box<dyn Sink>), Failure> {
    Ok(match place {
        SinkPlace::File { path, bytes_max, keep } => {
            let config = FileConfig { path: path.clone(), bytes_max: *bytes_max, keep: *keep };
            ("file", Box::new(FileSink::new(config).map_err(|e| not_started(&e))?))
        }
        SinkPlace::Syslog { host, port, ca, identity } => {
            let identity = match identity {
                Some((chain, key)) => {
                    let key = read_private(key).map_err(unstarted)?;
                    Some((read(chain)?, key.as_bytes().to_vec()))
                }
                None => None,
            };
            let tls = egress::DialerConfig { roots: roots(ca.as_deref())?, identity };
            let config = SyslogConfig { host: host.clone(), port: *port, tls, hostname: domain.to_owned() };
            ("syslog", Box::new(SyslogSink::new(&config).map_err(|e| not_started(&e))?))
        }
        SinkPlace::Http { url, ca, token_file, format } => {
            let format = match format {
                RawFormat::Ndjson => Format::Ndjson,
                RawFormat::Json => Format::Json,
            };
            let config = HttpConfig {
                url: url.clone(),
                roots: roots(ca.as_deref())?,
                token_file: token_file.clone(),
                format,
            };
            ("http", Box::new(HttpSink::new(&config).map_err(|e| not_started(&e))?))
        }
    })
}

fn roots(ca: Option<&Path>) -> Result<Vec<Vec<u8>>, Failure> {
    ca.map(read).into_iter().collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| unstarted(Failure::file("read", path, &e)))
}
