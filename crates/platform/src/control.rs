//! What every control operation begins and ends with: whose, may they, and what is recorded; and reading
//! what was recorded and logged. It never changes anything but the record.

use std::sync::Arc;

use ledger::{Event, Kind};
use model::{FunctionName, RequestId, TenantId};
use policy::{Action, Permit, Resource};

use crate::{
    LogLine, Platform,
    catalog::Home,
    functions::not_found,
    invoke::Asked,
    logs::FunctionLog,
    recorder::About,
    refused::{ControlError, Ctx, Refused},
};

/// Rows of one answer.
const ROWS_MAX: usize = 1_000;

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct RecordQuery {
    /// Of this request alone.
    pub request: Option<RequestId>,
    /// About this function alone.
    pub function: Option<FunctionName>,
    /// How many at most; at most a thousand.
    pub limit: usize,
}

/// An event and its number in the record.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its number.
    pub number: u64,
    /// The event.
    pub event: Event,
}

/// An act on something, for its events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct What<'a> {
    pub(crate) kind: Kind,
    pub(crate) tenant: &'a TenantId,
    pub(crate) resource: Resource<'a>,
}

impl Platform {
    pub(crate) fn home(&self, tenant: &TenantId) -> Result<Arc<Home>, ControlError> {
        self.catalog.home(tenant).ok_or_else(|| ControlError::NotFound(format!("tenant `{tenant}`")))
    }

    /// Decides a control action on a tenant or a function of it.
    pub(crate) fn permit(
        &self,
        ctx: Ctx<'_>,
        home: &Home,
        action: Action,
        resource: Resource<'_>,
    ) -> Result<Permit, Refused> {
        let asked = Asked { id: ctx.id, method: "", path: "", host: "", peer: ctx.peer, waiver: None };
        let named = resource.to_string().into();
        self.decide(&home.view().control, &asked, ctx.caller, action, (resource, named))
    }

    /// Decides a control action on the node.
    pub(crate) fn permit_node(&self, ctx: Ctx<'_>, action: Action) -> Result<Permit, Refused> {
        let asked = Asked { id: ctx.id, method: "", path: "", host: "", peer: ctx.peer, waiver: None };
        let named = Resource::Node.to_string().into();
        self.decide(&self.node_slice, &asked, ctx.caller, action, (Resource::Node, named))
    }

    /// Puts an act into the record, durably, before it is done.
    ///
    /// # Errors
    /// [`Refused::Unavailable`]: then it must not be done.
    pub(crate) async fn record_act(
        &self,
        ctx: Ctx<'_>,
        what: What<'_>,
        detail: &str,
    ) -> Result<(), ControlError> {
        let mut event = self.act(ctx, what);
        event.allowed = true;
        event.detail = detail.into();
        self.recorder.record_durably(&event).await.map_err(|e| ControlError::Refused(e.into()))?;
        Ok(())
    }

    /// Puts it into the record that a permitted act came to nothing.
    pub(crate) fn note_failure<T>(
        &self,
        ctx: Ctx<'_>,
        what: What<'_>,
        done: Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        if let Err(error) = &done {
            let mut event = self.act(ctx, what);
            event.code = error.code().into();
            event.detail = error.to_string().into();
            self.note(&event);
        }
        done
    }

    /// Notes in the record of the caller's own tenant that the body of a control request was refused before
    /// anyone looked into it.
    pub fn note_body(&self, ctx: Ctx<'_>, code: &'static str) {
        let (tenant, source) = (ctx.caller.principal().tenant.as_ref(), Some(ctx.peer.address.ip()));
        let about = About { request: Some(ctx.id), tenant, source };
        let mut event = about.on(self.recorder.event(Kind::Refusal));
        event.principal = ctx.caller.principal().to_string().into();
        event.code = code.into();
        event.detail = "the body of a control request".into();
        self.note(&event);
    }

    fn act(&self, ctx: Ctx<'_>, what: What<'_>) -> Event {
        let source = Some(ctx.peer.address.ip());
        let about = About { request: Some(ctx.id), tenant: Some(what.tenant), source };
        let mut event = about.on(self.recorder.event(what.kind));
        event.principal = ctx.caller.principal().to_string().into();
        event.action = what.kind.as_str().into();
        event.resource = what.resource.to_string().into();
        event
    }

    /// A tenant's events, the newest first.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn records(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        query: &RecordQuery,
    ) -> Result<Vec<Recorded>, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ReadRecord, Resource::Tenant(tenant))?;
        let function = query.function.as_ref();
        let resource = function.map(|name| Resource::Function(tenant, name).to_string());
        let wanted = |event: &Event| {
            event.tenant.as_ref() == Some(tenant)
                && query.request.is_none_or(|id| event.request == Some(id))
                && resource.as_ref().is_none_or(|r| *event.resource == **r)
        };
        let most = query.limit.clamp(1, ROWS_MAX);
        let found = self.recorder.newest(most, wanted).await?;
        Ok(found.into_iter().map(|(number, event)| Recorded { number, event }).collect())
    }

    /// The node's own events, which are no tenant's: its starts and stops, decisions about the node, and what was
    /// refused before a tenant was known. The newest first.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn node_records(
        &self,
        ctx: Ctx<'_>,
        query: &RecordQuery,
    ) -> Result<Vec<Recorded>, ControlError> {
        self.permit_node(ctx, Action::ReadNode)?;
        let wanted = |event: &Event| {
            event.tenant.is_none() && query.request.is_none_or(|id| event.request == Some(id))
        };
        let found = self.recorder.newest(query.limit.clamp(1, ROWS_MAX), wanted).await?;
        Ok(found.into_iter().map(|(number, event)| Recorded { number, event }).collect())
    }

    /// Lines of a function's log after a number, or its last ones where none is given.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn read_logs(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        function: &FunctionName,
        after: Option<u64>,
    ) -> Result<Vec<LogLine>, ControlError> {
        let log = self.log_of(ctx, tenant, function)?;
        Ok(match after {
            Some(after) => log.after(after, ROWS_MAX),
            None => log.last(ROWS_MAX),
        })
    }

    /// A function's log, to follow: each call of the answer waits for lines after the number that it is given.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn follow_logs(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        function: &FunctionName,
    ) -> Result<Follow, ControlError> {
        Ok(Follow(self.log_of(ctx, tenant, function)?))
    }

    /// When a token ends.
    pub fn token_ends(&self, id: &model::TokenId) -> Option<model::Timestamp> {
        self.tokens.token(id).map(|token| token.expires_at)
    }

    /// Whether a caller's credential would still be taken: for answers that go on for long.
    pub fn still_holds(&self, caller: &identity::Caller) -> bool {
        if let Some(session) = self.session_of(caller) {
            return self.session_holds(&session);
        }
        let Some(token) = caller.token().and_then(|id| self.tokens.token(id)) else { return false };
        token.revoked_at.is_none() && token.expires_at > self.clock.now()
    }

    fn log_of(
        &self,
        ctx: Ctx<'_>,
        tenant: &TenantId,
        function: &FunctionName,
    ) -> Result<Arc<FunctionLog>, ControlError> {
        let home = self.home(tenant)?;
        self.permit(ctx, &home, Action::ReadLogs, Resource::Function(tenant, function))?;
        let view = home.view();
        let placed = view.functions.get(function).ok_or_else(|| not_found(function))?;
        Ok(placed.target.life.log.clone())
    }
}

/// A log that is followed.
#[derive(Debug, Clone)]
pub struct Follow(Arc<FunctionLog>);

impl Follow {
    /// The next lines after a number, at most a thousand, as soon as there are some.
    pub async fn next(&self, after: u64) -> Vec<LogLine> {
        self.0.wait_after(after).await;
        self.0.after(after, ROWS_MAX)
    }
}
