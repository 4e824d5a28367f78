//! Permits that end by themselves ("break-glass"): given, listed, ended, and loud when used. It never lifts a guard
//! rail or a forbid: such a permit is a policy like others.

use std::sync::Arc;

use ledger::Kind;
use model::{FunctionName, PrincipalKind, TenantId, Timestamp, limits};
use policy::{Action, Glass, Resource, TenantPolicies};
use serde::{Deserialize, Serialize};
use store::{Batch, Span, StoreError, TenantStore};

use crate::{
    Platform,
    catalog::Home,
    control::What,
    explain,
    functions::off_the_loop,
    recorder::About,
    refused::{ControlError, Ctx},
    shelf::{self, GLASS},
};

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 512;
const MINUTE_MS: u64 = 60_000;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGlass {
    /// A person or a machine.
    pub kind: PrincipalKind,
    /// Its name in the tenant.
    pub name: String,
    /// What it may do.
    pub action: Action,
    /// On which function alone.
    pub function: Option<FunctionName>,
    /// Why.
    pub reason: String,
    /// For how long.
    pub minutes: u64,
}

/// A permit that ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenGlass {
    /// Who may do what until when.
    pub glass: Glass,
    /// Why.
    pub reason: String,
    /// Who gave it, as records name them.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl Platform {
    /// Gives somebody a permit that ends by itself.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn break_glass(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        new: NewGlass,
    ) -> Result<GivenGlass, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::BreakGlass, Resource::Tenant(tenant))?;
        let what = What { kind: Kind::Policy, tenant, resource: Resource::Tenant(tenant) };
        let done = self.break_glass_permitted(ctx, &home, new, what).await;
        self.note_failure(ctx, what, done)
    }

    async fn break_glass_permitted(
        &self,
        ctx: Ctx<'_>,
        home: &Home,
        new: NewGlass,
        what: What<'_>,
    ) -> Result<GivenGlass, ControlError> {
        let invalid = |message: String| Err(ControlError::Invalid { code: "break-glass", message });
        if !(1..=limits::GLASS_MINUTES_MAX).contains(&new.minutes) {
            return invalid(format!("`minutes` is from 1 to {}", limits::GLASS_MINUTES_MAX));
        }
        let reason = new.reason.trim();
        if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
            return invalid(format!("`reason` says why, in at most {REASON_BYTES_MAX} bytes"));
        }
        let _one = home.changing.lock().await;
        let now = self.clock.now();
        let mut given = glass_of(&home.store).await?;
        given.retain(|one| one.glass.until > now);
        if given.len() >= limits::GLASS_MAX {
            return invalid(format!("there are {} already: end some", given.len()));
        }
        let NewGlass { kind, name, action, function, minutes, .. } = new;
        let until = now.plus_ms(minutes * MINUTE_MS);
        let glass = Glass { id: self.short_id("g")?, kind, name, action, function, until };
        let one =
            GivenGlass { glass, reason: reason.to_owned(), by: ctx.caller.principal().to_string(), at: now };
        let text = one
            .glass
            .text(&home.tenant.id)
            .map_err(|e| ControlError::Invalid { code: "break-glass", message: e.to_string() })?;
        given.push(one.clone());
        let policies = with_glass(&home.view().policies, &given).await?;
        let view = home.view();
        let next = self.view_with(home, policies, view.policy_text.clone())?;
        let (id, text) = (one.glass.id.as_str(), text.split_whitespace().collect::<Vec<_>>().join(" "));
        self.record_act(ctx, what, &format!("break-glass `{id}`: {reason}: {text}")).await?;
        let batch = Batch::new().check(GLASS, id, None).put(GLASS, id, shelf::encode(&one)?);
        home.store.commit(explain::keep(home, (&view.policy_text, &given), now, batch).await?).await?;
        home.show(next);
        let (tenant, by) = (&home.tenant.id, &one.by);
        tracing::warn!(request = %ctx.id, %tenant, %by, id, reason, "a break-glass permit was given");
        Ok(one)
    }

    /// The permits that have not ended, the oldest first.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn glass(&self, ctx: Ctx<'_>, tenant: &TenantId) -> Result<Vec<GivenGlass>, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ReadPolicy, Resource::Tenant(tenant))?;
        let now = self.clock.now();
        let mut given = glass_of(&home.store).await?;
        given.retain(|one| one.glass.until > now);
        given.sort_by_key(|one| one.at);
        Ok(given)
    }

    /// Ends such a permit before its time.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn end_glass(&self, ctx: Ctx<'_>, tenant: &TenantId, id: &str) -> Result<(), ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::BreakGlass, Resource::Tenant(tenant))?;
        let _one = home.changing.lock().await;
        let mut given = glass_of(&home.store).await?;
        let before = given.len();
        given.retain(|one| one.glass.id != id);
        if given.len() == before {
            let id: String = id.chars().take(80).collect();
            return Err(ControlError::NotFound(format!("break-glass permit `{id}`")));
        }
        let what = What { kind: Kind::Policy, tenant, resource: Resource::Tenant(tenant) };
        self.record_act(ctx, what, &format!("break-glass `{id}` ended before its time")).await?;
        self.without_glass(&home, &given, &[id.to_owned()]).await
    }

    /// Forgets the permits whose time is over, and says so in the record.
    pub(crate) async fn forget_glass(&self) -> Result<(), ControlError> {
        for home in self.catalog.homes().into_iter().filter(|home| home.view().policies.has_glass()) {
            let _one = home.changing.lock().await;
            let now = self.clock.now();
            let given = glass_of(&home.store).await?;
            let (live, over): (Vec<_>, Vec<_>) = given.into_iter().partition(|one| one.glass.until > now);
            if over.is_empty() {
                continue;
            }
            for one in &over {
                let about = About { tenant: Some(&home.tenant.id), ..About::default() };
                let mut event = about.on(self.recorder.event(Kind::Policy));
                event.action = "break-glass-ended".into();
                event.resource = Resource::Tenant(&home.tenant.id).to_string().into();
                event.allowed = true;
                event.detail = format!("break-glass `{}` ended by itself", one.glass.id).into();
                self.recorder.record_durably(&event).await.map_err(|e| ControlError::Refused(e.into()))?;
            }
            let ids: Vec<String> = over.into_iter().map(|one| one.glass.id).collect();
            self.without_glass(&home, &live, &ids).await?;
        }
        Ok(())
    }

    async fn without_glass(
        &self,
        home: &Home,
        left: &[GivenGlass],
        gone: &[String],
    ) -> Result<(), ControlError> {
        let view = home.view();
        let policies = with_glass(&view.policies, left).await?;
        let next = self.view_with(home, policies, view.policy_text.clone())?;
        let batch = gone.iter().fold(Batch::new(), |batch, id| batch.delete(GLASS, id.as_str()));
        let now = self.clock.now();
        home.store.commit(explain::keep(home, (&view.policy_text, left), now, batch).await?).await?;
        home.show(next);
        Ok(())
    }
}

/// The permits of a tenant, those whose time is over too.
pub(crate) async fn glass_of(store: &TenantStore) -> Result<Vec<GivenGlass>, StoreError> {
    let mut given = Vec::new();
    shelf::every(store, Span::all(GLASS), |_, value, _| {
        given.push(shelf::decode(GLASS, value)?);
        Ok(true)
    })
    .await?;
    Ok(given)
}

/// A tenant's policies with these permits beside them.
pub(crate) async fn with_glass(
    policies: &TenantPolicies,
    given: &[GivenGlass],
) -> Result<TenantPolicies, ControlError> {
    let glass: Vec<Glass> = given.iter().map(|one| one.glass.clone()).collect();
    let policies = policies.clone();
    Ok(off_the_loop(move || policies.with_glass(&glass)).await??)
}

/// The first of the policies that permitted something which is such a permit.
pub(crate) fn used(policies: &[Arc<str>]) -> Option<&Arc<str>> {
    policies.iter().find(|id| id.starts_with("glass/"))
}
