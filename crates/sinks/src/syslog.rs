//! Syslog over TLS: each event one message of RFC 5424, framed by its length (RFC 5425), on one connection that is
//! made anew where it broke. It never speaks without TLS, and never to a receiver that cannot prove its name.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    pin::Pin,
    time::{Duration, Instant},
};

use egress::{Dialer, DialerConfig, Duplex};
use futures_util::FutureExt as _;
use model::limits;
use platform::{Delivering, Delivery, Sink, SinkError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Mutex,
};

use crate::{SetupError, later};

/// Facility 13, log audit (RFC 5424 §6.2.1).
const FACILITY: u64 = 13;
/// How long a receiver that took bytes may be gone without us knowing.
const UNSURE_FOR: Duration = Duration::from_secs(10);
/// How much of what was sent lately is kept to be sent again, in bytes.
const UNSURE_BYTES_MAX: usize = 4 << 20;

/// Where to.
#[derive(Clone)]
pub struct SyslogConfig {
    /// The receiver's host, as its certificate has it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who vouches for it, and what proves this node to it.
    pub tls: DialerConfig,
    /// What stands in each message as `HOSTNAME`.
    pub hostname: String,
}

/// A receiver of syslog.
pub struct SyslogSink {
    dialer: Dialer,
    hostname: String,
    line: Mutex<Line>,
}

/// The connection, and what was sent on it so lately that it may be lost: syslog has no acknowledgement.
#[derive(Default)]
struct Line {
    stream: Option<Pin<Box<dyn Duplex>>>,
    unsure: VecDeque<(Instant, Vec<u8>)>,
    unsure_bytes: usize,
}

impl SyslogSink {
    /// A receiver that is not connected to yet.
    ///
    /// # Errors
    /// What is wrong with its name or the certificates.
    pub fn new(config: &SyslogConfig) -> Result<Self, SetupError> {
        let dialer = Dialer::new(&config.host, config.port, &config.tls)?;
        Ok(Self { dialer, hostname: header(&config.hostname, 255), line: Mutex::default() })
    }

    async fn send(&self, batch: &[Delivery]) -> Result<(), SinkError> {
        let mut frames = Vec::new();
        for delivery in batch {
            frame(&mut frames, &self.hostname, delivery);
        }
        let mut line = self.line.lock().await;
        let within = Duration::from_millis(limits::SINK_DELIVER_MS);
        let sent = tokio::time::timeout(within, line.send(&self.dialer, &frames, within)).await;
        let sent = sent.unwrap_or_else(|_| Err("the receiver takes nothing".to_owned()));
        if sent.is_err() {
            line.stream = None;
        } else {
            line.keep(frames);
        }
        sent.map_err(later)
    }
}

impl Sink for SyslogSink {
    fn deliver<'a>(&'a self, batch: &'a [Delivery]) -> Delivering<'a> {
        Box::pin(self.send(batch))
    }
}

impl Line {
    async fn send(&mut self, dialer: &Dialer, frames: &[u8], within: Duration) -> Result<(), String> {
        if self.is_over() {
            self.stream = None;
        }
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let mut stream = dialer.connect(within).await.map_err(|e| e.to_string())?;
                // What the last connection may have lost goes first, and in its order.
                for (_, frames) in &self.unsure {
                    stream.write_all(frames).await.map_err(|e| e.to_string())?;
                }
                stream
            }
        };
        stream.write_all(frames).await.map_err(|e| e.to_string())?;
        stream.flush().await.map_err(|e| e.to_string())?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Whether the receiver ended the connection. It has nothing else to say (RFC 5425 §4.3).
    fn is_over(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut byte = [0_u8; 1];
        stream.read(&mut byte).now_or_never().is_some()
    }

    fn keep(&mut self, frames: Vec<u8>) {
        self.unsure_bytes += frames.len();
        self.unsure.push_back((Instant::now(), frames));
        while let Some((sent, frames)) = self.unsure.front() {
            if sent.elapsed() < UNSURE_FOR && self.unsure_bytes <= UNSURE_BYTES_MAX {
                return;
            }
            self.unsure_bytes -= frames.len();
            self.unsure.pop_front();
        }
    }
}

/// `MSG-LEN SP SYSLOG-MSG`.
fn frame(out: &mut Vec<u8>, hostname: &str, delivery: &Delivery) {
    // Notice, for what is low; emergency is nothing that a node can tell.
    let level = match delivery.severity {
        0 | 1 => 6,
        2 => 5,
        3 => 4,
        4 => 3,
        _ => 2,
    };
    let priority = FACILITY * 8 + level;
    // `sequenceId` is at most 2147483647, and goes on at 1 (RFC 5424 §7.3.1).
    let sequence = (delivery.sequence.max(1) - 1) % 2_147_483_647 + 1;
    let message = format!(
        "<{priority}>1 {} {hostname} casemate {} {} [meta sequenceId=\"{sequence}\"]\
         [origin software=\"casemate\" swVersion=\"{}\"] {}",
        delivery.time,
        std::process::id(),
        header(delivery.kind, 32),
        env!("CARGO_PKG_VERSION"),
        delivery.line,
    );
    out.extend_from_slice(message.len().to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(message.as_bytes());
}

/// A header field: printable ASCII without spaces, or the nil value.
fn header(text: &str, most: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}
