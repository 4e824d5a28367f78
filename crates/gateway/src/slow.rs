//! Answers refusals late where the shield slows their source. It never delays an answer that is none, and never holds more
//! of them than may wait.

use std::time::Duration;

use http::{Request, header};
use model::limits;
use platform::Platform;
use shield::Peer;
use tokio::sync::Semaphore;

/// The places of those who wait.
#[derive(Debug)]
pub(crate) struct Slow(Semaphore);

impl Default for Slow {
    fn default() -> Self {
        Self(Semaphore::new(limits::SLOWED_MAX))
    }
}

impl Slow {
    /// Whether what a request may be refused with comes late.
    pub(crate) fn is_meant<B>(platform: &Platform, request: &Request<B>, peer: &Peer) -> bool {
        let named = || request.headers().get(header::HOST)?.to_str().ok();
        let host = request.uri().host().or_else(named).unwrap_or_default();
        platform.is_slowed(host, peer)
    }

    /// Waits, where there is room to.
    pub(crate) async fn wait(&self) {
        if let Ok(_place) = self.0.try_acquire() {
            tokio::time::sleep(Duration::from_millis(limits::SLOW_MS)).await;
        }
    }
}
