//! A friendly client that asks on while somebody attacks, and how long each of its requests took. It never retries.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::support::TestNode;

/// What a request of a friend's may take, on a machine that does much else, at the 99th percentile.
const P99_MAX: Duration = Duration::from_secs(2);

/// Ends what asks on, however the attack ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks `path` every 50 ms while `attack` runs: each request is answered with 200.
#[track_caller]
pub(crate) fn asks_on<T>(node: &TestNode, path: &str, what: &str, attack: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    let ask = || {
        let mut taken = Vec::new();
        while taken.len() < 20 || !is_over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let answer = node.try_call(path, None);
            taken.push(begun.elapsed());
            match answer {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) => panic!("{what}: a friend is answered {}: {}", answer.status, answer.text()),
                Err(error) => panic!("{what}: a friend is not answered: {error}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        taken
    };
    let (done, mut taken) = std::thread::scope(|scope| {
        let friend = scope.spawn(ask);
        let ends = Ends(&is_over);
        let done = attack();
        drop(ends);
        (done, friend.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    taken.sort();
    let at = |part: usize| taken[(taken.len() - 1) * part / 100];
    eprintln!("{what}: a friend asked {} times: p50 {:?}, p99 {:?}", taken.len(), at(50), at(99));
    assert!(at(99) < P99_MAX, "{what}: a friend's p99 is {:?}", at(99));
    done
}
