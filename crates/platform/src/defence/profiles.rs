//! The profiles of revisions: learned of their runs, kept sealed, approved and reset by operators, and what is told and
//! refused where a run is unlike them. It never stops a run that has begun.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use ledger::Kind;
use model::{FunctionName, ProfileMode, Revision, RevisionNumber, TenantId, Timestamp, Usage};
use parking_lot::{Mutex, RwLock};
use policy::{Action as Asked, Resource};
use shield::{Finding, Numbers, Profile, Seen, Sent, Signal, SignalKind, Stage, Trail, Transition};
use store::Batch;

use super::Around;
use crate::{
    Platform,
    call::Call,
    catalog::{Home, Life, Target},
    control::What,
    functions::not_found,
    refused::{ControlError, Ctx},
    shelf::{self, PROFILES},
};

/// How often a profile that changes all the time is saved, in milliseconds.
const SAVE_EVERY_MS: u64 = 30_000;

/// The profile of the revision that answers, where it is watched.
#[derive(Debug, Default)]
pub(crate) struct ProfileRoom(RwLock<Option<Arc<Watched>>>);

impl ProfileRoom {
    pub(crate) fn now(&self) -> Option<Arc<Watched>> {
        self.0.read().clone()
    }

    /// The profile that a run of a revision is held against.
    pub(crate) fn of(&self, number: RevisionNumber) -> Option<Arc<Watched>> {
        self.0.read().as_ref().filter(|watched| watched.number == number).cloned()
    }
}

/// One revision's profile at work.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) number: RevisionNumber,
    mode: ProfileMode,
    profile: Mutex<Profile>,
    is_dirty: AtomicBool,
    saved_ms: AtomicU64,
}

impl Watched {
    fn new(number: RevisionNumber, mode: ProfileMode, profile: Profile) -> Arc<Self> {
        let (is_dirty, saved_ms) = (AtomicBool::new(true), AtomicU64::new(0));
        Arc::new(Self { number, mode, profile: Mutex::new(profile), is_dirty, saved_ms })
    }

    pub(crate) fn stage(&self) -> Stage {
        self.profile.lock().stage()
    }

    /// Whether a run must not do this. What it finds is told once.
    pub(crate) fn forbids(&self, transition: &Transition) -> Option<(String, Option<Finding>)> {
        if self.mode != ProfileMode::Enforce {
            return None;
        }
        let mut profile = self.profile.lock();
        if profile.knows(transition) {
            return None;
        }
        self.is_dirty.store(true, Relaxed);
        let (from, to) = transition;
        let why = format!("not in the function's profile: `{to}` after `{from}`");
        Some((why, profile.find(transition)))
    }

    /// Takes in a run that ended.
    pub(crate) fn ended(
        &self,
        trail: &Trail,
        usage: &Usage,
        sent_bytes: u64,
        now: Timestamp,
    ) -> Vec<Finding> {
        let calls = u64::from(usage.outbound_calls);
        let numbers = Numbers {
            cpu_us: usage.cpu_us,
            wall_us: usage.wall_us,
            response_bytes: usage.response_bytes,
            log_bytes: usage.log_bytes + usage.log_bytes_dropped,
            outbound_calls: calls,
        };
        let run = Seen { transitions: trail.transitions(), numbers, sent: Sent { calls, bytes: sent_bytes } };
        let mut profile = self.profile.lock();
        let before = profile.stage();
        let found = profile.ended(&run, now);
        if before == Stage::Learning || !found.is_empty() {
            self.is_dirty.store(true, Relaxed);
        }
        if profile.stage() != before {
            self.saved_ms.store(0, Relaxed);
        }
        found
    }

    /// What is to be saved now, if anything.
    fn unsaved(&self, all: bool, now_ms: u64) -> Option<Profile> {
        let saved = self.saved_ms.load(Relaxed);
        let is_due = all || saved == 0 || now_ms.saturating_sub(saved) >= SAVE_EVERY_MS;
        if !is_due || !self.is_dirty.swap(false, Relaxed) {
            return None;
        }
        self.saved_ms.store(now_ms.max(1), Relaxed);
        Some(self.profile.lock().clone())
    }
}

/// A profile as it is shown.
#[derive(Debug, Clone)]
pub struct ProfileView {
    /// Of which revision.
    pub revision: RevisionNumber,
    /// What becomes of a run that is unlike it.
    pub mode: ProfileMode,
    /// What is known.
    pub profile: Profile,
}

impl Platform {
    /// Begins, or goes on, to watch the revision that answers from now on. What was learned of the one before holds for
    /// it too where both are the same component with the same grants; else it is learned anew.
    pub(crate) async fn begin_profile(
        &self,
        home: &Home,
        revision: &Revision,
        life: &Life,
        before: Option<&Revision>,
    ) -> Result<(), ControlError> {
        let tuning = revision.shield.profile;
        if tuning.mode == ProfileMode::Off {
            *life.profile.0.write() = None;
            return Ok(());
        }
        let row = home.store.get(PROFILES, &shelf::numbered(&revision.function, revision.number.0)).await?;
        let same = before.is_some_and(|before| {
            before.component == revision.component && before.grants.outbound == revision.grants.outbound
        });
        let carried = || {
            let known = before.filter(|_| same).and_then(|before| life.profile.of(before.number))?;
            let profile = known.profile.lock().clone();
            Some(profile)
        };
        let profile = match row {
            Some(row) => shelf::decode(PROFILES, &row.value)?,
            None => carried()
                .unwrap_or_else(|| Profile::new(self.clock.now(), tuning.learn_minutes, tuning.approve)),
        };
        *life.profile.0.write() = Some(Watched::new(revision.number, tuning.mode, profile));
        Ok(())
    }

    /// Tells of what a run did that is unlike its profile.
    pub(crate) fn unlike(&self, target: &Target, call: &Call, found: &Finding, allowed: bool) {
        let kind = match found {
            Finding::Unseen(_) => SignalKind::TransitionUnseen,
            Finding::Drift { .. } => SignalKind::Drift,
            Finding::Egress { .. } => SignalKind::Egress,
        };
        let around = Around {
            request: Some(call.id),
            tenant: Some(target.tenant()),
            source: Some(call.source),
            principal: &call.principal,
            resource: &target.resource,
            token: None,
            revision: Some((target.function(), target.revision.number)),
            allowed,
        };
        let said = format!("{found} ({})", target.revision.number);
        self.tell(target, call.id, format!("{}: {said}", kind.code()));
        self.signal(around, &Signal { kind, said });
    }

    /// Saves the profiles that have changed: now and then, or all.
    pub(crate) async fn save_profiles(&self, all: bool) -> Result<(), ControlError> {
        let now_ms = self.clock.monotonic_ms();
        for home in self.catalog.homes() {
            for (name, placed) in &home.view().functions {
                let Some(watched) = placed.target.life.profile.now() else { continue };
                let Some(profile) = watched.unsaved(all, now_ms) else { continue };
                let row = shelf::encode(&profile)?;
                let id = shelf::numbered(name, watched.number.0);
                home.store.commit(Batch::new().put(PROFILES, id, row)).await?;
            }
        }
        Ok(())
    }

    /// The profile of the revision that answers.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn profile(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        function: &FunctionName,
    ) -> Result<ProfileView, ControlError> {
        self.permit_shield(ctx, Some(tenant), Asked::ReadShield)?;
        let (_, watched) = self.watched(tenant, function)?;
        Ok(watched.view())
    }

    fn watched(
        &self,
        tenant: &TenantId,
        function: &FunctionName,
    ) -> Result<(Arc<Target>, Arc<Watched>), ControlError> {
        let target = self.catalog.named(tenant, function).ok_or_else(|| not_found(function))?;
        let watched = target.life.profile.now();
        let none = || ControlError::NotFound(format!("profile of `{function}`: its manifest wants none"));
        Ok((target.clone(), watched.ok_or_else(none)?))
    }

    /// Puts what was learned in force.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn approve_profile(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        function: &FunctionName,
    ) -> Result<ProfileView, ControlError> {
        self.permit_shield(ctx, Some(tenant), Asked::ManageShield)?;
        let (_, watched) = self.watched(tenant, function)?;
        let runs = watched.profile.lock().runs();
        if runs == 0 {
            let message = format!("nothing was learned of `{function}` yet: everything would be unlike it");
            return Err(ControlError::Conflict(message));
        }
        self.profile_act(ctx, tenant, function, &format!("approved the profile of {}", watched.number))
            .await?;
        watched.profile.lock().approve(self.clock.now());
        watched.is_dirty.store(true, Relaxed);
        self.save_profiles(true).await?;
        Ok(watched.view())
    }

    /// Forgets what was learned of the revision that answers, and learns anew.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn reset_profile(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        function: &FunctionName,
    ) -> Result<ProfileView, ControlError> {
        self.permit_shield(ctx, Some(tenant), Asked::ManageShield)?;
        let (target, watched) = self.watched(tenant, function)?;
        self.profile_act(ctx, tenant, function, &format!("reset the profile of {}", watched.number)).await?;
        let tuning = target.revision.shield.profile;
        *watched.profile.lock() = Profile::new(self.clock.now(), tuning.learn_minutes, tuning.approve);
        watched.is_dirty.store(true, Relaxed);
        self.save_profiles(true).await?;
        Ok(watched.view())
    }

    async fn profile_act(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        function: &FunctionName,
        detail: &str,
    ) -> Result<(), ControlError> {
        let what = What { kind: Kind::Action, tenant, resource: Resource::Function(tenant, function) };
        self.record_act(ctx, what, detail).await
    }
}

impl Watched {
    fn view(&self) -> ProfileView {
        ProfileView { revision: self.number, mode: self.mode, profile: self.profile.lock().clone() }
    }
}
