//! SecLang as typed directives: what the text of rules says, each with its file and line. What is not understood is an
//! error, never skipped; what a rule does to a request is not known here.

pub mod action;
mod directive;
mod lexer;
pub mod operator;
pub mod variable;

use std::{cell::Cell, fmt, sync::Arc};

pub use directive::{Directive, RuleSelector, Setting, Update};
use thiserror::Error;

use self::{action::Actions, operator::Test, variable::Targets};

/// Where something stands in the text of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name, as its loader calls it.
    pub file: Arc<str>,
    /// The line on which the directive begins, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What is wrong with the rules; whoever wrote them is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {reason}")]
pub struct LoadError {
    /// Where.
    pub place: Place,
    /// What.
    pub reason: Reason,
}

/// Why a directive is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// A word that SecLang has none of at this place.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// `directive`, `variable`, `operator`, `action`, `transformation` …
        what: &'static str,
        /// As it was written.
        name: String,
    },
    /// SecLang has it, this engine does not.
    #[error("{what} `{name}` is refused: {why}")]
    Refused {
        /// `directive`, `variable`, `operator` or `action`.
        what: &'static str,
        /// As it was written.
        name: String,
        /// Why, and what to do instead.
        why: &'static str,
    },
    /// Known, but its argument is none.
    #[error("{what}: {why}, not `{value}`")]
    Argument {
        /// What has the argument.
        what: String,
        /// What is expected.
        why: &'static str,
        /// What was written.
        value: String,
    },
    /// Words are missing, or are too many.
    #[error("`{directive}` takes {expected}")]
    Words {
        /// The directive.
        directive: String,
        /// What it takes.
        expected: &'static str,
    },
    /// A quote that is not closed, or text after one that is.
    #[error("a quote is not closed, or text follows it")]
    Quote,
    /// Bytes that are no text.
    #[error("a byte that is not UTF-8; write it as `\\xHH`")]
    Text,
    /// Actions that only the first rule of a chain may have.
    #[error("`{0}` stands in the first rule of a chain, not in a later one")]
    Link(&'static str),
    /// A pattern that cannot be compiled.
    #[error("the pattern `{pattern}` is not taken: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The compiler's words.
        why: String,
    },
    /// A file that a rule names and that is not there.
    #[error("cannot read `{name}`: {why}")]
    File {
        /// Its name.
        name: String,
        /// The loader's words.
        why: String,
    },
    /// Two rules with one id.
    #[error("the id {id} is taken by the rule at {first}")]
    Duplicate {
        /// The id.
        id: u64,
        /// Where the first stands.
        first: Place,
    },
    /// A rule without an id that is no link of a chain.
    #[error("the rule has no `id`")]
    NoId,
    /// A chain that ends without its last link, or is broken by another directive.
    #[error("the chain that begins in line {starter} has no further link")]
    Chain {
        /// Where it begins.
        starter: u32,
    },
    /// More directives than a set of rules may have.
    #[error("there are more than {0} directives")]
    Directives(usize),
    /// `skipAfter` to a marker that does not follow.
    #[error("no marker or rule `{marker}` follows to skip to")]
    Marker {
        /// The marker.
        marker: String,
    },
}

/// One file of rules.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name, for errors and for what it names beside it.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// The files that rules name: the engine opens none by itself.
pub trait Files {
    /// The contents of `name`, named in the file `from`.
    ///
    /// # Errors
    /// Why not, in words for the rules' author.
    fn read(&self, from: &str, name: &str) -> Result<Vec<u8>, String>;
    /// The names of all files there are that the pattern of an `Include` in the file `from` matches, in order.
    ///
    /// # Errors
    /// Why nobody knows, in words for the rules' author.
    fn expand(&self, from: &str, pattern: &str) -> Result<Vec<String>, String>;
}

/// Where rules name no files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _from: &str, _name: &str) -> Result<Vec<u8>, String> {
        Err("no folder of rules was given".to_owned())
    }
    fn expand(&self, _from: &str, _pattern: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

/// One `SecRule` or `SecAction` as it was written; of a chain each link is one.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleText {
    /// What is looked at; of `SecAction` nothing.
    pub targets: Targets,
    /// What is asked of it; of `SecAction` nothing.
    pub test: Option<Test>,
    /// What follows.
    pub actions: Actions,
}

/// A directive and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// Where.
    pub place: Place,
    /// What.
    pub directive: Directive,
}

const INCLUDE_DEPTH_MAX: u8 = 8;
/// Directives of a set of rules, those of included files too, each time that they are.
const DIRECTIVES_MAX: usize = 20_000;
/// What rules may have read of the files that they name, each time that they name one, in bytes.
const NAMED_BYTES_MAX: usize = 16 << 20;
/// What naming a file counts for at least, in bytes.
const NAMED_BYTES_MIN: usize = 4 << 10;

/// Files of which rules can have no more read than a set of rules is worth, however often they name them.
pub(crate) struct Metered<'a> {
    files: &'a dyn Files,
    left: Cell<usize>,
}

impl<'a> Metered<'a> {
    pub(crate) const fn new(files: &'a dyn Files) -> Self {
        Self { files, left: Cell::new(NAMED_BYTES_MAX) }
    }

    fn charge(&self, bytes: usize) -> Result<(), String> {
        let left = self.left.get().checked_sub(bytes.max(NAMED_BYTES_MIN));
        let why = || format!("rules name files of more than {NAMED_BYTES_MAX} bytes, all together");
        self.left.set(left.ok_or_else(why)?);
        Ok(())
    }
}

impl Files for Metered<'_> {
    fn read(&self, from: &str, name: &str) -> Result<Vec<u8>, String> {
        let bytes = self.files.read(from, name)?;
        self.charge(bytes.len())?;
        Ok(bytes)
    }

    fn expand(&self, from: &str, pattern: &str) -> Result<Vec<String>, String> {
        self.charge(0)?;
        self.files.expand(from, pattern)
    }
}

/// The text of a file of rules.
///
/// # Errors
/// Where it is not UTF-8, with the line: bytes that were changed would match something else.
pub fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, LoadError> {
    std::str::from_utf8(bytes).map_err(|wrong| {
        let before = bytes.get(..wrong.valid_up_to()).unwrap_or_default();
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        let line = u32::try_from(lines + 1).unwrap_or(u32::MAX);
        LoadError { place: Place { file: Arc::from(name), line }, reason: Reason::Text }
    })
}

/// Reads sources in order, with what they include.
///
/// # Errors
/// At the first directive that is not understood.
pub fn parse(sources: &[Source<'_>], files: &dyn Files) -> Result<Vec<Located>, LoadError> {
    let mut found = Vec::new();
    for source in sources {
        parse_one(*source, files, 0, &mut found)?;
    }
    Ok(found)
}

fn parse_one(
    source: Source<'_>,
    files: &dyn Files,
    depth: u8,
    found: &mut Vec<Located>,
) -> Result<(), LoadError> {
    let file: Arc<str> = Arc::from(source.name);
    for line in lexer::lines(source.text) {
        let place = Place { file: Arc::clone(&file), line: line.number };
        let at = |reason| LoadError { place: place.clone(), reason };
        let words = lexer::words(&line.text).map_err(at)?;
        let directive = directive::parse(&words).map_err(at)?;
        let (pattern, optional) = match &directive {
            Directive::Include(pattern) => (pattern, false),
            Directive::IncludeOptional(pattern) => (pattern, true),
            _ => {
                if found.len() >= DIRECTIVES_MAX {
                    return Err(at(Reason::Directives(DIRECTIVES_MAX)));
                }
                found.push(Located { place, directive });
                continue;
            }
        };
        if depth >= INCLUDE_DEPTH_MAX {
            let why = "files include each other at most 8 deep";
            return Err(at(Reason::Argument { what: "Include".to_owned(), why, value: pattern.clone() }));
        }
        let unread = |why| at(Reason::File { name: pattern.clone(), why });
        let names = files.expand(&file, pattern).map_err(unread)?;
        if names.is_empty() && !optional {
            return Err(unread("no file fits; `IncludeOptional` takes none too".to_owned()));
        }
        for name in names {
            let bytes = files.read(&file, &name).map_err(unread)?;
            let text = text(&name, &bytes)?;
            parse_one(Source { name: &name, text }, files, depth + 1, found)?;
        }
    }
    Ok(())
}
