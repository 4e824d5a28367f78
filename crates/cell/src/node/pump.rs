//! Request bodies on their way into a worker, as fast as the guest takes them. It never sends more than the
//! window, nor more than the run may be sent.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use model::{Fault, limits};
use tokio::sync::Semaphore;

use super::link::Link;
use crate::{
    BodyBroken, BodyStream,
    protocol::{PART_BYTES_MAX, RunId, ToWorker},
};

/// Starts to send `body`, of which `sent` bytes went with the run's first frame.
pub(super) fn start(link: &Arc<Link>, run: u64, body: BodyStream, sent: u32, most: u64) {
    let window = limits::STREAM_WINDOW_BYTES.saturating_sub(sent);
    let credit = Arc::new(Semaphore::new(window as usize));
    let pump = Pump { link: Arc::clone(link), run, credit: Arc::clone(&credit), left: most };
    let task = tokio::spawn(pump.pass_on(body, u64::from(sent))).abort_handle();
    let known = link.with_run(run, |live| {
        // What the worker took between its start and now.
        let taken = sent.saturating_sub(live.upload.unacked);
        credit.add_permits(taken as usize);
        live.upload.credit = Some(credit);
        live.upload.task = Some(task.clone());
    });
    if known.is_none() {
        task.abort();
    }
}

struct Pump {
    link: Arc<Link>,
    run: u64,
    credit: Arc<Semaphore>,
    left: u64,
}

impl Pump {
    async fn pass_on(mut self, mut body: BodyStream, sent: u64) {
        self.left = self.left.saturating_sub(sent);
        while let Some(piece) = body.next().await {
            let mut piece = match piece {
                Ok(piece) => piece,
                // It is the caller's doing, whatever the guest would have made of half a body.
                Err(BodyBroken::Malformed) => return self.link.cancel(self.run, Fault::RequestBroken),
                Err(BodyBroken::Off) => return self.link.cancel(self.run, Fault::CallerGone),
            };
            let Some(left) = self.left.checked_sub(piece.len() as u64) else {
                self.link.cancel(self.run, Fault::RequestBodyLimit);
                return;
            };
            self.left = left;
            while !piece.is_empty() {
                let part = piece.split_to(piece.len().min(PART_BYTES_MAX));
                if !self.send(part, false).await {
                    return;
                }
            }
        }
        self.send(Bytes::new(), true).await;
    }

    /// False if the run is over.
    async fn send(&self, bytes: Bytes, ends: bool) -> bool {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let Ok(permits) = self.credit.acquire_many(length).await else { return false };
        permits.forget();
        let frame = ToWorker::Body { run: RunId(self.run), bytes, ends };
        let said = self.link.say_of_run(self.run, |live| {
            live.upload.unacked += length;
            Some(&frame)
        });
        said.is_some()
    }
}
