//! The single writer of the record: takes events from everywhere, keeps them in order, and makes them
//! durable in batches. It never drops one: when it cannot take more, the answer is no.

use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use ledger::{Event, Kind, Segment, SegmentWriter};
use model::{Clock, RequestId, TenantId, Timestamp, limits};
use parking_lot::Mutex;
use shield::Repeats;
use store::{Batch, CommitError, Span, StoreError, SystemStore};
use tokio::sync::{Notify, watch};

use crate::{refused::Refused, shelf::RECORD};

/// How long the writer lets events gather before it makes them durable, unless somebody waits.
const GATHER: Duration = Duration::from_millis(20);

/// How the detail of refusals ends that were counted together.
pub(crate) const COUNTED: &str = "more like the one before";

/// Refusals of one kind and source that are recorded one by one in [`limits::REFUSALS_GATHER_MS`] before the rest
/// is counted: of a tenant, whose people look for them by their request, and of the node.
const TOLD_OF_TENANT: u32 = 100;
const TOLD_OF_NODE: u32 = 1;

/// The record cannot take an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// As many events wait as may wait.
    #[error("the record is full")]
    Full,
    /// The store takes no more writes.
    #[error("the record cannot be written")]
    Broken,
}

impl From<RecordError> for Refused {
    fn from(error: RecordError) -> Self {
        let code = match error {
            RecordError::Full => "record-full",
            RecordError::Broken => "record-broken",
        };
        Self::Unavailable { code }
    }
}

/// The writer of the record.
pub(crate) struct Recorder {
    clock: Arc<dyn Clock>,
    store: SystemStore,
    /// Refusals that are counted before they are recorded.
    repeats: Repeats,
    pending: Mutex<Pending>,
    /// One flush at a time, so that segments are written in their order.
    flushing: tokio::sync::Mutex<()>,
    wake: Notify,
    /// Somebody waits for what is pending.
    hurry: Notify,
    /// All events below this number are durable; `u64::MAX`: the record is broken.
    durable: watch::Sender<u64>,
}

/// A segment that is to be written.
struct Finished {
    first: u64,
    events: u64,
    bytes: Bytes,
}

struct Pending {
    open: SegmentWriter,
    finished: VecDeque<Finished>,
    count: usize,
    broken: bool,
}

const BROKEN: u64 = u64::MAX;

impl Recorder {
    /// Goes on where the record ends.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails or the last segment is damaged.
    pub(crate) async fn open(store: SystemStore, clock: Arc<dyn Clock>) -> Result<Arc<Self>, StoreError> {
        let last = store.scan(Span::all(RECORD).descending(), 1).await?;
        let next = match last.rows.first() {
            Some(row) => {
                let segment = read(&row.value)?;
                segment.first() + segment.leaves().len() as u64
            }
            None => 1,
        };
        let pending =
            Pending { open: SegmentWriter::new(next), finished: VecDeque::new(), count: 0, broken: false };
        let (durable, _) = watch::channel(next);
        let (wake, hurry, flushing) = (Notify::new(), Notify::new(), tokio::sync::Mutex::new(()));
        let repeats = Repeats::new(limits::REFUSALS_GATHER_MS, limits::REFUSALS_GATHERED_MAX);
        Ok(Arc::new(Self {
            clock,
            store,
            repeats,
            pending: Mutex::new(pending),
            flushing,
            wake,
            hurry,
            durable,
        }))
    }

    /// Takes an event; it is durable within [`GATHER`] and the time of one write. The answer is its number.
    ///
    /// # Errors
    /// [`RecordError`]: it was not taken, so what it tells of must not happen.
    pub(crate) fn record(&self, event: &Event) -> Result<u64, RecordError> {
        let mut pending = self.pending.lock();
        if pending.broken {
            return Err(RecordError::Broken);
        }
        if pending.count >= limits::LEDGER_QUEUE {
            return Err(RecordError::Full);
        }
        let number = match pending.open.push(event) {
            Ok(number) => number,
            Err(_full) => {
                pending.turn();
                pending.open.push(event).map_err(|_| RecordError::Full)?
            }
        };
        pending.count += 1;
        if pending.count == 1 {
            self.wake.notify_one();
        }
        Ok(number)
    }

    /// Whether a refusal is to be recorded by itself. If not, it is counted.
    pub(crate) fn is_told(&self, event: &Event, code: &'static str, now_ms: u64) -> bool {
        let tenant = event.tenant.as_ref();
        let alone = if tenant.is_some() { TOLD_OF_TENANT } else { TOLD_OF_NODE };
        self.repeats.is_told(tenant, event.source, code, alone, now_ms)
    }

    /// Events for the refusals that were counted: those whose time is over, or all.
    pub(crate) fn repeated(&self, all: bool) -> Vec<Event> {
        let now_ms = (!all).then(|| self.clock.monotonic_ms());
        let due = self.repeats.take_due(now_ms).into_iter();
        due.map(|repeated| {
            let about = About { request: None, tenant: repeated.tenant.as_ref(), source: repeated.source };
            let mut event = about.on(self.event(Kind::Refusal));
            event.code = repeated.code.into();
            event.detail = format!("{} {COUNTED}", repeated.count).into();
            event
        })
        .collect()
    }

    /// Takes an event and returns when it is durable.
    ///
    /// # Errors
    /// [`RecordError`]: it is not in the record.
    pub(crate) async fn record_durably(&self, event: &Event) -> Result<u64, RecordError> {
        let number = self.record(event)?;
        let mut durable = self.durable.subscribe();
        self.hurry.notify_one();
        let done = durable.wait_for(|upto| *upto > number).await.map_err(|_| RecordError::Broken)?;
        if *done == BROKEN { Err(RecordError::Broken) } else { Ok(number) }
    }

    /// Events that wait to be durable.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.lock().count
    }

    /// Events taken since the record began.
    pub(crate) fn recorded(&self) -> u64 {
        self.pending.lock().open.next() - 1
    }

    /// The writer's loop. It ends when the store takes no more.
    pub(crate) async fn write(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = self.hurry.notified() => {}
            }
            if let Err(error) = self.flush().await {
                tracing::error!(%error, "the record cannot be written; nothing is permitted until a restart");
                return;
            }
        }
    }

    /// Makes everything that was taken so far durable.
    ///
    /// # Errors
    /// [`CommitError`] if the store fails: nothing is taken any more from then on.
    pub(crate) async fn flush(&self) -> Result<(), CommitError> {
        let _one = self.flushing.lock().await;
        let done = self.write_out().await;
        if done.is_err() {
            self.pending.lock().broken = true;
            self.durable.send_replace(BROKEN);
        }
        done
    }

    async fn write_out(&self) -> Result<(), CommitError> {
        let segments: Vec<Finished> = {
            let mut pending = self.pending.lock();
            pending.turn();
            pending.count = 0;
            pending.finished.drain(..).collect()
        };
        for Finished { first, events, bytes } in segments {
            let id = first.to_be_bytes();
            self.store.commit(Batch::new().check(RECORD, id, None).put(RECORD, id, bytes)).await?;
            self.durable.send_replace(first + events);
        }
        Ok(())
    }

    /// An event of now.
    pub(crate) fn event(&self, kind: Kind) -> Event {
        Event::new(self.clock.now(), kind)
    }

    /// The number below which all events are durable.
    pub(crate) fn durable_end(&self) -> u64 {
        let end = *self.durable.borrow();
        // What a broken record had before it broke is not known here any more.
        if end == BROKEN { 0 } else { end }
    }

    /// Tells of each step of [`Recorder::durable_end`].
    pub(crate) fn durable_ends(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    /// The time, as events have it.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The segment that holds an event.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails, or there is no such segment.
    pub(crate) async fn segment_of(&self, number: u64) -> Result<Segment, StoreError> {
        let upto = number.saturating_add(1).to_be_bytes();
        let found = self.store.scan(Span::between(RECORD, Vec::new(), upto).descending(), 1).await?;
        let row = found.rows.first();
        read(&row.ok_or_else(|| StoreError::Damaged(format!("the record has no {number}")))?.value)
    }

    /// The newest events of which `wanted` is true, the newest first, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails or a segment is damaged.
    pub(crate) async fn newest(
        &self,
        most: usize,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Vec<(u64, Event)>, StoreError> {
        self.newest_since(most, Timestamp::from_unix_ms(0), wanted).await
    }

    /// The same of those from a time on.
    ///
    /// # Errors
    /// As [`Recorder::newest`].
    pub(crate) async fn newest_since(
        &self,
        most: usize,
        since: Timestamp,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Vec<(u64, Event)>, StoreError> {
        self.hurry.notify_one();
        self.flush().await.map_err(|e| StoreError::Io(e.to_string()))?;
        let mut found = Vec::new();
        let mut next = Some(Span::all(RECORD).descending());
        while let Some(span) = next.take() {
            let page = self.store.scan(span, 16).await?;
            for row in &page.rows {
                for event in read(&row.value)?.events().rev() {
                    let (number, event) = event.map_err(|e| StoreError::Damaged(e.to_string()))?;
                    let is_over = event.time < since;
                    if !is_over && wanted(&event) {
                        found.push((number, event));
                    }
                    if is_over || found.len() >= most {
                        return Ok(found);
                    }
                }
            }
            next = page.next;
        }
        Ok(found)
    }
}

impl Pending {
    /// Finishes the open segment and starts the next.
    fn turn(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let next = SegmentWriter::new(self.open.next());
        let done = std::mem::replace(&mut self.open, next);
        let events = done.len() as u64;
        self.finished.push_back(Finished { first: done.next() - events, events, bytes: done.finish() });
    }
}

fn read(bytes: &Bytes) -> Result<Segment, StoreError> {
    Segment::decode(bytes.clone()).map_err(|e| StoreError::Damaged(format!("the record: {e}")))
}

/// What an event is about, for those who record.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About<'a> {
    pub(crate) request: Option<RequestId>,
    pub(crate) tenant: Option<&'a TenantId>,
    pub(crate) source: Option<IpAddr>,
}

impl About<'_> {
    pub(crate) fn on(&self, mut event: Event) -> Event {
        event.request = self.request;
        event.tenant = self.tenant.cloned();
        event.source = self.source;
        event
    }
}
