//! How many runs there may be at once, of a function, a tenant and the node, and who waits. It never runs
//! anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use model::{Fault, Limits, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::quota::{Quota, Taken};

/// The places of one function.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    waiting: AtomicU64,
    queue: u64,
    wait: Duration,
}

/// The places of the node.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Semaphore>);

/// The right to one run. Dropping it lets the next in.
#[derive(Debug)]
pub(crate) struct Pass {
    _function: OwnedSemaphorePermit,
    _tenant: Taken,
    _node: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(places: u64) -> Self {
        Self(Arc::new(Semaphore::new(as_permits(places))))
    }

    pub(crate) fn free(&self) -> usize {
        self.0.available_permits()
    }
}

/// One more who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicU64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Self {
        let places = Arc::new(Semaphore::new(as_permits(limits.concurrency)));
        let wait = Duration::from_millis(limits.queue_ms);
        Self { places, waiting: AtomicU64::new(0), queue: limits.queue, wait }
    }

    /// Waits for a place of the function and one of the node, at most `queue_ms` and behind
    /// at most `queue` others. A tenant that has all its places in use is refused at once, so that it cannot
    /// fill the queues of others.
    ///
    /// # Errors
    /// [`Fault::FunctionBusy`], [`Fault::TenantBusy`] or [`Fault::NodeBusy`].
    pub(crate) async fn enter(&self, tenant: &Quota, node: &Places) -> Result<Pass, Fault> {
        self.enter_within(tenant, node, self.wait).await
    }

    /// As [`Gate::enter`], for a call of another function. It holds places while it waits, of which the one that it
    /// waits for may be the reason: it waits for less long, so that chains that hold each other up let go soon.
    ///
    /// # Errors
    /// As [`Gate::enter`].
    pub(crate) async fn enter_holding(&self, tenant: &Quota, node: &Places) -> Result<Pass, Fault> {
        let most = Duration::from_millis(limits::CHAIN_QUEUE_MS);
        self.enter_within(tenant, node, self.wait.min(most)).await
    }

    async fn enter_within(&self, tenant: &Quota, node: &Places, wait: Duration) -> Result<Pass, Fault> {
        let _tenant = tenant.take().ok_or(Fault::TenantBusy)?;
        let (function, place) = (self.places.clone().try_acquire_owned(), node.0.clone().try_acquire_owned());
        let full = match (function, place) {
            (Ok(_function), Ok(_node)) => return Ok(Pass { _function, _tenant, _node }),
            (Ok(_), Err(_)) => Fault::NodeBusy,
            (Err(_), _) => Fault::FunctionBusy,
        };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(full);
        }
        let _waiting = Waiting(&self.waiting);
        let turn = async {
            let function = self.places.clone().acquire_owned().await;
            (function, node.0.clone().acquire_owned().await)
        };
        match tokio::time::timeout(wait, turn).await {
            Ok((Ok(_function), Ok(_node))) => Ok(Pass { _function, _tenant, _node }),
            _ if node.free() == 0 => Err(Fault::NodeBusy),
            _ => Err(Fault::FunctionBusy),
        }
    }
}

fn as_permits(places: u64) -> usize {
    usize::try_from(places).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(concurrency: u64, queue: u64) -> Gate {
        Gate::new(&Limits { concurrency, queue, ..Limits::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn each_bound_has_its_fault() {
        let (tenant, node) = (Quota::new(10), Places::new(10));
        let one = gate(1, 0);
        let held = one.enter(&tenant, &node).await.unwrap();
        assert_eq!(one.enter(&tenant, &node).await.unwrap_err(), Fault::FunctionBusy);
        drop(held);
        assert!(one.enter(&tenant, &node).await.is_ok());
        assert_eq!(gate(5, 5).enter(&Quota::new(0), &node).await.unwrap_err(), Fault::TenantBusy);
        assert_eq!(gate(5, 0).enter(&tenant, &Places::new(0)).await.unwrap_err(), Fault::NodeBusy);
        assert_eq!(gate(5, 5).enter(&tenant, &Places::new(0)).await.unwrap_err(), Fault::NodeBusy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_gets_the_place_that_is_left() {
        let (tenant, node) = (Quota::new(10), Places::new(10));
        let one = Arc::new(gate(1, 1));
        let held = one.enter(&tenant, &node).await.unwrap();
        let waiter = tokio::spawn({
            let (one, tenant, node) = (one.clone(), tenant.clone(), node.clone());
            async move { one.enter(&tenant, &node).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert_eq!(one.enter(&tenant, &node).await.unwrap_err(), Fault::FunctionBusy, "the queue is full");
        drop(held);
        assert!(waiter.await.unwrap());
        assert_eq!(one.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_holds_places_waits_less_long() {
        let (tenant, node) = (Quota::new(10), Places::new(10));
        let one = gate(1, 2);
        let _held = one.enter(&tenant, &node).await.unwrap();
        let start = tokio::time::Instant::now();
        assert_eq!(one.enter_holding(&tenant, &node).await.unwrap_err(), Fault::FunctionBusy);
        assert_eq!(start.elapsed(), Duration::from_millis(limits::CHAIN_QUEUE_MS));
        assert_eq!(one.enter(&tenant, &node).await.unwrap_err(), Fault::FunctionBusy);
        assert!(start.elapsed() > Duration::from_millis(2 * limits::CHAIN_QUEUE_MS));
        let short = Gate::new(&Limits { concurrency: 0, queue: 1, queue_ms: 10, ..Limits::default() });
        let start = tokio::time::Instant::now();
        assert_eq!(short.enter_holding(&tenant, &node).await.unwrap_err(), Fault::FunctionBusy);
        assert_eq!(start.elapsed(), Duration::from_millis(10), "never longer than the function's own");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends() {
        let (tenant, node) = (Quota::new(10), Places::new(10));
        let one = gate(1, 1);
        let _held = one.enter(&tenant, &node).await.unwrap();
        assert_eq!(one.enter(&tenant, &node).await.unwrap_err(), Fault::FunctionBusy);
        assert_eq!(tenant.taken(), 1, "a refused one leaves no place taken");
    }
}
