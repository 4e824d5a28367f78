//! One sink's way along the record: read what is durable, hand over what is wanted, remember how far it came. It
//! never holds more than one batch.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use ledger::{Kind, Ocsf};
use model::{Entropy, limits};
use store::{Batch, StoreError, SystemStore};
use tokio::{sync::watch, time::Instant};

use super::{DROPPED, Delivery, Outlet, SinkError};
use crate::{recorder::Recorder, shelf::EVENT_SINKS};

/// How long events gather before they are handed over.
const GATHER: Duration = Duration::from_millis(200);
/// How often a place is saved where something was delivered, and where nothing was wanted.
const SAVE_EVERY: Duration = Duration::from_secs(1);
const SAVE_IDLE_EVERY: Duration = Duration::from_secs(30);
/// How many records are looked at before others have their turn.
const LOOKED_AT: usize = 8_192;

/// A sink that follows the record.
pub(super) struct Follower {
    pub(super) outlet: Arc<Outlet>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) store: SystemStore,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) ocsf: Ocsf,
}

/// What was read at once: what is wanted of it, and where to go on.
struct Page {
    wanted: Vec<Delivery>,
    next: u64,
}

/// How far it came, and what of that is saved.
struct Place {
    next: u64,
    saved: u64,
    saved_at: Instant,
    delivered: bool,
}

impl Follower {
    /// Where this sink goes on, which for a new one is the end of the record. It is saved at once, so that what
    /// comes from now on is not lost.
    pub(super) async fn find_place(&self) -> Result<(), StoreError> {
        let next = match self.store.get(EVENT_SINKS, self.outlet.order.name.as_bytes()).await? {
            Some(row) => {
                let bytes = <[u8; 8]>::try_from(&*row.value);
                let bytes = bytes.map_err(|_| StoreError::Damaged("the place of a sink".into()))?;
                // A record that was cut off by its machine's death may end before.
                u64::from_be_bytes(bytes).min(self.recorder.durable_end())
            }
            None => {
                let next = self.recorder.durable_end();
                self.save(next).await?;
                next
            }
        };
        self.outlet.next.store(next, Relaxed);
        Ok(())
    }

    async fn save(&self, next: u64) -> Result<(), StoreError> {
        let name = self.outlet.order.name.as_bytes();
        let put = Batch::new().put(EVENT_SINKS, name, next.to_be_bytes().to_vec());
        self.store.commit(put).await.map(drop).map_err(|e| StoreError::Io(e.to_string()))
    }

    /// Follows until the node ends.
    pub(super) async fn run(self, mut ending: watch::Receiver<bool>) {
        let next = self.outlet.next.load(Relaxed);
        let mut place = Place { next, saved: next, saved_at: Instant::now(), delivered: false };
        let mut durable = self.recorder.durable_ends();
        loop {
            // A node that is gone without a word has stopped too.
            let last = *ending.borrow_and_update() || ending.has_changed().is_err();
            let end = self.recorder.durable_end();
            if place.next < end {
                self.go_on(&mut place, end, &mut ending, last).await;
            }
            self.save_place(&mut place, last).await;
            if last && (place.next >= self.recorder.durable_end() || self.outlet.failing.lock().is_some()) {
                return;
            }
            if place.next < self.recorder.durable_end() {
                continue;
            }
            let more = async {
                // The sender lives as long as the recorder, which is held here.
                let _ = durable.wait_for(|end| *end > place.next && *end != u64::MAX).await;
                tokio::time::sleep(GATHER).await;
            };
            let later = SAVE_EVERY.saturating_sub(place.saved_at.elapsed());
            tokio::select! {
                () = more => {}
                () = tokio::time::sleep(later), if place.saved < place.next && place.delivered => {}
                _ = ending.changed() => {}
            }
        }
    }

    /// Reads on and hands over, again and again until it is taken, refused for good, or too old.
    async fn go_on(&self, place: &mut Place, end: u64, ending: &mut watch::Receiver<bool>, last: bool) {
        let mut failures = 0_u32;
        loop {
            // INVARIANT: what waits is bounded, however long a sink takes nothing.
            let end = end.max(self.recorder.durable_end());
            let first = place.next.max(end.saturating_sub(self.outlet.order.behind_max));
            let passed = first - place.next;
            let (why, after) = match self.read(first, end).await {
                Err(error) => (error.to_string(), None),
                Ok(page) => match self.hand_over(&page).await {
                    Ok(delivered) => {
                        place.delivered |= delivered;
                        self.tell_dropped(place.next, passed);
                        place.next = page.next;
                        self.outlet.next.store(page.next, Relaxed);
                        return;
                    }
                    Err((why, after)) => (why, after),
                },
            };
            failures += 1;
            if self.outlet.failing.lock().replace((self.recorder.now(), why.clone())).is_none() {
                tracing::warn!(sink = self.outlet.order.name, why, "events wait for a sink");
            }
            if last {
                return;
            }
            let wait = after.unwrap_or_default().max(self.backoff(failures));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = ending.changed() => return,
            }
        }
    }

    /// Hands a page over. Whether there was something to hand over, or why it was not taken and how long to wait.
    async fn hand_over(&self, page: &Page) -> Result<bool, (String, Option<Duration>)> {
        if page.wanted.is_empty() {
            return Ok(false);
        }
        let (outlet, count) = (&self.outlet, page.wanted.len() as u64);
        match outlet.order.sink.deliver(&page.wanted).await {
            Ok(()) => {
                outlet.delivered.fetch_add(count, Relaxed);
                if outlet.failing.lock().take().is_some() {
                    tracing::info!(sink = outlet.order.name, "the sink takes events again");
                }
            }
            Err(SinkError::Never { why, lost }) => {
                let lost = (lost as u64).min(count);
                outlet.refused.fetch_add(lost, Relaxed);
                outlet.delivered.fetch_add(count - lost, Relaxed);
                let sink = &outlet.order.name;
                tracing::warn!(sink, why, events = lost, "a sink refused events for good");
                *outlet.failing.lock() = Some((self.recorder.now(), why));
            }
            Err(SinkError::Later { why, after }) => return Err((why, after)),
        }
        Ok(true)
    }

    /// Twice as long each time, from a quarter of a second to a minute, of which a random half is left out so that
    /// many nodes do not come back at once.
    fn backoff(&self, failures: u32) -> Duration {
        let whole =
            (limits::SINK_RETRY_MS << failures.saturating_sub(1).min(16)).min(limits::SINK_RETRY_MS_MAX);
        let mut random = [0_u8; 4];
        // Without randomness it is the whole.
        let part = match self.entropy.fill(&mut random) {
            Ok(()) => (u64::from(u32::from_le_bytes(random)) * (whole / 2)) >> 32,
            Err(_) => 0,
        };
        Duration::from_millis(whole - part)
    }

    /// Says in the record that records were passed over. That event goes to the sink like any other.
    fn tell_dropped(&self, first: u64, passed: u64) {
        if passed == 0 {
            return;
        }
        let name = &self.outlet.order.name;
        self.outlet.dropped.fetch_add(passed, Relaxed);
        tracing::warn!(sink = name, records = passed, "a sink was too far behind; records were passed over");
        let mut event = self.recorder.event(Kind::Node);
        event.action = DROPPED.into();
        event.resource = name.as_str().into();
        event.code = "sink-behind".into();
        let last = first + passed - 1;
        event.detail = format!("{passed} records, {first} to {last}, were passed over").into();
        if let Err(error) = self.recorder.record(&event) {
            tracing::error!(sink = name, %error, "that records were passed over is not in the record");
        }
    }

    /// Reads from a record on, until a batch is full or enough was looked at.
    async fn read(&self, first: u64, end: u64) -> Result<Page, StoreError> {
        let mut page = Page { wanted: Vec::new(), next: first };
        let (mut bytes, mut looked_at) = (0, 0);
        while page.next < end && looked_at < LOOKED_AT {
            let segment = self.recorder.segment_of(page.next).await?;
            let skipped = usize::try_from(page.next.saturating_sub(segment.first())).unwrap_or(usize::MAX);
            let leaves = segment.leaves().get(skipped..).unwrap_or_default();
            if leaves.is_empty() {
                return Err(StoreError::Damaged(format!("the record has no {}", page.next)));
            }
            for leaf in leaves {
                if page.wanted.len() >= limits::SINK_BATCH_EVENTS || bytes >= limits::SINK_BATCH_BYTES {
                    return Ok(page);
                }
                looked_at += 1;
                if self.outlet.may_want(leaf) {
                    let read = ledger::Event::decode(leaf);
                    let (number, event) = read.map_err(|e| StoreError::Damaged(e.to_string()))?;
                    if self.outlet.wants(&event) {
                        let line = self.ocsf.line(number, &event);
                        bytes += line.len();
                        page.wanted.push(Delivery {
                            sequence: number,
                            time: event.time,
                            kind: event.kind.as_str(),
                            severity: ledger::Ocsf::severity(&event),
                            line,
                        });
                    }
                }
                page.next += 1;
            }
        }
        Ok(page)
    }

    async fn save_place(&self, place: &mut Place, now: bool) {
        let every = if place.delivered { SAVE_EVERY } else { SAVE_IDLE_EVERY };
        if place.saved == place.next || (!now && place.saved_at.elapsed() < every) {
            return;
        }
        match self.save(place.next).await {
            Ok(()) => (place.saved, place.delivered) = (place.next, false),
            Err(error) => {
                tracing::warn!(sink = self.outlet.order.name, %error, "the place of a sink was not saved");
            }
        }
        place.saved_at = Instant::now();
    }
}
