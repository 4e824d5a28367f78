//! Who may speak: lists of ranges and of named sets, and the sets themselves. It never reads a file.

use std::{collections::HashMap, fmt, net::IpAddr, str::FromStr, sync::Arc};

use model::{Timestamp, limits};

use super::{
    Cidr, CidrError,
    ranges::{NEVER_MS, Ranges},
};

/// When lists are read: what they say of the time of day becomes a time of the clock that never goes back.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// The time of day.
    pub now: Timestamp,
    /// The same moment, in milliseconds of a clock that never goes back.
    pub now_ms: u64,
}

impl At {
    fn ends_ms(self, until: Option<Timestamp>) -> u64 {
        until.map_or(NEVER_MS, |until| self.now_ms.saturating_add(until.since_ms(self.now)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Whom {
    Range(Cidr),
    Set(Arc<str>),
}

/// One entry of a list: a range, or `set:NAME`, each for good or ` until=TIME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    whom: Whom,
    until: Option<Timestamp>,
}

/// A text that is no entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It names no range.
    #[error(transparent)]
    Range(#[from] CidrError),
    /// It names no set.
    #[error("`{0}` is no name of a set: write 1 to 63 of `a-z`, `0-9` and `-`")]
    Name(String),
    /// What follows it is no end.
    #[error("`{0}` is no end: write ` until=2027-01-31T12:00:00Z`")]
    Until(String),
    /// A set of sets, or one that names itself.
    #[error("`set:{0}` stands within a set: name ranges there")]
    Nested(String),
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Whether a text may name a set: a label as of a host.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

impl FromStr for Entry {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let text = text.trim();
        let (whom, until) = match text.split_once(|c: char| c.is_ascii_whitespace()) {
            None => (text, None),
            Some((whom, rest)) => {
                let rest = rest.trim_start();
                let bad = || EntryError::Until(short(rest));
                let time = rest.strip_prefix("until=").ok_or_else(bad)?;
                (whom, Some(Timestamp::parse(time).ok_or_else(bad)?))
            }
        };
        let whom = match whom.strip_prefix("set:") {
            Some(name) if is_name(name) => Whom::Set(name.into()),
            Some(name) => return Err(EntryError::Name(short(name))),
            None => Whom::Range(whom.parse()?),
        };
        Ok(Self { whom, until })
    }
}

impl Entry {
    /// The set that it names, if it names one.
    pub fn set(&self) -> Option<&str> {
        match &self.whom {
            Whom::Set(name) => Some(name),
            Whom::Range(_) => None,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.whom {
            Whom::Range(cidr) => write!(f, "{cidr}")?,
            Whom::Set(name) => write!(f, "set:{name}")?,
        }
        self.until.map_or(Ok(()), |until| write!(f, " until={until}"))
    }
}

impl serde::Serialize for Entry {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A set cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// One of its lines.
    #[error("line {line}: {error}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        error: EntryError,
    },
    /// There are more.
    #[error("it has more than {} ranges", limits::FIREWALL_SET_RANGES_MAX)]
    TooMany,
    /// A name that is none.
    #[error(transparent)]
    Name(EntryError),
}

/// Named sets of ranges.
#[derive(Debug, Clone, Default)]
pub struct Sets {
    named: HashMap<Arc<str>, Arc<Ranges>>,
}

impl Sets {
    /// Puts a set, of one entry a line; what follows a `#` is a comment.
    ///
    /// # Errors
    /// The first line that is none; the sets are then as they were.
    pub fn put(&mut self, name: &str, text: &str, at: At) -> Result<usize, SetError> {
        if !is_name(name) {
            return Err(SetError::Name(EntryError::Name(short(name))));
        }
        let mut ranges = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let bare = line.split('#').next().unwrap_or_default().trim();
            if bare.is_empty() {
                continue;
            }
            let wrong = |error| SetError::Line { line: index + 1, error };
            let entry: Entry = bare.parse().map_err(wrong)?;
            match entry.whom {
                Whom::Range(cidr) => ranges.push((cidr, at.ends_ms(entry.until))),
                Whom::Set(name) => return Err(wrong(EntryError::Nested(name.as_ref().into()))),
            }
            if ranges.len() > limits::FIREWALL_SET_RANGES_MAX {
                return Err(SetError::TooMany);
            }
        }
        let count = ranges.len();
        self.named.insert(name.into(), Arc::new(Ranges::until(ranges)));
        Ok(count)
    }

    /// Takes a set over from others, as it stands there.
    pub fn keep(&mut self, name: &str, from: &Self) {
        if let Some((name, ranges)) = from.named.get_key_value(name) {
            self.named.insert(name.clone(), ranges.clone());
        }
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }
}

/// One list: ranges of its own and names of sets.
#[derive(Debug, Clone, Default)]
struct List {
    own: Ranges,
    sets: Vec<(Arc<str>, u64)>,
}

impl List {
    fn new(entries: &[Entry], at: At) -> Self {
        let (mut own, mut sets) = (Vec::new(), Vec::new());
        for entry in entries {
            let ends_ms = at.ends_ms(entry.until);
            match &entry.whom {
                Whom::Range(cidr) => own.push((*cidr, ends_ms)),
                Whom::Set(name) => sets.push((name.clone(), ends_ms)),
            }
        }
        Self { own: Ranges::until(own), sets }
    }

    /// `unknown`: what a set counts as that is not there.
    fn holds(&self, address: IpAddr, now_ms: u64, sets: &Sets, unknown: bool) -> bool {
        self.own.hold(address, now_ms)
            || self.sets.iter().any(|(name, ends_ms)| {
                let named = || sets.named.get(name).map_or(unknown, |set| set.hold(address, now_ms));
                now_ms < *ends_ms && named()
            })
    }
}

/// Which sources may speak. Two empty lists let everyone in.
///
/// `deny` goes before `allow`, whatever is narrower. Where `allow` has any entry, also one that has ended, a source that
/// it does not hold is refused. A set that is not there holds nobody in `allow` and everybody in `deny`: what cannot be
/// known is refused.
#[derive(Debug, Clone, Default)]
pub struct Firewall {
    /// `None`: there is no list of those allowed, so everyone is.
    allow: Option<List>,
    deny: List,
}

impl Firewall {
    /// A firewall of two lists.
    pub fn new(allow: &[Entry], deny: &[Entry], at: At) -> Self {
        Self { allow: (!allow.is_empty()).then(|| List::new(allow, at)), deny: List::new(deny, at) }
    }

    /// A firewall of two lists as they are written.
    ///
    /// # Errors
    /// The first entry that is none.
    pub fn parse(allow: &[String], deny: &[String], at: At) -> Result<Self, EntryError> {
        let entries = |texts: &[String]| texts.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>();
        Ok(Self::new(&entries(allow)?, &entries(deny)?, at))
    }

    /// Whether it lets everyone in.
    pub const fn is_open(&self) -> bool {
        self.allow.is_none() && self.deny.own.is_empty() && self.deny.sets.is_empty()
    }

    /// Whether a source may speak. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn permits(&self, address: IpAddr, now_ms: u64, sets: &Sets) -> bool {
        !self.deny.holds(address, now_ms, sets, true)
            && self.allow.as_ref().is_none_or(|allow| allow.holds(address, now_ms, sets, false))
    }

    /// The sets that it names and that are not there.
    pub fn unknown<'f>(&'f self, sets: &'f Sets) -> impl Iterator<Item = &'f str> {
        let named = self.allow.iter().chain([&self.deny]).flat_map(|list| &list.sets);
        named.map(|(name, _)| &**name).filter(|name| !sets.has(name))
    }
}

/// All lists of a node, swapped as one.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    /// Who may speak to the node at all.
    pub node: Firewall,
    /// Who of those may speak to the control API.
    pub control: Firewall,
    /// The named sets, which lists of tenants and functions name too.
    pub sets: Sets,
    /// Whose connections begin with a PROXY header, and who of HTTP's own is believed about sources.
    pub forwarders: crate::Forwarders,
}
