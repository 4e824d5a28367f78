//! What tenants and functions say of their sources and of how often they may be asked, on the way of a request. It never
//! decides: the shield does.

use std::sync::Arc;

use http::request::Parts;
use identity::Caller;
use ledger::Kind;
use model::{RequestId, TenantLimits, TenantShield, limits};
use parking_lot::RwLock;
use shield::{At, Blocked, EntryError, Own, Peer, Scope, Shield};

use crate::{
    Platform,
    call::Call,
    catalog::Target,
    recorder::About,
    refused::{ControlError, Refused},
};

/// What a tenant says, as it stands. All of its functions look into the same room.
pub(crate) struct TenantRoom {
    now: RwLock<Arc<TenantNow>>,
}

/// What a tenant says at one moment.
pub(crate) struct TenantNow {
    /// As it was given, whatever the node's ceiling is.
    pub(crate) concurrency: u64,
    pub(crate) shield: TenantShield,
    pub(crate) own: Own,
}

impl TenantRoom {
    pub(crate) fn new(now: TenantNow) -> Arc<Self> {
        Arc::new(Self { now: RwLock::new(Arc::new(now)) })
    }

    pub(crate) fn now(&self) -> Arc<TenantNow> {
        self.now.read().clone()
    }

    pub(crate) fn set(&self, now: TenantNow) {
        *self.now.write() = Arc::new(now);
    }
}

impl TenantNow {
    pub(crate) fn new(
        scope: Scope,
        concurrency: u64,
        shield: TenantShield,
        at: At,
    ) -> Result<Self, EntryError> {
        let own = Own::of_tenant(scope, &shield, at)?;
        Ok(Self { concurrency, shield, own })
    }

    /// What stands after a change, before anybody asked whether it may.
    pub(crate) fn changed(&self, limits: &TenantLimits) -> Result<TenantShield, ControlError> {
        let TenantShield { allow, deny, rate } = self.shield.clone();
        let shield = TenantShield {
            allow: limits.allow.clone().unwrap_or(allow),
            deny: limits.deny.clone().unwrap_or(deny),
            rate: limits.rate.unwrap_or(rate),
        };
        let wrong = |message| ControlError::Invalid { code: "tenant-limit", message };
        for (name, list) in [("allow", &shield.allow), ("deny", &shield.deny)] {
            let (count, most) = (list.len(), limits::TENANT_RANGES_MAX);
            if count > most {
                return Err(wrong(format!("`{name}` has {count} entries, more than {most}")));
            }
        }
        shield.rate.check().map_err(wrong)?;
        Ok(shield)
    }
}

impl Platform {
    /// The moment, on both clocks.
    pub(crate) fn moment(&self) -> At {
        At { now: self.clock.now(), now_ms: self.clock.monotonic_ms() }
    }

    /// Asks the tenant and the function whether they take a request of this source. What they refuse is in the record.
    ///
    /// # Errors
    /// [`Blocked`].
    pub fn admit_source(&self, id: RequestId, target: &Target, peer: &Peer) -> Result<(), Blocked> {
        let tenant = target.room.now();
        if tenant.own.is_silent() && target.own.is_silent() {
            return Ok(());
        }
        let (source, now_ms) = (peer.address.ip(), self.clock.monotonic_ms());
        let asked = self.shield.admit_source([&tenant.own, &target.own], source, now_ms);
        asked.inspect_err(|blocked| {
            self.note_refusal(id, Some(target), peer, blocked.code(), &blocked.to_string());
        })
    }

    /// Counts a request that is permitted, by the rates of its tenant and its function.
    pub(crate) fn admit_own(
        &self,
        id: RequestId,
        target: &Target,
        caller: &Caller,
        head: &Parts,
        peer: &Peer,
    ) -> Result<(), Refused> {
        let tenant = target.room.now();
        if !tenant.own.is_rated() && !target.own.is_rated() {
            return Ok(());
        }
        let (name, now_ms) = (named(caller), self.clock.monotonic_ms());
        let counted = self.shield.admit_own_caller([&tenant.own, &target.own], name, now_ms);
        counted.map_err(|blocked| {
            let (code, source) = (blocked.code(), peer.address.ip());
            let call = Call::new(id, caller.key().into(), source, head).through(caller);
            self.log_refused(target, &call, code);
            let about = About { request: Some(id), tenant: Some(target.tenant()), source: Some(source) };
            let mut event = about.on(self.recorder.event(Kind::Refusal));
            event.principal = caller.key().into();
            event.code = code.into();
            event.detail = blocked.to_string().into();
            event.resource = target.resource.clone();
            crate::chain::tell(&mut event, caller.chain().map(|chain| &**chain));
            self.note_refused(code, &event);
            Refused::TooMany { code, retry_after_s: blocked.retry_after_s().unwrap_or(1) }
        })
    }

    /// `RateLimit-Policy` and `RateLimit` of an answer, which may be a refusal with a code; none where neither the
    /// tenant nor the function has a rate.
    pub fn rates_told(
        &self,
        target: &Target,
        peer: &Peer,
        caller: Option<&Caller>,
        refused: Option<&'static str>,
    ) -> Option<(String, String)> {
        let tenant = target.room.now();
        if !tenant.own.is_rated() && !target.own.is_rated() {
            return None;
        }
        let (owns, now_ms) = ([&tenant.own, &target.own], self.clock.monotonic_ms());
        self.shield.rates_told(owns, peer.address.ip(), caller.and_then(named), refused, now_ms)
    }

    /// What a function says of its sources, as a deploy or a rollback gives it.
    ///
    /// # Errors
    /// The entry that is none, or the set that the node has not.
    pub(crate) fn check_own(&self, shield: &model::Shield) -> Result<(), ControlError> {
        let own = self.own_of(self.shield.scope(), shield)?;
        let unknown = |message| ControlError::Invalid { code: "manifest-invalid", message };
        known(&own, &self.shield).map_err(unknown)
    }

    /// The same, ready to be asked, and counted under a scope.
    pub(crate) fn own_of(&self, scope: Scope, shield: &model::Shield) -> Result<Own, ControlError> {
        Own::of_function(scope, shield, self.moment()).map_err(|error| ControlError::Invalid {
            code: "manifest-invalid",
            message: format!("`shield`: {error}"),
        })
    }

    /// The same for a tenant.
    pub(crate) fn check_tenants_own(&self, now: &TenantNow) -> Result<(), ControlError> {
        let wrong = |message| ControlError::Invalid { code: "tenant-limit", message };
        known(&now.own, &self.shield).map_err(wrong)
    }

    /// Notes in the record of the node that its lists were read again, or why they were not.
    pub fn note_lists(&self, read: Result<&str, &str>) {
        let mut event = self.recorder.event(Kind::Node);
        event.action = "firewall".into();
        event.allowed = read.is_ok();
        event.code = if read.is_ok() { "" } else { "lists-unreadable" }.into();
        event.detail = read.unwrap_or_else(|why| why).into();
        self.note(&event);
    }

    /// Warns of every list of a tenant or a function that names a set that is not there.
    pub fn warn_of_sets(&self) {
        for home in self.catalog.homes() {
            self.warn_unknown(&home.room.now().own, &home.tenant.id);
            for placed in home.view().functions.values() {
                self.warn_unknown(&placed.target.own, &placed.target.resource);
            }
        }
    }

    /// Warns of sets that are named and not there: until they are, `allow` holds nobody by them and `deny` everybody.
    pub(crate) fn warn_unknown(&self, own: &Own, whose: &dyn std::fmt::Display) {
        for set in own.firewall().unknown(&self.shield.lists().sets) {
            tracing::warn!(%whose, set, "a list names a set of addresses that this node has not: nobody is let in by it");
        }
    }
}

/// The node has every set that is named.
fn known(own: &Own, shield: &Shield) -> Result<(), String> {
    let lists = shield.lists();
    match own.firewall().unknown(&lists.sets).next() {
        Some(set) => Err(format!(
            "`set:{set}` is no set of this node: its operator names it as `[firewall.sets.{set}]`"
        )),
        None => Ok(()),
    }
}

/// The name that a caller is counted under. Whoever has shown no credential is counted as a source alone.
fn named(caller: &Caller) -> Option<&str> {
    Some(caller.key()).filter(|_| !caller.is_anonymous())
}
