//! Whom each tenant accepts, beside the API tokens of this node: set as one document, kept sealed, swapped as a
//! whole and seen by the next request. It never proves a credential: `identity` does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use identity::{DocumentError, Identity, IdentityConfig, Trusted};
use ledger::Kind;
use model::{TenantId, limits};
use parking_lot::RwLock;
use policy::{Action, Resource};
use store::Batch;
use tokio::sync::watch;

use crate::{
    Platform,
    catalog::Home,
    control::What,
    functions::off_the_loop,
    issuers::Feed,
    refused::{ControlError, Ctx},
    shelf::{self, CURRENT, IDENTITY, SESSIONS},
};

/// What one tenant accepts, as it stands: nothing but API tokens until somebody says more.
#[derive(Default)]
pub(crate) struct Room(RwLock<Option<Arc<Configured>>>);

/// One configuration with all that belongs to it.
pub(crate) struct Configured {
    pub(crate) identity: Identity,
    pub(crate) feeds: Vec<Arc<Feed>>,
    trust: Option<Arc<Trust>>,
}

/// The authorities that a tenant trusts to vouch for its clients, until it names others.
#[derive(Debug)]
pub struct Trust {
    tenant: TenantId,
    bundles: Vec<Trusted>,
    over: Arc<AtomicBool>,
    ended: watch::Sender<bool>,
}

impl Room {
    pub(crate) fn now(&self) -> Option<Arc<Configured>> {
        self.0.read().clone()
    }

    /// Shows requests the next configuration, and ends what was trusted by the one before.
    fn show(&self, next: Configured) -> Arc<Configured> {
        let next = Arc::new(next);
        let before = self.0.write().replace(Arc::clone(&next));
        if let Some(trust) = before.and_then(|before| before.trust.clone()) {
            trust.over.store(true, Ordering::Release);
            trust.ended.send_replace(true);
        }
        next
    }
}

impl Configured {
    fn new(tenant: &TenantId, identity: Identity) -> Self {
        let feeds = identity.remote_issuers().map(|(entry, issuer)| Arc::new(Feed::new(entry, issuer)));
        let (feeds, bundles) = (feeds.collect(), identity.trusted());
        let trust = (!bundles.is_empty()).then(|| {
            let (ended, _) = watch::channel(false);
            Arc::new(Trust { tenant: tenant.clone(), bundles, over: Arc::default(), ended })
        });
        Self { identity, feeds, trust }
    }
}

impl Trust {
    /// Whose clients they vouch for.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Who vouches, entry by entry of the tenant's configuration.
    pub fn bundles(&self) -> &[Trusted] {
        &self.bundles
    }

    /// Turns true once, when others take their place: what they vouched for counts no longer.
    pub const fn over(&self) -> &Arc<AtomicBool> {
        &self.over
    }

    /// Tells when that is so, to end connections.
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }
}

impl From<DocumentError> for ControlError {
    fn from(error: DocumentError) -> Self {
        Self::Invalid { code: "identity-invalid", message: error.to_string() }
    }
}

impl Platform {
    /// A tenant's configuration of whom it accepts, without its secrets; empty where there is none.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn identity(&self, ctx: Ctx<'_>, tenant: &TenantId) -> Result<String, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ReadPolicy, Resource::Tenant(tenant))?;
        let stored = home.store.get(IDENTITY, CURRENT).await?.map(|entry| entry.value).unwrap_or_default();
        Ok(IdentityConfig::shown(&String::from_utf8_lossy(&stored))?)
    }

    /// Replaces a tenant's configuration of whom it accepts: all of it is in force from the next request on, or
    /// none. `vouches` says whether certificates and lists of revoked ones hold. The answer is the configuration
    /// without its secrets.
    ///
    /// # Errors
    /// [`ControlError`], with the first key that does not hold.
    pub async fn set_identity(
        self: &Arc<Self>,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        text: &str,
        vouches: impl Fn(&[Trusted]) -> Result<(), String> + Send + 'static,
    ) -> Result<String, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ManagePolicy, Resource::Tenant(tenant))?;
        let what = What { kind: Kind::Identity, tenant, resource: Resource::Tenant(tenant) };
        let done = self.set_identity_permitted(ctx, &home, text, vouches, what).await;
        self.note_failure(ctx, what, done)
    }

    async fn set_identity_permitted(
        self: &Arc<Self>,
        ctx: Ctx<'_>,
        home: &Home,
        text: &str,
        vouches: impl Fn(&[Trusted]) -> Result<(), String> + Send + 'static,
        what: What<'_>,
    ) -> Result<String, ControlError> {
        let bytes = text.len() as u64;
        if bytes > limits::CONTROL_BODY_BYTES_MAX {
            let max = limits::CONTROL_BODY_BYTES_MAX;
            return Err(ControlError::TooLarge { what: "the configuration", bytes, max });
        }
        let _one = home.changing.lock().await;
        let (own, before, room) = (text.to_owned(), home.identity.now(), home.tenant.id.clone());
        let next = off_the_loop(move || {
            let identity = read(&room, &own, before.as_deref())?;
            let message = |message| ControlError::Invalid { code: "identity-invalid", message };
            vouches(&identity.trusted()).map_err(message)?;
            Ok::<_, ControlError>(Configured::new(&room, identity))
        });
        let next = next.await??;
        self.check_grants(ctx, home, &next.identity)?;
        let shown = IdentityConfig::shown(text)?;
        // Not of the text itself: whoever reads the record could try out short secrets.
        let digest = keyring::sha256(shown.as_bytes());
        let ended = self.sessions_ended_by(home, &next.identity);
        let sessions = match ended.len() {
            0 => String::new(),
            count => format!("; it ends {count} sessions"),
        };
        let named = names(&next.identity);
        let detail = format!("replaced by {digest} (without secrets), which names {named}{sessions}");
        self.record_act(ctx, what, &detail).await?;
        let mut batch = Batch::new().put(IDENTITY, CURRENT, text.to_owned());
        for session in &ended {
            batch = batch.put(SESSIONS, session.id.as_str(), shelf::encode(session)?);
        }
        home.store.commit(batch).await?;
        self.put_in_force(home, next);
        ended.into_iter().for_each(|session| self.sessions.put(session));
        Ok(shown)
    }

    /// Takes what is stored into force, at the start.
    pub(crate) async fn load_identity(self: &Arc<Self>, home: &Home) -> Result<(), ControlError> {
        let Some(stored) = home.store.get(IDENTITY, CURRENT).await? else { return Ok(()) };
        let (text, tenant) = (String::from_utf8_lossy(&stored.value), &home.tenant.id);
        self.put_in_force(home, Configured::new(tenant, read(tenant, &text, None)?));
        Ok(())
    }

    fn put_in_force(self: &Arc<Self>, home: &Home, next: Configured) {
        if next.trust.is_some() {
            self.catalog.note_trust();
        }
        let now = home.identity.show(next);
        self.follow_issuers(&home.tenant.id, &now);
    }

    /// Who vouches for clients of the tenant that a host name is of, if anyone does.
    pub fn trust_of(&self, host: &str) -> Option<Arc<Trust>> {
        self.catalog.of_host(host)?.identity.now()?.trust.clone()
    }

    /// Whether a tenant answers by a host name.
    pub fn is_host(&self, host: &str) -> bool {
        self.catalog.of_host(host).is_some()
    }

    /// Whether any tenant has, or had, clients that certificates prove.
    pub fn trusts_anyone(&self) -> bool {
        self.catalog.is_trusting()
    }

    /// What a manifest accepts and the tenant's configuration does not prove.
    pub(crate) fn unknown_credentials(home: &Home, accept: &[String]) -> Vec<String> {
        let known = home.identity.now().map(|now| now.identity.accepted_names()).unwrap_or_default();
        let unknown = accept.iter().filter(|name| *name != "token" && !known.contains(name));
        let finding = |name: &String| {
            format!(
                "`access.accept` names `{name}`, which the tenant's identity configuration does not prove \
                     (`casemate identity set`)"
            )
        };
        unknown.map(finding).collect()
    }
}

fn read(tenant: &TenantId, text: &str, before: Option<&Configured>) -> Result<Identity, DocumentError> {
    let config = IdentityConfig::parse(text)?.of_tenant(tenant)?;
    let files =
        |_: &str| Err("a node reads no files of yours: `casemate identity set` sends them along".into());
    Ok(match before {
        Some(before) => before.identity.followed_by(config, &files)?,
        None => Identity::new(config, &files)?,
    })
}

fn names(identity: &Identity) -> String {
    match identity.accepted_names().join(", ") {
        none if none.is_empty() => "nobody".into(),
        some => some,
    }
}
