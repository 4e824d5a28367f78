//! The story of a signal, of an action or of a request: what the shield saw, what it did, and which refusals are behind
//! that. It shows refusals, signals and actions alone: the rest of the record wants the right to read it.

use std::sync::Arc;

use ledger::{Event, Kind};
use model::{RequestId, TenantId, limits};
use policy::Action as Asked;
use shield::Action;

use super::Noticed;
use crate::{
    Platform, Recorded,
    recorder::COUNTED,
    refused::{ControlError, Ctx},
};

/// Events of one story.
const EVENTS_MAX: usize = 100;
/// How long before a signal its story begins, in milliseconds.
const BEFORE_MS: u64 = limits::PROBING_LONG_MS;
/// How long after it the story ends: its own event is among those of the same moment.
const AFTER_MS: u64 = 2_000;

/// What is behind something.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// Signals, the newest first.
    pub signals: Vec<Noticed>,
    /// What was done about them, or the action that was asked for.
    pub actions: Vec<Arc<Action>>,
    /// Refusals, signals and actions of the record, the newest first.
    pub events: Vec<Recorded>,
    /// The request that was asked about has no event of its own: of many alike, all but the first are counted together, and
    /// `events` are those counts that it may be in.
    pub gathered: bool,
}

impl Platform {
    /// What is behind a signal, an action or a request, by its name.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn story(
        &self,
        ctx: Ctx<'_>,
        tenant: Option<&TenantId>,
        id: &str,
    ) -> Result<Story, ControlError> {
        self.permit_shield(ctx, tenant, Asked::ReadShield)?;
        let own: Vec<Noticed> = {
            let signals = self.defence.signals.lock();
            signals.iter().rev().filter(|one| one.tenant.as_ref() == tenant).cloned().collect()
        };
        let actions = self.defence.standing.of_tenant(tenant).into_iter();
        let past: Vec<_> = self.defence.past.lock().iter().cloned().collect();
        let actions: Vec<Arc<Action>> =
            actions.chain(past.into_iter().filter(|action| action.tenant.as_ref() == tenant)).collect();
        let request: Option<RequestId> = id.parse().ok();
        let named = actions.iter().find(|action| action.id == id);
        let behind = named.and_then(|action| action.signal.as_deref());
        let signals: Vec<Noticed> = own
            .into_iter()
            .filter(|one| {
                one.id == id || Some(&*one.id) == behind || (request.is_some() && one.request == request)
            })
            .collect();
        let actions: Vec<Arc<Action>> = actions
            .into_iter()
            .filter(|action| {
                action.id == id || signals.iter().any(|one| action.signal.as_deref() == Some(&one.id))
            })
            .collect();
        if signals.is_empty() && actions.is_empty() && request.is_none() {
            let id: String = id.chars().take(80).collect();
            return Err(ControlError::NotFound(format!("signal, action or request `{id}`")));
        }
        let events = self.events_behind(tenant, request, &signals, &actions).await?;
        match request {
            Some(request) if !events.iter().any(|one| one.event.request == Some(request)) => {
                let counted = self.counts_around(tenant, request).await?;
                let gathered = !counted.is_empty();
                let events = events.into_iter().chain(counted).collect();
                Ok(Story { signals, actions, events, gathered })
            }
            _ => Ok(Story { signals, actions, events, gathered: false }),
        }
    }

    /// Refusals that were counted together while a request came. A tenant sees its own alone: those of the node have
    /// addresses of whoever asked anybody.
    async fn counts_around(
        &self,
        tenant: Option<&TenantId>,
        request: RequestId,
    ) -> Result<Vec<Recorded>, ControlError> {
        let came = request.time();
        let wanted = |event: &Event| {
            event.kind == Kind::Refusal
                && event.request.is_none()
                && event.tenant.as_ref() == tenant
                && event.detail.ends_with(COUNTED)
                && event.time.since_ms(came) <= limits::REFUSALS_GATHER_MS + AFTER_MS
        };
        let found = self.recorder.newest_since(EVENTS_MAX, came, wanted).await?;
        Ok(found.into_iter().map(|(number, event)| Recorded { number, event }).collect())
    }

    async fn events_behind(
        &self,
        tenant: Option<&TenantId>,
        request: Option<RequestId>,
        signals: &[Noticed],
        actions: &[Arc<Action>],
    ) -> Result<Vec<Recorded>, ControlError> {
        let moments = signals.iter().map(|one| one.at).chain(actions.iter().map(|action| action.since));
        let began = match (moments.min(), request) {
            (Some(first), _) => first,
            (None, Some(request)) => request.time(),
            (None, None) => return Ok(Vec::new()),
        };
        let since = model::Timestamp::from_unix_ms(began.unix_ms().saturating_sub(BEFORE_MS));
        let of_signal = |event: &Event| {
            signals.iter().any(|one| {
                let near =
                    event.time.since_ms(one.at) <= AFTER_MS && one.at.since_ms(event.time) <= BEFORE_MS;
                let same_request = one.request.is_some() && event.request == one.request;
                let same = same_request || (one.source.is_some() && event.source == one.source);
                near && same
            })
        };
        let names = |event: &Event| {
            let named = |id: &str| event.detail.contains(&format!("`{id}`"));
            signals.iter().any(|one| named(&one.id)) || actions.iter().any(|action| named(&action.id))
        };
        let wanted = |event: &Event| {
            let told = matches!(event.kind, Kind::Refusal | Kind::Signal | Kind::Action);
            let told = told || (event.kind == Kind::Decision && !event.allowed);
            // What was refused before a tenant was known is behind its signals too.
            let own =
                event.tenant.as_ref() == tenant || (event.tenant.is_none() && *event.code == *"no-route");
            let asked = request.is_some() && event.request == request;
            told && own && (asked || names(event) || of_signal(event))
        };
        let found = self.recorder.newest_since(EVENTS_MAX, since, wanted).await?;
        Ok(found.into_iter().map(|(number, event)| Recorded { number, event }).collect())
    }
}
