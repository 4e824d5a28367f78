//! The shape of go-ftw's YAML (<https://github.com/coreruleset/ftw-tests-schema>, version 2, and what version 1 wrote
//! otherwise). A key that is not known is an error: a test that asks for nothing would pass.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};

/// One file of tests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "RawSuite")]
pub struct Suite {
    /// The rule that it is about; 0 where neither the file nor the title of a test says.
    pub rule_id: u64,
    /// The tests; there is at least one.
    pub tests: Vec<Test>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSuite {
    #[serde(default, rename = "meta")]
    _meta: Option<IgnoredAny>,
    #[serde(default)]
    rule_id: u64,
    #[serde(default)]
    tests: Vec<Test>,
}

impl TryFrom<RawSuite> for Suite {
    type Error = String;

    fn try_from(raw: RawSuite) -> Result<Self, String> {
        let RawSuite { mut rule_id, mut tests, .. } = raw;
        if tests.is_empty() {
            return Err("there are no `tests`".to_owned());
        }
        for (position, test) in (1..).zip(&mut tests) {
            if test.test_id == 0 {
                test.test_id = position;
            }
            if test.stages.is_empty() {
                return Err(format!("test {} has no `stages`", test.test_id));
            }
            // Version 1 has both numbers in the title: `942100-1`.
            let title = test.test_title.as_deref().unwrap_or_default();
            let rule = title.split('-').next().and_then(|digits| digits.parse().ok());
            rule_id = if rule_id == 0 { rule.unwrap_or(0) } else { rule_id };
        }
        Ok(Self { rule_id, tests })
    }
}

/// One test.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Its number in the file; its position where the file says none.
    #[serde(default)]
    pub test_id: u64,
    /// The name that version 1 gives it.
    #[serde(default)]
    pub test_title: Option<String>,
    /// What it is about.
    #[serde(default, alias = "description")]
    pub desc: Option<String>,
    /// Requests, one after the other.
    #[serde(default)]
    pub stages: Vec<Stage>,
    #[serde(default, rename = "tags")]
    _tags: Option<IgnoredAny>,
}

/// One request and what is expected.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "RawStage")]
pub struct Stage {
    /// The request.
    pub input: Input,
    /// What is expected.
    pub output: Output,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStage {
    #[serde(default, rename = "description")]
    _description: Option<IgnoredAny>,
    /// Version 1 wraps each stage once more.
    #[serde(default)]
    stage: Option<InnerStage>,
    #[serde(default)]
    input: Option<Input>,
    #[serde(default)]
    output: Option<Output>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InnerStage {
    input: Input,
    output: Output,
}

impl TryFrom<RawStage> for Stage {
    type Error = &'static str;

    fn try_from(raw: RawStage) -> Result<Self, &'static str> {
        match (raw.stage, raw.input, raw.output) {
            (Some(InnerStage { input, output }), None, None) | (None, Some(input), Some(output)) => {
                Ok(Self { input, output })
            }
            (Some(_), _, _) => Err("a stage has `input` and `output` beside `stage`"),
            (None, None, _) => Err("a stage has no `input`"),
            (None, _, None) => Err("a stage has no `output`"),
        }
    }
}

/// A request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Input {
    /// Where it goes; the process is always asked.
    pub dest_addr: Option<String>,
    /// The same.
    pub port: Option<u16>,
    /// `http` or `https`; it changes nothing.
    pub protocol: Option<String>,
    /// `GET` where it is absent.
    pub method: Option<String>,
    /// `/` where it is absent.
    pub uri: Option<String>,
    /// One request for each, in place of `uri`.
    pub uris: Vec<String>,
    /// `HTTP/1.1` where it is absent.
    pub version: Option<String>,
    /// Headers.
    pub headers: BTreeMap<String, Scalar>,
    /// Headers in order, which may come more than once.
    pub ordered_headers: Vec<OrderedHeader>,
    /// The body.
    pub data: Option<String>,
    /// The body in Base64, sent as it is.
    pub encoded_data: Option<String>,
    /// Whether `Content-Length`, `Content-Type` and `Connection` are added; yes where it is absent.
    pub autocomplete_headers: Option<bool>,
    /// The old name of its opposite.
    pub stop_magic: Option<bool>,
    /// The whole request in Base64, in place of all else.
    pub encoded_request: Option<String>,
    /// The whole request as it stands, in place of all else.
    pub raw_request: Option<String>,
    /// Where the redirect of the stage before leads; not asked.
    pub follow_redirect: Option<bool>,
    /// Cookies of the stage before are sent; not asked.
    pub save_cookie: Option<bool>,
    /// It changes nothing.
    pub virtual_host_mode: Option<bool>,
    /// What the server answers, in place of the test server's own answer.
    pub response: Option<Response>,
}

/// What a test's server answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Response {
    /// 200 where it is absent.
    pub status: Option<u16>,
    /// Headers.
    pub headers: BTreeMap<String, Scalar>,
    /// The body.
    pub body: Option<String>,
    /// The body in Base64, in place of `body`.
    pub encoded_body: Option<String>,
    /// What the server would write to its own log.
    pub log_message: Option<String>,
}

/// A header in order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// Of the log.
    pub log: Log,
    /// The old form of [`Log::match_regex`].
    pub log_contains: Option<String>,
    /// The old form of [`Log::no_match_regex`].
    pub no_log_contains: Option<String>,
    /// The status, or one of several.
    pub status: Statuses,
    /// No rule but the one that is expected matches.
    pub isolated: bool,
    /// Text of the server's answer; not asked.
    pub response_contains: Option<String>,
    /// The connection breaks; not asked.
    pub expect_error: Option<bool>,
    /// For logs that come late; it changes nothing.
    pub retry_once: Option<bool>,
}

impl Output {
    /// Whether something of the log is expected.
    #[must_use]
    pub fn asks_log(&self) -> bool {
        let log = &self.log;
        let patterns = [&log.match_regex, &log.no_match_regex, &self.log_contains, &self.no_log_contains];
        let ids = !log.expect_ids.is_empty() || !log.no_expect_ids.is_empty();
        ids || self.isolated || patterns.into_iter().any(Option::is_some)
    }
}

/// A status, or a list of which one is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statuses(pub Vec<u16>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusesVisitor)
    }
}

struct StatusesVisitor;

impl<'de> Visitor<'de> for StatusesVisitor {
    type Value = Statuses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status of HTTP, or a list of them")
    }

    fn visit_u64<E: Error>(self, status: u64) -> Result<Statuses, E> {
        let status = u16::try_from(status).map_err(|_| E::custom("no status of HTTP"))?;
        Ok(Statuses(if status == 0 { Vec::new() } else { vec![status] }))
    }

    fn visit_i64<E: Error>(self, status: i64) -> Result<Statuses, E> {
        self.visit_u64(u64::try_from(status).map_err(|_| E::custom("no status of HTTP"))?)
    }

    fn visit_unit<E: Error>(self) -> Result<Statuses, E> {
        Ok(Statuses::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Statuses, A::Error> {
        let mut found = Vec::new();
        while let Some(status) = list.next_element()? {
            found.push(status);
        }
        Ok(Statuses(found))
    }
}

/// What is expected of the log.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
