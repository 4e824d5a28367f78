//! What a function asks of the rules: how strict, what is left out, what bodies and time may cost.

use crate::seclang::{RuleSelector, Setting, action::RuleEngine, variable::Target};

/// A function's settings. What they say of `TX` holds whatever the rules' own set-up says.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether rules refuse, only tell, or do not run; the rules' own word where it is absent.
    pub engine: Option<RuleEngine>,
    /// Variables of TX by name, such as `blocking_paranoia_level`; no rule changes them.
    pub tx: Vec<(String, String)>,
    /// Rules that are left out.
    pub removed: Vec<RuleSelector>,
    /// Variables that are left out of rules.
    pub removed_targets: Vec<(RuleSelector, Target)>,
    /// Bounds; the rules' own, or the defaults, where they are absent.
    pub limits: Option<Limits>,
    /// Every pattern is tried on every value, by itself. For tests that compare: it changes no answer, only its time.
    pub unfiltered: bool,
}

impl Settings {
    /// CRS at a paranoia level from 1 to 4, both for scores that refuse and for those that are only told.
    #[must_use]
    pub fn paranoia(level: u8) -> Self {
        let level = level.clamp(1, 4).to_string();
        // CRS 4 reads the first two, CRS 3 the others.
        let names = [
            "blocking_paranoia_level",
            "detection_paranoia_level",
            "paranoia_level",
            "executing_paranoia_level",
        ];
        Self { tx: names.map(|name| (name.to_owned(), level.clone())).to_vec(), ..Self::default() }
    }

    /// The same with one more variable of TX.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.tx.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.tx.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// The same, but rules only tell.
    #[must_use]
    pub fn detection_only(mut self) -> Self {
        self.engine = Some(RuleEngine::DetectionOnly);
        self
    }

    /// Bounds and engine, with what the rules say where these settings are silent.
    pub(crate) fn with(&self, rules: &[Setting]) -> (Limits, RuleEngine) {
        let mut limits = Limits::default();
        let mut engine = RuleEngine::On;
        for setting in rules {
            limits.take(setting);
            if let Setting::RuleEngine(said) = setting {
                engine = *said;
            }
        }
        (self.limits.clone().unwrap_or(limits), self.engine.unwrap_or(engine))
    }
}

/// What becomes of a body that is longer than its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyOverLimit {
    /// It is refused (413).
    #[default]
    Refuse,
    /// It is inspected up to the bound.
    Inspect,
}

/// What becomes of a request whose budget is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exhausted {
    /// It is refused (503), and the report says so.
    #[default]
    Refuse,
    /// It goes on as far as it was inspected, and the report says so.
    Pass,
}

/// Bounds of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether the request's body is inspected.
    pub request_body: bool,
    /// Whether the response's body is inspected.
    pub response_body: bool,
    /// Bytes of a request's body, after decompression too.
    pub request_body_bytes_max: usize,
    /// Bytes of a response's body.
    pub response_body_bytes_max: usize,
    /// What becomes of a longer request's body.
    pub request_over_limit: BodyOverLimit,
    /// What becomes of a longer response's body.
    pub response_over_limit: BodyOverLimit,
    /// Media types of responses whose bodies are inspected.
    pub response_types: Vec<String>,
    /// What separates arguments.
    pub argument_separator: u8,
    /// Arguments, cookies and headers, each at most.
    pub values_max: usize,
    /// Levels of JSON and XML.
    pub depth_max: usize,
    /// Time of all phases together, nanoseconds.
    pub time_ns_max: u64,
    /// Bytes of values and of what transformations make of them.
    pub bytes_max: usize,
    /// What becomes of a request that used up time or bytes.
    pub exhausted: Exhausted,
    /// Matches that are told; those over it still count.
    pub matches_max: usize,
    /// Seconds that values of a collection are kept without a change.
    pub collection_timeout_s: u64,
    /// JSON and XML are read as such by their media type, as `modsecurity.conf-recommended` asks for; else only
    /// where a rule says so.
    pub processors: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body: true,
            response_body: false,
            request_body_bytes_max: 128 << 10,
            response_body_bytes_max: 512 << 10,
            request_over_limit: BodyOverLimit::Refuse,
            response_over_limit: BodyOverLimit::Inspect,
            response_types: ["text/plain", "text/html", "text/xml"].map(str::to_owned).to_vec(),
            argument_separator: b'&',
            values_max: 1000,
            depth_max: 64,
            time_ns_max: 18_000_000,
            bytes_max: 8 << 20,
            exhausted: Exhausted::Refuse,
            matches_max: 512,
            collection_timeout_s: 3600,
            processors: true,
        }
    }
}

impl Limits {
    fn take(&mut self, setting: &Setting) {
        let over = |rejects: bool| if rejects { BodyOverLimit::Refuse } else { BodyOverLimit::Inspect };
        match setting {
            Setting::RequestBody(on) => self.request_body = *on,
            Setting::ResponseBody(on) => self.response_body = *on,
            Setting::RequestBodyLimit(bytes) => self.request_body_bytes_max = *bytes,
            Setting::ResponseBodyLimit(bytes) => self.response_body_bytes_max = *bytes,
            Setting::RequestBodyLimitRejects(rejects) => self.request_over_limit = over(*rejects),
            Setting::ResponseBodyLimitRejects(rejects) => self.response_over_limit = over(*rejects),
            Setting::ResponseMimeTypes(types) => self.response_types.extend(types.iter().cloned()),
            Setting::ResponseMimeTypesClear => self.response_types.clear(),
            Setting::ArgumentSeparator(byte) => self.argument_separator = *byte,
            Setting::ArgumentsLimit(most) => self.values_max = *most,
            Setting::JsonDepthLimit(most) => self.depth_max = *most,
            Setting::CollectionTimeout(seconds) => self.collection_timeout_s = *seconds,
            Setting::RuleEngine(_) | Setting::RequestBodyNoFilesLimit(_) | Setting::WebAppId(_) => {}
        }
    }
}
