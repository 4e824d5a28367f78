//! Requests as both sides of the bench read them: fields `LENGTH:BYTES,` one after the other, in the order that
//! `bench/waf/driver.c` tells.

use std::{io::Write, path::Path};

use waf::ftw::{Answer, Raw, Suite, exchanges};

/// A request with its name, and the answer that follows it.
pub(crate) struct Request {
    pub(crate) name: String,
    pub(crate) raw: Raw,
    pub(crate) answer: Option<Answer>,
}

/// All requests of CRS's regression tests, each named by its test, with the bodies as the tests have them: lines of parts
/// end in LF, of which libmodsecurity makes no mistake (docs/waf.md).
pub(crate) fn corpus(crs: &Path) -> Vec<Request> {
    let mut found = Vec::new();
    let mut folders = vec![crs.join("tests/regression/tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    let mut requests = Vec::new();
    for path in found {
        let suite: Suite = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for mut test in suite.tests {
            for input in test.stages.iter_mut().map(|stage| &mut stage.input) {
                let data = input.data.take().filter(|data| !data.is_empty());
                let data = data.map(|data| data_encoding::BASE64.encode(data.as_bytes()));
                input.encoded_data = input.encoded_data.take().or(data);
            }
            for (at, (raw, answer)) in exchanges(&test).into_iter().enumerate() {
                let name = format!("{}-{}-{at}", suite.rule_id, test.test_id);
                requests.push(Request { name, raw, answer: Some(answer) });
            }
        }
    }
    requests
}

pub(crate) fn write(to: &Path, requests: &[Request]) {
    let mut out = Vec::new();
    for Request { name, raw, answer } in requests {
        let mut field = |bytes: &[u8]| {
            write!(out, "{}:", bytes.len()).unwrap();
            out.extend_from_slice(bytes);
            out.push(b',');
        };
        field(name.as_bytes());
        field(&raw.method);
        field(&raw.uri);
        field(raw.protocol.strip_prefix(b"HTTP/").unwrap_or(&raw.protocol));
        field(raw.headers.len().to_string().as_bytes());
        for (name, value) in &raw.headers {
            field(name);
            field(value);
        }
        field(&raw.body);
        let none = Answer::default();
        let answer = answer.as_ref().unwrap_or(&none);
        field(answer.status.to_string().as_bytes());
        field(answer.headers.len().to_string().as_bytes());
        for (name, value) in &answer.headers {
            field(name.as_bytes());
            field(value.as_bytes());
        }
        field(&answer.body);
    }
    std::fs::write(to, out).unwrap();
}

pub(crate) fn read(from: &Path) -> Vec<Request> {
    let bytes = std::fs::read(from).unwrap();
    let mut rest = bytes.as_slice();
    let mut requests = Vec::new();
    while !rest.is_empty() {
        let mut field = || {
            let colon = rest.iter().position(|byte| *byte == b':').unwrap();
            let (length, behind) = rest.split_at(colon);
            let length: usize = std::str::from_utf8(length).unwrap().parse().unwrap();
            let (bytes, behind) = behind.get(1..).unwrap().split_at(length);
            rest = behind.get(1..).unwrap();
            bytes.to_vec()
        };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let name = text(field());
        let (method, uri, version) = (field(), field(), field());
        let headers = (0..text(field()).parse().unwrap()).map(|_| (field(), field())).collect::<Vec<_>>();
        let body = field();
        let status = text(field()).parse().unwrap();
        let answer_headers =
            (0..text(field()).parse().unwrap()).map(|_| (text(field()), text(field()))).collect();
        let answer_body = field();
        let protocol = if version.first().is_some_and(u8::is_ascii_digit) {
            [b"HTTP/".as_slice(), &version].concat()
        } else {
            version
        };
        let raw = Raw { method, uri, protocol, headers, body, has_bare_return: false };
        let answer = Answer { status, headers: answer_headers, body: answer_body };
        requests.push(Request { name, raw, answer: Some(answer).filter(|answer| answer.status != 0) });
    }
    requests
}
