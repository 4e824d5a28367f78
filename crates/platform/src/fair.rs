//! Whose request goes on next where many want to. Sources take turns (round robin, as in fair queueing: Nagle, RFC 970),
//! so that whoever asks a thousand times waits for itself and keeps nobody else waiting. It never asks what a request is
//! about, and refuses nobody but a source of whom very many wait.
//!
//! A turn lasts from the start of a run to the head of its answer or its first call of something else, which is when a run
//! computes, and no longer than [`LONGEST`], so that one that waits takes no turn from anybody. Each source may have one at
//! any time, and more of them as long as there are any.
//!
//! Whoever comes next waits behind all that are under way, so that turns are few; but a worker does the more, the more it
//! is given at once. So they are counted only while there is somebody to wait: a source that asks little, beside others
//! that ask much. Those who all ask much, or are alone, are served as they come.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use model::{Fault, limits};
use parking_lot::Mutex;
use tokio::{
    sync::oneshot::{self, Receiver, Sender},
    time::{Instant, sleep},
};

/// A run that takes longer computes for long, which is for `cell` to share out, or waits.
const LONGEST: Duration = Duration::from_millis(2);
/// So long after a request of a source that asks little, turns are counted.
const COUNTED: Duration = Duration::from_millis(250);

/// The turns of a node.
#[derive(Debug)]
pub(crate) struct Fair {
    turns: usize,
    round: Mutex<Round>,
}

#[derive(Debug, Default)]
struct Round {
    /// Turns in the order in which they began; the first of them has the number `first`.
    taken: VecDeque<Taken>,
    first: u64,
    /// Those of them that are not over.
    under_way: usize,
    /// Those that were not dropped, however long ago they began.
    held: usize,
    /// Sources that have a turn, wait for one, or are on the list.
    sources: HashMap<IpAddr, Source>,
    /// Sources of which somebody waits, the next one first; of some of them by now nobody does.
    list: VecDeque<IpAddr>,
    /// Sources of which somebody waits, and that have no turn.
    entitled: Vec<IpAddr>,
    /// Somebody sees to it that turns end.
    is_minded: bool,
    /// Until when turns are counted.
    counted_until: Option<Instant>,
}

#[derive(Debug)]
struct Taken {
    source: IpAddr,
    since: Instant,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Source {
    under_way: usize,
    held: usize,
    waiting: VecDeque<Sender<Turn>>,
    is_listed: bool,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    fair: Arc<Fair>,
    source: IpAddr,
    number: u64,
}

/// Somebody came.
enum Entered {
    /// The number of his turn.
    Begun(u64),
    /// Where he is told of it, and whether nobody minds those who wait.
    Waits { told: Receiver<Turn>, is_first: bool },
}

impl Drop for Turn {
    fn drop(&mut self) {
        let somebody_waits = {
            let mut round = self.fair.round.lock();
            round.end(self.number);
            round.drop_of(self.source);
            !round.list.is_empty()
        };
        if somebody_waits {
            self.fair.go_on();
        }
    }
}

impl Fair {
    /// So many turns at once.
    pub(crate) fn new(turns: usize) -> Arc<Self> {
        Arc::new(Self { turns: turns.max(1), round: Mutex::default() })
    }

    /// Waits until it is the turn of somebody from `source`.
    ///
    /// # Errors
    /// [`Fault::NodeBusy`]: as many of that source wait as may.
    pub(crate) async fn turn(self: &Arc<Self>, source: IpAddr) -> Result<Turn, Fault> {
        let source = shield::source(source);
        let entered = self.round.lock().enter(source, self.turns, Instant::now())?;
        match entered {
            Entered::Begun(number) => Ok(self.begun(source, number)),
            Entered::Waits { told, is_first } => {
                if is_first {
                    tokio::spawn(Arc::clone(self).mind());
                }
                // INVARIANT: a sender is not dropped before its receiver is.
                told.await.map_err(|_| Fault::NodeBusy)
            }
        }
    }

    /// Sees to it that turns end, as long as somebody waits: once for all who do.
    async fn mind(self: Arc<Self>) {
        loop {
            self.go_on();
            if !self.round.lock().is_waited_for() {
                return;
            }
            sleep(LONGEST).await;
        }
    }

    /// Gives turns to those who wait, as long as there are any.
    fn go_on(self: &Arc<Self>) {
        let next = || self.round.lock().next(self.turns, Instant::now());
        // Told outside of the lock: whoever has gone meanwhile gives the turn back.
        while let Some((waiter, source, number)) = next() {
            drop(waiter.send(self.begun(source, number)));
        }
    }

    fn begun(self: &Arc<Self>, source: IpAddr, number: u64) -> Turn {
        Turn { fair: Arc::clone(self), source, number }
    }
}

impl Round {
    fn enter(&mut self, source: IpAddr, turns: usize, now: Instant) -> Result<Entered, Fault> {
        self.end_overdue(now);
        let is_idle = |own: &Source| own.held == 0 && own.waiting.is_empty();
        if self.sources.get(&source).is_none_or(is_idle) {
            if self.held >= turns {
                self.counted_until = Some(now + COUNTED);
            }
        } else if self.is_counted(now) && (self.under_way >= turns || !self.list.is_empty()) {
            return self.wait(source);
        }
        Ok(Entered::Begun(self.begin(source, now)))
    }

    fn is_counted(&self, now: Instant) -> bool {
        self.counted_until.is_some_and(|until| now < until)
    }

    fn begin(&mut self, source: IpAddr, now: Instant) -> u64 {
        let number = self.first + self.taken.len() as u64;
        self.taken.push_back(Taken { source, since: now, is_over: false });
        self.under_way += 1;
        self.held += 1;
        let own = self.sources.entry(source).or_default();
        own.under_way += 1;
        own.held += 1;
        number
    }

    fn wait(&mut self, source: IpAddr) -> Result<Entered, Fault> {
        let (sender, told) = oneshot::channel();
        let own = self.sources.entry(source).or_default();
        if own.waiting.len() >= limits::SOURCE_WAITING_MAX {
            own.waiting.retain(|waiter| !waiter.is_closed());
            if own.waiting.len() >= limits::SOURCE_WAITING_MAX {
                return Err(Fault::NodeBusy);
            }
        }
        own.waiting.push_back(sender);
        if !std::mem::replace(&mut own.is_listed, true) {
            self.list.push_back(source);
        }
        Ok(Entered::Waits { told, is_first: !std::mem::replace(&mut self.is_minded, true) })
    }

    /// Whether to go on minding.
    fn is_waited_for(&mut self) -> bool {
        self.is_minded = !self.list.is_empty();
        self.is_minded
    }

    /// Ends a turn, which may be over already.
    fn end(&mut self, number: u64) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(taken) = at.and_then(|at| self.taken.get_mut(at)).filter(|taken| !taken.is_over) else {
            return;
        };
        taken.is_over = true;
        let source = taken.source;
        self.under_way -= 1;
        while self.taken.pop_front_if(|taken| taken.is_over).is_some() {
            self.first += 1;
        }
        if let Some(own) = self.sources.get_mut(&source) {
            own.under_way -= 1;
            if own.under_way == 0 && !own.waiting.is_empty() {
                self.entitled.push(source);
            }
        }
    }

    /// One of the source's turns is dropped, be it over long ago.
    fn drop_of(&mut self, source: IpAddr) {
        self.held -= 1;
        if let Some(own) = self.sources.get_mut(&source) {
            own.held -= 1;
        }
        self.forget(source);
    }

    fn end_overdue(&mut self, now: Instant) {
        while self.taken.front().is_some_and(|taken| taken.since + LONGEST <= now) {
            self.end(self.first);
        }
    }

    /// Begins the turn of whoever is next, if there is one for him.
    fn next(&mut self, turns: usize, now: Instant) -> Option<(Sender<Turn>, IpAddr, u64)> {
        self.end_overdue(now);
        let is_full = self.is_counted(now) && self.under_way >= turns;
        loop {
            let (source, is_listed) = match self.entitled.pop() {
                Some(source) => (source, false),
                None if is_full => return None,
                None => (self.list.pop_front()?, true),
            };
            let Some(own) = self.sources.get_mut(&source) else { continue };
            let mut waiter = own.waiting.pop_front();
            while waiter.as_ref().is_some_and(Sender::is_closed) {
                waiter = own.waiting.pop_front();
            }
            if is_listed {
                own.is_listed = !own.waiting.is_empty();
                self.list.extend(own.is_listed.then_some(source));
            }
            match waiter {
                Some(waiter) => return Some((waiter, source, self.begin(source, now))),
                None => self.forget(source),
            }
        }
    }

    fn forget(&mut self, source: IpAddr) {
        let is_gone = |own: &Source| own.held == 0 && own.waiting.is_empty() && !own.is_listed;
        if self.sources.get(&source).is_some_and(is_gone) {
            self.sources.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    /// Where somebody who asks little came by lately.
    async fn shared(turns: usize) -> Arc<Fair> {
        let fair = Fair::new(turns);
        let mut held = Vec::new();
        for last in 1..=u8::try_from(turns + 1).unwrap() {
            held.push(fair.turn([198, 51, 100, last].into()).await.unwrap());
        }
        fair
    }

    /// Asks for turns, one task each, in this order; tells who had one as they come.
    fn queue(fair: &Arc<Fair>, sources: &[IpAddr]) -> Arc<Mutex<Vec<IpAddr>>> {
        let order = Arc::new(Mutex::new(Vec::new()));
        for source in sources.iter().copied() {
            let (fair, order) = (Arc::clone(fair), Arc::clone(&order));
            tokio::spawn(async move {
                let _turn = fair.turn(source).await.unwrap();
                order.lock().push(source);
                tokio::task::yield_now().await;
            });
        }
        order
    }

    async fn settle() {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }

    fn is_empty(fair: &Fair) -> bool {
        let round = fair.round.lock();
        let nobody = round.sources.is_empty() && round.list.is_empty() && round.entitled.is_empty();
        nobody && round.under_way == 0 && round.held == 0 && round.taken.is_empty()
    }

    #[tokio::test(start_paused = true)]
    async fn sources_go_on_in_turn() {
        let fair = shared(1).await;
        let held = fair.turn(A).await.unwrap();
        let order = queue(&fair, &[A, A, A, A, B, B, B]);
        settle().await;
        assert_eq!(*order.lock(), [B, B, B], "one that has no turn waits for nobody else");
        drop(held);
        settle().await;
        assert_eq!(*order.lock(), [B, B, B, A, A, A, A]);

        let held = (fair.turn(A).await.unwrap(), fair.turn(B).await.unwrap());
        let order = queue(&fair, &[A, A, A, A, B, B]);
        settle().await;
        drop(held);
        settle().await;
        assert_eq!(order.lock().len(), 6);
        assert_eq!(order.lock()[..4].iter().filter(|source| **source == B).count(), 2, "{order:?}");
        assert!(is_empty(&fair));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_something_takes_no_turn_from_anybody() {
        let fair = shared(2).await;
        let held = (fair.turn(A).await.unwrap(), fair.turn(A).await.unwrap());
        let begun = Instant::now();
        let third = fair.turn(A).await.unwrap();
        assert!(begun.elapsed() >= LONGEST && begun.elapsed() < 2 * LONGEST, "{:?}", begun.elapsed());
        drop((held, third));
        assert!(is_empty(&fair));
    }

    #[tokio::test(start_paused = true)]
    async fn without_anybody_who_asks_little_nobody_waits() {
        let fair = Fair::new(1);
        let begun = Instant::now();
        let held = (fair.turn(A).await.unwrap(), fair.turn(A).await.unwrap());
        drop(fair.turn(B).await.unwrap());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(tokio::time::timeout(Duration::from_millis(1), fair.turn(A)).await.is_err());
        drop(held);
        tokio::time::advance(COUNTED).await;
        let _held = (fair.turn(A).await.unwrap(), fair.turn(A).await.unwrap());
        assert_eq!(begun.elapsed(), COUNTED + Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_gone_passes_on() {
        let fair = shared(1).await;
        let held = fair.turn(A).await.unwrap();
        for _ in 0..10 {
            assert!(tokio::time::timeout(Duration::ZERO, fair.turn(A)).await.is_err());
        }
        let order = queue(&fair, &[A]);
        settle().await;
        drop(held);
        settle().await;
        assert_eq!(*order.lock(), [A]);
        assert!(is_empty(&fair));
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_of_one_network_are_one_source() {
        let fair = shared(1).await;
        let _held = fair.turn("2001:db8::1".parse().unwrap()).await.unwrap();
        let other = fair.turn("2001:db8::2".parse().unwrap());
        assert!(tokio::time::timeout(LONGEST / 2, other).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_very_many_waiting_is_refused() {
        let fair = shared(1).await;
        let _held = fair.turn(A).await.unwrap();
        let order = queue(&fair, &[A; limits::SOURCE_WAITING_MAX]);
        settle().await;
        assert_eq!(fair.turn(A).await.unwrap_err(), Fault::NodeBusy);
        assert!(order.lock().is_empty());
        assert!(fair.turn(B).await.is_ok());
    }

    /// Whoever comes, goes, or gives up.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_is_forgotten() {
        let fair = shared(3).await;
        let tasks = (0..4_000_u32).map(|n| {
            let fair = Arc::clone(&fair);
            let source = IpAddr::from([10, 0, 0, u8::try_from(n % 7).unwrap()]);
            tokio::spawn(async move {
                let patience = Duration::from_micros(if n % 5 == 0 { 50 } else { 60_000_000 });
                let Ok(_turn) = tokio::time::timeout(patience, fair.turn(source)).await else {
                    return n % 5 == 0;
                };
                for _ in 0..n % 3 {
                    tokio::task::yield_now().await;
                }
                true
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            assert!(task.await.unwrap());
        }
        fair.go_on();
        assert!(is_empty(&fair));
    }
}
