//! What operators do against somebody or something, and undo; and the end of what the node did by itself. Each is decided
//! by policy, and what cannot be in the record is not done.

use std::sync::Arc;

use identity::holds;
use ledger::{Event, Kind};
use model::{FunctionName, Role, TenantId, Timestamp, TokenId, limits};
use policy::{Action as Asked, Resource};
use shield::{Action, Cidr, Measure, Subject, TooMany};

use super::{Noticed, kept};
use crate::{
    Platform,
    functions::not_found,
    recorder::About,
    refused::{ControlError, Ctx, Refused},
};

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 512;
/// How many actions are undone by one wait for the record.
const UNDONE_AT_ONCE: usize = 256;

/// Against whom or what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Against {
    /// Everybody of a range of addresses, or only those there who present no credential that holds.
    Source {
        /// The range.
        range: Cidr,
        /// Only those.
        strangers: bool,
        /// At the port of operators too.
        control: bool,
    },
    /// Refusals of a range of addresses are answered late.
    Slowed(Cidr),
    /// A token or a session.
    Token(TokenId),
    /// The revision of a function that answers now.
    Function(FunctionName),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAction {
    /// Against what.
    pub against: Against,
    /// For how long, in seconds.
    pub seconds: u64,
    /// Why.
    pub reason: String,
}

/// Which actions are undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// One by its name, or all against an address or a range.
    Named(&'a str),
    /// All.
    All,
    /// All that the node did by itself.
    ByItself,
}

/// What the shield saw and does.
#[derive(Debug, Clone)]
pub struct ShieldView {
    /// Signals of the last day, the newest first.
    pub signals: Vec<Noticed>,
    /// What is in force, the oldest first.
    pub actions: Vec<Arc<Action>>,
    /// What was and is over, of the last day, the newest first.
    pub past: Vec<Arc<Action>>,
    /// How each function's profile stands.
    pub profiles: Vec<(FunctionName, model::RevisionNumber, &'static str)>,
}

/// Whether roles let somebody undo what the shield does.
pub(super) fn is_above(roles: &[Role]) -> bool {
    [Role::Owner, Role::Admin].iter().any(|role| roles.contains(role))
}

/// Whether an action is meant: by its name, by its range, or by an address of the one source that it is against.
fn is_named(action: &Action, name: &str) -> bool {
    let range: Option<Cidr> = name.parse().ok();
    match (&action.subject, range) {
        (Subject::Source(own), Some(range)) => {
            let one = || own.one_source().is_some() && name.parse().is_ok_and(|one| own.contains(one));
            *own == range || one()
        }
        _ => action.id == name,
    }
}

impl Platform {
    /// What a tenant's shield saw and does; of the node itself where no tenant is named.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn shield_view(&self, ctx: Ctx<'_>, tenant: Option<&TenantId>) -> Result<ShieldView, ControlError> {
        self.permit_shield(ctx, tenant, Asked::ReadShield)?;
        self.expire_actions();
        let newest = |signals: &std::collections::VecDeque<Noticed>| {
            let own = signals.iter().rev().filter(|one| one.tenant.as_ref() == tenant);
            own.cloned().collect()
        };
        // One lock at a time: whoever forgets takes that of signals first.
        let past = {
            let past = self.defence.past.lock();
            past.iter().rev().filter(|one| one.tenant.as_ref() == tenant).cloned().collect()
        };
        let mut profiles = Vec::new();
        if let Some(home) = tenant.and_then(|tenant| self.catalog.home(tenant)) {
            for (name, placed) in &home.view().functions {
                if let Some(watched) = placed.target.life.profile.now() {
                    profiles.push((name.clone(), watched.number, watched.stage().as_str()));
                }
            }
        }
        let actions = self.defence.standing.of_tenant(tenant);
        Ok(ShieldView { signals: newest(&self.defence.signals.lock()), actions, past, profiles })
    }

    pub(super) fn permit_shield(
        &self,
        ctx: Ctx<'_>,
        tenant: Option<&TenantId>,
        action: Asked,
    ) -> Result<(), ControlError> {
        match tenant {
            None => self.permit_node(ctx, action)?,
            Some(tenant) => {
                let home = self.home(tenant)?;
                self.permit(ctx, &home, action, Resource::Tenant(tenant))?
            }
        };
        Ok(())
    }

    /// Does something against somebody, for a tenant's functions or for all.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn act_against(
        &self,
        ctx: Ctx<'_>,
        tenant: Option<&TenantId>,
        new: NewAction,
    ) -> Result<Arc<Action>, ControlError> {
        self.permit_shield(ctx, tenant, Asked::ManageShield)?;
        let invalid = |message: String| ControlError::Invalid { code: "shield-action", message };
        let most = limits::ACTION_MINUTES_MAX * 60;
        if !(1..=most).contains(&new.seconds) {
            return Err(invalid(format!("it lasts from 1 to {most} seconds, and ends by itself")));
        }
        let reason = new.reason.trim();
        if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
            return Err(invalid(format!("`reason` says why, in at most {REASON_BYTES_MAX} bytes")));
        }
        let (measure, subject, control) = self.meant(ctx, tenant, &new.against)?;
        let now = self.clock.now();
        let action = Arc::new(Action {
            id: self.short_id("a")?,
            tenant: tenant.cloned(),
            measure,
            subject,
            control,
            reason: reason.to_owned(),
            by: ctx.caller.principal().to_string(),
            signal: None,
            since: now,
            until: now.plus_ms(new.seconds * 1_000),
            ended: None,
        });
        let mut event = self.action_event(&action, &action.by);
        event.request = Some(ctx.id);
        event.source = Some(ctx.peer.address.ip());
        // The place is taken first, so that the record never tells of what there was no room for.
        let full = |error: TooMany| ControlError::Conflict(error.to_string());
        self.defence.standing.put(action.clone()).map_err(full)?;
        if let Err(error) = self.recorder.record_durably(&event).await {
            self.defence.standing.remove(&action.id);
            return Err(ControlError::Refused(error.into()));
        }
        self.defence.unsaved.lock().action(action.clone());
        self.save_defence().await?;
        Ok(action)
    }

    /// What is to be done against what, if the caller may.
    fn meant(
        &self,
        ctx: Ctx<'_>,
        tenant: Option<&TenantId>,
        against: &Against,
    ) -> Result<(Measure, Subject, bool), ControlError> {
        let invalid = |message: String| ControlError::Invalid { code: "shield-action", message };
        match against {
            Against::Source { range, strangers, control } => {
                if *control && tenant.is_some() {
                    return Err(invalid("only the node as a whole blocks at the control API".to_owned()));
                }
                if *control && range.contains(ctx.peer.address.ip()) {
                    let message = format!("`{range}` has your own address in it: you could not undo it");
                    return Err(invalid(message));
                }
                let measure = if *strangers && !control { Measure::BlockStrangers } else { Measure::Block };
                Ok((measure, Subject::Source(*range), *control))
            }
            Against::Slowed(range) => Ok((Measure::Slow, Subject::Source(*range), false)),
            Against::Token(id) => {
                self.may_suspend(ctx, tenant, id)?;
                Ok((Measure::Suspend, Subject::Token(id.clone()), false))
            }
            Against::Function(function) => {
                let target = tenant.and_then(|tenant| self.catalog.named(tenant, function));
                let target = target.ok_or_else(|| not_found(function))?;
                let subject = Subject::Revision(function.clone(), target.revision.number);
                Ok((Measure::Quarantine, subject, false))
            }
        }
    }

    /// Whether somebody may suspend a token or a session: one of the tenant's that is not the one that they ask with, and
    /// gives no more than they hold.
    fn may_suspend(&self, ctx: Ctx<'_>, tenant: Option<&TenantId>, id: &TokenId) -> Result<(), ControlError> {
        let own_session = self.session_of(ctx.caller).map(|session| session.id);
        if ctx.caller.token() == Some(id) || own_session.as_ref() == Some(id) {
            let message = format!("`{id}` is what you ask with: you could not undo it");
            return Err(ControlError::Conflict(message));
        }
        let escalates = match (self.tokens.token(id), self.sessions.session(id)) {
            (Some(record), _) if tenant == Some(&record.tenant) => {
                self.tokens_outrank(&record.tenant, ctx, &record.name, Some(id))
            }
            (None, Some(session)) if tenant == Some(&session.tenant) => {
                let (caller, own) = (ctx.caller.principal(), session.principal());
                let itself = caller.name == own.name && caller.tenant == own.tenant;
                let held = holds(caller, &session.tenant, &session.roles, &session.scopes, true);
                !itself && held.is_err()
            }
            _ => return Err(ControlError::NotFound(format!("token or session `{id}`"))),
        };
        if escalates {
            let reason = format!("`{id}` gives more than its suspender holds");
            return Err(Refused::Forbidden { code: "escalation", reason }.into());
        }
        Ok(())
    }

    /// Undoes an action, by its name or by the address that it is against, or many at once. The answer is what was undone.
    ///
    /// # Errors
    /// [`ControlError`]; what was undone before the record took no more stays undone.
    pub async fn undo(
        &self,
        ctx: Ctx<'_>,
        tenant: Option<&TenantId>,
        which: Which<'_>,
    ) -> Result<Vec<Arc<Action>>, ControlError> {
        self.permit_shield(ctx, tenant, Asked::ManageShield)?;
        let mut found = self.defence.standing.of_tenant(tenant);
        match which {
            Which::All => {}
            Which::ByItself => found.retain(|action| action.is_by_itself()),
            Which::Named(name) => {
                found.retain(|action| is_named(action, name));
                if found.is_empty() {
                    let name: String = name.chars().take(80).collect();
                    return Err(ControlError::NotFound(format!("action `{name}`")));
                }
            }
        }
        let by = ctx.caller.principal().to_string();
        for some in found.chunks(UNDONE_AT_ONCE) {
            let mut last = None;
            for action in some {
                let mut event = self.undo_event(action, &by, "undone");
                event.request = Some(ctx.id);
                event.source = Some(ctx.peer.address.ip());
                if let Some(before) = last.replace(event) {
                    self.recorder.record(&before).map_err(|e| ControlError::Refused(e.into()))?;
                }
            }
            // When the last is durable, all before it are.
            if let Some(last) = last {
                self.recorder.record_durably(&last).await.map_err(|e| ControlError::Refused(e.into()))?;
            }
            self.over(some, self.clock.now(), &by);
        }
        self.save_defence().await?;
        Ok(found)
    }

    /// Ends what is over by now, and says so in the record.
    pub(super) fn expire_actions(&self) {
        let now = self.clock.now();
        for action in self.defence.standing.expire(now) {
            self.note(&self.undo_event(&action, "", "ended by itself"));
            self.over(std::slice::from_ref(&action), action.until, "");
        }
    }

    /// Ends what the node did by itself for what it does in its place.
    pub(super) fn gave_way(&self, action: &Arc<Action>, to: &str) {
        self.note(&self.undo_event(
            action,
            "",
            &format!("gave way to `{to}`: no more room for what is done by itself"),
        ));
        self.over(std::slice::from_ref(action), self.clock.now(), "");
    }

    fn over(&self, actions: &[Arc<Action>], at: Timestamp, by: &str) {
        self.defence.standing.remove_all(actions.iter().map(|action| &*action.id));
        let mut past = self.defence.past.lock();
        for action in actions {
            let ended = Arc::new(Action { ended: Some((at, by.to_owned())), ..Action::clone(action) });
            let most = (limits::SIGNALS_OF_TENANT, limits::ACTIONS_MAX);
            if let Some(oldest) = kept::make_room(&mut past, &ended.tenant, |one| &one.tenant, most) {
                self.defence.unsaved.lock().action_gone(&oldest.id);
            }
            past.push_back(ended.clone());
            self.defence.unsaved.lock().action(ended);
        }
        drop(past);
        self.defence.wake.send_replace(());
    }

    pub(super) fn action_event(&self, action: &Action, by: &str) -> Event {
        let mut event = self.event_about(action, by);
        event.action = action.measure.act().into();
        let (until, reason) = (action.until, &action.reason);
        let control = if action.control { ", at the control API too" } else { "" };
        let strangers = if action.measure == Measure::BlockStrangers { ", strangers alone" } else { "" };
        let number = match &action.subject {
            Subject::Revision(_, number) => format!(", {number}"),
            _ => String::new(),
        };
        event.detail = format!("`{}` until {until}{number}{strangers}{control}: {reason}", action.id).into();
        event
    }

    fn undo_event(&self, action: &Action, by: &str, how: &str) -> Event {
        let mut event = self.event_about(action, by);
        event.action = "undo".into();
        event.detail = format!("`{}` ({}) {how}", action.id, action.measure.act()).into();
        event
    }

    fn event_about(&self, action: &Action, by: &str) -> Event {
        let about = About { tenant: action.tenant.as_ref(), ..About::default() };
        let mut event = about.on(self.recorder.event(Kind::Action));
        event.principal = by.into();
        event.resource = match (&action.subject, &action.tenant) {
            (Subject::Revision(function, _), Some(tenant)) => {
                Resource::Function(tenant, function).to_string().into()
            }
            (subject, _) => subject.to_string().into(),
        };
        event.code = action.measure.as_str().into();
        event.allowed = true;
        event
    }
}
