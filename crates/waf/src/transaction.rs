//! One request and its answer on their way through a plan: what is made of them, which rules match, what is decided.
//! Nothing of it stays when it ends, but what rules keep by address in a [`Memory`].

mod change;
mod fill;
mod read;
mod report;
mod run;
mod scan;
mod scratch;

use std::{net::SocketAddr, sync::Arc};

pub use self::report::{Match, Report};
use self::scratch::Matched;
pub(crate) use self::scratch::{Scratch, Span};
use crate::{
    body::MultipartFlags,
    memory::Memory,
    plan::{
        BodyOverLimit, Exhausted, Plan,
        program::{Bits, Read, TxValue},
    },
    seclang::{
        action::{Allow, RuleEngine},
        variable::Collection,
    },
};

/// A request's head as the wire has it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// `GET`
    pub method: &'a [u8],
    /// As in the request line: `/path?query`, or with scheme and host.
    pub uri: &'a [u8],
    /// `HTTP/1.1`
    pub protocol: &'a [u8],
    /// Names and values, in order, as they were sent.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// Who asks.
    pub peer: SocketAddr,
    /// Where it is asked.
    pub server: SocketAddr,
    /// The request's id.
    pub id: &'a str,
}

/// What a transaction is told of the world.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Nanoseconds of a clock that never goes back.
    pub clock: &'a dyn Fn() -> u64,
    /// Seconds since 1970, UTC.
    pub epoch_s: u64,
    /// What rules keep by address; without it such collections are empty.
    pub memory: Option<&'a Memory>,
}

/// What becomes of the request, or the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes on.
    Pass,
    /// It does not.
    Refuse(Refusal),
}

/// Why and how something is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer with.
    pub status: u16,
    /// Why.
    pub cause: Cause,
    /// Where to send the client instead.
    pub redirect: Option<String>,
    /// The connection is to be closed without an answer.
    pub close: bool,
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A rule, by its id.
    Rule(u64),
    /// The body is longer than its bound.
    BodyTooLong,
    /// The time or the bytes of the transaction are used up.
    Exhausted,
}

/// One request, and its answer, on their way through a plan.
pub struct Transaction<'p> {
    plan: &'p Plan,
    world: World<'p>,
    scratch: Scratch,
    engine: RuleEngine,
    started_ns: u64,
    /// Work since the clock was last asked, about bytes.
    work: usize,
    exhausted: bool,
    phase: u8,
    decision: Decision,
    would_refuse: Option<u64>,
    allowed: Option<Allow>,
    removed: Bits,
    removed_targets: Vec<(Arc<Bits>, &'p Read)>,
    matches: Vec<Match>,
    matched_rules: usize,
    highest_severity: Option<u8>,
    sanitise_matched: bool,
    sanitised: Vec<(Collection, &'p [u8])>,
    env: Vec<(Vec<u8>, Vec<u8>)>,
    collections: Vec<(Collection, Vec<u8>)>,
    current: Option<usize>,
    body: Body,
    sizes: Sizes,
}

/// How the request's body is read, and what came of it.
#[derive(Debug)]
struct Body {
    inspect: bool,
    inspect_response: bool,
    bytes_max: usize,
    response_bytes_max: usize,
    processor: Option<String>,
    force: bool,
    error: Option<String>,
    urlencoded_error: bool,
    truncated: bool,
    response_truncated: bool,
    multipart: MultipartFlags,
    multipart_error: bool,
    length: usize,
}

#[derive(Debug, Default)]
struct Sizes {
    arguments: usize,
    files: usize,
    head: usize,
}

impl Plan {
    /// Begins a transaction.
    #[must_use]
    pub fn transaction<'p>(&'p self, world: World<'p>) -> Transaction<'p> {
        let mut scratch = self.scratch();
        scratch.begin(self);
        Transaction {
            plan: self,
            world,
            scratch,
            engine: self.engine,
            started_ns: (world.clock)(),
            work: 0,
            exhausted: false,
            phase: 0,
            decision: Decision::Pass,
            would_refuse: None,
            allowed: None,
            removed: Bits::default(),
            removed_targets: Vec::new(),
            matches: Vec::new(),
            matched_rules: 0,
            highest_severity: None,
            sanitise_matched: false,
            sanitised: Vec::new(),
            env: Vec::new(),
            collections: Vec::new(),
            current: None,
            body: Body {
                inspect: self.limits.request_body,
                inspect_response: self.limits.response_body,
                bytes_max: self.limits.request_body_bytes_max,
                response_bytes_max: self.limits.response_body_bytes_max,
                processor: None,
                force: false,
                error: None,
                urlencoded_error: false,
                truncated: false,
                response_truncated: false,
                multipart: MultipartFlags::default(),
                multipart_error: false,
                length: 0,
            },
            sizes: Sizes::default(),
        }
    }
}

impl Transaction<'_> {
    /// Phase 1.
    pub fn request_head(&mut self, head: &Head<'_>) -> Decision {
        if self.engine == RuleEngine::Off {
            return Decision::Pass;
        }
        self.fill_head(head);
        self.run(1)
    }

    /// Phase 2, with the whole body, or what there is of it up to the bound; to be called where there is none too.
    pub fn request_body(&mut self, body: &[u8]) -> Decision {
        if self.engine == RuleEngine::Off || self.decision != Decision::Pass {
            return self.decision.clone();
        }
        let body = match (body.get(..self.body.bytes_max), self.plan.limits.request_over_limit) {
            (Some(start), BodyOverLimit::Inspect) if body.len() > self.body.bytes_max => {
                self.body.truncated = true;
                start
            }
            (Some(_), BodyOverLimit::Refuse) if self.body.inspect && body.len() > self.body.bytes_max => {
                return self.refuse(413, Cause::BodyTooLong);
            }
            _ => body,
        };
        self.fill_body(body);
        self.run(2)
    }

    /// Phase 3.
    pub fn response_head(&mut self, status: u16, protocol: &[u8], headers: &[(&[u8], &[u8])]) -> Decision {
        if self.engine == RuleEngine::Off || self.decision != Decision::Pass {
            return self.decision.clone();
        }
        self.fill_response(status, protocol, headers);
        self.run(3)
    }

    /// Whether this answer's body is wanted: the function asks for it, and its media type is one of those named.
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        self.body.inspect_response && self.is_inspected_type()
    }

    /// Phase 4, with the whole body, or what there is of it up to the bound.
    pub fn response_body(&mut self, body: &[u8]) -> Decision {
        if self.engine == RuleEngine::Off || self.decision != Decision::Pass {
            return self.decision.clone();
        }
        let most = self.body.response_bytes_max;
        let body = match (body.get(..most), self.plan.limits.response_over_limit) {
            (Some(start), over) if body.len() > most => {
                self.body.response_truncated = true;
                if over == BodyOverLimit::Refuse && self.body.inspect_response {
                    return self.refuse(502, Cause::BodyTooLong);
                }
                start
            }
            _ => body,
        };
        if self.wants_response_body() {
            self.fill_response_body(body);
        }
        self.run(4)
    }

    /// Phase 5, and what was found.
    pub fn finish(mut self) -> Report {
        if self.engine != RuleEngine::Off {
            self.run(5);
        }
        self.report()
    }

    /// The value of a variable of TX, such as a score; none where it is not set.
    #[must_use]
    pub fn tx(&self, name: &str) -> Option<Vec<u8>> {
        let value = match self.plan.slot(name.to_ascii_lowercase().as_bytes()) {
            Some(slot) => self.scratch.tx.get(slot).copied()?,
            None => self.scratch.extra(name.as_bytes())?,
        };
        match value {
            TxValue::Unset => None,
            TxValue::Number(number) => Some(number.to_string().into_bytes()),
            TxValue::Constant(at) => Some(self.constant(at).to_vec()),
            TxValue::Text(span) => Some(self.scratch.bytes(span).to_vec()),
        }
    }

    fn constant(&self, at: u32) -> &[u8] {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        self.plan.constants.get(at).map(|text| &**text).unwrap_or_default()
    }

    fn refuse(&mut self, status: u16, cause: Cause) -> Decision {
        if self.engine == RuleEngine::On {
            self.decision = Decision::Refuse(Refusal { status, cause, redirect: None, close: false });
        }
        self.decision.clone()
    }

    /// Counts work, and asks the clock now and then.
    fn spend(&mut self, bytes: usize) {
        self.work += bytes;
        if self.work < 16_384 {
            return;
        }
        self.work = 0;
        let spent = (self.world.clock)().saturating_sub(self.started_ns);
        let limits = &self.plan.limits;
        if spent > limits.time_ns_max || self.scratch.len() > limits.bytes_max {
            self.exhausted = true;
        }
    }

    /// What an exhausted budget leads to.
    fn exhaust(&mut self) -> Decision {
        match self.plan.limits.exhausted {
            Exhausted::Refuse => self.refuse(503, Cause::Exhausted),
            Exhausted::Pass => self.decision.clone(),
        }
    }

    fn last_matched(&self) -> Option<&Matched> {
        self.scratch.matched.last().or(self.scratch.last.as_ref())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.plan.give_back(std::mem::take(&mut self.scratch));
    }
}
