//! What rules say to a request before anything runs, and to its answer before anyone sees it. It holds no rules by
//! itself, reads no clock and keeps no request: rules, settings and time are handed in.
//!
//! A function has one [`Guard`]: the node's rules, specialised for what its manifest asks. Its exit is [`Inspected`],
//! which nothing else makes.

mod dear;
mod guard;
mod kept;
mod opaque;
mod plain;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use http::request::Parts;
use waf::{Cause, Decision};
pub use waf::{Report, memory::Memory};

pub use self::{
    dear::dearest_ns,
    guard::{Guard, GuardError, Guards, RuleSet},
    kept::{Answer, Asked},
    opaque::is_opaque,
    plain::refuses_everybody,
};
use crate::{Peer, Screened};

/// A request that rules have looked at, as far as its function wants. Only a [`Guard`] makes one.
///
/// ```compile_fail
/// # fn forged(screened: shield::Screened<()>) {
/// let inspected = shield::Inspected(screened);
/// # }
/// ```
#[derive(Debug)]
pub struct Inspected<B>(Screened<B>);

impl<B> Inspected<B> {
    /// The request without its body.
    pub const fn head(&self) -> &Parts {
        self.0.head()
    }

    /// The body.
    pub const fn body(&self) -> &B {
        self.0.body()
    }

    /// Who is at the other end.
    pub const fn peer(&self) -> &Peer {
        self.0.peer()
    }

    /// Takes it apart. It cannot be put together again.
    pub fn into_parts(self) -> (Parts, B, Peer) {
        self.0.into_parts()
    }

    /// The same with what follows behind the part of the body that was looked at.
    #[must_use]
    pub fn continued<C>(self, join: impl FnOnce(B) -> C) -> Inspected<C> {
        let (head, body, peer) = self.0.into_parts();
        Inspected(Screened::looked_at(head, join(body), peer))
    }
}

impl<B> Screened<B> {
    /// The proof that rules have looked at it, if they have.
    ///
    /// # Errors
    /// The same request, at which nobody has looked.
    #[expect(clippy::result_large_err, reason = "the request itself is handed back")]
    pub fn inspected(self) -> Result<Inspected<B>, Self> {
        if self.is_looked_at() { Ok(Inspected(self)) } else { Err(self) }
    }
}

/// What is in hand of a body.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// Its beginning, and more follows.
    Start(&'a [u8]),
}

impl<'a> Seen<'a> {
    /// The bytes.
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Whole(bytes) | Self::Start(bytes) => bytes,
        }
    }
}

/// What a look at a request is told of the world.
#[derive(Clone, Copy)]
pub struct Now<'a> {
    /// Nanoseconds of a clock that never goes back.
    pub clock: &'a dyn Fn() -> u64,
    /// Seconds since 1970, UTC.
    pub epoch_s: u64,
    /// What rules keep from request to request.
    pub memory: Option<&'a Memory>,
}

/// What rules found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Why it is refused; none where it goes on.
    pub refused: Option<Reason>,
    /// What matched, and how long it took.
    pub report: Report,
}

/// Why rules do not let something through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An attack: the rule that decided.
    Rule {
        /// Its id.
        id: u64,
        /// The status that it asks for.
        status: u16,
    },
    /// More than rules look at.
    TooLong,
    /// It used up the time that it may take.
    Exhausted,
}

impl Reason {
    /// The stable code, in kebab case.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Rule { .. } => "rule-matched",
            Self::TooLong => "body-not-inspected",
            Self::Exhausted => "inspection-exhausted",
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            // What a rule writes is its author's; what would be no refusal is none.
            Self::Rule { status: status @ 400..=499, .. } => status,
            Self::Rule { .. } => 403,
            Self::TooLong => 413,
            Self::Exhausted => 503,
        }
    }

    /// One sentence that may be shown to anyone.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Rule { .. } => "the request looks like an attack",
            Self::TooLong => "the request's body is longer than is looked at here",
            Self::Exhausted => "the request takes too long to look at",
        }
    }

    fn of(decision: &Decision) -> Option<Self> {
        let Decision::Refuse(refusal) = decision else { return None };
        Some(match refusal.cause {
            Cause::Rule(id) => Self::Rule { id, status: refusal.status },
            Cause::BodyTooLong => Self::TooLong,
            Cause::Exhausted => Self::Exhausted,
        })
    }
}

/// Matches that a sentence names.
const NAMED_MAX: usize = 6;
/// Characters of a message or of a variable's name in it.
const NAME_CHARS_MAX: usize = 64;

impl Finding {
    fn of(report: Report) -> Self {
        Self { refused: Reason::of(&report.decision), report }
    }

    /// Whether there is anything to tell: it is refused, or would be where rules do more than tell.
    pub const fn is_told(&self) -> bool {
        self.refused.is_some() || self.report.would_refuse.is_some()
    }

    /// Which rules matched where, for the record: never a value of the request.
    pub fn detail(&self) -> String {
        let report = &self.report;
        let mut text = match (self.refused, report.would_refuse) {
            (Some(Reason::Rule { id, .. }), _) => format!("rule {id} refused it"),
            (Some(Reason::TooLong), _) => "its body is longer than is looked at".to_owned(),
            (Some(Reason::Exhausted), _) => "looking at it took longer than it may".to_owned(),
            (None, Some(id)) => format!("rule {id} would refuse it"),
            (None, None) => "it goes on".to_owned(),
        };
        let _infallible = write!(text, ", score {}, {} µs", report.inbound_score, report.time_ns / 1_000);
        // What a rule looks at that only adds up scores is nothing of the request.
        let is_seen = |one: &&waf::Match| {
            one.severity.is_some_and(|severity| severity <= 5) && !one.variable.starts_with("TX:")
        };
        let scored = report.matches.iter().filter(is_seen);
        let mut named = 0;
        for one in scored {
            named += 1;
            if named <= NAMED_MAX {
                let variable = one.variable.strip_prefix("MATCHED_VARS:").unwrap_or(&one.variable);
                let (message, variable) = (cut(&one.message), cut(variable));
                let _infallible = write!(text, "; {} {message} in {variable}", one.rule);
            }
        }
        if named > NAMED_MAX {
            let _infallible = write!(text, "; and {} more", named - NAMED_MAX);
        }
        text
    }
}

fn cut(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(NAME_CHARS_MAX).map(plain).collect()
}
