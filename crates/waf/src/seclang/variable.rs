//! Variables of SecLang: their names, selectors, counts and exclusions. Their values are made where a request is.

use super::Reason;

macro_rules! collections {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A variable or collection of the reference manual.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each is named as the reference manual names it")]
        pub enum Collection { $($variant),+ }

        impl Collection {
            /// How many there are.
            pub const COUNT: usize = [$($name),+].len();
            /// All of them.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant),+];

            /// The name in the reference manual.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

collections! {
    Args = "ARGS", ArgsGet = "ARGS_GET", ArgsPost = "ARGS_POST", ArgsNames = "ARGS_NAMES",
    ArgsGetNames = "ARGS_GET_NAMES", ArgsPostNames = "ARGS_POST_NAMES",
    ArgsCombinedSize = "ARGS_COMBINED_SIZE", AuthType = "AUTH_TYPE", Duration = "DURATION", Env = "ENV",
    Files = "FILES", FilesCombinedSize = "FILES_COMBINED_SIZE", FilesNames = "FILES_NAMES",
    FilesSizes = "FILES_SIZES", FilesTmpContent = "FILES_TMP_CONTENT", FullRequest = "FULL_REQUEST",
    FullRequestLength = "FULL_REQUEST_LENGTH", Geo = "GEO", Global = "GLOBAL", HighestSeverity = "HIGHEST_SEVERITY",
    InboundDataError = "INBOUND_DATA_ERROR", Ip = "IP", MatchedVar = "MATCHED_VAR",
    MatchedVars = "MATCHED_VARS", MatchedVarName = "MATCHED_VAR_NAME",
    MatchedVarsNames = "MATCHED_VARS_NAMES", ModsecBuild = "MODSEC_BUILD",
    MultipartBoundaryQuoted = "MULTIPART_BOUNDARY_QUOTED",
    MultipartBoundaryWhitespace = "MULTIPART_BOUNDARY_WHITESPACE",
    MultipartCrlfLfLines = "MULTIPART_CRLF_LF_LINES", MultipartDataAfter = "MULTIPART_DATA_AFTER",
    MultipartDataBefore = "MULTIPART_DATA_BEFORE",
    MultipartFileLimitExceeded = "MULTIPART_FILE_LIMIT_EXCEEDED",
    MultipartFilename = "MULTIPART_FILENAME", MultipartHeaderFolding = "MULTIPART_HEADER_FOLDING",
    MultipartInvalidHeaderFolding = "MULTIPART_INVALID_HEADER_FOLDING",
    MultipartInvalidPart = "MULTIPART_INVALID_PART", MultipartInvalidQuoting = "MULTIPART_INVALID_QUOTING",
    MultipartLfLine = "MULTIPART_LF_LINE", MultipartMissingSemicolon = "MULTIPART_MISSING_SEMICOLON",
    MultipartName = "MULTIPART_NAME", MultipartPartHeaders = "MULTIPART_PART_HEADERS",
    MultipartStrictError = "MULTIPART_STRICT_ERROR",
    MultipartUnmatchedBoundary = "MULTIPART_UNMATCHED_BOUNDARY",
    OutboundDataError = "OUTBOUND_DATA_ERROR", PathInfo = "PATH_INFO", QueryString = "QUERY_STRING",
    RemoteAddr = "REMOTE_ADDR", RemoteHost = "REMOTE_HOST", RemotePort = "REMOTE_PORT",
    RemoteUser = "REMOTE_USER", ReqbodyError = "REQBODY_ERROR", ReqbodyErrorMsg = "REQBODY_ERROR_MSG",
    ReqbodyProcessor = "REQBODY_PROCESSOR", ReqbodyProcessorError = "REQBODY_PROCESSOR_ERROR",
    ReqbodyProcessorErrorMsg = "REQBODY_PROCESSOR_ERROR_MSG", RequestBasename = "REQUEST_BASENAME",
    RequestBody = "REQUEST_BODY", RequestBodyLength = "REQUEST_BODY_LENGTH",
    RequestCookies = "REQUEST_COOKIES", RequestCookiesNames = "REQUEST_COOKIES_NAMES",
    RequestFilename = "REQUEST_FILENAME", RequestHeaders = "REQUEST_HEADERS",
    RequestHeadersNames = "REQUEST_HEADERS_NAMES", RequestLine = "REQUEST_LINE",
    RequestMethod = "REQUEST_METHOD", RequestProtocol = "REQUEST_PROTOCOL", RequestUri = "REQUEST_URI",
    RequestUriRaw = "REQUEST_URI_RAW", Resource = "RESOURCE", ResponseBody = "RESPONSE_BODY",
    ResponseContentLength = "RESPONSE_CONTENT_LENGTH", ResponseContentType = "RESPONSE_CONTENT_TYPE",
    ResponseHeaders = "RESPONSE_HEADERS", ResponseHeadersNames = "RESPONSE_HEADERS_NAMES",
    ResponseProtocol = "RESPONSE_PROTOCOL", ResponseStatus = "RESPONSE_STATUS", Rule = "RULE",
    ServerAddr = "SERVER_ADDR", ServerName = "SERVER_NAME", ServerPort = "SERVER_PORT", Session = "SESSION",
    SessionId = "SESSIONID", StatusLine = "STATUS_LINE", Time = "TIME", TimeDay = "TIME_DAY",
    TimeEpoch = "TIME_EPOCH", TimeHour = "TIME_HOUR", TimeMin = "TIME_MIN", TimeMon = "TIME_MON",
    TimeSec = "TIME_SEC", TimeWday = "TIME_WDAY", TimeYear = "TIME_YEAR", Tx = "TX", UniqueId = "UNIQUE_ID",
    UrlencodedError = "URLENCODED_ERROR", User = "USER", UserId = "USERID", WebAppId = "WEBAPPID",
    Xml = "XML",
}

/// Names of the reference manual that this engine has no value for, and why.
const REFUSED: [(&str, &str); 15] = [
    ("FILES_TMPNAMES", "uploads are never written to files"),
    ("PERF_ALL", "timings are in the report of `casemate shield explain`"),
    ("PERF_COMBINED", "timings are in the report of `casemate shield explain`"),
    ("PERF_GC", "timings are in the report of `casemate shield explain`"),
    ("PERF_LOGGING", "timings are in the report of `casemate shield explain`"),
    ("PERF_RULES", "timings are in the report of `casemate shield explain`"),
    ("SCRIPT_BASENAME", "a function has no script file"),
    ("SCRIPT_FILENAME", "a function has no script file"),
    ("SCRIPT_GID", "a function has no script file"),
    ("SCRIPT_UID", "a function has no script file"),
    ("SCRIPT_MODE", "a function has no script file"),
    ("SCRIPT_USERNAME", "a function has no script file"),
    ("STREAM_INPUT_BODY", "bodies are inspected, never rewritten; use REQUEST_BODY"),
    ("STREAM_OUTPUT_BODY", "bodies are inspected, never rewritten; use RESPONSE_BODY"),
    ("WEBSERVER_ERROR_LOG", "there is no server's log to read"),
];

impl Collection {
    /// The collection of that name, in any case.
    ///
    /// # Errors
    /// A name that is unknown or refused.
    pub fn parse(name: &str) -> Result<Self, Reason> {
        let upper = name.to_ascii_uppercase();
        let upper = match upper.as_str() {
            "REQUEST_BODY_PROCESSOR" => "REQBODY_PROCESSOR",
            "SESSION_ID" => "SESSIONID",
            other => other,
        };
        if let Some(found) = Self::ALL.into_iter().find(|one| one.name() == upper) {
            return Ok(found);
        }
        match REFUSED.iter().find(|(refused, _)| *refused == upper) {
            Some((_, why)) => Err(Reason::Refused { what: "variable", name: name.to_owned(), why }),
            None => Err(Reason::Unknown { what: "variable", name: name.to_owned() }),
        }
    }

    /// Whether it keeps values from request to request, under an address.
    #[must_use]
    pub fn is_persistent(self) -> bool {
        matches!(self, Self::Ip | Self::Global | Self::Session | Self::User | Self::Resource)
    }

    /// Whether its values have names.
    #[must_use]
    pub fn is_keyed(self) -> bool {
        use Collection as C;
        matches!(
            self,
            C::Args
                | C::ArgsGet
                | C::ArgsPost
                | C::ArgsNames
                | C::ArgsGetNames
                | C::ArgsPostNames
                | C::Env
                | C::Files
                | C::FilesNames
                | C::Geo
                | C::FilesSizes
                | C::FilesTmpContent
                | C::MatchedVars
                | C::MatchedVarsNames
                | C::MultipartFilename
                | C::MultipartName
                | C::MultipartPartHeaders
                | C::RequestCookies
                | C::RequestCookiesNames
                | C::RequestHeaders
                | C::RequestHeadersNames
                | C::ResponseHeaders
                | C::ResponseHeadersNames
                | C::Rule
                | C::Tx
                | C::Xml
        ) || self.is_persistent()
    }

    /// The place in a table of all.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Which values of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// All.
    All,
    /// Those of this name, in any case (kept in lower case).
    Key(String),
    /// Those whose name this pattern matches.
    Pattern(String),
}

/// One variable of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The collection.
    pub collection: Collection,
    /// Which values of it.
    pub selector: Selector,
    /// `&`: how many there are, not what they are.
    pub count: bool,
}

/// What a rule looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// What is looked at, in order.
    pub included: Vec<Target>,
    /// `!`: what is left out.
    pub excluded: Vec<Target>,
}

impl Targets {
    /// Reads `A|B:key|!B:/pattern/|&C`.
    ///
    /// # Errors
    /// A name that is unknown or refused, a selector where none can be.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let mut targets = Self::default();
        for part in split(text) {
            targets.push(part.trim())?;
        }
        Ok(targets)
    }

    fn push(&mut self, part: &str) -> Result<(), Reason> {
        let (excluded, part) = part.strip_prefix('!').map_or((false, part), |rest| (true, rest));
        let (count, part) = part.strip_prefix('&').map_or((false, part), |rest| (true, rest));
        let target = Target { count, ..Target::parse(part)? };
        if excluded { &mut self.excluded } else { &mut self.included }.push(target);
        Ok(())
    }
}

impl Target {
    /// Reads `NAME`, `NAME:key` or `NAME:/pattern/`.
    ///
    /// # Errors
    /// A name that is unknown or refused, a selector where none can be.
    pub fn parse(part: &str) -> Result<Self, Reason> {
        let (name, key) = part.split_once([':', '.']).map_or((part, None), |(name, key)| (name, Some(key)));
        let collection = Collection::parse(name)?;
        let selector = match key {
            None => Selector::All,
            Some("" | "''") => {
                let why = "a name is expected after the `:` or `.`";
                return Err(Reason::Argument {
                    what: collection.name().to_owned(),
                    why,
                    value: part.to_owned(),
                });
            }
            Some(key) => selector(collection, key, part)?,
        };
        if collection == Collection::Xml && selector == Selector::All {
            return xml(part);
        }
        Ok(Self { collection, selector, count: false })
    }
}

fn xml<T>(part: &str) -> Result<T, Reason> {
    let why = "of XPath `/*` (all text), `//text()` (each text) and `//@*` (all attributes) are taken";
    Err(Reason::Refused { what: "variable", name: part.to_owned(), why })
}

fn selector(collection: Collection, key: &str, part: &str) -> Result<Selector, Reason> {
    if !collection.is_keyed() {
        let why = "a variable without a selector is expected";
        return Err(Reason::Argument { what: collection.name().to_owned(), why, value: part.to_owned() });
    }
    let key = key.strip_prefix('\'').and_then(|key| key.strip_suffix('\'')).unwrap_or(key);
    if collection == Collection::Xml {
        return match key {
            "/*" | "//@*" | "//text()" => Ok(Selector::Key(key.to_owned())),
            _ => xml(part),
        };
    }
    match key.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(pattern) => Ok(Selector::Pattern(pattern.replace("\\/", "/"))),
        None => Ok(Selector::Key(key.to_ascii_lowercase())),
    }
}

/// Splits at `|` and `,`, but not within `'…'` or `:/…/`.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut pattern, mut escaped) = (0, false, false, false);
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        let is_xml = text.get(start..at).is_some_and(|part| part.to_ascii_uppercase().contains("XML:"));
        match letter {
            _ if escaped => escaped = false,
            '\\' if pattern => escaped = true,
            '\'' => quoted = !quoted,
            '/' if !quoted && !is_xml => {
                pattern = if pattern { ends_pattern(text, at) != Some(true) } else { before == ':' };
            }
            '|' | ',' if !quoted && !pattern => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
        before = letter;
    }
    parts.extend(text.get(start..));
    parts
}

fn ends_pattern(text: &str, at: usize) -> Option<bool> {
    let next = text.get(at + 1..)?.chars().next();
    Some(next.is_none_or(|c| c == '|' || c == ','))
}
