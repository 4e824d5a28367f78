//! The node's rules: the set in the box, sets that an operator added, and which of them looks at requests. It never looks
//! at one itself.

use std::{collections::BTreeMap, sync::Arc};

use ledger::Kind;
use model::{Digest, RequestId, RuleMode, Shield, ShieldDefaults, Timestamp, limits};
use parking_lot::RwLock;
use policy::{Action, Resource};
use serde::{Deserialize, Serialize};
use shield::{
    Guard, Guards,
    added::{RuleFile, added_rules},
    base,
    inspect::{Now, RuleSet},
};
use store::{Batch, Span};

use crate::{
    Platform,
    catalog::Target,
    functions::off_the_loop,
    recent::Kept,
    recorder::About,
    refused::{ControlError, Ctx},
    shelf::{self, CURRENT, RULES},
};

/// The name of the set in the box.
pub const BASE: &str = "base";

/// Files of rules, as an operator adds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFiles {
    /// What people call the set.
    pub name: String,
    /// Files that are read, in order; the set-up first.
    pub read: Vec<String>,
    /// All files by name, those that rules name too.
    pub files: BTreeMap<String, String>,
}

/// A set that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptSet {
    files: RuleFiles,
    digest: Digest,
    rules: usize,
    at: Timestamp,
    by: String,
}

/// Which set looks at requests: the number of a kept one, or the one in the box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct InForce {
    now: Option<u64>,
    before: Option<u64>,
}

/// One set of rules, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSetView {
    /// What people call it.
    pub name: String,
    /// Of all its files.
    pub digest: Digest,
    /// How many rules it has.
    pub rules: usize,
    /// When it was added; none for the one in the box.
    pub at: Option<Timestamp>,
    /// By whom.
    pub by: Option<String>,
    /// Whether it looks at requests now.
    pub in_force: bool,
}

/// Which set is to look at requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The one in the box.
    Base,
    /// The one before the present one.
    Previous,
    /// The one of this digest.
    Digest(Digest),
}

/// What other rules would have said to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The request.
    pub id: RequestId,
    /// `tenant/function`.
    pub function: String,
    /// Its method and path.
    pub asked: String,
    /// Whether the rules in force refuse it.
    pub refused_now: bool,
    /// What the other rules say, and what matched.
    pub detail: String,
}

/// What other rules would have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// Requests that were asked about.
    pub requests: usize,
    /// Those that the rules in force refuse.
    pub refused_now: usize,
    /// Those that the other rules would refuse.
    pub refused_then: usize,
    /// Those of which the decision changes, the newest first, at most 200.
    pub changed: Vec<Changed>,
}

/// The rules of a node.
pub(crate) struct Rulebook {
    guards: RwLock<Arc<Guards>>,
    changing: tokio::sync::Mutex<()>,
}

/// What looks at a function's requests; another set of rules puts another one there.
pub(crate) struct GuardSlot(RwLock<Arc<Guard>>);

impl GuardSlot {
    pub(crate) fn new(guard: Guard) -> Self {
        Self(RwLock::new(Arc::new(guard)))
    }
}

impl Target {
    /// What looks at its requests now.
    pub(crate) fn guard(&self) -> Arc<Guard> {
        self.guard.0.read().clone()
    }
}

impl Rulebook {
    /// The set in the box.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new() -> Result<Self, String> {
        let set = base_set().map_err(|e| e.to_string())?;
        Ok(Self { guards: RwLock::new(Arc::new(Guards::new(set))), changing: tokio::sync::Mutex::default() })
    }

    fn guards(&self) -> Arc<Guards> {
        self.guards.read().clone()
    }
}

fn base_set() -> Result<RuleSet, ControlError> {
    let rules = base::base_rules().map_err(|e| invalid(e.to_string()))?;
    let mut text = Vec::new();
    for source in base::BASE_SOURCES {
        framed(&mut text, source.name, source.text);
    }
    Ok(RuleSet { name: BASE.into(), digest: keyring::sha256(&text), rules: Arc::new(rules) })
}

/// Name and text, so that no two sets of files have the same bytes.
fn framed(into: &mut Vec<u8>, name: &str, text: &str) {
    for part in [name, text] {
        into.extend_from_slice(&(part.len() as u64).to_be_bytes());
        into.extend_from_slice(part.as_bytes());
    }
}

fn invalid(message: String) -> ControlError {
    ControlError::Invalid { code: "rules-invalid", message }
}

impl RuleFiles {
    /// Of all its files and the order in which they are read.
    pub fn digest(&self) -> Digest {
        let mut text = Vec::new();
        for name in &self.read {
            framed(&mut text, "", name);
        }
        for (name, file) in &self.files {
            framed(&mut text, name, file);
        }
        keyring::sha256(&text)
    }

    fn set(&self) -> Result<RuleSet, ControlError> {
        let bytes: usize = self.files.iter().map(|(name, text)| name.len() + text.len()).sum();
        if bytes > limits::RULES_BYTES_MAX {
            let max = limits::RULES_BYTES_MAX as u64;
            return Err(ControlError::TooLarge { what: "the set of rules", bytes: bytes as u64, max });
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        if self.name == BASE || !(1..=63).contains(&self.name.len()) || !self.name.chars().all(plain) {
            let why = "is no name of a set: 1 to 63 letters, digits, `-`, `_`, `.` and `+`, and not `base`";
            return Err(invalid(format!("`{}` {why}", self.name)));
        }
        let files: Vec<RuleFile<'_>> =
            self.files.iter().map(|(name, text)| RuleFile { name, text }).collect();
        let rules = added_rules(&self.read, &files).map_err(|e| invalid(e.to_string()))?;
        if rules.is_empty() {
            return Err(invalid("there is no rule in it".to_owned()));
        }
        Ok(RuleSet { name: self.name.as_str().into(), digest: self.digest(), rules: Arc::new(rules) })
    }
}

impl Platform {
    /// The guard of a function under the rules in force.
    pub(crate) fn new_guard(&self, shield: &Shield) -> Result<GuardSlot, ControlError> {
        let guard = self.rules.guards().guard(self.shield_defaults, shield);
        guard
            .map(GuardSlot::new)
            .map_err(|e| ControlError::Invalid { code: "manifest-invalid", message: e.to_string() })
    }

    /// The rules that the operator chose last; before any function is there.
    pub(crate) async fn load_rules(&self) -> Result<(), ControlError> {
        let in_force = self.in_force().await?;
        let Some(number) = in_force.now else { return Ok(()) };
        let kept = self.kept_set(number).await?;
        let set = off_the_loop(move || kept.files.set()).await??;
        *self.rules.guards.write() = Arc::new(Guards::new(set));
        Ok(())
    }

    async fn in_force(&self) -> Result<InForce, ControlError> {
        let row = self.sealed.system().get(RULES, CURRENT).await?;
        Ok(row.map(|row| shelf::decode(RULES, &row.value)).transpose()?.unwrap_or_default())
    }

    async fn kept_set(&self, number: u64) -> Result<KeptSet, ControlError> {
        let row = self.sealed.system().get(RULES, &set_id(number)).await?;
        let row = row.ok_or_else(|| ControlError::NotFound(format!("set of rules {number}")))?;
        Ok(shelf::decode(RULES, &row.value)?)
    }

    async fn kept_sets(&self) -> Result<BTreeMap<u64, KeptSet>, ControlError> {
        let mut sets = BTreeMap::new();
        let mut next = Some(Span::prefix(RULES, *b"set"));
        while let Some(span) = next {
            let page = self.sealed.system().scan(span, store::PAGE_ROWS_MAX).await?;
            for row in page.rows {
                let number = row.id.get(3..).and_then(|n| n.try_into().ok()).map(u64::from_be_bytes);
                sets.insert(number.unwrap_or_default(), shelf::decode(RULES, &row.value)?);
            }
            next = page.next;
        }
        Ok(sets)
    }

    /// The sets of rules of this node, the one in the box first.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn rule_sets(&self, ctx: Ctx<'_>) -> Result<Vec<RuleSetView>, ControlError> {
        self.permit_node(ctx, Action::ReadShield)?;
        let in_force = self.in_force().await?;
        let set = off_the_loop(base_set).await??;
        let mut views = vec![RuleSetView {
            name: BASE.to_owned(),
            digest: set.digest,
            rules: set.rules.len(),
            at: None,
            by: None,
            in_force: in_force.now.is_none(),
        }];
        for (number, kept) in self.kept_sets().await? {
            views.push(view(&kept, in_force.now == Some(number)));
        }
        Ok(views)
    }

    /// Adds a set of rules and lets it look at all requests from now on. All or nothing.
    ///
    /// # Errors
    /// [`ControlError`]: rules that cannot be read, that refuse what nobody would, or that a function's exclusions do not
    /// fit.
    pub async fn add_rules(&self, ctx: Ctx<'_>, files: RuleFiles) -> Result<RuleSetView, ControlError> {
        self.permit_node(ctx, Action::ManageShield)?;
        let _one = self.rules.changing.lock().await;
        let sets = self.kept_sets().await?;
        let parsed = files.clone();
        let set = off_the_loop(move || parsed.set()).await??;
        let digest = set.digest;
        let known = sets.iter().find(|(_, kept)| kept.digest == digest).map(|(number, _)| *number);
        let number = known.unwrap_or_else(|| sets.keys().last().copied().unwrap_or_default() + 1);
        let kept = KeptSet {
            rules: set.rules.len(),
            digest,
            at: self.clock.now(),
            by: ctx.caller.principal().to_string(),
            files,
        };
        let mut batch = Batch::new().put(RULES, set_id(number), shelf::encode(&kept)?);
        let in_force = self.in_force().await?;
        let used = [in_force.now, in_force.before, Some(number)];
        let spare = sets.keys().copied().filter(|n| !used.contains(&Some(*n)));
        let surplus = (sets.len() + 1).saturating_sub(limits::RULE_SETS_MAX);
        for old in spare.take(surplus).collect::<Vec<_>>() {
            batch = batch.delete(RULES, set_id(old));
        }
        self.switch(ctx, set, Some(number), batch).await?;
        Ok(view(&kept, true))
    }

    /// Lets another set that is kept look at all requests from now on.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn use_rules(&self, ctx: Ctx<'_>, wanted: &Wanted) -> Result<RuleSetView, ControlError> {
        self.permit_node(ctx, Action::ManageShield)?;
        let _one = self.rules.changing.lock().await;
        let number = match wanted {
            Wanted::Base => None,
            Wanted::Previous => self.in_force().await?.before,
            Wanted::Digest(digest) => {
                let sets = self.kept_sets().await?;
                let found = sets.into_iter().find(|(_, kept)| kept.digest == *digest);
                Some(found.ok_or_else(|| ControlError::NotFound(format!("set of rules `{digest}`")))?.0)
            }
        };
        let (set, shown) = match number {
            None => {
                let set = off_the_loop(base_set).await??;
                let (digest, rules) = (set.digest, set.rules.len());
                (
                    set,
                    RuleSetView { name: BASE.to_owned(), digest, rules, at: None, by: None, in_force: true },
                )
            }
            Some(number) => {
                let kept = self.kept_set(number).await?;
                let shown = view(&kept, true);
                (off_the_loop(move || kept.files.set()).await??, shown)
            }
        };
        self.switch(ctx, set, number, Batch::new()).await?;
        Ok(shown)
    }

    /// Proves that every function can have the rules, keeps the choice, and puts them in force.
    async fn switch(
        &self,
        ctx: Ctx<'_>,
        set: RuleSet,
        number: Option<u64>,
        batch: Batch,
    ) -> Result<(), ControlError> {
        let detail = format!("rules `{}` {}, {} of them", set.name, set.digest, set.rules.len());
        let guards = Arc::new(Guards::new(set));
        let (made, defaults, shields) = (guards.clone(), self.shield_defaults, self.all_shields());
        let clock = self.clock.clone();
        off_the_loop(move || prove(&made, defaults, &shields, &|| clock.monotonic_ns())).await??;
        let before = self.in_force().await?;
        let next =
            InForce { now: number, before: if before.now == number { before.before } else { before.now } };
        let about = About { request: Some(ctx.id), tenant: None, source: Some(ctx.peer.address.ip()) };
        let mut event = about.on(self.recorder.event(Kind::Action));
        event.principal = ctx.caller.principal().to_string().into();
        event.action = "rules".into();
        event.resource = Resource::Node.to_string().into();
        event.allowed = true;
        event.detail = detail.into();
        self.recorder.record_durably(&event).await.map_err(|e| ControlError::Refused(e.into()))?;
        self.sealed.system().commit(batch.put(RULES, CURRENT, shelf::encode(&next)?)).await?;
        *self.rules.guards.write() = guards.clone();
        for home in self.catalog.homes() {
            // Who deploys meanwhile has the new rules already, or waits.
            let _one = home.changing.lock().await;
            let targets: Vec<Arc<Target>> =
                home.view().functions.values().map(|placed| placed.target.clone()).collect();
            let (guards, defaults) = (guards.clone(), self.shield_defaults);
            let work = move || {
                for target in targets {
                    match guards.guard(defaults, &target.revision.shield) {
                        Ok(guard) => *target.guard.0.write() = Arc::new(guard),
                        // INVARIANT: this was proved above; what was deployed since was made with these rules.
                        Err(error) => tracing::error!(?target, %error, "a function keeps its rules"),
                    }
                }
            };
            off_the_loop(work).await?;
        }
        Ok(())
    }

    fn all_shields(&self) -> Vec<(String, Shield)> {
        let mut shields = Vec::new();
        for home in self.catalog.homes() {
            for placed in home.view().functions.values() {
                let revision = &placed.target.revision;
                let name = format!("{}/{}", revision.tenant, revision.function);
                shields.push((name, revision.shield.clone()));
            }
        }
        shields
    }

    /// Asks other rules about the requests of the last hour that were kept, and shows what would change. `None` asks the
    /// rules in force, with `own` in the place of what manifests say.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn simulate(
        &self,
        ctx: Ctx<'_>,
        files: Option<RuleFiles>,
        own: Option<Shield>,
    ) -> Result<Simulated, ControlError> {
        self.permit_node(ctx, Action::ManageShield)?;
        let kept = self.recent.all(self.clock.monotonic_ms());
        let mut asked: Vec<(Arc<Kept>, Arc<Target>)> = Vec::new();
        for one in kept {
            if let Some(target) = self.catalog.named(&one.tenant, &one.function) {
                asked.push((one, target));
            }
        }
        let (guards, defaults, clock) = (self.rules.guards(), self.shield_defaults, self.clock.clone());
        let work = move || {
            let guards = match files {
                Some(files) => Arc::new(Guards::new(files.set()?)),
                None => guards,
            };
            ask(&guards, defaults, own.as_ref(), &asked, &*clock)
        };
        off_the_loop(work).await?
    }
}

/// How many changed decisions are shown.
const CHANGED_MAX: usize = 200;

fn ask(
    guards: &Guards,
    defaults: ShieldDefaults,
    own: Option<&Shield>,
    asked: &[(Arc<Kept>, Arc<Target>)],
    clock: &dyn model::Clock,
) -> Result<Simulated, ControlError> {
    let mut simulated = Simulated { requests: 0, refused_now: 0, refused_then: 0, changed: Vec::new() };
    let ticks = || clock.monotonic_ns();
    let now = Now { clock: &ticks, epoch_s: clock.now().unix_ms() / 1_000, memory: None };
    for (kept, target) in asked.iter().rev() {
        let shield = own.unwrap_or(&target.revision.shield);
        let other = guards.guard(defaults, shield).map_err(|e| invalid(e.to_string()))?;
        let id = kept.id.to_string();
        let refused = |guard: &Guard| {
            guard.ask_again(&kept.asked, &id, now).filter(|finding| finding.refused.is_some())
        };
        let (before, after) = (refused(&target.guard()), refused(&other));
        simulated.requests += 1;
        simulated.refused_now += usize::from(before.is_some());
        simulated.refused_then += usize::from(after.is_some());
        if before.is_some() != after.is_some() && simulated.changed.len() < CHANGED_MAX {
            let detail = after.as_ref().or(before.as_ref()).map(shield::inspect::Finding::detail);
            let (method, path) = kept.asked.asked();
            simulated.changed.push(Changed {
                id: kept.id,
                function: format!("{}/{}", kept.tenant, kept.function),
                asked: format!("{method} {path}"),
                refused_now: before.is_some(),
                detail: detail.unwrap_or_default(),
            });
        }
    }
    Ok(simulated)
}

fn set_id(number: u64) -> Vec<u8> {
    [&b"set"[..], &number.to_be_bytes()].concat()
}

fn view(kept: &KeptSet, in_force: bool) -> RuleSetView {
    RuleSetView {
        name: kept.files.name.clone(),
        digest: kept.digest,
        rules: kept.rules,
        at: Some(kept.at),
        by: Some(kept.by.clone()),
        in_force,
    }
}

/// Rules are taken if every function can have them, if they let through what everybody sends, and if no text of some takes
/// them far longer than a request may cost: rules that refuse all requests, or never end, would stop the node.
fn prove(
    guards: &Guards,
    defaults: ShieldDefaults,
    shields: &[(String, Shield)],
    clock: &dyn Fn() -> u64,
) -> Result<(), ControlError> {
    for (name, shield) in shields {
        guards.guard(defaults, shield).map_err(|e| invalid(format!("the function `{name}`: {e}")))?;
    }
    let strict = ShieldDefaults { mode: RuleMode::Block, ..ShieldDefaults::default() };
    let guard = guards.guard(strict, &Shield::default()).map_err(|e| invalid(e.to_string()))?;
    if let Some(finding) = shield::inspect::refuses_everybody(&guard) {
        return Err(invalid(format!("they refuse a plain request: {}", finding.detail())));
    }
    let most = limits::RULES_PROBE_MS;
    let dearest = shield::inspect::dearest_ns(&guard, clock, most * 1_000_000) / 1_000_000;
    if dearest > most {
        let why = "to look at a long text, which a single test of a pattern may take";
        return Err(invalid(format!("they take {dearest} ms {why}, and may take {most}")));
    }
    Ok(())
}
