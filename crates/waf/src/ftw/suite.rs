//! The shape of go-ftw's YAML (<https://github.com/coreruleset/ftw-tests-schema>, version 2).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// One file of tests.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Suite {
    /// The rule that it is about.
    #[serde(default)]
    pub rule_id: u64,
    /// The tests.
    #[serde(default)]
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Test {
    /// Its number in the file.
    #[serde(default)]
    pub test_id: u64,
    /// What it is about.
    #[serde(default)]
    pub desc: Option<String>,
    /// Requests, one after the other.
    #[serde(default)]
    pub stages: Vec<Stage>,
}

/// One request and what is expected.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Stage {
    /// The request.
    #[serde(default)]
    pub input: Input,
    /// What is expected.
    #[serde(default)]
    pub output: Output,
}

/// A request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Input {
    /// Where it goes; the process is always asked.
    pub dest_addr: Option<String>,
    /// `GET` where it is absent.
    pub method: Option<String>,
    /// `/` where it is absent.
    pub uri: Option<String>,
    /// `HTTP/1.1` where it is absent.
    pub version: Option<String>,
    /// Headers.
    pub headers: BTreeMap<String, Scalar>,
    /// Headers in order, which may come more than once.
    pub ordered_headers: Vec<OrderedHeader>,
    /// The body.
    pub data: Option<String>,
    /// Whether `Content-Length`, `Content-Type` and `Connection` are added; yes where it is absent.
    pub autocomplete_headers: Option<bool>,
    /// The old name of its opposite.
    pub stop_magic: Option<bool>,
    /// The whole request in Base64, in place of all else.
    pub encoded_request: Option<String>,
    /// The whole request as it stands, in place of all else.
    pub raw_request: Option<String>,
}

/// A header in order.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct OrderedHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Scalar,
}

/// Text, though YAML took it for a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// What is expected.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Output {
    /// Of the log.
    pub log: Log,
    /// The old form of [`Log::match_regex`].
    pub log_contains: Option<String>,
    /// The old form of [`Log::no_match_regex`].
    pub no_log_contains: Option<String>,
    /// The status, which is the server's.
    pub status: Option<u16>,
}

/// What is expected of the log.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Log {
    /// Rules that match.
    pub expect_ids: Vec<u64>,
    /// Rules that do not.
    pub no_expect_ids: Vec<u64>,
    /// A pattern that a line has.
    pub match_regex: Option<String>,
    /// A pattern that none has.
    pub no_match_regex: Option<String>,
}
