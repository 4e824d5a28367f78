//! Deploy, roll back, remove, see: what happens to functions. It never runs one.

use std::{collections::BTreeSet, sync::Arc};

use admission::Admitted;
use bytes::Bytes;
use egress::Destinations;
use ledger::Kind;
use model::{Digest, FunctionName, Manifest, Revision, RevisionNumber, TenantId, Timestamp, limits};
use policy::{Action, Resource, Slice, TenantPolicies};
use serde::{Deserialize, Serialize};
use store::{Batch, Span};

use crate::{
    Platform, Totals,
    catalog::{Accepts, Home, Life, Placed, Target, ViewError},
    changes::Proposed,
    control::What,
    gate::Gate,
    refused::{ControlError, Ctx},
    shelf::{self, COMPONENTS, FUNCTIONS, FunctionRecord, LOGS, PROFILES, REVISIONS, USAGE},
    widening::{Consent, Door},
};

/// Revisions of a function that are kept to go back to.
const REVISIONS_KEPT: u64 = 50;
/// An uploaded component that no revision names is removed after this long.
const UPLOAD_KEPT_MS: u64 = 3_600_000;

/// A component in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its size.
    pub bytes: u64,
    /// Whether it was there already.
    pub existed: bool,
}

/// What is to be deployed.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The function.
    pub function: &'a FunctionName,
    /// The text of its manifest.
    pub manifest: &'a str,
    /// The component, uploaded before.
    pub component: Digest,
    /// Whether it may let in whom the active revision refuses.
    pub consent: Consent<'a>,
}

/// What a deploy made.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The revision that answers from now on.
    pub revision: Arc<Revision>,
    /// The policies that decide its calls: id and Cedar text, the widest layer first.
    pub policies: Vec<(String, String)>,
    /// What a reviewer should know: grants that are not used, say.
    pub findings: Vec<String>,
    /// The host under which its routes are.
    pub host: String,
    /// The revision that answered before.
    pub previous: Option<RevisionNumber>,
    /// How long compiling took, in milliseconds; 0 if the code was there.
    pub compile_ms: u64,
}

/// All about one function.
#[derive(Debug, Clone)]
pub struct FunctionView {
    /// The revision that answers.
    pub active: Arc<Revision>,
    /// The newest number given out.
    pub newest: RevisionNumber,
    /// All revisions that are kept, the newest first.
    pub revisions: Vec<Revision>,
    /// The policies that decide its calls.
    pub policies: Vec<(String, String)>,
    /// What it used so far.
    pub totals: Totals,
    /// The host under which its routes are.
    pub host: String,
    /// Its identity when it calls others, as a SPIFFE id.
    pub identity: String,
    /// What of its shield is weaker than the node's, each in a sentence.
    pub loosened: Vec<String>,
}

/// A row of [`COMPONENTS`].
#[derive(Serialize, Deserialize)]
struct Upload {
    bytes: u64,
    at: Timestamp,
    by: String,
}

impl Platform {
    /// Keeps a component under its digest, to be deployed later.
    ///
    /// # Errors
    /// [`ControlError`]: not permitted, too large, or not what the digest says.
    pub async fn put_component(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<Stored, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::Deploy, Resource::Tenant(tenant))?;
        let what = What { kind: Kind::Deploy, tenant, resource: Resource::Tenant(tenant) };
        let done = self.put_permitted(ctx, &home, digest, bytes).await;
        self.note_failure(ctx, what, done)
    }

    async fn put_permitted(
        &self,
        ctx: Ctx<'_>,
        home: &Home,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<Stored, ControlError> {
        let size = bytes.len() as u64;
        if size > limits::COMPONENT_BYTES_MAX {
            let max = limits::COMPONENT_BYTES_MAX;
            return Err(ControlError::TooLarge { what: "the component", bytes: size, max });
        }
        let found = keyring::sha256(&bytes);
        if found != digest {
            let message =
                format!("what arrived is `{found}`, not `{digest}`: it was changed or cut on its way");
            return Err(ControlError::Invalid { code: "wrong-digest", message });
        }
        // What was damaged where it lies is put there anew.
        let existed = home.store.get(COMPONENTS, digest.as_bytes()).await?.is_some()
            && home.store.get_blob(digest).await.is_ok_and(|kept| kept.is_some());
        if !existed {
            home.store.put_blob(digest, bytes).await?;
        }
        let by = ctx.caller.principal().to_string();
        let upload = Upload { bytes: size, at: self.clock.now(), by };
        home.store.commit(Batch::new().put(COMPONENTS, digest.as_bytes(), shelf::encode(&upload)?)).await?;
        Ok(Stored { bytes: size, existed })
    }

    /// Makes a revision of an uploaded component and lets it answer. All or nothing.
    ///
    /// # Errors
    /// [`ControlError`], with what is wrong and where; the active revision then stays.
    pub async fn deploy(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        order: &Order<'_>,
    ) -> Result<Deployed, ControlError> {
        let home = self.home(tenant)?;
        let resource = Resource::Function(tenant, order.function);
        self.permit(ctx, &home, Action::Deploy, resource)?;
        let what = What { kind: Kind::Deploy, tenant, resource };
        let done = self.deploy_permitted(ctx, &home, order, what).await;
        self.note_failure(ctx, what, done)
    }

    async fn deploy_permitted(
        &self,
        ctx: Ctx<'_>,
        home: &Home,
        order: &Order<'_>,
        what: What<'_>,
    ) -> Result<Deployed, ControlError> {
        let &Order { function, manifest: text, component, consent } = order;
        let manifest = Manifest::parse(text, &self.ceiling)?;
        if manifest.name != *function {
            let message = format!("the manifest is of `{}`, not of `{function}`", manifest.name);
            return Err(ControlError::Invalid { code: "manifest-invalid", message });
        }
        manifest.check_waiver(self.clock.now())?;
        policy::check_access(&home.tenant.id, function, &manifest.access)?;
        let loosened = self.permit_loosened(ctx, home, what.resource, &manifest.shield)?;
        self.check_own(&manifest.shield)?;
        let first = home.store.get(FUNCTIONS, function.as_str().as_bytes()).await?.is_none();
        let view = home.view();
        let verdict = self.access_verdict(&view, function, Door::of(&manifest), first).await?;
        let passed = self.pass(ctx, (home, &view), what.resource, verdict, consent)?;
        let passed = passed.of_deploy(Door::of(&manifest), first);
        let missing = || ControlError::NotFound(format!("component `{component}`: upload it first"));
        let bytes = home.store.get_blob(component).await?.ok_or_else(missing)?;
        let admitted = admission::admit(bytes, Some(component), &manifest).map_err(|refusal| {
            ControlError::Invalid { code: refusal.code(), message: refusal.to_string() }
        })?;
        let slot = self.code.slot(&home.store, component, admitted.world());
        let started = self.clock.monotonic_ms();
        let compiled = self.code.prepare(&slot, admitted.bytes()).await?;
        let took_ms = self.clock.monotonic_ms().saturating_sub(started).max(1);

        let _one = home.changing.lock().await;
        let view = home.view();
        passed.holds(&view)?;
        let entry = home.store.get(FUNCTIONS, function.as_str().as_bytes()).await?;
        let before: Option<FunctionRecord> =
            entry.as_ref().map(|e| shelf::decode(FUNCTIONS, &e.value)).transpose()?;
        let number = RevisionNumber(before.map_or(0, |record| record.newest.0) + 1);
        let by = ctx.caller.principal().to_string();
        let revision = Arc::new(revision(home, &manifest, text, &admitted, number, self.clock.now(), by));
        let active = view.functions.get(function);
        let previous = active.map(|placed| placed.target.revision.number);
        let life = active.map(|placed| placed.target.life.clone());
        let life = life.unwrap_or_else(|| self.new_life(home, function, Totals::default()));
        let target = self.target(home, revision.clone(), &view.policies, life)?;
        let record = FunctionRecord { active: Some(number), newest: number };
        self.check_no_bait(&home.tenant.id, &revision.routes)?;
        let next = view.with(function, Some(Placed { record: record.clone(), target: target.clone() }));
        let next = next.map_err(view_error)?;

        let detail = format!("{number} of {component}{}{loosened}", passed.said());
        self.record_act(ctx, what, &detail).await?;
        let oldest = number.0.saturating_sub(REVISIONS_KEPT);
        let batch = Batch::new()
            .check(FUNCTIONS, function.as_str(), entry.map(|e| e.revision))
            .put(FUNCTIONS, function.as_str(), shelf::encode(&record)?)
            .put(REVISIONS, shelf::numbered(function, number.0), shelf::encode(&*revision)?)
            .delete(REVISIONS, shelf::numbered(function, oldest))
            .delete(PROFILES, shelf::numbered(function, oldest));
        home.store.commit(batch).await?;
        let before = active.map(|placed| &*placed.target.revision);
        self.begin_profile(home, &revision, &target.life, before).await?;
        home.show(next);
        let mut findings: Vec<_> = admitted.findings().iter().map(ToString::to_string).collect();
        findings.extend(Self::unknown_credentials(home, &revision.access.accept));
        let host = self.catalog.host_of(&home.tenant.id);
        let (policies, compile_ms) = (own_policies(&target.slice), if compiled { took_ms } else { 0 });
        Ok(Deployed { revision, policies, findings, host, previous, compile_ms })
    }

    /// Lets an older revision answer again: the one named, or the one before the active one.
    /// The answer is the revision and the number of the one that answered before.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn rollback(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        function: &FunctionName,
        to: Option<RevisionNumber>,
        consent: Consent<'_>,
    ) -> Result<(Arc<Revision>, RevisionNumber), ControlError> {
        let home = self.home(tenant)?;
        let resource = Resource::Function(tenant, function);
        self.permit(ctx, &home, Action::Rollback, resource)?;
        let view = home.view();
        let placed = view.functions.get(function).ok_or_else(|| not_found(function))?;
        let now = placed.target.revision.number;
        let kept = self.revisions(&home, function).await?;
        let wanted = kept.into_iter().find(|r| to.map_or(r.number < now, |number| r.number == number));
        let which = || to.map_or("older revision".to_owned(), |n| format!("revision `{n}`"));
        let revision = Arc::new(wanted.ok_or_else(|| ControlError::NotFound(which()))?);
        if let Some((name, value, _, max)) = revision.limits.outside(&self.ceiling) {
            let message =
                format!("`limits.{name}` of {} is {value}; this node allows {max}", revision.number);
            return Err(ControlError::Invalid { code: "limits", message });
        }
        let what = What { kind: Kind::Rollback, tenant, resource };
        let door = Door { access: &revision.access, routes: &revision.routes };
        let verdict = self.access_verdict(&view, function, door, false).await?;
        let loosened = self.permit_loosened(ctx, &home, resource, &revision.shield);
        let loosened = self.note_failure(ctx, what, loosened)?;
        self.note_failure(ctx, what, self.check_own(&revision.shield))?;
        let passed = self.pass(ctx, (&home, &view), resource, verdict, consent);
        let passed = self.note_failure(ctx, what, passed)?.of_deploy(door, false);
        let _one = home.changing.lock().await;
        let view = home.view();
        passed.holds(&view)?;
        let placed = view.functions.get(function).ok_or_else(|| not_found(function))?;
        let life = placed.target.life.clone();
        let before = placed.target.revision.clone();
        let target = self.target(&home, revision.clone(), &view.policies, life.clone())?;
        let record = FunctionRecord { active: Some(revision.number), newest: placed.record.newest };
        self.note_failure(ctx, what, self.check_no_bait(tenant, &revision.routes))?;
        let next = view.with(function, Some(Placed { record: record.clone(), target }));
        let next = next.map_err(view_error)?;
        let detail = format!("from {now} to {}{}{loosened}", revision.number, passed.said());
        self.record_act(ctx, what, &detail).await?;
        let put = Batch::new().put(FUNCTIONS, function.as_str(), shelf::encode(&record)?);
        home.store.commit(put).await?;
        self.begin_profile(&home, &revision, &life, Some(&before)).await?;
        home.show(next);
        Ok((revision, now))
    }

    /// Takes a function away, with its revisions, log and totals. Its number goes on if it comes back.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn remove(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        function: &FunctionName,
    ) -> Result<(), ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::Remove, Resource::Function(tenant, function))?;
        let _one = home.changing.lock().await;
        let view = home.view();
        let placed = view.functions.get(function).ok_or_else(|| not_found(function))?;
        let record = FunctionRecord { active: None, newest: placed.record.newest };
        let next = view.with(function, None).map_err(view_error)?;
        let what = What { kind: Kind::Remove, tenant, resource: Resource::Function(tenant, function) };
        self.record_act(ctx, what, &format!("{} revisions", placed.record.newest.0)).await?;
        let mut batch = Batch::new()
            .put(FUNCTIONS, function.as_str(), shelf::encode(&record)?)
            .delete(USAGE, function.as_str());
        for space in [REVISIONS, LOGS, PROFILES] {
            let mut ids = Vec::new();
            let take = |id: &[u8], _: &[u8], _| {
                ids.push(id.to_vec());
                Ok(true)
            };
            shelf::every(&home.store, Span::prefix(space, shelf::prefix(function)), take).await?;
            batch = ids.into_iter().fold(batch, |batch, id| batch.delete(space, id));
        }
        home.store.commit(batch).await?;
        home.show(next);
        self.logs.forget(tenant, function);
        self.collect(&home).await
    }

    /// The functions of a tenant, by name.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn list(&self, ctx: Ctx<'_>, tenant: &TenantId) -> Result<Vec<Arc<Revision>>, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::List, Resource::Tenant(tenant))?;
        Ok(home.view().functions.values().map(|placed| placed.target.revision.clone()).collect())
    }

    /// All about one function.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn inspect(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        function: &FunctionName,
    ) -> Result<FunctionView, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::Inspect, Resource::Function(tenant, function))?;
        let view = home.view();
        let placed = view.functions.get(function).ok_or_else(|| not_found(function))?;
        Ok(FunctionView {
            active: placed.target.revision.clone(),
            newest: placed.record.newest,
            revisions: self.revisions(&home, function).await?,
            policies: own_policies(&placed.target.slice),
            totals: placed.target.life.meter.totals(),
            host: self.catalog.host_of(tenant),
            identity: self.functions.id_of(tenant, function),
            loosened: placed.target.revision.shield.loosened(&self.shield_defaults),
        })
    }

    /// What answers for a function by name, whatever its routes: for calls through the control API, which are
    /// screened and authorized like any other.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], the same for a tenant and a function that are not there.
    pub fn find(&self, tenant: &TenantId, function: &FunctionName) -> Result<Arc<Target>, ControlError> {
        let home = self.catalog.home(tenant).ok_or_else(|| not_found(function))?;
        let view = home.view();
        let placed = view.functions.get(function).ok_or_else(|| not_found(function))?;
        Ok(placed.target.clone())
    }

    /// Everything that is needed to call a revision.
    pub(crate) fn target(
        &self,
        home: &Home,
        revision: Arc<Revision>,
        policies: &TenantPolicies,
        life: Arc<Life>,
    ) -> Result<Arc<Target>, ControlError> {
        let slice = Slice::for_function(&revision, policies)?;
        let destinations = Destinations::parse(&revision.grants.outbound)
            .map_err(|e| ControlError::Invalid { code: "manifest-invalid", message: e.to_string() })?;
        Ok(Arc::new(Target {
            own: self.own_of(life.scope, &revision.shield)?,
            room: home.room.clone(),
            tenant: home.tenant.clone(),
            quota: home.quota.clone(),
            gate: Gate::new(&revision.limits),
            code: self.code.slot(&home.store, revision.component, revision.world),
            destinations: Arc::new(destinations),
            slice,
            identity: home.identity.clone(),
            accept: Accepts::new(&revision),
            resource: Resource::Function(&revision.tenant, &revision.function).to_string().into(),
            guard: self.new_guard(&revision.shield)?,
            rule_memory: home.rule_memory.clone(),
            revision,
            life,
        }))
    }

    pub(crate) fn new_life(&self, home: &Home, function: &FunctionName, totals: Totals) -> Arc<Life> {
        let log = self.logs.of(&home.tenant.id, function);
        Arc::new(Life::new(totals, log, self.shield.scope()))
    }

    /// The kept revisions of a function, the newest first.
    async fn revisions(&self, home: &Home, function: &FunctionName) -> Result<Vec<Revision>, ControlError> {
        let mut revisions = Vec::new();
        let span = Span::prefix(REVISIONS, shelf::prefix(function)).descending();
        shelf::every(&home.store, span, |_, value, _| {
            revisions.push(shelf::decode(REVISIONS, value)?);
            Ok(true)
        })
        .await?;
        Ok(revisions)
    }

    /// Removes components that no revision names any more.
    async fn collect(&self, home: &Home) -> Result<(), ControlError> {
        let mut named = BTreeSet::new();
        shelf::every(&home.store, Span::all(REVISIONS), |_, value, _| {
            named.insert(*shelf::decode::<Revision>(REVISIONS, value)?.component.as_bytes());
            Ok(true)
        })
        .await?;
        let waiting = self.waiting(home).await?.into_iter().filter_map(|change| match change.what {
            Proposed::Deploy { component, .. } => Some(*component.as_bytes()),
            Proposed::Policy { .. } => None,
        });
        named.extend(waiting);
        let mut unnamed = Vec::new();
        let now = self.clock.now();
        shelf::every(&home.store, Span::all(COMPONENTS), |id, value, _| {
            let upload: Upload = shelf::decode(COMPONENTS, value)?;
            let digest = <[u8; 32]>::try_from(id).ok().filter(|d| !named.contains(d));
            if let Some(digest) = digest.filter(|_| now.since_ms(upload.at) > UPLOAD_KEPT_MS) {
                unnamed.push(Digest::from_bytes(digest));
            }
            Ok(true)
        })
        .await?;
        for digest in unnamed {
            home.store.commit(Batch::new().delete(COMPONENTS, digest.as_bytes())).await?;
            home.store.delete_blob(digest).await?;
            self.code.forget(&home.store, digest).await?;
        }
        Ok(())
    }
}

fn revision(
    home: &Home,
    manifest: &Manifest,
    text: &str,
    admitted: &Admitted,
    number: RevisionNumber,
    now: Timestamp,
    by: String,
) -> Revision {
    Revision {
        tenant: home.tenant.id.clone(),
        function: manifest.name.clone(),
        number,
        component: *admitted.digest(),
        component_bytes: admitted.bytes().len() as u64,
        manifest: keyring::sha256(text.as_bytes()),
        manifest_text: text.to_owned(),
        world: admitted.world(),
        routes: manifest.routes.clone(),
        access: manifest.access.clone(),
        limits: manifest.limits,
        grants: admitted.grants().clone(),
        shield: manifest.shield.clone(),
        deployed_at: now,
        deployed_by: by,
    }
}

fn own_policies(slice: &Slice) -> Vec<(String, String)> {
    slice.policies().map(|(id, text)| (id.to_owned(), text.to_owned())).collect()
}

/// Work that may take longer than a request should wait for: on a thread of its own.
pub(crate) async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ControlError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ControlError::Internal(e.to_string()))
}

pub(crate) fn not_found(function: &FunctionName) -> ControlError {
    ControlError::NotFound(format!("function `{function}`"))
}

pub(crate) fn view_error(error: ViewError) -> ControlError {
    match error {
        ViewError::Policy(errors) => errors.into(),
        ViewError::Route(taken) => ControlError::Conflict(taken.to_string()),
    }
}
