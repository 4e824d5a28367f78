//! HTTP: batches as `POST`, with a bearer token from a file. It never follows a redirect, and never tells what a
//! receiver said.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use egress::{Client, ClientConfig};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use model::limits;
use platform::{Delivering, Delivery, Sink, SinkError};
use zeroize::Zeroizing;

use crate::SetupError;

/// How much of an answer is read so that its connection can be used again, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The longest token file, in bytes.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// How a batch is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line (`application/x-ndjson`).
    #[default]
    Ndjson,
    /// One array (`application/json`).
    Json,
}

/// Where to.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// An absolute `https` target.
    pub url: String,
    /// The certificates (PEM) that vouch for it; where none is given, the web's own roots do.
    pub roots: Vec<Vec<u8>>,
    /// A file of mode 0600 with a bearer token, read at each delivery, so that a new one is taken at once.
    pub token_file: Option<PathBuf>,
    /// How a batch is written.
    pub format: Format,
}

/// A receiver of HTTP.
pub struct HttpSink {
    client: Client,
    uri: Uri,
    token_file: Option<PathBuf>,
    format: Format,
}

impl HttpSink {
    /// A receiver that is not connected to yet.
    ///
    /// # Errors
    /// What is wrong with its URL, the certificates or the token's file.
    pub fn new(config: &HttpConfig) -> Result<Self, SetupError> {
        let uri: Uri = config.url.parse().map_err(|e: http::uri::InvalidUri| SetupError(e.to_string()))?;
        if uri.scheme_str() != Some("https") {
            return Err(SetupError(format!("`{}` is not `https`", config.url)));
        }
        if let Some(path) = &config.token_file {
            token(path).map_err(SetupError)?;
        }
        let client = Client::new(&ClientConfig {
            roots: config.roots.clone(),
            answer_within: Duration::from_millis(limits::SINK_DELIVER_MS),
            plain: false,
        })?;
        Ok(Self { client, uri, token_file: config.token_file.clone(), format: config.format })
    }

    /// Hands a batch over; one that is too large for the receiver by halves, in order. What it does not take alone is lost.
    async fn deliver_all(&self, batch: &[Delivery]) -> Result<(), SinkError> {
        let mut halves = Halves::of(batch);
        while let Some(part) = halves.next_part() {
            let done = self.post(part).await;
            halves.came_to(part, done)?;
        }
        halves.ended()
    }

    async fn post(&self, batch: &[Delivery]) -> Result<(), NotTaken> {
        let (media, body) = body(self.format, batch);
        let mut request = Request::post(self.uri.clone()).header(header::CONTENT_TYPE, media);
        if let Some(path) = &self.token_file {
            request = request.header(header::AUTHORIZATION, token(path).map_err(not_now)?);
        }
        let request = request.body(body).map_err(not_now)?;
        let (head, mut answer) = self.client.call(request).await.map_err(not_now)?.into_parts();
        let drained = async {
            let mut read = 0;
            while let Some(Ok(piece)) = answer.next().await {
                read += piece.len();
                if read > ANSWER_BYTES_MAX {
                    return;
                }
            }
        };
        // The status has said all; the rest only frees the connection.
        let _ = tokio::time::timeout(Duration::from_secs(1), drained).await;
        outcome(head.status, &head.headers)
    }
}

impl Sink for HttpSink {
    fn deliver<'a>(&'a self, batch: &'a [Delivery]) -> Delivering<'a> {
        Box::pin(self.deliver_all(batch))
    }
}

fn body(format: Format, batch: &[Delivery]) -> (&'static str, Bytes) {
    let lines = batch.iter().map(|delivery| delivery.line.as_str());
    match format {
        Format::Ndjson => {
            let text = lines.fold(String::new(), |mut text, line| {
                text.push_str(line);
                text.push('\n');
                text
            });
            ("application/x-ndjson", text.into())
        }
        Format::Json => {
            let all: Vec<&str> = lines.collect();
            ("application/json", format!("[{}]", all.join(",")).into())
        }
    }
}

/// Why a receiver did not take what was sent to it.
#[derive(Debug, PartialEq, Eq)]
enum NotTaken {
    /// It is too much at once.
    TooLarge(String),
    /// It never will.
    Never(String),
    /// It may later, not before some time is over.
    Later(String, Option<Duration>),
}

fn not_now(why: impl std::fmt::Display) -> NotTaken {
    NotTaken::Later(why.to_string(), None)
}

/// What of a batch is still to be sent, the first first, and what was lost of it.
struct Halves<'a> {
    /// The next part is the last.
    waiting: Vec<&'a [Delivery]>,
    lost: usize,
    why: Option<String>,
}

impl<'a> Halves<'a> {
    fn of(batch: &'a [Delivery]) -> Self {
        Self { waiting: vec![batch], lost: 0, why: None }
    }

    fn next_part(&mut self) -> Option<&'a [Delivery]> {
        self.waiting.pop()
    }

    /// Takes in what a part came to: one that is too large is halved. Where it may be taken later, the whole batch is sent
    /// again: better twice than never.
    fn came_to(&mut self, part: &'a [Delivery], done: Result<(), NotTaken>) -> Result<(), SinkError> {
        match done {
            Ok(()) => {}
            Err(NotTaken::Later(why, after)) => return Err(SinkError::Later { why, after }),
            Err(NotTaken::TooLarge(_)) if part.len() > 1 => {
                let (first, second) = part.split_at(part.len() / 2);
                self.waiting.extend([second, first]);
            }
            Err(NotTaken::TooLarge(why) | NotTaken::Never(why)) => {
                self.lost += part.len();
                self.why = Some(why);
            }
        }
        Ok(())
    }

    fn ended(self) -> Result<(), SinkError> {
        let lost = self.lost;
        self.why.map_or(Ok(()), |why| Err(SinkError::Never { why, lost }))
    }
}

/// What a status means for the batch. Wrong credentials and a wrong path are the operator's to mend, and what waits
/// then goes on; only what says that the batch itself is bad loses it.
fn outcome(status: StatusCode, headers: &HeaderMap) -> Result<(), NotTaken> {
    let why = format!("the receiver answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Ok(()),
        413 => Err(NotTaken::TooLarge(why)),
        401 | 403 | 404 | 407 | 408 | 421 | 425 | 429 => Err(NotTaken::Later(why, retry_after(headers))),
        400..=499 => Err(NotTaken::Never(why)),
        300..=399 => Err(not_now(format!("{why}: redirects are not followed"))),
        _ => Err(NotTaken::Later(why, retry_after(headers))),
    }
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3), within the bound. A date is not read: it wants a clock that agrees.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(Duration::from_millis(limits::SINK_RETRY_MS_MAX)))
}

/// `Bearer` and the token of a file that nobody else may read.
fn token(path: &Path) -> Result<HeaderValue, String> {
    let failed = |e: std::io::Error| format!("`{}`: {e}", path.display());
    let meta = fs::metadata(path).map_err(failed)?;
    if meta.mode() & 0o077 != 0 {
        return Err(format!("`{}` holds a secret and is open to others", path.display()));
    }
    if meta.len() > TOKEN_BYTES_MAX {
        return Err(format!("`{}` is too long for a token", path.display()));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
    let bearer = Zeroizing::new(format!("Bearer {}", text.trim()));
    let mut value = HeaderValue::from_str(&bearer)
        .map_err(|_| format!("`{}` holds no token: it has other characters", path.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
