//! Requests at a rate that does not wait for answers, as strangers send them. It never leaves out of a figure what
//! was slow: time counts from when a request was due.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
};

use crate::{
    Wrong,
    line::{Line, get},
    order::{OpenLoop, To},
};

/// How long the last answers are waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of it.
#[derive(Default)]
struct Seen {
    /// From due to the end of the answer, in microseconds; 200 alone.
    answered_us: Vec<u32>,
    /// From sent to the end of the answer, in microseconds; 503 alone.
    refused_us: Vec<u32>,
    refused_without_retry_after: u64,
    other: BTreeMap<u16, u64>,
    /// No answer came: the connection broke.
    lost: u64,
    /// Due while all connections were busy.
    not_sent: u64,
    sent: u64,
    opened: u64,
    /// Of the current window.
    window_us: Vec<u32>,
    window_failed: BTreeMap<String, u64>,
}

struct Shared {
    seen: RefCell<Seen>,
    /// The one that is free for longest goes first: none stays idle until the server closes it.
    free: RefCell<VecDeque<usize>>,
    under_way: Cell<usize>,
}

struct Seat {
    due: Cell<Option<Instant>>,
    wake: Notify,
}

/// Runs it, and gives counts and percentiles.
pub(crate) async fn run(to: &To, run: &OpenLoop) -> Result<Value, Wrong> {
    let shared = Rc::new(Shared {
        seen: RefCell::default(),
        free: RefCell::new(VecDeque::with_capacity(run.connections)),
        under_way: Cell::new(0),
    });
    let mut seats = Vec::new();
    for n in 0..run.connections {
        let line = Line::open(to, n, b"http/1.1").await?;
        let seat = Rc::new(Seat { due: Cell::new(None), wake: Notify::new() });
        seats.push(Rc::clone(&seat));
        shared.free.borrow_mut().push_back(n);
        tokio::task::spawn_local(sit(to.clone(), n, get(to, &run.path, n), line, seat, Rc::clone(&shared)));
    }
    let started = Instant::now();
    let total = (run.rate_per_s * run.seconds) as u64;
    let mut due = 0_u64;
    let mut window = 0_u64;
    let mut ticks = ticks(started, run.rate_per_s);
    while due < total && ticks.recv().await.is_some() {
        let elapsed = started.elapsed().as_secs_f64();
        while due < total && (due as f64) <= elapsed * run.rate_per_s {
            let at = started + Duration::from_secs_f64(due as f64 / run.rate_per_s);
            due += 1;
            let Some(n) = shared.free.borrow_mut().pop_front() else {
                shared.seen.borrow_mut().not_sent += 1;
                continue;
            };
            shared.under_way.set(shared.under_way.get() + 1);
            shared.seen.borrow_mut().sent += 1;
            seats[n].due.set(Some(at));
            seats[n].wake.notify_one();
        }
        if let Some(ms) = run.windows_ms
            && elapsed * 1e3 >= (window * ms + ms) as f64
        {
            say_window(&mut shared.seen.borrow_mut());
            window += 1;
        }
    }
    drop(ticks);
    let took = started.elapsed();
    let in_time = shared.seen.borrow().answered_us.len();
    while shared.under_way.get() > 0 && started.elapsed() < took + PATIENCE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut seen = shared.seen.take();
    if run.windows_ms.is_some() {
        say_window(&mut seen);
    }
    Ok(report(seen, (due, in_time), took, shared.under_way.get() as u64))
}

/// Wakes when requests are due, by a thread that sleeps: the timers of the runtime are late by up to two milliseconds,
/// and that is more than most answers take. Above a thousand a second it wakes once for several.
fn ticks(started: Instant, rate_per_s: f64) -> mpsc::Receiver<()> {
    let (send, receive) = mpsc::channel(1);
    let step = Duration::from_secs_f64(1.0 / rate_per_s.min(1000.0));
    std::thread::spawn(move || {
        let mut next = started;
        // One wake that waits to be taken is as good as two.
        while !matches!(send.try_send(()), Err(TrySendError::Closed(()))) {
            next += step;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
    receive
}

/// One connection: waits until it is told to send, sends, reads, and is free again.
async fn sit(to: To, n: usize, request: Vec<u8>, line: Line, seat: Rc<Seat>, shared: Rc<Shared>) {
    let mut line = Some(line);
    loop {
        seat.wake.notified().await;
        let Some(due) = seat.due.take() else { continue };
        let sent = Instant::now();
        if line.is_none() {
            line = Line::open(&to, n, b"http/1.1").await.ok();
            shared.seen.borrow_mut().opened += 1;
        }
        let answer = match &mut line {
            Some(line) => line.call(&request, u64::MAX).await,
            None => Err("no connection".into()),
        };
        let mut seen = shared.seen.borrow_mut();
        match answer {
            Ok(answer) => {
                if answer.closes {
                    line = None;
                }
                match answer.status {
                    200 => {
                        let us = micros(due.elapsed());
                        seen.answered_us.push(us);
                        seen.window_us.push(us);
                    }
                    503 => {
                        seen.refused_us.push(micros(sent.elapsed()));
                        seen.refused_without_retry_after += u64::from(!answer.retry_after);
                        *seen.window_failed.entry("503".into()).or_default() += 1;
                    }
                    other => {
                        *seen.other.entry(other).or_default() += 1;
                        *seen.window_failed.entry(other.to_string()).or_default() += 1;
                    }
                }
            }
            Err(_) => {
                line = None;
                seen.lost += 1;
                *seen.window_failed.entry("no answer".into()).or_default() += 1;
            }
        }
        drop(seen);
        shared.under_way.set(shared.under_way.get() - 1);
        shared.free.borrow_mut().push_back(n);
    }
}

/// A line of JSON with the samples since the last, stamped with the time of day.
fn say_window(seen: &mut Seen) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (us, failed) = (std::mem::take(&mut seen.window_us), std::mem::take(&mut seen.window_failed));
    println!("{}", json!({ "at_ms": now.as_millis() as u64, "us": us, "failed": failed }));
}

/// `in_time` are the answers that came before the last request was due: goodput does not count the rest.
fn report(mut seen: Seen, (due, in_time): (u64, usize), took: Duration, unanswered: u64) -> Value {
    seen.answered_us.sort_unstable();
    seen.refused_us.sort_unstable();
    let seconds = took.as_secs_f64();
    json!({
        "seconds": seconds,
        "due": due,
        "sent": seen.sent,
        "not_sent": seen.not_sent,
        "answered": seen.answered_us.len(),
        "answered_per_s": in_time as f64 / seconds,
        "sent_per_s": seen.sent as f64 / seconds,
        "refused": seen.refused_us.len(),
        "refused_without_retry_after": seen.refused_without_retry_after,
        "other": seen.other.iter().map(|(status, n)| (status.to_string(), *n)).collect::<BTreeMap<_, _>>(),
        "lost": seen.lost + unanswered,
        "reconnected": seen.opened,
        "answered_us_p50": percentile(&seen.answered_us, 50.0),
        "answered_us_p99": percentile(&seen.answered_us, 99.0),
        "refused_us_p50": percentile(&seen.refused_us, 50.0),
        "refused_us_p99": percentile(&seen.refused_us, 99.0),
    })
}

/// The nearest-rank percentile of sorted samples; nothing of none.
fn percentile(sorted: &[u32], percent: f64) -> Option<u32> {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn percentiles_are_nearest_ranks() {
        let samples: Vec<u32> = (1..=200).collect();
        for (percent, expect) in [(50.0, 100), (99.0, 198), (100.0, 200), (0.0, 1)] {
            assert_eq!(super::percentile(&samples, percent), Some(expect), "{percent}");
        }
        assert_eq!(super::percentile(&[], 99.0), None);
        assert_eq!(super::percentile(&[7], 99.0), Some(7));
    }
}
