//! How a platform comes to life: what is stored becomes what requests see, and the first start makes a tenant
//! and someone to log in. It never listens.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
};

use identity::{Issuer, SessionBook, SessionRecord, TokenBook, TokenRecord};
use ledger::Kind;
use model::{
    Clock, Entropy, FunctionName, Limits, PrincipalKind, Revision, Role, Tenant, TenantId, Timestamp,
    TokenId, TrustLabel, limits,
};
use policy::{Slice, TenantPolicies};
use store::{Batch, Sealed, Span, StoreError};

use crate::{
    Platform, Totals,
    catalog::{Catalog, Home, Placed, View},
    code::CodeRoom,
    events::{SinkOrder, Sinks},
    fair::Fair,
    forward::{Behind, Forward},
    functions::view_error,
    gate::Places,
    glass::{glass_of, with_glass},
    held::Holds,
    logs::{LogBook, LogLine},
    recent::Recent,
    recorder::Recorder,
    refused::ControlError,
    rules::Rulebook,
    shelf::{
        self, CLOCK, CURRENT, FIRST_TOKEN, FUNCTIONS, FunctionRecord, LOGS, POLICY, REVISIONS, SESSIONS,
        TENANTS, TOKENS, USAGE,
    },
    tokens::NewToken,
    widening::Proofs,
};

/// The tenant that the first start makes.
const DEFAULT_TENANT: &str = "default";
/// How long the token of the first start lives, in days.
const FIRST_TOKEN_DAYS: u64 = 90;
/// Rows of saved log lines that are read at start, per function.
const LOG_ROWS_READ: usize = 64;

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct PlatformConfig {
    /// The domain under which tenants have host names: `TENANT.DOMAIN`.
    pub domain: String,
    /// The trust domain of the functions' identities: `spiffe://TRUST-DOMAIN/TENANT/FUNCTION`.
    pub trust_domain: String,
    /// The highest bounds that a manifest may ask for.
    pub ceiling: Limits,
    /// How requests are looked at where a manifest is silent.
    pub shield: model::ShieldDefaults,
    /// What the node does by itself when it finds something suspicious.
    pub responses: shield::Responses,
    /// The most runs at once that a tenant may be given.
    pub tenant_ceiling: u64,
    /// Runs at once on this node.
    pub places: u64,
    /// Runs that compute at once, between which sources take turns.
    pub turns: usize,
    /// The machine's clock is right, whatever later time this node has seen.
    pub accept_clock: bool,
}

/// The rooms below, opened.
pub struct Parts {
    /// The sealed store.
    pub sealed: Arc<Sealed>,
    /// The workers.
    pub cells: Arc<cell::Cells>,
    /// The way out.
    pub egress: Arc<egress::Egress>,
    /// What proves that a change of policies lets nobody in, where there is a solver.
    pub prover: Option<prover::Prover>,
    /// The screen.
    pub shield: Arc<shield::Shield>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where events go beside the record.
    pub sinks: Vec<SinkOrder>,
}

/// What the first start made. The token's text is nowhere else.
pub struct FirstStart {
    /// The tenant.
    pub tenant: TenantId,
    /// The administrator's token.
    pub token: zeroize::Zeroizing<String>,
    /// Its id.
    pub token_id: TokenId,
}

/// A platform cannot be opened; nothing was changed but what the first start had begun.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store failed, or holds what this version does not understand.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// A tenant's functions or policies do not fit together.
    #[error("the tenant `{tenant}`: {error}")]
    Tenant {
        /// Whose.
        tenant: TenantId,
        /// What is wrong.
        error: ControlError,
    },
    /// The machine's clock is far behind the latest time that this node has seen: what has expired would be
    /// valid again.
    #[error("the clock says {now}, but this node has seen {seen}")]
    Clock {
        /// The machine's time.
        now: Timestamp,
        /// The latest time that is in the store.
        seen: Timestamp,
    },
    /// The rules that were in force cannot be read.
    #[error("the rules in force: {0}")]
    Rules(String),
    /// Ours.
    #[error("{0}")]
    Internal(String),
}

/// The tenant that the first start makes.
pub(crate) fn default_tenant() -> Result<TenantId, OpenError> {
    DEFAULT_TENANT.parse().map_err(|e: model::IdError| OpenError::Internal(e.to_string()))
}

/// Whom the first start makes a token for.
pub(crate) fn administrator() -> NewToken {
    NewToken {
        name: "admin".into(),
        kind: PrincipalKind::User,
        roles: vec![Role::Owner, Role::Admin],
        scopes: vec!["*".into()],
        days: FIRST_TOKEN_DAYS.min(limits::TOKEN_DAYS_MAX),
    }
}

/// The time, from the latest on that this node has seen.
async fn forward(parts: &Parts, accept: bool) -> Result<Arc<dyn Clock>, OpenError> {
    let row = parts.sealed.system().get(CLOCK, CURRENT).await?;
    let seen = row.map(|row| shelf::decode::<Timestamp>(CLOCK, &row.value)).transpose()?;
    let clock = Forward::new(parts.clock.clone(), seen, accept);
    Ok(Arc::new(clock.map_err(|Behind { now, seen }| OpenError::Clock { now, seen })?))
}

impl Platform {
    /// Opens what is stored. The first start makes the tenant `default` and an administrator's token.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        config: PlatformConfig,
        parts: Parts,
    ) -> Result<(Arc<Self>, Option<FirstStart>), OpenError> {
        let internal = |e: &dyn std::fmt::Display| OpenError::Internal(e.to_string());
        let default = default_tenant()?;
        let clock = forward(&parts, config.accept_clock).await?;
        let recorder = Recorder::open(parts.sealed.system(), clock.clone()).await?;
        let platform = Arc::new(Self {
            catalog: Catalog::new(default.clone(), &config.domain),
            code: CodeRoom::new(parts.cells.clone()).map_err(|e| internal(&e))?,
            sealed: parts.sealed,
            cells: parts.cells,
            egress: parts.egress,
            shield: parts.shield,
            rules: Rulebook::new().map_err(OpenError::Internal)?,
            inspected_bodies: Holds::new(limits::INSPECTED_BODIES_BYTES_MAX),
            recent: Recent::default(),
            tokens: TokenBook::new(),
            sessions: SessionBook::default(),
            functions: identity::Functions::new(&config.trust_domain).map_err(|e| internal(&e))?,
            node_slice: Slice::for_node().map_err(|e| internal(&e))?,
            proofs: Proofs::new(parts.prover),
            recorder,
            sinks: Sinks::new(parts.sinks),
            logs: LogBook::default(),
            places: Places::new(config.places),
            fair: Fair::new(config.turns),
            ceiling: config.ceiling,
            defence: crate::defence::Defence::new(config.responses),
            shield_defaults: config.shield,
            tenant_ceiling: config.tenant_ceiling,
            started_at: clock.now(),
            clock,
            clock_saved_ms: AtomicU64::new(0),
            ids: crate::ids::RequestIds::new(parts.entropy.clone()),
            entropy: parts.entropy,
            draining: AtomicBool::new(false),
            unrecorded: AtomicU64::new(0),
        });
        platform.load_rules().await.map_err(|e| OpenError::Rules(e.to_string()))?;
        platform.load().await?;
        platform.defence.load(&platform.sealed.system(), platform.clock.now()).await?;
        platform.save_clock().await.map_err(|e| internal(&e))?;
        platform.start_chores();
        platform.sinks.start(&platform.recorder, &platform.sealed.system(), &platform.entropy).await?;
        platform.note_start().await?;
        // A tenant without any token, or with one that nobody was given, is a first start that did not come to
        // its end.
        let lost = platform.lost_token(&default).await?;
        let first = match lost.is_some() || platform.tokens.tokens(&default).is_empty() {
            true => Some(platform.first_start(&default, lost).await?),
            false => None,
        };
        Ok((platform, first))
    }

    /// The first start's token is where its user finds it. Until this was said, a start makes another one and
    /// revokes the one before, which nobody has.
    ///
    /// # Errors
    /// [`ControlError`] if the store fails.
    pub async fn first_token_kept(&self, first: &FirstStart) -> Result<(), ControlError> {
        let store = self.sealed.tenant(&first.tenant)?;
        store.commit(Batch::new().delete(FIRST_TOKEN, CURRENT)).await?;
        Ok(())
    }

    /// The token of a first start that did not come to its end.
    async fn lost_token(&self, default: &TenantId) -> Result<Option<TokenRecord>, StoreError> {
        let Some(home) = self.catalog.home(default) else { return Ok(None) };
        let Some(row) = home.store.get(FIRST_TOKEN, CURRENT).await? else { return Ok(None) };
        let id: TokenId = shelf::decode(FIRST_TOKEN, &row.value)?;
        Ok(self.tokens.token(&id))
    }

    async fn load(self: &Arc<Self>) -> Result<(), OpenError> {
        let mut next = Some(Span::all(TENANTS));
        while let Some(span) = next {
            let page = self.sealed.system().scan(span, store::PAGE_ROWS_MAX).await?;
            for row in page.rows {
                let tenant: Tenant = shelf::decode(TENANTS, &row.value)?;
                let id = tenant.id.clone();
                let home = self.load_tenant(tenant).await;
                self.catalog.add(home.map_err(|error| OpenError::Tenant { tenant: id, error })?);
            }
            next = page.next;
        }
        Ok(())
    }

    async fn load_tenant(self: &Arc<Self>, tenant: Tenant) -> Result<Arc<Home>, ControlError> {
        let store = self.sealed.tenant(&tenant.id)?;
        shelf::every(&store, Span::all(TOKENS), |_, value, _| {
            self.tokens.put(shelf::decode::<TokenRecord>(TOKENS, value)?);
            Ok(true)
        })
        .await?;
        shelf::every(&store, Span::all(SESSIONS), |_, value, _| {
            self.sessions.put(shelf::decode::<SessionRecord>(SESSIONS, value)?);
            Ok(true)
        })
        .await?;
        let text = store.get(POLICY, CURRENT).await?.map(|entry| entry.value).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let policies = TenantPolicies::parse(tenant.id.clone(), &text)?;
        let policies = with_glass(&policies, &glass_of(&store).await?).await?;
        let empty = View::new(BTreeMap::new(), policies.clone(), text.as_str().into()).map_err(view_error)?;
        let now = self.tenant_now(tenant.concurrency, tenant.shield.clone(), None)?;
        self.warn_unknown(&now.own, &tenant.id);
        let home = Home::new(tenant, store, empty, self.tenant_ceiling, now);
        let mut records = Vec::new();
        shelf::every(&home.store, Span::all(FUNCTIONS), |id, value, _| {
            records.push((id.to_vec(), shelf::decode::<FunctionRecord>(FUNCTIONS, value)?));
            Ok(true)
        })
        .await?;
        let mut functions = BTreeMap::new();
        for (id, record) in records {
            let Some(number) = record.active else { continue };
            let name: FunctionName = String::from_utf8_lossy(&id)
                .parse()
                .map_err(|e: model::IdError| StoreError::Damaged(e.to_string()))?;
            let row = home.store.get(REVISIONS, &shelf::numbered(&name, number.0)).await?;
            let row = row.ok_or_else(|| StoreError::Damaged(format!("{name} {number} is gone")))?;
            let revision: Revision = shelf::decode(REVISIONS, &row.value)?;
            let totals = home.store.get(USAGE, name.as_str().as_bytes()).await?;
            let totals: Totals = match totals {
                Some(entry) => shelf::decode(USAGE, &entry.value)?,
                None => Totals::default(),
            };
            let life = self.new_life(&home, &name, totals);
            self.load_log(&home, &name).await?;
            self.begin_profile(&home, &revision, &life, None).await?;
            let target = self.target(&home, Arc::new(revision), &policies, life)?;
            self.warn_unknown(&target.own, &target.resource);
            functions.insert(name, Placed { record, target });
        }
        home.show(View::new(functions, policies, text.into()).map_err(view_error)?);
        self.load_identity(&home).await?;
        self.load_bait(&home.tenant.id, &home.store).await?;
        Ok(Arc::new(home))
    }

    async fn load_log(&self, home: &Home, function: &FunctionName) -> Result<(), StoreError> {
        let span = Span::prefix(LOGS, shelf::prefix(function)).descending();
        let page = home.store.scan(span, LOG_ROWS_READ).await?;
        let mut lines = Vec::new();
        for row in page.rows.iter().rev() {
            lines.extend(shelf::decode::<Vec<LogLine>>(LOGS, &row.value)?);
        }
        self.logs.of(&home.tenant.id, function).restore(lines);
        Ok(())
    }

    async fn note_start(&self) -> Result<(), OpenError> {
        let mut event = self.recorder.event(Kind::Node);
        event.action = "start".into();
        event.allowed = true;
        let walls = self.cells.walls();
        let all = cell::Walls::ALL.iter().fold(cell::Walls::default(), |sum, (wall, _)| sum.with(*wall));
        let missing = match walls.missing(all) {
            none if none.is_empty() => String::new(),
            some => format!("; missing: {}", some.join(", ")),
        };
        event.detail = format!("walls: {}{missing}", walls.names().join(", ")).into();
        self.recorder.record_durably(&event).await.map_err(|e| OpenError::Internal(e.to_string()))?;
        Ok(())
    }

    async fn first_start(
        &self,
        default: &TenantId,
        lost: Option<TokenRecord>,
    ) -> Result<FirstStart, OpenError> {
        let failed = |error| OpenError::Tenant { tenant: default.clone(), error };
        let mut event = self.recorder.event(Kind::Tenant);
        event.tenant = Some(default.clone());
        event.action = "first-start".into();
        event.allowed = true;
        self.recorder.record_durably(&event).await.map_err(|e| OpenError::Internal(e.to_string()))?;
        let created = self.issue(default, administrator(), Issuer::FirstStart).map_err(failed)?;
        let record = created.record;
        if self.catalog.home(default).is_none() {
            self.new_tenant(default, TrustLabel::default(), limits::TENANT_CONCURRENCY)
                .await
                .map_err(failed)?;
        }
        let store = self.sealed.tenant(default)?;
        let mut batch = Batch::new().put(TOKENS, record.id.as_str(), shelf::encode(&record)?).put(
            FIRST_TOKEN,
            CURRENT,
            shelf::encode(&record.id)?,
        );
        let mut records = vec![record.clone()];
        if let Some(mut lost) = lost.filter(|lost| lost.revoked_at.is_none()) {
            lost.revoked_at = Some(self.clock.now());
            batch = batch.put(TOKENS, lost.id.as_str(), shelf::encode(&lost)?);
            records.push(lost);
        }
        store.commit(batch).await.map_err(|e| failed(e.into()))?;
        records.into_iter().for_each(|record| self.tokens.put(record));
        Ok(FirstStart { tenant: default.clone(), token: created.text, token_id: record.id })
    }
}
