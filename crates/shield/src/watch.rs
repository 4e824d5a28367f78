//! Counts what honest clients seldom do, by source, by whom somebody says they are and by token, and says when it is
//! too much. It never reads a clock, never records, and never acts.
//!
//! Only what was refused is counted, and each thing once: a client that repeats one failing request for ever is broken,
//! not hostile, and one that asks for a hundred different paths that are not there is looking for something.

mod shelf;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use model::{TenantId, TokenId, limits};

use crate::firewall::source;
use shelf::{Seen, Shelf};

/// What somebody is known by who was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential<'a> {
    /// A token, by its id.
    Token(&'a TokenId),
    /// A session, by its id.
    Session(&'a TokenId),
    /// An issuer's access tokens, of which each hour may have another: by whose they are.
    Access {
        /// The caller.
        caller: &'a str,
        /// The issuer.
        issuer: &'a str,
    },
}

impl fmt::Display for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id) => write!(f, "token `{id}`"),
            Self::Session(id) => write!(f, "session `{id}`"),
            Self::Access { caller, issuer } => write!(f, "an access token of {caller} by `{issuer}`"),
        }
    }
}

/// Something that honest clients do seldom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign<'a> {
    /// Nothing answers at this path.
    NotFound(&'a str),
    /// No credential, where one is needed, at this path.
    Unauthenticated(&'a str),
    /// The policies say no, at this path.
    Forbidden(&'a str),
    /// Rules found an attack of this score.
    RuleHit(u32),
    /// This credential proves nothing. The text is hashed and not kept.
    BadCredential(&'a [u8]),
    /// A path that only bait answers.
    HoneyRoute(&'a str),
    /// A token that only bait is.
    HoneyToken(&'a TokenId),
}

/// What a signal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalKind {
    /// A source looks for what is not there or not for it, or sends attacks.
    Probing,
    /// A source tries one credential after the other.
    CredentialStuffing,
    /// Many sources try credentials of one caller.
    ClaimStuffing,
    /// One token comes from more places than its holder can be at.
    TokenPlaces,
    /// Somebody asked for a bait route.
    HoneyRoute,
    /// Somebody presented a bait token.
    HoneyToken,
    /// A run did what no run did while its revision was learned.
    TransitionUnseen,
    /// A number of the runs is far above what was learned.
    Drift,
    /// A function sends far more out than was learned.
    Egress,
}

impl SignalKind {
    /// The stable code, in kebab case.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Probing => "probing",
            Self::CredentialStuffing => "credential-stuffing",
            Self::ClaimStuffing => "claim-stuffing",
            Self::TokenPlaces => "token-places",
            Self::HoneyRoute => "honey-route",
            Self::HoneyToken => "honey-token",
            Self::TransitionUnseen => "transition-unseen",
            Self::Drift => "drift",
            Self::Egress => "egress",
        }
    }
}

/// Too much of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// What it is about.
    pub kind: SignalKind,
    /// How much there was, in what time: a sentence.
    pub said: String,
}

/// From how much on it is too much. The default is `model::limits`.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// Points of one source within [`limits::PROBING_MS`].
    pub probing_points: u32,
    /// Points of one source within [`limits::PROBING_LONG_MS`].
    pub probing_long_points: u32,
    /// Different credentials of one source within [`limits::STUFFING_MS`].
    pub credentials_of_source: u32,
    /// Different credentials of one claimed caller within [`limits::STUFFING_MS`].
    pub credentials_of_claim: u32,
    /// Networks that one person's token comes from within [`limits::TOKEN_PLACES_MS`].
    pub places_of_user: usize,
    /// Networks that one machine's token comes from in that time.
    pub places_of_service: usize,
    /// Sources, claims and tokens that are remembered, each.
    pub keys_max: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            probing_points: limits::PROBING_POINTS,
            probing_long_points: limits::PROBING_LONG_POINTS,
            credentials_of_source: limits::STUFFING_OF_SOURCE,
            credentials_of_claim: limits::STUFFING_OF_CLAIM,
            places_of_user: limits::TOKEN_PLACES_OF_USER,
            places_of_service: limits::TOKEN_PLACES_OF_SERVICE,
            keys_max: limits::WATCHED_MAX,
        }
    }
}

/// Bits that different things are told apart by: two of many fall together now and then, which counts too few.
const BITS: u64 = 256;
/// The most that one match of rules counts.
const RULE_POINTS_MAX: u32 = 10;

/// Steps that a window is counted in.
const STEPS: u64 = 4;
/// Those that are remembered: a whole window, and the one that is not over yet.
const KEPT: usize = STEPS as usize + 1;

/// Different things within a window that goes along with the time: what is within it is always counted, what is older
/// than it by a quarter never is. So nothing is gained by the moment at which somebody begins.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// The newest step.
    step: u64,
    /// A ring of steps.
    steps: [Step; KEPT],
}

#[derive(Debug, Clone, Copy, Default)]
struct Step {
    points: u32,
    seen: [u64; (BITS / 64) as usize],
}

impl Tally {
    /// Adds what was not there yet, and says how much there is.
    fn add(&mut self, mark: Option<u64>, points: u32, window_ms: u64, now_ms: u64) -> u32 {
        let now = now_ms / (window_ms / STEPS).max(1);
        self.go_on_to(now);
        let place = mark.map(|mark| ((mark % BITS / 64) as usize, 1_u64 << (mark % 64)));
        let known = place.is_some_and(|(word, bit)| {
            self.steps.iter().any(|step| step.seen.get(word).is_some_and(|word| word & bit != 0))
        });
        if let (false, Some(step)) = (known, self.steps.get_mut(at(self.step))) {
            step.points = step.points.saturating_add(points);
            if let Some((word, bit)) = place
                && let Some(word) = step.seen.get_mut(word)
            {
                *word |= bit;
            }
        }
        self.steps.iter().fold(0, |all, step| all.saturating_add(step.points))
    }

    /// Forgets the steps that are over for a window.
    fn go_on_to(&mut self, now: u64) {
        let first = now.saturating_sub(STEPS).max(self.step.saturating_add(1));
        for step in first..=now {
            if let Some(step) = self.steps.get_mut(at(step)) {
                *step = Step::default();
            }
        }
        self.step = self.step.max(now);
    }
}

/// Where a step is in its ring.
const fn at(step: u64) -> usize {
    (step % KEPT as u64) as usize
}

/// Whether to tell again: once in a while is enough.
fn tells(told: &mut Option<u64>, now_ms: u64) -> bool {
    let again = told.is_none_or(|told| now_ms.saturating_sub(told) >= limits::SIGNAL_AGAIN_MS);
    if again {
        *told = Some(now_ms);
    }
    again
}

/// What is remembered of a source.
#[derive(Debug, Clone, Default)]
struct Suspect {
    burst: Tally,
    long: Tally,
    credentials: Tally,
    /// When a signal was given last: of probing, of stuffing.
    probing_ms: Option<u64>,
    stuffing_ms: Option<u64>,
    /// The bait that it touched, and when that was told last.
    baits: Vec<(u64, u64)>,
    last_ms: u64,
}

impl Suspect {
    /// Whether to tell of bait: each is a signal of its own, and the first touch of it always is one.
    fn tells_of(&mut self, bait: u64, now_ms: u64) -> bool {
        self.baits.retain(|(_, told)| now_ms.saturating_sub(*told) < limits::SIGNAL_AGAIN_MS);
        if self.baits.iter().any(|(known, _)| *known == bait) {
            return false;
        }
        // INVARIANT: bounded, also where bait is laid anew all the time.
        if self.baits.len() >= limits::BAIT_MAX {
            self.baits.remove(0);
        }
        self.baits.push((bait, now_ms));
        true
    }
}

/// What is remembered of a claimed caller.
#[derive(Debug, Clone, Copy, Default)]
struct Claimed {
    credentials: Tally,
    told_ms: Option<u64>,
    last_ms: u64,
}

/// Where a token was used lately.
#[derive(Debug, Clone, Default)]
struct Places {
    networks: Vec<(IpAddr, u64)>,
    told_ms: Option<u64>,
    last_ms: u64,
}

/// Whose source it is that is watched: what one tenant's clients do is no other's business.
type Whose = (Option<TenantId>, IpAddr);

/// All that is watched of those who ask. All times are milliseconds of a clock that never goes back.
#[derive(Debug)]
pub struct Watch {
    thresholds: Thresholds,
    marks: RandomState,
    sources: Shelf<Whose, Suspect>,
    claims: Shelf<(Option<TenantId>, String), Claimed>,
    /// By a hash of the credential that nobody outside can foretell.
    tokens: Shelf<u64, Places>,
}

impl Watch {
    /// A watch that has seen nobody yet.
    pub fn new(thresholds: Thresholds) -> Self {
        let keys = thresholds.keys_max;
        let (sources, claims, tokens) = (Shelf::new(keys), Shelf::new(keys), Shelf::new(keys));
        Self { thresholds, marks: RandomState::new(), sources, claims, tokens }
    }

    /// Counts a sign of a source, and says whether that makes a signal. Of one kind there is one signal of a source in
    /// [`limits::SIGNAL_AGAIN_MS`].
    pub fn note(
        &self,
        sign: Sign<'_>,
        tenant: Option<&TenantId>,
        address: IpAddr,
        now_ms: u64,
    ) -> Option<Signal> {
        let key = (tenant.cloned(), source(address));
        self.sources.with(&key, now_ms, |suspect| {
            suspect.last_ms = now_ms;
            match sign {
                Sign::HoneyRoute(path) => {
                    let said = format!("`{path}` is bait that nobody has a reason to ask for");
                    let mark = self.marks.hash_one(("route", path));
                    suspect.tells_of(mark, now_ms).then_some(Signal { kind: SignalKind::HoneyRoute, said })
                }
                Sign::HoneyToken(id) => {
                    let said = format!("token `{id}` is bait that nobody has a reason to hold");
                    let mark = self.marks.hash_one(("token", id));
                    suspect.tells_of(mark, now_ms).then_some(Signal { kind: SignalKind::HoneyToken, said })
                }
                Sign::BadCredential(text) => self.stuffing(suspect, self.marks.hash_one(text), now_ms),
                Sign::NotFound(path) => {
                    let points = if is_looked_for(path) { limits::PROBING_KNOWN_POINTS } else { 1 };
                    self.probing(suspect, Some(self.marks.hash_one(path)), points, now_ms)
                }
                Sign::Unauthenticated(path) | Sign::Forbidden(path) => {
                    self.probing(suspect, Some(self.marks.hash_one(path)), 1, now_ms)
                }
                Sign::RuleHit(score) => self.probing(suspect, None, score.min(RULE_POINTS_MAX), now_ms),
            }
        })
    }

    fn probing(&self, suspect: &mut Suspect, mark: Option<u64>, points: u32, now_ms: u64) -> Option<Signal> {
        let burst = suspect.burst.add(mark, points, limits::PROBING_MS, now_ms);
        // A rule that is wrong about a form finds it all day: matches count in a burst alone.
        let long = mark.map_or(0, |_| suspect.long.add(mark, points, limits::PROBING_LONG_MS, now_ms));
        let (counted, window_ms) = if burst >= self.thresholds.probing_points {
            (burst, limits::PROBING_MS)
        } else if long >= self.thresholds.probing_long_points {
            (long, limits::PROBING_LONG_MS)
        } else {
            return None;
        };
        let said =
            format!("{counted} points of refused requests, each path once, within {} s", window_ms / 1_000);
        tells(&mut suspect.probing_ms, now_ms).then_some(Signal { kind: SignalKind::Probing, said })
    }

    fn stuffing(&self, suspect: &mut Suspect, mark: u64, now_ms: u64) -> Option<Signal> {
        let counted = suspect.credentials.add(Some(mark), 1, limits::STUFFING_MS, now_ms);
        if counted < self.thresholds.credentials_of_source {
            return None;
        }
        let said = format!(
            "{counted} different credentials that do not hold within {} s",
            limits::STUFFING_MS / 1_000
        );
        tells(&mut suspect.stuffing_ms, now_ms)
            .then_some(Signal { kind: SignalKind::CredentialStuffing, said })
    }

    /// Counts a credential that does not hold by whom it says it is, wherever it comes from.
    pub fn claim(
        &self,
        credential: &[u8],
        tenant: Option<&TenantId>,
        name: &str,
        now_ms: u64,
    ) -> Option<Signal> {
        let key = (tenant.cloned(), name.to_owned());
        let mark = self.marks.hash_one(credential);
        self.claims.with(&key, now_ms, |claimed| {
            claimed.last_ms = now_ms;
            let counted = claimed.credentials.add(Some(mark), 1, limits::STUFFING_MS, now_ms);
            if counted < self.thresholds.credentials_of_claim {
                return None;
            }
            let seconds = limits::STUFFING_MS / 1_000;
            let said =
                format!("{counted} different credentials of `{name}` that do not hold within {seconds} s");
            tells(&mut claimed.told_ms, now_ms).then_some(Signal { kind: SignalKind::ClaimStuffing, said })
        })
    }

    /// Counts the places that a credential comes from: a network (`/16` of IPv4, `/32` of IPv6) is one.
    pub fn place(
        &self,
        credential: Credential<'_>,
        is_person: bool,
        address: IpAddr,
        now_ms: u64,
    ) -> Option<Signal> {
        let network = network(address);
        let most = if is_person { self.thresholds.places_of_user } else { self.thresholds.places_of_service };
        self.tokens.with(&self.marks.hash_one(credential), now_ms, |places| {
            places.last_ms = now_ms;
            if let Some((_, last)) = places.networks.iter_mut().find(|(known, _)| *known == network) {
                *last = now_ms;
                return None;
            }
            places.networks.retain(|(_, last)| now_ms.saturating_sub(*last) < limits::TOKEN_PLACES_MS);
            if places.networks.len() < most {
                places.networks.push((network, now_ms));
            }
            if places.networks.len() < most || !tells(&mut places.told_ms, now_ms) {
                return None;
            }
            let seconds = limits::TOKEN_PLACES_MS / 1_000;
            let said = format!("{credential} came from {most} networks within {seconds} s");
            Some(Signal { kind: SignalKind::TokenPlaces, said })
        })
    }

    /// Sources, claimed callers and tokens that are remembered.
    pub fn remembered(&self) -> (usize, usize, usize) {
        (self.sources.len(), self.claims.len(), self.tokens.len())
    }
}

/// Paths that scanners of the whole Internet ask everybody for. Nobody is sent to them by a link.
const LOOKED_FOR: &[&str] = &[
    "/.aws/credentials",
    "/.docker/config.json",
    "/.ds_store",
    "/.env",
    "/.env.local",
    "/.env.production",
    "/.git/config",
    "/.git/head",
    "/.htpasswd",
    "/.npmrc",
    "/.ssh/id_rsa",
    "/.svn/entries",
    "/.vscode/sftp.json",
    "/_ignition/execute-solution",
    "/actuator/env",
    "/actuator/heapdump",
    "/admin.php",
    "/autodiscover/autodiscover.xml",
    "/boaform/admin/formlogin",
    "/cgi-bin/luci",
    "/config.json",
    "/console/",
    "/hudson",
    "/manager/html",
    "/owa/auth/logon.aspx",
    "/phpinfo.php",
    "/phpmyadmin/index.php",
    "/phpmyadmin/",
    "/server-status",
    "/solr/admin/info/system",
    "/telescope/requests",
    "/vendor/phpunit/phpunit/src/util/php/eval-stdin.php",
    "/wp-admin/",
    "/wp-admin/setup-config.php",
    "/wp-config.php",
    "/wp-login.php",
    "/xmlrpc.php",
];

/// Whether scanners ask everybody for this path.
fn is_looked_for(path: &str) -> bool {
    LOOKED_FOR.iter().any(|known| known.eq_ignore_ascii_case(path))
}

/// The network that an address is of: about one provider in one region.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & 0xffff_0000).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 96)).into(),
    }
}

impl Seen for Suspect {
    fn last_ms(&self) -> u64 {
        self.last_ms
    }
}

impl Seen for Claimed {
    fn last_ms(&self) -> u64 {
        self.last_ms
    }
}

impl Seen for Places {
    fn last_ms(&self) -> u64 {
        self.last_ms
    }
}

#[cfg(test)]
mod tests;
