//! What a node can say of itself, and the work that it does beside requests. It never serves one.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use model::{FunctionName, TenantId, Timestamp, TrustLabel};
use policy::Action;
use store::{Batch, Span};

use crate::{
    Platform, Totals,
    events::SinkView,
    functions::off_the_loop,
    refused::{ControlError, Ctx},
    shelf::{self, CLOCK, CURRENT, LOGS, USAGE},
};

/// How often logs, totals and the use of tokens are saved.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// How often the time is saved, in milliseconds.
const SAVE_CLOCK_EVERY_MS: u64 = 60_000;
/// Rows of saved log lines of one function.
const LOG_ROWS_KEPT: usize = 256;

/// The state of a node.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// The walls that stand around its workers.
    pub walls: cell::Walls,
    /// The engines' fingerprints, of WASI 0.2 and 0.3.
    pub engines: [String; 2],
    /// Tenants, functions and tokens.
    pub tenants: usize,
    /// Functions of all tenants.
    pub functions: usize,
    /// Tokens of all tenants.
    pub tokens: usize,
    /// Events that wait to be durable.
    pub record_waiting: usize,
    /// Runs that could start at once.
    pub places_free: usize,
    /// Whether it is stopping.
    pub draining: bool,
    /// When it started.
    pub started_at: Timestamp,
    /// Worker processes of the default trust label.
    pub workers: usize,
    /// Workers that were replaced since the start.
    pub workers_replaced: u64,
    /// Events recorded so far.
    pub recorded: u64,
    /// Whether a solver is there that proves changes of policies.
    pub proves: bool,
    /// Where events go beside the record.
    pub sinks: Vec<SinkView>,
}

/// The counters of one function.
#[derive(Debug, Clone)]
pub struct FunctionMetrics {
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub function: FunctionName,
    /// What it used.
    pub totals: Totals,
    /// Faults of this process by code.
    pub faults: Vec<(&'static str, u64)>,
}

/// The counters of a node.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// By function.
    pub functions: Vec<FunctionMetrics>,
    /// Events that wait to be durable.
    pub record_waiting: usize,
    /// Runs that could start at once.
    pub places_free: usize,
    /// Runs under way.
    pub runs: usize,
    /// Workers that were replaced since the start.
    pub workers_replaced: u64,
    /// Where events go beside the record.
    pub sinks: Vec<SinkView>,
}

impl Platform {
    /// The state of the node.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn node(&self, ctx: Ctx<'_>) -> Result<NodeView, ControlError> {
        self.permit_node(ctx, Action::ReadNode)?;
        let homes = self.catalog.homes();
        Ok(NodeView {
            walls: self.cells.walls(),
            engines: self.code.engines().clone(),
            tenants: homes.len(),
            functions: homes.iter().map(|home| home.view().functions.len()).sum(),
            tokens: self.tokens.len(),
            record_waiting: self.recorder.waiting(),
            places_free: self.places.free(),
            draining: self.is_draining(),
            started_at: self.started_at,
            workers: self.cells.worker_pids(&TrustLabel::default()).len(),
            workers_replaced: self.cells.replaced(),
            recorded: self.recorder.recorded(),
            proves: self.proofs.is_there(),
            sinks: self.sinks.views(self.recorder.recorded() + 1),
        })
    }

    /// The counters of the node and its functions.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn metrics(&self, ctx: Ctx<'_>) -> Result<Metrics, ControlError> {
        self.permit_node(ctx, Action::ReadMetrics)?;
        let mut functions = Vec::new();
        for home in self.catalog.homes() {
            for (name, placed) in &home.view().functions {
                functions.push(FunctionMetrics {
                    tenant: home.tenant.id.clone(),
                    function: name.clone(),
                    totals: placed.target.life.meter.totals(),
                    faults: placed.target.life.meter.faults(),
                });
            }
        }
        Ok(Metrics {
            functions,
            record_waiting: self.recorder.waiting(),
            places_free: self.places.free(),
            runs: self.cells.runs(),
            workers_replaced: self.cells.replaced(),
            sinks: self.sinks.views(self.recorder.recorded() + 1),
        })
    }

    /// Records what became of the certificates that the node shows: what was done, whether it went well or by which
    /// code it did not, and a sentence.
    pub fn note_certificates(&self, action: &'static str, outcome: Result<(), &'static str>, detail: &str) {
        let mut event = self.recorder.event(ledger::Kind::Node);
        event.action = action.into();
        event.allowed = outcome.is_ok();
        event.code = outcome.err().unwrap_or_default().into();
        event.detail = detail.into();
        self.note(&event);
    }

    /// Whether the node is ready for requests.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Takes no new runs from now on.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Stops the workers and saves everything. Call it when the gateway has drained.
    pub async fn stop(&self) {
        self.drain();
        self.cells.stop();
        let event = {
            let mut event = self.recorder.event(ledger::Kind::Node);
            event.action = "stop".into();
            event.allowed = true;
            event
        };
        self.note_repeated(true);
        self.note(&event);
        for saved in [self.save().await, self.save_defence().await, self.save_profiles(true).await] {
            if let Err(error) = saved {
                tracing::error!(%error, "not everything was saved");
            }
        }
        if let Err(error) = self.save_clock().await {
            tracing::error!(%error, "the time was not saved");
        }
        if let Err(error) = self.recorder.flush().await {
            tracing::error!(%error, "the end of the record was not written");
        }
        self.sinks.stop().await;
    }

    /// Starts the work beside requests: the record's writer, and the saving of what is counted and logged.
    pub(crate) fn start_chores(self: &Arc<Self>) {
        tokio::spawn(self.recorder.clone().write());
        let (platform, mut woken) = (Arc::downgrade(self), self.defence.woken());
        tokio::spawn(async move {
            while woken.changed().await.is_ok() {
                let Some(platform) = platform.upgrade() else { return };
                platform.keep_defence().await;
            }
        });
        let platform = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut every = tokio::time::interval(SAVE_EVERY);
            loop {
                every.tick().await;
                let Some(platform) = platform.upgrade() else { return };
                platform.note_repeated(false);
                platform.keep_defence().await;
                if let Err(error) = platform.save().await {
                    tracing::warn!(%error, "logs and totals could not be saved; trying again");
                }
                if let Err(error) = platform.forget_glass().await {
                    tracing::warn!(%error, "permits that are over could not be forgotten; trying again");
                }
            }
        });
    }

    /// Saves what was found and done, and ends what is over.
    async fn keep_defence(&self) {
        let saved = match self.save_defence().await {
            Ok(()) => self.save_profiles(false).await,
            failed => failed,
        };
        if let Err(error) = saved {
            tracing::warn!(%error, "what the shield found and did could not be saved; trying again");
        }
    }

    /// Puts refusals that were counted into the record: those whose time is over, or all.
    fn note_repeated(&self, all: bool) {
        for event in self.recorder.repeated(all) {
            self.note(&event);
        }
    }

    async fn save(&self) -> Result<(), ControlError> {
        for ((tenant, function), lines) in self.logs.take_unsaved() {
            let (Some(home), Some(first)) = (self.catalog.home(&tenant), lines.first()) else { continue };
            if !home.view().functions.contains_key(&function) {
                continue;
            }
            let id = shelf::numbered(&function, first.seq);
            // Where a function writes much, it is long work, and requests are served meanwhile.
            let bytes = off_the_loop(move || shelf::encode(&lines)).await??;
            let mut batch = Batch::new().put(LOGS, id, bytes);
            let rows = home
                .store
                .scan(Span::prefix(LOGS, shelf::prefix(&function)).descending(), store::PAGE_ROWS_MAX);
            for row in rows.await?.rows.into_iter().skip(LOG_ROWS_KEPT) {
                batch = batch.delete(LOGS, row.id);
            }
            home.store.commit(batch).await?;
        }
        for home in self.catalog.homes() {
            let mut batch = Batch::new();
            for (name, placed) in &home.view().functions {
                if let Some(totals) = placed.target.life.meter.take_unsaved() {
                    batch = batch.put(USAGE, name.as_str(), shelf::encode(&totals)?);
                }
            }
            if !batch.is_empty() {
                home.store.commit(batch).await?;
            }
        }
        if self.clock.monotonic_ms().saturating_sub(self.clock_saved_ms.load(Relaxed)) > SAVE_CLOCK_EVERY_MS {
            self.save_clock().await?;
        }
        self.save_token_use().await
    }

    /// Keeps the time for the next start, which must not come before it.
    pub(crate) async fn save_clock(&self) -> Result<(), ControlError> {
        let batch = Batch::new().put(CLOCK, CURRENT, shelf::encode(&self.clock.now())?);
        self.sealed.system().commit(batch).await?;
        self.clock_saved_ms.store(self.clock.monotonic_ms(), Relaxed);
        Ok(())
    }
}
