//! Operators of SecLang and macros in text, as written. They are put to work where the plan is made.

use super::{Reason, variable::Target};

/// Text with `%{…}` in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Template(pub Vec<Piece>);

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// The value of a variable.
    Macro(Target),
}

impl Template {
    /// Reads text with macros.
    ///
    /// # Errors
    /// A macro of a variable that is unknown or refused.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("%{") {
            let Some((name, after)) = after.split_once('}') else { break };
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Macro(Target::parse(name)?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// Whether it has a macro.
    #[must_use]
    pub fn has_macro(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Macro(_)))
    }

    /// The text, where it has no macro.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// What an operator is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named as the reference manual names it")]
pub enum Operator {
    BeginsWith,
    Contains,
    ContainsWord,
    DetectSqli,
    DetectXss,
    EndsWith,
    Eq,
    Ge,
    GeoLookup,
    Gt,
    IpMatch,
    IpMatchFromFile,
    Le,
    Lt,
    NoMatch,
    Pm,
    PmFromFile,
    Rbl,
    Rx,
    RxGlobal,
    StrEq,
    StrMatch,
    UnconditionalMatch,
    ValidateByteRange,
    ValidateUrlEncoding,
    ValidateUtf8Encoding,
    VerifyCc,
    VerifyCpf,
    VerifySsn,
    VerifySvnr,
    Within,
}

const NAMES: [(&str, Operator); 33] = [
    ("beginswith", Operator::BeginsWith),
    ("contains", Operator::Contains),
    ("containsword", Operator::ContainsWord),
    ("detectsqli", Operator::DetectSqli),
    ("detectxss", Operator::DetectXss),
    ("endswith", Operator::EndsWith),
    ("eq", Operator::Eq),
    ("ge", Operator::Ge),
    ("geolookup", Operator::GeoLookup),
    ("gt", Operator::Gt),
    ("ipmatch", Operator::IpMatch),
    ("ipmatchfromfile", Operator::IpMatchFromFile),
    ("ipmatchf", Operator::IpMatchFromFile),
    ("le", Operator::Le),
    ("lt", Operator::Lt),
    ("nomatch", Operator::NoMatch),
    ("pm", Operator::Pm),
    ("pmfromfile", Operator::PmFromFile),
    ("pmf", Operator::PmFromFile),
    ("rbl", Operator::Rbl),
    ("rx", Operator::Rx),
    ("rxglobal", Operator::RxGlobal),
    ("streq", Operator::StrEq),
    ("strmatch", Operator::StrMatch),
    ("unconditionalmatch", Operator::UnconditionalMatch),
    ("validatebyterange", Operator::ValidateByteRange),
    ("validateurlencoding", Operator::ValidateUrlEncoding),
    ("validateutf8encoding", Operator::ValidateUtf8Encoding),
    ("verifycc", Operator::VerifyCc),
    ("verifycpf", Operator::VerifyCpf),
    ("verifyssn", Operator::VerifySsn),
    ("verifysvnr", Operator::VerifySvnr),
    ("within", Operator::Within),
];

const REFUSED: [(&str, &str); 8] = [
    ("gsblookup", "no list is asked over a network while a request waits"),
    ("inspectfile", "uploads are never written to files, and nothing is started for a request"),
    ("fuzzyhash", "uploads are not compared by similarity; use FILES_TMP_CONTENT with @rx or @pm"),
    ("rsub", "bodies are inspected, never rewritten"),
    ("validatedtd", "no DTD is read; a document that is not well-formed sets REQBODY_ERROR"),
    ("validateschema", "no schema is read; a document that is not well-formed sets REQBODY_ERROR"),
    ("validatehash", "pages are never rewritten, so that links have no hash"),
    ("ipmatchfromurl", "nothing is fetched; write the list to a file for @ipMatchFromFile"),
];

/// An operator with its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// `!`
    pub negated: bool,
    /// Which.
    pub operator: Operator,
    /// Its argument.
    pub argument: Template,
    /// The argument as it stands.
    pub text: String,
}

impl Test {
    /// Reads `@op argument`, `!@op argument`, or a pattern without an operator's name (`@rx`).
    ///
    /// # Errors
    /// An operator that is unknown or refused; a macro where none can be.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let (negated, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest.trim_start()));
        let (operator, text) = match rest.strip_prefix('@') {
            None => (Operator::Rx, rest),
            Some(rest) => {
                let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                (find(name)?, argument.trim_start())
            }
        };
        let is_pattern = matches!(operator, Operator::Rx | Operator::RxGlobal);
        let written = || Template(vec![Piece::Text(text.to_owned())]);
        // `%{` may stand in a pattern that has no macro.
        let argument = match Template::parse(text) {
            Ok(made) if !is_pattern || made.has_macro() => made,
            Err(wrong) if !is_pattern => return Err(wrong),
            _ => written(),
        };
        let asks_nobody = matches!(operator, Operator::Rbl | Operator::GeoLookup);
        if asks_nobody && negated {
            let why = "no list or database is asked, so that this would always match";
            return Err(Reason::Refused { what: "operator", name: rest.to_owned(), why });
        }
        let fixed = matches!(
            operator,
            Operator::Pm
                | Operator::PmFromFile
                | Operator::IpMatch
                | Operator::IpMatchFromFile
                | Operator::ValidateByteRange
                | Operator::VerifyCc
                | Operator::VerifyCpf
                | Operator::VerifySsn
                | Operator::VerifySvnr
        );
        let is_made = operator == Operator::RxGlobal && argument.has_macro();
        if is_made || (fixed && argument.as_text().is_none()) {
            let why = "text without macros is expected, so that it is compiled once";
            return Err(Reason::Argument { what: "operator".to_owned(), why, value: text.to_owned() });
        }
        Ok(Self { negated, operator, argument, text: text.to_owned() })
    }
}

fn find(name: &str) -> Result<Operator, Reason> {
    let lower = name.to_ascii_lowercase();
    if let Some((_, found)) = NAMES.iter().find(|(known, _)| *known == lower) {
        return Ok(*found);
    }
    match REFUSED.iter().find(|(refused, _)| *refused == lower) {
        Some((_, why)) => Err(Reason::Refused { what: "operator", name: format!("@{name}"), why }),
        None => Err(Reason::Unknown { what: "operator", name: format!("@{name}") }),
    }
}
