//! The answers of the server that CRS's tests run against (`coreruleset/albedo`): `/reflect` gives what the request's
//! body asks for, all else an empty answer.

use std::collections::BTreeMap;

use data_encoding::BASE64;

use super::{Raw, suite::Response, wire};
use crate::body::{self, Bounds};

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// What a test says that the server answers.
pub(super) fn given(response: &Response) -> Result<Answer, String> {
    let headers = response.headers.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
    let body = match &response.encoded_body {
        Some(encoded) => wire::decoded("encoded_body", encoded)?,
        None => response.body.clone().unwrap_or_default().into_bytes(),
    };
    Ok(Answer { status: response.status.unwrap_or(200), headers, body })
}

/// What the server answers.
pub(super) fn answer(raw: &Raw) -> Answer {
    let path = raw.uri.split(|byte| *byte == b'?').next().unwrap_or_default();
    if path != b"/reflect" {
        let headers = vec![("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        return Answer { status: 200, headers, body: Vec::new() };
    }
    let (parsed, error) = body::json(&raw.body, &Bounds { bytes_max: 16 << 20, ..Bounds::default() });
    if error.is_some() {
        return Answer { status: 400, ..Answer::default() };
    }
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let asked: BTreeMap<String, Vec<u8>> =
        parsed.pairs.iter().map(|(name, value)| (text(name), value.to_vec())).collect();
    let status = asked.get("json.status").and_then(|status| text(status).parse().ok()).unwrap_or(200);
    let mut headers: Vec<(String, String)> = asked
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("json.headers.")?.to_owned(), text(value))))
        .collect();
    let encoded = asked.get("json.encodedBody").and_then(|encoded| BASE64.decode(encoded).ok());
    let body = encoded.or_else(|| asked.get("json.body").cloned()).unwrap_or_default();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned()));
    }
    Answer { status, headers, body }
}
