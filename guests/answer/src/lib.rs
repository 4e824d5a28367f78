//! Answers of WASI 0.2 in a few words, for the guests beside it. It never decides what to answer.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// The path of a request, and its query without the question mark.
pub fn target(request: &IncomingRequest) -> (String, String) {
    let target = request.path_with_query().unwrap_or_default();
    match target.split_once('?') {
        Some((path, query)) => (path.into(), query.into()),
        None => (target, String::new()),
    }
}

/// The value of `name` in a query, percent-decoded.
pub fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| decode(value))
}

/// The value of `name` in a query as a number, or `default`.
pub fn number(query: &str, name: &str, default: u64) -> u64 {
    parameter(query, name).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |at: usize| tail.get(at).and_then(|b| (*b as char).to_digit(16)).map(|d| d as u8);
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            (b, ..) => {
                bytes.push(*b);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A text as a JSON string, with its quotes.
pub fn json(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A whole answer.
pub fn send(out: ResponseOutparam, status: u16, content_type: &str, bytes: &[u8]) {
    let Ok(mut body) = Body::start(out, status, &[("content-type".into(), content_type.into())]) else {
        return;
    };
    if body.write(bytes).is_ok() {
        body.finish();
    }
}

/// An answer under way. Dropped without `finish`, it is an answer that broke off.
pub struct Body {
    body: OutgoingBody,
    stream: OutputStream,
}

impl Body {
    /// Sends the head. If the host refuses the headers or the status, a 500 says so and there is no body.
    pub fn start(out: ResponseOutparam, status: u16, headers: &[(String, Vec<u8>)]) -> Result<Self, ()> {
        let fields = match Fields::from_list(headers) {
            Ok(fields) => fields,
            Err(error) => {
                send(out, 500, "text/plain", format!("headers refused: {error:?}\n").as_bytes());
                return Err(());
            }
        };
        let response = OutgoingResponse::new(fields);
        if response.set_status_code(status).is_err() {
            send(out, 500, "text/plain", format!("status refused: {status}\n").as_bytes());
            return Err(());
        }
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().unwrap();
        Ok(Self { body, stream })
    }

    /// Writes all bytes as fast as the host takes them, and flushes.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let room = self.stream.check_write()?;
            if room == 0 {
                self.stream.subscribe().block();
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.stream.write(now)?;
            bytes = later;
        }
        self.stream.blocking_flush()
    }

    /// Copies a stream to its end, in pieces of at most 64 KiB.
    pub fn copy(&mut self, from: &InputStream) -> Result<u64, StreamError> {
        let mut total = 0;
        loop {
            match from.blocking_read(64 * 1024) {
                Ok(piece) => {
                    total += piece.len() as u64;
                    self.write(&piece)?;
                }
                Err(StreamError::Closed) => return Ok(total),
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends the answer well.
    pub fn finish(self) {
        drop(self.stream);
        let _ = OutgoingBody::finish(self.body, None);
    }
}
