//! Refusals in the record: of a request for a function, for a host, or for nobody; by themselves, or counted with others
//! like them. What is refused is refused, whether the record has room for it or not.

use std::{net::IpAddr, sync::atomic::Ordering};

use ledger::{Event, Kind};
use model::{RequestId, limits};
use shield::Peer;

use crate::{Platform, call::Call, catalog::Target, recorder::About};

impl Platform {
    /// Notes in the record that a request was refused before anyone asked who sent it.
    pub fn note_refusal(
        &self,
        id: RequestId,
        target: Option<&Target>,
        peer: &Peer,
        code: &'static str,
        detail: &str,
    ) {
        let source = peer.address.ip();
        let Some(target) = target else { return self.note_refusal_of_node(id, source, code, detail) };
        self.log_refused(target, &Call::unread(id, source), code);
        let about = About { request: Some(id), tenant: Some(target.tenant()), source: Some(source) };
        let mut event = about.on(self.recorder.event(Kind::Refusal));
        event.code = code.into();
        event.detail = detail.into();
        event.resource = target.resource.clone();
        self.note_refused(code, &event);
    }

    /// Notes in the record of a host's tenant that a request was refused before it was known which function it is for.
    pub fn note_refusal_at(&self, id: RequestId, host: &str, peer: &Peer, code: &'static str, detail: &str) {
        let home = self.catalog.of_host(host);
        let tenant = home.as_ref().map(|home| &home.tenant.id);
        self.note_nobody(id, tenant, peer.address.ip(), code, detail);
    }

    /// Notes in the record of the node that something was refused which is of no tenant: a request that never
    /// became one, or whose function there is not.
    pub fn note_refusal_of_node(&self, id: RequestId, source: IpAddr, code: &'static str, detail: &str) {
        let about = About { request: Some(id), tenant: None, source: Some(source) };
        let mut event = about.on(self.recorder.event(Kind::Refusal));
        event.code = code.into();
        event.detail = detail.into();
        self.note_refused(code, &event);
    }

    /// Records a refusal by itself, or counts it with others like it of which there were too many.
    pub(crate) fn note_refused(&self, code: &'static str, event: &Event) {
        let now_ms = self.clock.monotonic_ms();
        if self.recorder.is_told(event, code, now_ms) {
            self.note(event);
        }
    }

    /// Records something that was refused anyway: where the record is full, the refusal stands. The last
    /// quarter of the queue is kept for what is permitted, so that a flood of refusals cannot stop those who
    /// may; how many were left out is recorded with the next that is not. Half of it is open to signals and actions.
    pub(crate) fn note(&self, event: &Event) {
        let told_first = matches!(event.kind, Kind::Signal | Kind::Action);
        if self.recorder.waiting() >= limits::LEDGER_QUEUE / 8 * if told_first { 7 } else { 6 } {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let left_out = self.unrecorded.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let mut gap = self.recorder.event(Kind::Refusal);
            gap.code = "not-recorded".into();
            gap.detail = format!("{left_out} refusals before this were not recorded one by one").into();
            self.put(&gap);
        }
        self.put(event);
    }

    fn put(&self, event: &Event) {
        if let Err(error) = self.recorder.record(event) {
            tracing::error!(code = &*event.code, %error, "a refusal is not in the record");
        }
    }
}
