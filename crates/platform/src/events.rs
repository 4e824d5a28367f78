//! Events elsewhere: each sink follows the record by a cursor of its own, so that what waits for it waits in the
//! record, sealed, and no request ever waits for a sink. It never speaks a sink's protocol: crate `sinks` does.

mod follow;
#[cfg(test)]
mod tests;

use std::{
    fmt::Write as _,
    pin::Pin,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::Duration,
};

use ledger::{Event, Group, Kind, Ocsf};
use model::{Entropy, TenantId, Timestamp};
use parking_lot::Mutex;
use store::{Batch, StoreError, SystemStore};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    open::OpenError,
    recorder::Recorder,
    shelf::{CURRENT, EVENT_SOURCE},
};

pub use ledger::Group as EventGroup;

/// How long a node that stops waits for its sinks to take the end of the record.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// `action` of the event that tells how many records a sink did not get.
const DROPPED: &str = "events-dropped";

/// An event on its way to a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its number in the record.
    pub sequence: u64,
    /// When it happened.
    pub time: Timestamp,
    /// What kind it is of.
    pub kind: &'static str,
    /// How grave it is, as OCSF counts: 1 is informational, 6 fatal.
    pub severity: u64,
    /// The event as one line of JSON (OCSF), without a line feed.
    pub line: String,
}

/// A sink did not take a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// It may take it later.
    #[error("{why}")]
    Later {
        /// What is the matter; never what the destination said in its own words.
        why: String,
        /// Not before this time is over.
        after: Option<Duration>,
    },
    /// It never will, and has the rest of the batch.
    #[error("{why}")]
    Never {
        /// What is the matter.
        why: String,
        /// How many events it refused for good.
        lost: usize,
    },
}

/// What a delivery comes to.
pub type Delivering<'a> = Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'a>>;

/// A place that takes events, in order, batch by batch.
pub trait Sink: Send + Sync {
    /// Hands over a batch of at least one. `Ok`: it is delivered, as far as the protocol can tell. It may be asked to
    /// deliver the same again, and is never asked twice at once.
    fn deliver<'a>(&'a self, batch: &'a [Delivery]) -> Delivering<'a>;
}

/// A sink, and what it gets.
pub struct SinkOrder {
    /// Its name: its place in the record is remembered by it.
    pub name: String,
    /// Its kind, for people.
    pub kind: &'static str,
    /// Which events.
    pub groups: Vec<Group>,
    /// Whose; all, and the node's own, where it is empty.
    pub tenants: Vec<TenantId>,
    /// How many records it may be behind; the oldest beyond that are passed over.
    pub behind_max: u64,
    /// Where they go.
    pub sink: Box<dyn Sink>,
}

/// How a sink stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkView {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Events that it took since the node started.
    pub delivered: u64,
    /// Records that it was not asked about yet.
    pub behind: u64,
    /// Records that were passed over since the node started, because it was too far behind.
    pub dropped: u64,
    /// Events that it refused for good since the node started.
    pub refused: u64,
    /// When a delivery failed last, and why, if none was made since.
    pub failing: Option<(Timestamp, String)>,
}

/// One sink of a running node.
struct Outlet {
    order: SinkOrder,
    delivered: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
    /// The next record to look at.
    next: AtomicU64,
    failing: Mutex<Option<(Timestamp, String)>>,
}

/// All sinks of a node.
#[derive(Default)]
pub(crate) struct Sinks {
    outlets: Vec<Arc<Outlet>>,
    /// Turns true when the node stops.
    ending: watch::Sender<bool>,
    following: Mutex<Vec<JoinHandle<()>>>,
}

impl Sinks {
    /// Sinks that nobody follows yet.
    pub(crate) fn new(orders: Vec<SinkOrder>) -> Self {
        let outlets = orders.into_iter().map(|order| Arc::new(Outlet::new(order))).collect();
        Self { outlets, ..Self::default() }
    }

    /// Begins to follow the record. A sink that is new begins here; one that is known goes on where it was.
    ///
    /// # Errors
    /// [`OpenError`] if the store fails.
    pub(crate) async fn start(
        &self,
        recorder: &Arc<Recorder>,
        store: &SystemStore,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<(), OpenError> {
        if self.outlets.is_empty() {
            return Ok(());
        }
        let source = source(store, &**entropy).await?;
        for outlet in &self.outlets {
            let follower = follow::Follower {
                outlet: outlet.clone(),
                recorder: recorder.clone(),
                store: store.clone(),
                entropy: entropy.clone(),
                ocsf: Ocsf::new(env!("CARGO_PKG_VERSION"), &source),
            };
            follower.find_place().await?;
            self.following.lock().push(tokio::spawn(follower.run(self.ending.subscribe())));
        }
        Ok(())
    }

    /// Lets the sinks take the end of the record, within a bound.
    pub(crate) async fn stop(&self) {
        self.ending.send_replace(true);
        let following = std::mem::take(&mut *self.following.lock());
        for one in following {
            let ended = one.abort_handle();
            if tokio::time::timeout(LAST_WORDS, one).await.is_err() {
                ended.abort();
            }
        }
    }

    /// How they stand; `end` is the number of the next record.
    pub(crate) fn views(&self, end: u64) -> Vec<SinkView> {
        self.outlets.iter().map(|outlet| outlet.view(end)).collect()
    }
}

impl Outlet {
    fn new(order: SinkOrder) -> Self {
        Self {
            order,
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            next: AtomicU64::new(1),
            failing: Mutex::new(None),
        }
    }

    fn view(&self, end: u64) -> SinkView {
        SinkView {
            name: self.order.name.clone(),
            kind: self.order.kind,
            delivered: self.delivered.load(Relaxed),
            behind: end.saturating_sub(self.next.load(Relaxed)),
            dropped: self.dropped.load(Relaxed),
            refused: self.refused.load(Relaxed),
            failing: self.failing.lock().clone(),
        }
    }

    /// Whether a leaf is worth reading whole.
    fn may_want(&self, leaf: &[u8]) -> bool {
        // What cannot be read at a glance is read whole, and what the node says of itself may be of this sink.
        Group::of_leaf(leaf).is_none_or(|group| group == Group::Changes || self.order.groups.contains(&group))
    }

    fn wants(&self, event: &Event) -> bool {
        if event.kind == Kind::Node && event.action == DROPPED && *event.resource == *self.order.name {
            return true;
        }
        let tenants = &self.order.tenants;
        let whose =
            tenants.is_empty() || event.tenant.as_ref().is_some_and(|tenant| tenants.contains(tenant));
        whose && self.order.groups.contains(&Group::of(event.kind, event.allowed))
    }
}

/// What tells this node's records from those of any other: random, made once, kept in the store.
async fn source(store: &SystemStore, entropy: &dyn Entropy) -> Result<String, OpenError> {
    if let Some(row) = store.get(EVENT_SOURCE, CURRENT).await? {
        return Ok(String::from_utf8_lossy(&row.value).into_owned());
    }
    let mut bytes = [0_u8; 8];
    entropy.fill(&mut bytes).map_err(|e| OpenError::Internal(e.to_string()))?;
    let text = bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let made = store.commit(Batch::new().check(EVENT_SOURCE, CURRENT, None).put(
        EVENT_SOURCE,
        CURRENT,
        text.clone(),
    ));
    made.await.map_err(|e| StoreError::Io(e.to_string()))?;
    Ok(text)
}
