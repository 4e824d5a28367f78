//! What the runs of one revision do, learned and then held against: where they call, in which order they do things, and
//! how much of everything they use. It never reads a clock, and never stops a run itself.

mod drift;

use std::collections::BTreeSet;

use model::{Timestamp, limits};
use serde::{Deserialize, Serialize};

pub use drift::critical;
use drift::{Baseline, Histogram};

/// Something that a run does and that its node can see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// It began.
    Start,
    /// It wrote to its log. Lines one after the other are one step.
    Log,
    /// It called out, `POST https://api.example.com:443`, or a function, `GET function:hello`.
    Out(String),
    /// It ended, however.
    End,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::Log => f.write_str("log"),
            Self::Out(place) => f.write_str(place),
            Self::End => f.write_str("end"),
        }
    }
}

/// One step after another.
pub type Transition = (Step, Step);

/// The steps of one run so far.
#[derive(Debug, Clone)]
pub struct Trail {
    last: Step,
    made: Vec<Transition>,
}

impl Default for Trail {
    fn default() -> Self {
        Self { last: Step::Start, made: Vec::new() }
    }
}

impl Trail {
    /// Takes a step, and gives the transition that it is where this run has not made it before. Of a run with more than
    /// [`limits::TRAIL_MAX`] different transitions the later ones are not kept.
    pub fn step(&mut self, to: Step) -> Option<&Transition> {
        if self.last == to && to == Step::Log {
            return None;
        }
        let made = (std::mem::replace(&mut self.last, to.clone()), to);
        if self.made.len() >= limits::TRAIL_MAX || self.made.contains(&made) {
            return None;
        }
        self.made.push(made);
        self.made.last()
    }

    /// The transition that a step would be.
    pub fn to(&self, to: Step) -> Transition {
        (self.last.clone(), to)
    }

    /// What it has made, each once.
    pub fn transitions(&self) -> &[Transition] {
        &self.made
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $field:ident = $at:literal, $floor:literal;)*) => {
        /// What a run used.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Numbers { $($(#[$doc])* pub $field: u64,)* }

        impl Numbers {
            /// Their names.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field),)*];
            /// What is never too much, whatever was learned.
            const FLOORS: &'static [u64] = &[$($floor,)*];

            fn values(&self) -> [u64; [$($at,)*].len()] {
                [$(self.$field,)*]
            }
        }
    };
}

numbers! {
    /// CPU time, in microseconds.
    cpu_us = 0, 2_000;
    /// Time from start to end, in microseconds.
    wall_us = 1, 20_000;
    /// Bytes of the answer.
    response_bytes = 2, 1_024;
    /// Bytes of the log.
    log_bytes = 3, 1_024;
    /// Outbound calls.
    outbound_calls = 4, 1;
}

/// Where a profile stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Runs are learned.
    Learning,
    /// Enough was learned, and somebody must approve it.
    Waiting,
    /// Runs are held against it.
    InForce,
}

impl Stage {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Learning => "learning",
            Self::Waiting => "waiting",
            Self::InForce => "in-force",
        }
    }
}

/// What is unlike the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No learned run did this after that. It is found once.
    Unseen(Transition),
    /// Far more runs of the last window than learned ones use more than this.
    Drift {
        /// Which number.
        number: &'static str,
        /// Runs of the window above the bound.
        above: u32,
        /// Runs of the window.
        of: u32,
        /// The bound, in the number's unit.
        bound: u64,
    },
    /// Within a minute the function sent out far more than in any minute while it was learned.
    Egress {
        /// `calls` or `bytes`.
        what: &'static str,
        /// How many there were.
        found: u64,
        /// The bound.
        bound: u64,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unseen((from, to)) => write!(f, "`{to}` after `{from}` is not in the function's profile"),
            Self::Drift { number, above, of, bound } => {
                write!(f, "{above} of the last {of} runs have a `{number}` above {bound}")
            }
            Self::Egress { what, found, bound } => {
                write!(f, "{found} outbound {what} within a minute, more than {bound}")
            }
        }
    }
}

/// What was sent out within a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Outbound calls.
    pub calls: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// A run that ended.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What it did.
    pub transitions: &'a [Transition],
    /// What it used.
    pub numbers: Numbers,
    /// What it sent out.
    pub sent: Sent,
}

/// What is known of the runs of one revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    stage: Stage,
    since: Timestamp,
    learn_until: Timestamp,
    approve: bool,
    runs: u64,
    transitions: BTreeSet<Transition>,
    /// Transitions that there was no room for.
    left_out: u64,
    numbers: Vec<Histogram>,
    minute_most: Sent,
    /// Found already, so not told again.
    #[serde(default)]
    found: BTreeSet<Transition>,
    #[serde(skip)]
    now: Now,
}

/// What is counted of the present, and begins anew with the node.
#[derive(Debug, Clone, Default, PartialEq)]
struct Now {
    baselines: Vec<Baseline>,
    minute: u64,
    sent: Sent,
    told: bool,
}

impl Profile {
    /// Begins to learn, for so many minutes and at least [`limits::PROFILE_RUNS_MIN`] runs; with `approve` somebody must
    /// approve what was learned.
    pub fn new(now: Timestamp, learn_minutes: u32, approve: bool) -> Self {
        Self {
            stage: Stage::Learning,
            since: now,
            learn_until: now.plus_ms(u64::from(learn_minutes) * 60_000),
            approve,
            runs: 0,
            transitions: BTreeSet::new(),
            left_out: 0,
            numbers: vec![Histogram::default(); Numbers::NAMES.len()],
            minute_most: Sent::default(),
            found: BTreeSet::new(),
            now: Now::default(),
        }
    }

    /// Where it stands.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Since when it is as it is, and until when it learns at least.
    pub const fn times(&self) -> (Timestamp, Timestamp) {
        (self.since, self.learn_until)
    }

    /// Runs that were learned.
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    /// What learned runs did.
    pub fn transitions(&self) -> impl Iterator<Item = &Transition> {
        self.transitions.iter()
    }

    /// What was found that they did not do.
    pub fn found(&self) -> impl Iterator<Item = &Transition> {
        self.found.iter()
    }

    /// Of each number: its name, the median and the 95th percentile of what was learned, to within an eighth, and the
    /// bound that runs are held against.
    pub fn numbers(&self) -> impl Iterator<Item = (&'static str, u64, u64, u64)> {
        let all = Numbers::NAMES.iter().zip(Numbers::FLOORS).zip(&self.numbers);
        all.map(|((name, floor), learned)| {
            let (median, high) = (learned.quantile(500), learned.quantile(950));
            (*name, median, high, drift::bound(learned, *floor))
        })
    }

    /// The most that was sent out within a minute while it was learned.
    pub const fn minute_most(&self) -> Sent {
        self.minute_most
    }

    /// Puts it in force: what was learned until now is what runs are held against.
    pub fn approve(&mut self, now: Timestamp) {
        if self.stage != Stage::InForce {
            (self.stage, self.since) = (Stage::InForce, now);
        }
    }

    /// Whether a run may do this: always, until the profile is in force.
    pub fn knows(&self, transition: &Transition) -> bool {
        self.stage != Stage::InForce || self.transitions.contains(transition)
    }

    /// Takes what a profile in force does not know for known from now on.
    pub fn find(&mut self, transition: &Transition) -> Option<Finding> {
        let room = self.found.len() < limits::PROFILE_FINDINGS_MAX;
        let is_new = !self.knows(transition) && room && self.found.insert(transition.clone());
        is_new.then(|| Finding::Unseen(transition.clone()))
    }

    /// Takes in a run that ended: it is learned, or held against what was.
    pub fn ended(&mut self, run: &Seen<'_>, now: Timestamp) -> Vec<Finding> {
        match self.stage {
            Stage::Learning => {
                self.learn(run, now);
                Vec::new()
            }
            Stage::Waiting => Vec::new(),
            Stage::InForce => self.hold(run, now),
        }
    }

    fn learn(&mut self, run: &Seen<'_>, now: Timestamp) {
        self.runs += 1;
        for transition in run.transitions {
            if self.transitions.contains(transition) {
                continue;
            }
            if self.transitions.len() >= limits::PROFILE_TRANSITIONS_MAX {
                self.left_out += 1;
            } else {
                self.transitions.insert(transition.clone());
            }
        }
        for (learned, value) in self.numbers.iter_mut().zip(run.numbers.values()) {
            learned.add(value);
        }
        let sent = self.send(run.sent, now);
        self.minute_most.calls = self.minute_most.calls.max(sent.calls);
        self.minute_most.bytes = self.minute_most.bytes.max(sent.bytes);
        if self.runs >= limits::PROFILE_RUNS_MIN && now >= self.learn_until {
            self.stage = if self.approve { Stage::Waiting } else { Stage::InForce };
            self.since = now;
        }
    }

    fn hold(&mut self, run: &Seen<'_>, now: Timestamp) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            run.transitions.iter().filter_map(|transition| self.find(transition)).collect();
        if self.now.baselines.is_empty() {
            let all = self.numbers.iter().zip(Numbers::FLOORS);
            self.now.baselines = all.map(|(learned, floor)| Baseline::of(learned, *floor)).collect();
        }
        let values = Numbers::NAMES.iter().zip(run.numbers.values()).zip(&mut self.now.baselines);
        for ((number, value), baseline) in values {
            if let Some(above) = baseline.add(value) {
                let (of, bound) = (limits::DRIFT_RUNS, baseline.bound());
                findings.push(Finding::Drift { number, above, of, bound });
            }
        }
        let sent = self.send(run.sent, now);
        findings.extend(self.egress(sent));
        findings
    }

    /// Adds to what was sent out within the present minute, and says how much that is.
    fn send(&mut self, sent: Sent, now: Timestamp) -> Sent {
        let minute = now.unix_ms() / 60_000;
        if self.now.minute != minute {
            (self.now.minute, self.now.sent, self.now.told) = (minute, Sent::default(), false);
        }
        self.now.sent.calls = self.now.sent.calls.saturating_add(sent.calls);
        self.now.sent.bytes = self.now.sent.bytes.saturating_add(sent.bytes);
        self.now.sent
    }

    fn egress(&mut self, sent: Sent) -> Option<Finding> {
        let calls = self.minute_most.calls * limits::EGRESS_FACTOR + limits::EGRESS_CALLS;
        let bytes = self.minute_most.bytes * limits::EGRESS_FACTOR + limits::EGRESS_BYTES;
        let found = if sent.calls > calls {
            Finding::Egress { what: "calls", found: sent.calls, bound: calls }
        } else if sent.bytes > bytes {
            Finding::Egress { what: "bytes", found: sent.bytes, bound: bytes }
        } else {
            return None;
        };
        (!std::mem::replace(&mut self.now.told, true)).then_some(found)
    }
}

#[cfg(test)]
mod tests;
