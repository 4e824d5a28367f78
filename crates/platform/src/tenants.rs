//! Tenants and their policies. It never decides a request.

use std::{collections::BTreeMap, sync::Arc};

use ledger::Kind;
use model::{Tenant, TenantId, TenantLimits, TenantShield, TrustLabel, limits};
use policy::{Action, Resource, TenantPolicies};
use store::Batch;

use crate::{
    Platform,
    catalog::{Home, Placed, View},
    control::What,
    explain,
    functions::{off_the_loop, view_error},
    glass,
    own::TenantNow,
    refused::{ControlError, Ctx},
    shelf::{self, CURRENT, POLICY, TENANTS},
    widening::Consent,
};

impl Platform {
    /// The tenants of this node.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn tenants(&self, ctx: Ctx<'_>) -> Result<Vec<Tenant>, ControlError> {
        self.permit_node(ctx, Action::ListTenants)?;
        Ok(self.catalog.homes().iter().map(|home| home.as_it_stands()).collect())
    }

    /// Makes a tenant with keys of its own.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn create_tenant(
        &self,
        ctx: Ctx<'_>,
        id: &TenantId,
        trust: TrustLabel,
        concurrency: Option<u64>,
    ) -> Result<Tenant, ControlError> {
        self.permit_node(ctx, Action::ManageTenants)?;
        let plain = trust.0.len() <= 63 && trust.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if trust.0.is_empty() || !plain {
            let message = format!("`{}` is no trust label: 1 to 63 letters, digits and `-`", trust.0);
            return Err(ControlError::Invalid { code: "trust-label", message });
        }
        let concurrency = self.concurrency_given(concurrency)?;
        if self.catalog.home(id).is_some() {
            return Err(ControlError::Conflict(format!("the tenant `{id}` is there already")));
        }
        let what = What { kind: Kind::Tenant, tenant: id, resource: Resource::Tenant(id) };
        self.record_act(ctx, what, &format!("made, trust label `{}`", trust.0)).await?;
        self.new_tenant(id, trust, concurrency).await
    }

    /// Changes how many runs a tenant may have at once, and whose requests its functions take how often, from the next
    /// request on.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn set_tenant(
        &self,
        ctx: Ctx<'_>,
        id: &TenantId,
        limits: TenantLimits,
    ) -> Result<Tenant, ControlError> {
        self.permit_node(ctx, Action::ManageTenants)?;
        let home = self.home(id)?;
        let given = limits.concurrency.map(|given| self.concurrency_given(Some(given))).transpose()?;
        let _one = home.changing.lock().await;
        let (what, before) =
            (What { kind: Kind::Tenant, tenant: id, resource: Resource::Tenant(id) }, home.room.now());
        let shield = before.changed(&limits)?;
        let now = self.tenant_now(given.unwrap_or(before.concurrency), shield, Some(before.own.scope()))?;
        self.check_tenants_own(&now)?;
        self.record_act(ctx, what, &said(&limits, home.quota.most())).await?;
        let (concurrency, shield) = (now.concurrency, now.shield.clone());
        let row = shelf::encode(&Tenant { concurrency, shield, ..home.tenant.clone() })?;
        self.sealed.system().commit(Batch::new().put(TENANTS, id.as_str(), row)).await?;
        home.quota.allow(concurrency.min(self.tenant_ceiling));
        home.room.set(now);
        Ok(home.as_it_stands())
    }

    /// What a tenant says of its sources and rates, proved. What was counted goes on where its scope is named.
    pub(crate) fn tenant_now(
        &self,
        concurrency: u64,
        shield: TenantShield,
        scope: Option<shield::Scope>,
    ) -> Result<TenantNow, ControlError> {
        let scope = scope.unwrap_or_else(|| self.shield.scope());
        TenantNow::new(scope, concurrency, shield, self.moment())
            .map_err(|error| ControlError::Invalid { code: "tenant-limit", message: error.to_string() })
    }

    /// The number that somebody named, or the one that stands where nobody does.
    fn concurrency_given(&self, named: Option<u64>) -> Result<u64, ControlError> {
        let most = self.tenant_ceiling;
        match named {
            None => Ok(limits::TENANT_CONCURRENCY),
            Some(concurrency) if (1..=most).contains(&concurrency) => Ok(concurrency),
            Some(concurrency) => {
                let message = format!("`concurrency` is {concurrency}, but must be from 1 to {most}");
                Err(ControlError::Invalid { code: "tenant-limit", message })
            }
        }
    }

    /// Makes a tenant, whoever asked.
    pub(crate) async fn new_tenant(
        &self,
        id: &TenantId,
        trust: TrustLabel,
        concurrency: u64,
    ) -> Result<Tenant, ControlError> {
        self.sealed.create_tenant_key(id).await?;
        let shield = TenantShield::default();
        let now = self.tenant_now(concurrency, shield.clone(), None)?;
        let tenant = Tenant { id: id.clone(), trust, created_at: self.clock.now(), concurrency, shield };
        let row = shelf::encode(&tenant)?;
        let system = self.sealed.system();
        system.commit(Batch::new().check(TENANTS, id.as_str(), None).put(TENANTS, id.as_str(), row)).await?;
        let view =
            View::new(BTreeMap::new(), TenantPolicies::none(id.clone()), "".into()).map_err(view_error)?;
        let store = self.sealed.tenant(id)?;
        let home = Arc::new(Home::new(tenant, store, view, self.tenant_ceiling, now));
        let tenant = home.as_it_stands();
        self.catalog.add(home);
        Ok(tenant)
    }

    /// The text of a tenant's own policies.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn policy(&self, ctx: Ctx<'_>, tenant: &TenantId) -> Result<Arc<str>, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ReadPolicy, Resource::Tenant(tenant))?;
        Ok(home.view().policy_text.clone())
    }

    /// Replaces a tenant's own policies. All of its functions are decided by the new ones from the next
    /// request on, or none is.
    ///
    /// # Errors
    /// [`ControlError`], with every place of the text that is wrong.
    pub async fn set_policy(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        text: &str,
        consent: Consent<'_>,
    ) -> Result<(), ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ManagePolicy, Resource::Tenant(tenant))?;
        let what = What { kind: Kind::Policy, tenant, resource: Resource::Tenant(tenant) };
        let done = self.set_policy_permitted(ctx, &home, text, consent, what).await;
        self.note_failure(ctx, what, done)
    }

    async fn set_policy_permitted(
        &self,
        ctx: Ctx<'_>,
        home: &Home,
        text: &str,
        consent: Consent<'_>,
        what: What<'_>,
    ) -> Result<(), ControlError> {
        let bytes = text.len() as u64;
        if bytes > limits::POLICY_BYTES_MAX {
            let max = limits::POLICY_BYTES_MAX;
            return Err(ControlError::TooLarge { what: "the policy text", bytes, max });
        }
        let (id, own) = (home.tenant.id.clone(), text.to_owned());
        let parse = move || TenantPolicies::parse(id, &own);
        let policies = off_the_loop(parse).await??;
        let view = home.view();
        let verdict = self.policies_verdict(&view, &policies).await?;
        let passed = self.pass(ctx, (home, &view), what.resource, verdict, consent)?;
        let _one = home.changing.lock().await;
        let view = home.view();
        passed.holds(&view)?;
        let next = self.view_with(home, policies.with_glass_of(&view.policies), text.into())?;
        let digest = keyring::sha256(text.as_bytes());
        self.record_act(ctx, what, &format!("replaced by {digest}{}", passed.said())).await?;
        let glass = glass::glass_of(&home.store).await?;
        let batch = Batch::new().put(POLICY, CURRENT, text.to_owned());
        home.store.commit(explain::keep(home, (text, &glass), self.clock.now(), batch).await?).await?;
        home.show(next);
        Ok(())
    }

    /// What stands, decided by other policies.
    pub(crate) fn view_with(
        &self,
        home: &Home,
        policies: TenantPolicies,
        text: Arc<str>,
    ) -> Result<View, ControlError> {
        let mut functions = BTreeMap::new();
        for (name, placed) in &home.view().functions {
            let Placed { record, target } = placed.clone();
            let life = target.life.clone();
            let target = self.target(home, target.revision.clone(), &policies, life)?;
            functions.insert(name.clone(), Placed { record, target });
        }
        View::new(functions, policies, text).map_err(view_error)
    }
}

/// What is changed, for the record.
fn said(limits: &TenantLimits, before: u64) -> String {
    let list = |name: &str, list: &Vec<String>| match list.len() {
        0 => format!("`{name}` is empty"),
        1..=8 => format!("`{name}` is {}", list.join(", ")),
        count => format!("`{name}` has {count} entries"),
    };
    let runs = limits.concurrency.map(|runs| format!("{runs} runs at once, {before} before"));
    let rate = limits
        .rate
        .and_then(|rate| serde_json::to_string(&rate).ok())
        .map(|rate| format!("`rate` is {rate}"));
    let lists = [("allow", &limits.allow), ("deny", &limits.deny)];
    let lists = lists.map(|(name, typed)| typed.as_ref().map(|typed| list(name, typed)));
    runs.into_iter().chain(lists.into_iter().flatten()).chain(rate).collect::<Vec<_>>().join("; ")
}
