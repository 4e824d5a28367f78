//! Work that computes for long, a handshake say, in turns: between two of them everybody else on the thread has
//! theirs. It never refuses work and never looks at it.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use tokio::sync::Semaphore;

/// As many turns at once as there are threads that serve.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

impl Turns {
    pub(crate) fn new(threads: usize) -> Self {
        Self(Semaphore::new(threads.max(1)))
    }

    /// Drives `work` to its end. Each time that it goes on it waits for its turn, first come, first served, and
    /// as long as it is not done it gives that up only when whatever else was ready has been let in.
    pub(crate) async fn in_turn<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        loop {
            // Nobody closes it; if anybody did, there would be no turns, and no reason to stop.
            let turn = self.0.acquire().await;
            if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            tokio::task::yield_now().await;
            drop(turn);
            bell.rung().await;
        }
    }
}

/// Remembers that it was rung while nobody listened.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    listener: AtomicWaker,
}

impl Bell {
    async fn rung(&self) {
        poll_fn(|cx| {
            self.listener.register(cx.waker());
            if self.rung.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.listener.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn others_are_let_in_between_two_turns() {
        let (turns, order) = (Arc::new(Turns::new(1)), Arc::new(Mutex::new(Vec::new())));
        let tasks = (0..4).map(|_| {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            let work = async move {
                order.lock().unwrap().push('h');
                std::future::pending::<()>().await;
            };
            tokio::spawn(async move { turns.in_turn(work).await })
        });
        let tasks: Vec<_> = tasks.collect();
        while order.lock().unwrap().iter().filter(|who| **who == 'h').count() < 4 {
            tokio::task::yield_now().await;
            order.lock().unwrap().push('r');
        }
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        let order: String = order.lock().unwrap().iter().collect();
        assert!(!order.contains("hh"), "{order}");
    }

    /// However often it has to wait, and whoever wakes it when.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_is_lost() {
        let turns = Arc::new(Turns::new(2));
        let work = |n: u64| async move {
            for _ in 0..50 {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                tokio::spawn(async move {
                    for _ in 0..n % 5 {
                        tokio::task::yield_now().await;
                    }
                    sender.send(n)
                });
                assert_eq!(receiver.await.unwrap(), n);
            }
            n
        };
        let all = (0..100).map(|n| {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move { turns.in_turn(work(n)).await })
        });
        let all: Vec<_> = all.collect();
        for (n, task) in all.into_iter().enumerate() {
            let hang = std::time::Duration::from_secs(120);
            assert_eq!(tokio::time::timeout(hang, task).await.unwrap().unwrap(), n as u64);
        }
        assert_eq!(turns.0.available_permits(), 2);
    }

    #[tokio::test]
    async fn whoever_gives_up_gives_his_turn_on() {
        let turns = Turns::new(1);
        let never = turns.in_turn(std::future::pending::<()>());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), never).await.is_err());
        assert_eq!(turns.in_turn(async { 7 }).await, 7);
    }
}
