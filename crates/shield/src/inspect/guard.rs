//! The node's rules, and what a function's settings make of them. Plans of the same settings are one. It never reads a
//! file.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Weak},
};

use http::{Version, header, request::Parts};
use model::{Digest, Exclusion, RuleMode, Shield, ShieldDefaults, Unseen, limits};
use parking_lot::Mutex;
use waf::{
    BodyOverLimit, Exhausted, Head, Plan, PlanError, Rules, Settings, World,
    seclang::{
        Reason as BadRule, RuleSelector,
        action::RuleEngine,
        variable::{Target, Targets},
    },
};

use super::{Asked, Finding, Now, Reason, Seen, is_opaque};
use crate::{Peer, Screened};

/// Plans of one function at most: one for each set of its exclusions that holds for some path. Each has memory of its own.
const PLANS_MAX: usize = 16;

/// A node's rules.
#[derive(Debug, Clone)]
pub struct RuleSet {
    /// What people call it: `base`, or the name that it was added by.
    pub name: Arc<str>,
    /// Of all its files.
    pub digest: Digest,
    /// The rules.
    pub rules: Arc<Rules>,
}

/// A function's `[shield]` does not fit the rules.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// An exclusion that names what is no variable.
    #[error("`shield.exclude`: {0}")]
    Exclusion(#[from] BadRule),
    /// Exclusions that differ from path to path more often than a function may have plans.
    #[error(
        "`shield.exclude`: there are more than {PLANS_MAX} sets of exclusions that hold on different paths: let paths share \
         the same rules and variables, or take one `/...` for several"
    )]
    Paths,
    /// The rules cannot be made ready.
    #[error("the rules: {0}")]
    Plan(#[from] PlanError),
}

/// Makes guards of one set of rules, and shares what functions have in common.
#[derive(Debug)]
pub struct Guards {
    set: RuleSet,
    plans: Mutex<HashMap<String, Weak<Plan>>>,
}

/// What looks at a function's requests.
#[derive(Debug)]
pub struct Guard {
    own: ShieldDefaults,
    body_over: Option<Unseen>,
    /// Of exclusions that hold on some paths only: the paths, in order.
    paths: Vec<String>,
    /// By the set of paths that hold, as bits; the first is for none of them. Empty: nobody looks.
    plans: Vec<(u64, Arc<Plan>)>,
}

impl Guards {
    /// For this set of rules.
    pub fn new(set: RuleSet) -> Self {
        Self { set, plans: Mutex::default() }
    }

    /// The rules.
    pub const fn set(&self) -> &RuleSet {
        &self.set
    }

    /// What a function asks for, on a node with these defaults.
    ///
    /// # Errors
    /// [`GuardError`].
    pub fn guard(&self, node: ShieldDefaults, shield: &Shield) -> Result<Guard, GuardError> {
        let own = node.with(shield);
        let mut paths: Vec<String> = shield.exclusions.iter().filter_map(|one| one.path.clone()).collect();
        paths.sort();
        paths.dedup();
        paths.truncate(64);
        let mut plans = Vec::new();
        if own.mode != RuleMode::Off {
            for held in held_together(&paths) {
                let holds = |one: &&Exclusion| match &one.path {
                    None => true,
                    Some(path) => {
                        paths.iter().zip(0..).any(|(known, at)| known == path && held >> at & 1 == 1)
                    }
                };
                let exclusions: Vec<&Exclusion> = shield.exclusions.iter().filter(holds).collect();
                plans.push((held, self.plan(&own, &exclusions)?));
                let distinct: HashSet<_> = plans.iter().map(|(_, plan)| Arc::as_ptr(plan)).collect();
                if distinct.len() > PLANS_MAX {
                    return Err(GuardError::Paths);
                }
            }
        }
        Ok(Guard { own, body_over: shield.body_over, paths, plans })
    }

    fn plan(&self, own: &ShieldDefaults, exclusions: &[&Exclusion]) -> Result<Arc<Plan>, GuardError> {
        // Where and why they hold makes no other plan.
        let what = exclusions.iter().map(|one| (&one.rules, &one.tags, &one.variables));
        let key = format!("{own:?} {:?}", what.collect::<BTreeSet<_>>());
        let mut plans = self.plans.lock();
        if let Some(plan) = plans.get(&key).and_then(Weak::upgrade) {
            return Ok(plan);
        }
        let plan = Arc::new(Plan::new(&self.set.rules, &settings(&self.set.rules, own, exclusions)?)?);
        plans.retain(|_, plan| plan.strong_count() > 0);
        plans.insert(key, Arc::downgrade(&plan));
        Ok(plan)
    }
}

/// The sets of paths that can hold at once, as bits: none, each with those that cover it, most of all first.
fn held_together(paths: &[String]) -> Vec<u64> {
    let mut sets = vec![0];
    for path in paths {
        let plain = path.strip_suffix("/...").unwrap_or(path);
        let held = bits(paths, plain);
        let below = bits(paths, &format!("{plain}/."));
        for found in [held, below] {
            if !sets.contains(&found) {
                sets.push(found);
            }
        }
    }
    sets
}

fn bits(paths: &[String], asked: &str) -> u64 {
    paths.iter().zip(0..).filter(|(path, _)| covers(path, asked)).fold(0, |bits, (_, at)| bits | 1 << at)
}

fn covers(path: &str, asked: &str) -> bool {
    let Some(prefix) = path.strip_suffix("/...") else { return path == asked };
    asked.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn settings(rules: &Rules, own: &ShieldDefaults, exclusions: &[&Exclusion]) -> Result<Settings, GuardError> {
    let mut settings = Settings::paranoia(own.paranoia)
        .set("inbound_anomaly_score_threshold", &own.inbound_threshold.to_string())
        .set("outbound_anomaly_score_threshold", &own.outbound_threshold.to_string());
    settings.engine = Some(match own.mode {
        RuleMode::Block => RuleEngine::On,
        RuleMode::Detect => RuleEngine::DetectionOnly,
        RuleMode::Off => RuleEngine::Off,
    });
    let mut limits = rules.limits();
    limits.request_body = true;
    limits.response_body = own.responses;
    limits.request_body_bytes_max = usize::try_from(own.body_bytes).unwrap_or(usize::MAX);
    limits.response_body_bytes_max = usize::try_from(limits::INSPECTED_ANSWER_BYTES).unwrap_or(usize::MAX);
    // What is longer is refused before rules see it, where the function wants that.
    limits.request_over_limit = BodyOverLimit::Inspect;
    limits.response_over_limit = BodyOverLimit::Inspect;
    limits.response_types.extend(ANSWERS.map(str::to_owned));
    limits.time_ns_max = limits::INSPECTION_MS * 1_000_000;
    limits.exhausted = match own.exhausted {
        Unseen::Refuse => Exhausted::Refuse,
        Unseen::Pass => Exhausted::Pass,
    };
    limits.matches_max = 64;
    settings.limits = Some(limits);
    for one in exclusions {
        let mut selectors: Vec<RuleSelector> =
            one.tags.iter().map(|tag| RuleSelector::Tag(format!("^{}$", plain(tag)))).collect();
        if !one.rules.is_empty() {
            selectors.push(RuleSelector::ids(&one.rules)?);
        }
        let variables: Vec<Target> = one
            .variables
            .iter()
            .map(|text| Targets::parse(text))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flat_map(|targets| targets.included)
            .collect();
        for selector in selectors {
            if variables.is_empty() {
                settings.removed.push(selector);
                continue;
            }
            let targets = variables.iter().map(|target| (selector.clone(), target.clone()));
            settings.removed_targets.extend(targets);
        }
    }
    Ok(settings)
}

/// Media types of answers that rules read.
const ANSWERS: [&str; 20] = [
    // One that names no type is shown as text.
    "",
    "text/plain",
    "text/html",
    "text/xml",
    "text/css",
    "text/csv",
    "text/markdown",
    "text/javascript",
    "text/yaml",
    "text/event-stream",
    "application/javascript",
    "application/json",
    "application/ld+json",
    "application/problem+json",
    "application/x-ndjson",
    "application/xml",
    "application/xhtml+xml",
    "application/yaml",
    "application/x-yaml",
    "image/svg+xml",
];

/// A text that a pattern takes for itself.
fn plain(text: &str) -> String {
    let escaped = |c: char| {
        let special = !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '/');
        [special.then_some('\\'), Some(c)].into_iter().flatten()
    };
    text.chars().flat_map(escaped).collect()
}

impl Guard {
    /// Whether rules look at requests at all.
    pub fn looks(&self) -> bool {
        !self.plans.is_empty()
    }

    /// Whether answers are looked at too.
    pub fn looks_at_answers(&self) -> bool {
        self.looks() && self.own.responses
    }

    /// How much of a body is looked at, in bytes.
    pub fn body_bytes(&self) -> usize {
        if self.looks() { usize::try_from(self.own.body_bytes).unwrap_or(usize::MAX) } else { 0 }
    }

    /// Whether a body of this head is refused where it is longer than is looked at.
    pub fn refuses_rest(&self, head: &Parts) -> bool {
        self.looks() && self.own.mode == RuleMode::Block && !self.passes_rest(head)
    }

    /// Whether a body of this head may go on beyond what is looked at.
    fn passes_rest(&self, head: &Parts) -> bool {
        match self.body_over {
            Some(over) => over == Unseen::Pass,
            None => head.headers.get(header::CONTENT_TYPE).is_some_and(|of| is_opaque(of.as_bytes())),
        }
    }

    fn plan(&self, path: &str) -> Option<&Plan> {
        let held = if self.paths.is_empty() { 0 } else { bits(&self.paths, path) };
        let exact = self.plans.iter().find(|(bits, _)| *bits == held);
        exact.or_else(|| self.plans.first()).map(|(_, plan)| &**plan)
    }

    /// Looks at a request with what is in hand of its body. Afterwards it can be had as [`super::Inspected`], unless it is
    /// refused. None: there is nothing to tell.
    ///
    /// # Errors
    /// The finding for which it is refused.
    pub fn look<B>(
        &self,
        screened: &mut Screened<B>,
        seen: Seen<'_>,
        id: &str,
        now: Now<'_>,
    ) -> Result<Option<Finding>, Box<Finding>> {
        let found = self.ask(screened.head(), screened.peer(), seen, id, now);
        match found {
            Some(finding) if finding.refused.is_some() => Err(Box::new(finding)),
            other => {
                screened.set_looked_at();
                Ok(other.filter(Finding::is_told))
            }
        }
    }

    /// What rules say, whatever comes of it. None: nobody looks.
    fn ask(&self, head: &Parts, peer: &Peer, seen: Seen<'_>, id: &str, now: Now<'_>) -> Option<Finding> {
        let plan = self.plan(head.uri.path())?;
        let is_cut = matches!(seen, Seen::Start(_)) || seen.bytes().len() > self.body_bytes();
        if is_cut && self.refuses_rest(head) {
            let mut finding = Finding::of(plan.transaction(world(now)).finish());
            finding.refused = Some(Reason::TooLong);
            return Some(finding);
        }
        let mut transaction = plan.transaction(world(now));
        ask_request(&mut transaction, head, peer, seen.bytes(), id);
        Some(Finding::of(transaction.finish()))
    }

    /// What these rules say to a request that was kept. None: nobody looks.
    pub fn ask_again(&self, asked: &Asked, id: &str, now: Now<'_>) -> Option<Finding> {
        self.ask(&asked.head, &asked.peer, asked.seen(), id, now)
    }

    /// What rules say to a request and its answer, of which `start` is in hand. None: nobody looks.
    pub fn look_at_answer(
        &self,
        asked: &Asked,
        answer: &super::Answer<'_>,
        id: &str,
        now: Now<'_>,
    ) -> Option<Finding> {
        let plan = self.plan(asked.head.uri.path())?;
        let mut transaction = plan.transaction(world(now));
        ask_request(&mut transaction, &asked.head, &asked.peer, asked.seen().bytes(), id);
        let headers: Vec<(&[u8], &[u8])> = pairs(&answer.head.headers);
        let version = version(asked.head.version);
        transaction.response_head(answer.head.status.as_u16(), version, &headers);
        transaction.response_body(answer.start);
        Some(Finding::of(transaction.finish()))
    }
}

fn world(now: Now<'_>) -> World<'_> {
    World { clock: now.clock, epoch_s: now.epoch_s, memory: now.memory }
}

fn ask_request(transaction: &mut waf::Transaction<'_>, head: &Parts, peer: &Peer, body: &[u8], id: &str) {
    let headers = pairs(&head.headers);
    let uri = head.uri.path_and_query().map_or("/", |target| target.as_str());
    transaction.request_head(&Head {
        method: head.method.as_str().as_bytes(),
        uri: uri.as_bytes(),
        protocol: version(head.version),
        headers: &headers,
        peer: peer.address,
        server: SocketAddr::from(([0, 0, 0, 0], 0)),
        id,
    });
    transaction.request_body(body);
}

fn pairs(headers: &http::HeaderMap) -> Vec<(&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect()
}

const fn version(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_2 => b"HTTP/2.0",
        _ => b"HTTP/1.1",
    }
}

#[cfg(test)]
impl Guard {
    pub(super) fn first(&self) -> Arc<Plan> {
        self.plans.first().map(|(_, plan)| plan.clone()).unwrap()
    }
}
