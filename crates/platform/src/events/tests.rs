//! A sink's way along a record in memory: nothing lost or told twice, whatever the sink answers, and a bound on what
//! waits. Time is paused, so that it goes on only where nothing else does.

use std::{collections::VecDeque, sync::atomic::AtomicUsize};

use keyring::{RootKey, SystemEntropy};
use model::{Clock, Timestamp, limits};
use store::{Memory, Sealed};

use super::*;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_795_000_000_000)
    }

    fn monotonic_ms(&self) -> u64 {
        0
    }
}

/// A sink that answers with the next of its script, then takes everything, and remembers what it was asked.
#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Result<(), SinkError>>>>,
    taken: Arc<Mutex<Vec<Delivery>>>,
    asked: Arc<AtomicUsize>,
}

impl Sink for Scripted {
    fn deliver<'a>(&'a self, batch: &'a [Delivery]) -> Delivering<'a> {
        Box::pin(async move {
            assert!(!batch.is_empty() && batch.len() <= limits::SINK_BATCH_EVENTS);
            self.asked.fetch_add(1, Relaxed);
            let answer = self.script.lock().pop_front().unwrap_or(Ok(()));
            if answer.is_ok() {
                self.taken.lock().extend_from_slice(batch);
            }
            answer
        })
    }
}

impl Scripted {
    fn numbers(&self) -> Vec<u64> {
        self.taken.lock().iter().map(|delivery| delivery.sequence).collect()
    }
}

struct Node {
    sealed: Arc<Sealed>,
    recorder: Arc<Recorder>,
    writing: JoinHandle<()>,
}

impl Node {
    async fn new() -> Self {
        let root = RootKey::ephemeral(&SystemEntropy).unwrap();
        let sealed = Sealed::open(Arc::new(Memory::new()), root, Arc::new(SystemEntropy)).await.unwrap();
        Self::of(sealed).await
    }

    async fn of(sealed: Arc<Sealed>) -> Self {
        let recorder = Recorder::open(sealed.system(), Arc::new(Still)).await.unwrap();
        let writing = tokio::spawn(recorder.clone().write());
        Self { sealed, recorder, writing }
    }

    /// The node after its death, of whose memory nothing is left.
    async fn again(self) -> Self {
        self.writing.abort();
        Self::of(self.sealed).await
    }

    async fn follow(&self, sink: &Scripted, behind_max: u64, groups: &[Group]) -> Sinks {
        let order = SinkOrder {
            name: "one".into(),
            kind: "test",
            groups: groups.to_vec(),
            tenants: Vec::new(),
            behind_max,
            sink: Box::new(sink.clone()),
        };
        let sinks = Sinks::new(vec![order]);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        sinks.start(&self.recorder, &self.sealed.system(), &entropy).await.unwrap();
        sinks
    }

    /// Records events of a kind, and gives the number of the last when it is durable.
    async fn record(&self, kind: Kind, allowed: bool, count: usize) -> u64 {
        let mut last = 0;
        for _ in 0..count {
            let mut event = self.recorder.event(kind);
            event.allowed = allowed;
            last = self.recorder.record(&event).unwrap();
        }
        self.recorder.flush().await.unwrap();
        last
    }
}

/// Waits until something is so, in paused time.
async fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not come to pass");
}

fn later(after_ms: Option<u64>) -> Result<(), SinkError> {
    Err(SinkError::Later { why: "not now".into(), after: after_ms.map(Duration::from_millis) })
}

const ALL: u64 = 1_000_000;
const REFUSALS: [Group; 1] = [Group::Refusals];

#[tokio::test(start_paused = true)]
async fn what_is_wanted_comes_in_order_and_nothing_of_before() {
    let (node, sink) = (Node::new().await, Scripted::default());
    node.record(Kind::Refusal, false, 5).await;
    let sinks = node.follow(&sink, ALL, &REFUSALS).await;
    node.record(Kind::Decision, true, 10).await;
    let last = node.record(Kind::Decision, false, 3).await;
    until("three", || sink.numbers().len() == 3).await;
    assert_eq!(sink.numbers(), [last - 2, last - 1, last]);
    let view = sinks.views(node.recorder.recorded() + 1).remove(0);
    assert_eq!((view.delivered, view.behind, view.dropped, view.refused, view.failing), (3, 0, 0, 0, None));
    let source = source(&node.sealed.system(), &SystemEntropy).await.unwrap();
    assert_eq!(source.len(), 16, "it is made once");
    let uid = format!("\"uid\":\"{source}-{last}\"");
    assert!(sink.taken.lock().last().is_some_and(|delivery| delivery.line.contains(&uid)), "{uid}");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_gets_the_same_again_after_the_time_that_it_asks_for() {
    let (node, sink) = (Node::new().await, Scripted::default());
    sink.script.lock().extend([later(None), later(Some(30_000)), later(None)]);
    let sinks = node.follow(&sink, ALL, &REFUSALS).await;
    let start = tokio::time::Instant::now();
    let last = node.record(Kind::Refusal, false, 4).await;
    until("a failure", || sinks.views(last + 1).iter().all(|view| view.failing.is_some())).await;
    until("four", || sink.numbers().len() == 4).await;
    assert!(start.elapsed() >= Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!((sink.numbers(), sink.asked.load(Relaxed)), (vec![last - 3, last - 2, last - 1, last], 4));
    assert_eq!(sinks.views(last + 1).remove(0).failing, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_counted_and_the_next_goes_on() {
    let (node, sink) = (Node::new().await, Scripted::default());
    sink.script.lock().push_back(Err(SinkError::Never { why: "bad".into(), lost: 2 }));
    let sinks = node.follow(&sink, ALL, &REFUSALS).await;
    node.record(Kind::Refusal, false, 2).await;
    until("a refusal", || sinks.views(0).iter().all(|view| view.refused == 2)).await;
    let last = node.record(Kind::Refusal, false, 1).await;
    until("the next", || sink.numbers() == [last]).await;
    // Of a batch of which it refuses a part, the rest is delivered.
    sink.script.lock().push_back(Err(SinkError::Never { why: "bad".into(), lost: 1 }));
    let before = sinks.views(0).remove(0).delivered;
    node.record(Kind::Refusal, false, 3).await;
    let view = || sinks.views(0).remove(0);
    until("a part", || view().refused == 3 && view().delivered == before + 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_too_far_behind_loses_the_oldest_and_is_told() {
    let (node, sink) = (Node::new().await, Scripted::default());
    sink.script.lock().extend((0..5).map(|_| later(None)));
    let sinks = node.follow(&sink, 10, &REFUSALS).await;
    let last = node.record(Kind::Refusal, false, 1_000).await;
    until("the newest", || sink.numbers().contains(&last)).await;
    until("that it is told", || sink.taken.lock().iter().any(|delivery| delivery.kind == "node")).await;
    let taken = sink.numbers();
    assert_eq!(taken[..10], (last - 9..=last).collect::<Vec<_>>(), "ten, and no more");
    let told = sink.taken.lock().iter().find(|delivery| delivery.kind == "node").cloned().unwrap();
    let says = format!("{} records, 1 to {}, were passed over", last - 10, last - 10);
    assert!(told.line.contains(&says), "`{says}` is not in {}", told.line);
    assert_eq!(sinks.views(0).remove(0).dropped, last - 10);
}

#[tokio::test(start_paused = true)]
async fn after_a_death_all_that_was_not_taken_comes() {
    let (node, sink) = (Node::new().await, Scripted::default());
    let _sinks = node.follow(&sink, ALL, &REFUSALS).await;
    let first = node.record(Kind::Refusal, false, 3).await;
    until("three", || sink.numbers().len() == 3).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    sink.script.lock().extend((0..1_000).map(|_| later(None)));
    let last = node.record(Kind::Refusal, false, 700).await;
    let node = node.again().await;
    let other = Scripted::default();
    let _sinks = node.follow(&other, ALL, &REFUSALS).await;
    until("the rest", || other.numbers().last() == Some(&last)).await;
    assert_eq!(other.numbers(), (first + 1..=last).collect::<Vec<_>>(), "its place was saved");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_lets_a_sink_take_the_end_and_waits_for_none_that_does_not() {
    let (node, sink) = (Node::new().await, Scripted::default());
    let sinks = node.follow(&sink, ALL, &REFUSALS).await;
    let last = node.record(Kind::Refusal, false, 1_500).await;
    sinks.stop().await;
    assert_eq!(sink.numbers(), (1..=last).collect::<Vec<_>>());

    sink.script.lock().extend((0..1_000_000).map(|_| later(Some(60_000))));
    let sinks = node.follow(&sink, ALL, &REFUSALS).await;
    let start = tokio::time::Instant::now();
    node.record(Kind::Refusal, false, 1).await;
    sinks.stop().await;
    assert!(start.elapsed() <= LAST_WORDS + Duration::from_secs(1), "{:?}", start.elapsed());
}
