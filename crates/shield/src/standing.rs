//! What a node does against somebody or something at present: who is slowed or blocked, which tokens are suspended, which
//! revisions are in quarantine, each until when. It never reads a clock, never stores, and takes nothing that has no end.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use model::{FunctionName, RevisionNumber, TenantId, Timestamp, TokenId, limits};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{Cidr, firewall::source, watch::SignalKind};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Refusals are answered late.
    Slow,
    /// Nothing is answered to whoever presents no credential that holds.
    BlockStrangers,
    /// Nothing is answered to anybody.
    Block,
    /// A token proves nobody.
    Suspend,
    /// Calls of a revision are answered 503; nothing of it is lost.
    Quarantine,
}

impl Measure {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::BlockStrangers => "block-strangers",
            Self::Block => "block",
            Self::Suspend => "suspend",
            Self::Quarantine => "quarantine",
        }
    }

    /// As the record names the act.
    pub const fn act(self) -> &'static str {
        match self {
            Self::Slow => "slow-source",
            Self::BlockStrangers | Self::Block => "block-source",
            Self::Suspend => "suspend-token",
            Self::Quarantine => "quarantine-revision",
        }
    }
}

/// Against whom or what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A range of addresses.
    Source(Cidr),
    /// A token.
    Token(TokenId),
    /// One revision of a function.
    Revision(FunctionName, RevisionNumber),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(range) => write!(f, "{range}"),
            Self::Token(id) => write!(f, "{id}"),
            Self::Revision(function, number) => write!(f, "{function} {number}"),
        }
    }
}

/// One act, in force or over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Its name.
    pub id: String,
    /// For whose functions; `None`: for everybody's.
    pub tenant: Option<TenantId>,
    /// What is done.
    pub measure: Measure,
    /// Against what.
    pub subject: Subject,
    /// At the port of operators too.
    #[serde(default)]
    pub control: bool,
    /// Why.
    pub reason: String,
    /// Who did it, as records name them; `shield` is the node itself.
    pub by: String,
    /// The signal that it answers.
    #[serde(default)]
    pub signal: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// When it was over, and who ended it.
    #[serde(default)]
    pub ended: Option<(Timestamp, String)>,
}

/// Whom an action is by that no operator asked for.
pub const BY_ITSELF: &str = "shield";

impl Action {
    /// Whether the node did it by itself.
    pub fn is_by_itself(&self) -> bool {
        self.by == BY_ITSELF
    }

    /// Whether it is in force.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.until > now
    }
}

/// As many are in force as operators may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {0} actions in force, as many as there may be: undo some")]
pub struct TooMany(usize);

#[derive(Debug, Default)]
struct Shelves {
    all: HashMap<String, Arc<Action>>,
    /// Those against one source, by what it is counted under.
    sources: HashMap<IpAddr, Vec<Arc<Action>>>,
    /// Those against wider ranges: few, of operators alone.
    ranges: Vec<Arc<Action>>,
    tokens: HashMap<TokenId, Arc<Action>>,
    revisions: HashMap<(TenantId, FunctionName, RevisionNumber), Arc<Action>>,
}

impl Shelves {
    /// What has to give way to an action, if anything.
    fn room_for(&self, new: &Action) -> Result<Option<Arc<Action>>, TooMany> {
        let count =
            |counts: &dyn Fn(&Action) -> bool| self.all.values().filter(|action| counts(action)).count();
        if !new.is_by_itself() {
            let own = count(&|action| !action.is_by_itself() && action.tenant == new.tenant);
            let (of_whose, of_all) = match new.tenant {
                Some(_) => (limits::ACTIONS_OF_TENANT, limits::ACTIONS_MAX - limits::ACTIONS_OF_NODE),
                None => (limits::ACTIONS_MAX, limits::ACTIONS_MAX),
            };
            // INVARIANT: what the node does by itself takes no room from operators.
            let by_operators = count(&|action| !action.is_by_itself());
            let room = of_all - limits::ACTIONS_BY_ITSELF_MAX;
            if own >= of_whose || by_operators >= room {
                return Err(TooMany(if own >= of_whose { own } else { by_operators }));
            }
            return Ok(None);
        }
        let own = count(&|action| action.is_by_itself() && action.tenant == new.tenant);
        let of_all = count(&Action::is_by_itself);
        if own < limits::ACTIONS_BY_ITSELF_OF_TENANT && of_all < limits::ACTIONS_BY_ITSELF_MAX {
            return Ok(None);
        }
        // Where a tenant has none to give, another's gives way.
        let mine = |action: &&Arc<Action>| own == 0 || action.tenant == new.tenant;
        let by_itself = self.all.values().filter(|action| action.is_by_itself()).filter(mine);
        Ok(by_itself.min_by_key(|action| (action.until, action.since)).cloned())
    }
}

/// Keeps the one that ends last: one that ends sooner must not hide it and then leave nothing.
fn later<K>(place: Entry<'_, K, Arc<Action>>, action: Arc<Action>) {
    match place {
        Entry::Vacant(place) => drop(place.insert(action)),
        Entry::Occupied(mut place) if place.get().until < action.until => drop(place.insert(action)),
        Entry::Occupied(_) => {}
    }
}

/// All that is in force.
#[derive(Debug, Default)]
pub struct Standing {
    any: AtomicBool,
    shelves: RwLock<Shelves>,
}

impl Standing {
    /// Whether anything is: what each request pays where nothing is.
    pub fn is_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Puts an action in force. The answer is what had to give way to it.
    ///
    /// Only what the node does by itself gives way, to what it does by itself, and what ends the soonest goes first. To
    /// join what is near each other into a wider range would save room too, but keep out people of whom nothing was seen.
    /// A tenant's give way to its own alone as long as that makes room, so that who attacks one opens nothing to who
    /// attacked another.
    ///
    /// # Errors
    /// [`TooMany`]: only operators are told so.
    pub fn put(&self, action: Arc<Action>) -> Result<Option<Arc<Action>>, TooMany> {
        let mut shelves = self.shelves.write();
        let gone = shelves.room_for(&action)?;
        if let Some(gone) = &gone {
            shelves.all.remove(&gone.id);
        }
        shelves.all.insert(action.id.clone(), action);
        self.arranged(&mut shelves);
        Ok(gone)
    }

    /// Takes one away.
    pub fn remove(&self, id: &str) -> Option<Arc<Action>> {
        self.remove_all([id]).pop()
    }

    /// Takes many away.
    pub fn remove_all<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Vec<Arc<Action>> {
        let mut shelves = self.shelves.write();
        let found: Vec<_> = ids.into_iter().filter_map(|id| shelves.all.remove(id)).collect();
        if !found.is_empty() {
            self.arranged(&mut shelves);
        }
        found
    }

    /// Whether the same is done already.
    pub fn does(
        &self,
        tenant: Option<&TenantId>,
        measure: Measure,
        subject: &Subject,
        now: Timestamp,
    ) -> bool {
        let shelves = self.shelves.read();
        shelves.all.values().any(|action| {
            action.measure == measure
                && action.subject == *subject
                && action.tenant.as_ref() == tenant
                && action.holds(now)
        })
    }

    /// Takes away what is over by now.
    pub fn expire(&self, now: Timestamp) -> Vec<Arc<Action>> {
        if !self.is_any() {
            return Vec::new();
        }
        let mut shelves = self.shelves.write();
        let over: Vec<_> = shelves.all.values().filter(|action| !action.holds(now)).cloned().collect();
        for action in &over {
            shelves.all.remove(&action.id);
        }
        self.arranged(&mut shelves);
        over
    }

    /// Makes the ways to find an action anew: they change seldom, and are asked often.
    fn arranged(&self, shelves: &mut Shelves) {
        let all: Vec<_> = shelves.all.values().cloned().collect();
        shelves.sources.clear();
        shelves.ranges.clear();
        shelves.tokens.clear();
        shelves.revisions.clear();
        for action in all {
            match &action.subject {
                Subject::Source(range) => match range.one_source() {
                    Some(source) => shelves.sources.entry(source).or_default().push(action),
                    None => shelves.ranges.push(action),
                },
                Subject::Token(id) => later(shelves.tokens.entry(id.clone()), action),
                Subject::Revision(function, number) => {
                    if let Some(tenant) = &action.tenant {
                        let key = (tenant.clone(), function.clone(), *number);
                        later(shelves.revisions.entry(key), action);
                    }
                }
            }
        }
        self.any.store(!shelves.all.is_empty(), Ordering::Release);
    }

    /// What is done against a source, for a tenant's functions.
    pub fn of_source(&self, tenant: Option<&TenantId>, address: IpAddr, now: Timestamp) -> Against {
        let mut against = Against::default();
        if !self.is_any() {
            return against;
        }
        let shelves = self.shelves.read();
        let exact = shelves.sources.get(&source(address)).map(Vec::as_slice).unwrap_or_default();
        let wide = shelves.ranges.iter().filter(|action| match &action.subject {
            Subject::Source(range) => range.contains(address),
            _ => false,
        });
        for action in exact.iter().chain(wide) {
            let meant = action.tenant.is_none() || action.tenant.as_ref() == tenant;
            if !meant || !action.holds(now) {
                continue;
            }
            match action.measure {
                Measure::Block => {
                    against.everybody = Some(action.clone());
                    against.control |= action.control;
                }
                Measure::BlockStrangers => against.strangers = Some(action.clone()),
                _ => against.slow = true,
            }
        }
        against
    }

    /// What suspends a token.
    pub fn of_token(&self, id: &TokenId, now: Timestamp) -> Option<Arc<Action>> {
        if !self.is_any() {
            return None;
        }
        self.shelves.read().tokens.get(id).filter(|action| action.holds(now)).cloned()
    }

    /// What keeps a revision in quarantine.
    pub fn of_revision(
        &self,
        tenant: &TenantId,
        function: &FunctionName,
        number: RevisionNumber,
        now: Timestamp,
    ) -> Option<Arc<Action>> {
        if !self.is_any() {
            return None;
        }
        let shelves = self.shelves.read();
        if shelves.revisions.is_empty() {
            return None;
        }
        let key = (tenant.clone(), function.clone(), number);
        shelves.revisions.get(&key).filter(|action| action.holds(now)).cloned()
    }

    /// All of a tenant, or of the node where it is `None`, the oldest first.
    pub fn of_tenant(&self, tenant: Option<&TenantId>) -> Vec<Arc<Action>> {
        let shelves = self.shelves.read();
        let mut found: Vec<_> =
            shelves.all.values().filter(|action| action.tenant.as_ref() == tenant).cloned().collect();
        found.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
        found
    }

    /// One.
    pub fn action(&self, id: &str) -> Option<Arc<Action>> {
        self.shelves.read().all.get(id).cloned()
    }
}

/// What is done against one source.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// What keeps everybody there out.
    pub everybody: Option<Arc<Action>>,
    /// What keeps out who proves nothing.
    pub strangers: Option<Arc<Action>>,
    /// At the port of operators too.
    pub control: bool,
    /// Whether its refusals are answered late.
    pub slow: bool,
}

/// What a node does by itself when a signal comes. Everything that it does ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Responses {
    /// When a source probes.
    pub probing: Option<Measure>,
    /// When a source tries credentials.
    pub stuffing: Option<Measure>,
    /// When a source touches bait.
    pub honey: Option<Measure>,
    /// When a token comes from many places: [`Measure::Suspend`] or nothing.
    pub token_places: Option<Measure>,
    /// When a run is unlike its profile: [`Measure::Quarantine`] or nothing.
    pub profile: Option<Measure>,
    /// For how long, in minutes.
    pub minutes: u64,
}

/// Many people may share an address, so that nobody who proves who they are is kept out by what a neighbour did: refusals
/// are slowed, and after bait only strangers are blocked. What would stop somebody's own function or token is an
/// operator's to choose.
impl Default for Responses {
    fn default() -> Self {
        Self {
            probing: Some(Measure::Slow),
            stuffing: Some(Measure::Slow),
            honey: Some(Measure::BlockStrangers),
            token_places: None,
            profile: None,
            minutes: limits::RESPONSE_MINUTES,
        }
    }
}

impl Responses {
    /// What is done about a signal of this kind, if anything.
    pub const fn to(&self, kind: SignalKind) -> Option<Measure> {
        match kind {
            SignalKind::Probing => self.probing,
            SignalKind::CredentialStuffing => self.stuffing,
            // It comes from many sources, and its claimed name is nobody's fault.
            SignalKind::ClaimStuffing => None,
            SignalKind::HoneyRoute | SignalKind::HoneyToken => self.honey,
            SignalKind::TokenPlaces => self.token_places,
            SignalKind::TransitionUnseen | SignalKind::Drift | SignalKind::Egress => self.profile,
        }
    }
}

#[cfg(test)]
mod tests;
