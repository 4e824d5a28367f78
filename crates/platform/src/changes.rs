//! Changes that wait for a second person: proposed by one who may make them, done when another approves. It never
//! does one by itself.

use ledger::Kind;
use model::{Digest, FunctionName, Manifest, TenantId, Timestamp, limits};
use policy::{Action, Resource, TenantPolicies};
use prover::{Verdict, Witness};
use serde::{Deserialize, Serialize};
use store::{Batch, Span};

use crate::{
    Platform,
    catalog::{Home, View},
    control::What,
    functions::{Order, off_the_loop},
    refused::{ControlError, Ctx},
    shelf::{self, CHANGES, FUNCTIONS},
    widening::{Consent, Door, Widening},
};

const DAY_MS: u64 = 86_400_000;

/// What is proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Proposed {
    /// Other policies of the tenant.
    Policy {
        /// Their Cedar text.
        text: String,
    },
    /// A revision of a function.
    Deploy {
        /// Which.
        function: FunctionName,
        /// Its manifest's text.
        manifest: String,
        /// Its component, uploaded before.
        component: Digest,
    },
}

/// A change that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Names it.
    pub id: String,
    /// Who proposed it, as records name them.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// When it ends, if nobody approves it.
    pub until: Timestamp,
    /// What it would do.
    pub what: Proposed,
    /// Whom it lets in, in a sentence.
    pub shown: String,
    /// A request that it would let in, where one was found.
    pub request: Option<Box<Witness>>,
    /// What it was compared with; it is done only while that stands.
    base: String,
}

impl Proposed {
    fn resource<'a>(&'a self, tenant: &'a TenantId) -> Resource<'a> {
        match self {
            Self::Policy { .. } => Resource::Tenant(tenant),
            Self::Deploy { function, .. } => Resource::Function(tenant, function),
        }
    }

    const fn action(&self) -> Action {
        match self {
            Self::Policy { .. } => Action::ManagePolicy,
            Self::Deploy { .. } => Action::Deploy,
        }
    }

    /// What it takes to see all of it.
    const fn sight(&self) -> Action {
        match self {
            Self::Policy { .. } => Action::ReadPolicy,
            Self::Deploy { .. } => Action::Inspect,
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Policy { .. } => Kind::Policy,
            Self::Deploy { .. } => Kind::Deploy,
        }
    }
}

impl Platform {
    /// Keeps a change until somebody else approves it. Whoever proposes must be allowed to make it.
    ///
    /// # Errors
    /// [`ControlError`]; a change that lets nobody in needs no second person and is not kept.
    pub async fn propose(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        what: Proposed,
    ) -> Result<Change, ControlError> {
        let home = self.home(tenant)?;
        let resource = what.resource(tenant);
        self.permit(ctx, &home, what.action(), resource)?;
        let event = What { kind: what.kind(), tenant, resource };
        let done = self.propose_permitted(ctx, &home, what.clone(), event).await;
        self.note_failure(ctx, event, done)
    }

    async fn propose_permitted(
        &self,
        ctx: Ctx<'_>,
        home: &Home,
        what: Proposed,
        event: What<'_>,
    ) -> Result<Change, ControlError> {
        let view = home.view();
        let verdict = self.verdict_of(home, &view, &what).await?;
        let Some(widening) = Widening::of(verdict) else {
            let message = "it lets nobody in who is refused now: it can be done without a second person";
            return Err(ControlError::Conflict(message.into()));
        };
        let now = self.clock.now();
        let _one = home.changing.lock().await;
        let waiting = self.waiting(home).await?;
        if waiting.len() >= limits::CHANGES_WAITING_MAX {
            let message = format!("{} changes wait already: approve or reject some", waiting.len());
            return Err(ControlError::Conflict(message));
        }
        let change = Change {
            id: self.short_id("c")?,
            by: ctx.caller.principal().to_string(),
            at: now,
            until: now.plus_ms(limits::CHANGE_WAITS_DAYS * DAY_MS),
            base: base(&view, &what),
            what,
            shown: widening.to_string(),
            request: widening.request,
        };
        self.record_act(ctx, event, &format!("proposed `{}`: {}", change.id, change.shown)).await?;
        let batch = Batch::new().check(CHANGES, change.id.as_str(), None);
        home.store.commit(batch.put(CHANGES, change.id.as_str(), shelf::encode(&change)?)).await?;
        Ok(change)
    }

    async fn verdict_of(&self, home: &Home, view: &View, what: &Proposed) -> Result<Verdict, ControlError> {
        match what {
            Proposed::Policy { text } => {
                let (id, own) = (home.tenant.id.clone(), text.clone());
                let next = off_the_loop(move || TenantPolicies::parse(id, &own)).await??;
                self.policies_verdict(view, &next).await
            }
            Proposed::Deploy { function, manifest, component } => {
                let manifest = Manifest::parse(manifest, &self.ceiling)?;
                if manifest.name != *function {
                    let message = format!("the manifest is of `{}`, not of `{function}`", manifest.name);
                    return Err(ControlError::Invalid { code: "manifest-invalid", message });
                }
                manifest.check_waiver(self.clock.now())?;
                if home.store.get_blob(*component).await?.is_none() {
                    return Err(ControlError::NotFound(format!("component `{component}`: upload it first")));
                }
                let first = home.store.get(FUNCTIONS, function.as_str().as_bytes()).await?.is_none();
                self.access_verdict(view, function, Door::of(&manifest), first).await
            }
        }
    }

    /// The changes that wait, the oldest first. The text of a policy is left out: [`Platform::change`] has it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn changes(&self, ctx: Ctx<'_>, tenant: &TenantId) -> Result<Vec<Change>, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::List, Resource::Tenant(tenant))?;
        let mut waiting = self.waiting(&home).await?;
        waiting.iter_mut().for_each(|change| {
            if let Proposed::Policy { text } = &mut change.what {
                text.clear();
            }
        });
        Ok(waiting)
    }

    /// One change with all that it would do.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn change(&self, ctx: Ctx<'_>, tenant: &TenantId, id: &str) -> Result<Change, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::List, Resource::Tenant(tenant))?;
        let change = self.find_change(&home, id).await?;
        self.permit(ctx, &home, change.what.sight(), change.what.resource(tenant))?;
        Ok(change)
    }

    /// Does a change that waits. Whoever approves must be allowed to make it, and to approve it; their own they
    /// must be allowed to accept.
    ///
    /// # Errors
    /// [`ControlError`]; [`ControlError::Conflict`] if what it was compared with has changed.
    pub async fn approve(&self, ctx: Ctx<'_>, tenant: &TenantId, id: &str) -> Result<Change, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::List, Resource::Tenant(tenant))?;
        let change = self.find_change(&home, id).await?;
        if base(&home.view(), &change.what) != change.base {
            let message = "what it was compared with has changed since: propose it again";
            return Err(ControlError::Conflict(message.into()));
        }
        let own = *change.by == *ctx.caller.principal().to_string();
        let consent = if own { Consent::Own } else { Consent::Approved { by: &change.by } };
        match &change.what {
            Proposed::Policy { text } => self.set_policy(ctx, tenant, text, consent).await?,
            Proposed::Deploy { function, manifest, component } => {
                let order = Order { function, manifest, component: *component, consent };
                self.deploy(ctx, tenant, &order).await.map(drop)?;
            }
        }
        home.store.commit(Batch::new().delete(CHANGES, id)).await?;
        Ok(change)
    }

    /// Takes a change away that waits. Whoever does must be allowed to make it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn reject(&self, ctx: Ctx<'_>, tenant: &TenantId, id: &str) -> Result<(), ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::List, Resource::Tenant(tenant))?;
        let change = self.find_change(&home, id).await?;
        let resource = change.what.resource(tenant);
        self.permit(ctx, &home, change.what.action(), resource)?;
        let what = What { kind: change.what.kind(), tenant, resource };
        self.record_act(ctx, what, &format!("rejected `{id}`, proposed by `{}`", change.by)).await?;
        home.store.commit(Batch::new().delete(CHANGES, id)).await?;
        Ok(())
    }

    async fn find_change(&self, home: &Home, id: &str) -> Result<Change, ControlError> {
        let found = self.waiting(home).await?.into_iter().find(|change| change.id == id);
        let id: String = id.chars().take(80).collect();
        found.ok_or_else(|| ControlError::NotFound(format!("change `{id}` that waits")))
    }

    /// The changes that have not ended. Those that have are forgotten.
    pub(crate) async fn waiting(&self, home: &Home) -> Result<Vec<Change>, ControlError> {
        let (mut waiting, mut ended): (Vec<Change>, Vec<String>) = (Vec::new(), Vec::new());
        let now = self.clock.now();
        shelf::every(&home.store, Span::all(CHANGES), |_, value, _| {
            let change: Change = shelf::decode(CHANGES, value)?;
            if change.until > now {
                waiting.push(change)
            } else {
                ended.push(change.id)
            }
            Ok(true)
        })
        .await?;
        if !ended.is_empty() {
            let batch = ended.into_iter().fold(Batch::new(), |batch, id| batch.delete(CHANGES, id));
            home.store.commit(batch).await?;
        }
        waiting.sort_by_key(|change| change.at);
        Ok(waiting)
    }

    /// A short random name: a letter and twelve digits of base 32.
    pub(crate) fn short_id(&self, prefix: &str) -> Result<String, ControlError> {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes).map_err(|e| ControlError::Internal(e.to_string()))?;
        let text = data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
        Ok(format!("{prefix}{}", text.get(..12).unwrap_or(&text)))
    }
}

/// What a change is compared with: the tenant's policies, and the revision that answers.
fn base(view: &View, what: &Proposed) -> String {
    let policies = keyring::sha256(view.policy_text.as_bytes());
    match what {
        Proposed::Policy { .. } => policies.to_string(),
        Proposed::Deploy { function, .. } => {
            let active = view.functions.get(function).map(|placed| placed.target.revision.number.to_string());
            format!("{policies} {}", active.unwrap_or_default())
        }
    }
}
