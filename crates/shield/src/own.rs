//! What a function or a tenant says of its sources and of how often it may be asked. It never reads a manifest, a clock
//! or a table of its own: the screen holds what is counted.

use std::{
    fmt::Write,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use model::limits;

use crate::{
    Blocked, EntryError, Firewall,
    firewall::{At, Sets, source},
    rate::{Left, Rate, Rated},
};

/// What is counted together, for as long as it lives: one function, or one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope(u64);

/// Which rate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quota {
    /// A function's, of one source.
    FunctionSource,
    /// A function's, of one caller.
    FunctionCaller,
    /// A function's, of all together.
    Function,
    /// A tenant's, of one source.
    TenantSource,
    /// A tenant's, of one caller.
    TenantCaller,
    /// A tenant's, of all together.
    Tenant,
}

impl Quota {
    /// The code of a refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::FunctionSource => "function-source-rate",
            Self::FunctionCaller => "function-caller-rate",
            Self::Function => "function-rate",
            Self::TenantSource => "tenant-source-rate",
            Self::TenantCaller => "tenant-caller-rate",
            Self::Tenant => "tenant-rate",
        }
    }

    /// Its name in `RateLimit`.
    const fn name(self) -> &'static str {
        match self {
            Self::FunctionSource => "source",
            Self::FunctionCaller => "caller",
            Self::Function => "function",
            Self::TenantSource => "tenant-source",
            Self::TenantCaller => "tenant-caller",
            Self::Tenant => "tenant",
        }
    }
}

/// The rates of a function or a tenant.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnRates {
    source: Option<Rate>,
    caller: Option<Rate>,
    all: Option<Rate>,
}

impl OwnRates {
    fn new(typed: [Option<model::RequestRate>; 3]) -> Self {
        let [source, caller, all] = typed.map(|typed| {
            typed.map(|typed| {
                let period_ms = typed.seconds.saturating_mul(1_000);
                Rate::new(typed.requests, period_ms, typed.burst.unwrap_or(typed.requests))
            })
        });
        Self { source, caller, all }
    }
}

/// Whose requests a function or a tenant takes, and how often.
#[derive(Debug, Clone)]
pub struct Own {
    scope: Scope,
    firewall: Firewall,
    rates: OwnRates,
    is_tenants: bool,
}

impl Own {
    /// A function's.
    ///
    /// # Errors
    /// The first entry of a list that is none.
    pub fn of_function(scope: Scope, shield: &model::Shield, at: At) -> Result<Self, EntryError> {
        let firewall = Firewall::parse(&shield.allow, &shield.deny, at)?;
        let model::Rates { source, caller, function } = shield.rate;
        Ok(Self { scope, firewall, rates: OwnRates::new([source, caller, function]), is_tenants: false })
    }

    /// A tenant's.
    ///
    /// # Errors
    /// The first entry of a list that is none.
    pub fn of_tenant(scope: Scope, shield: &model::TenantShield, at: At) -> Result<Self, EntryError> {
        let firewall = Firewall::parse(&shield.allow, &shield.deny, at)?;
        let model::TenantRates { source, caller, tenant } = shield.rate;
        Ok(Self { scope, firewall, rates: OwnRates::new([source, caller, tenant]), is_tenants: true })
    }

    /// What is counted together.
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Who may ask.
    pub const fn firewall(&self) -> &Firewall {
        &self.firewall
    }

    /// Whether it takes every request.
    pub const fn is_silent(&self) -> bool {
        self.firewall.is_open() && !self.is_rated()
    }

    /// Whether it has any rate.
    pub const fn is_rated(&self) -> bool {
        self.rates.source.is_some() || self.rates.caller.is_some() || self.rates.all.is_some()
    }

    /// One request of a rate, where there is such a rate.
    fn wanted(&self, quota: Quota, rate: Option<Rate>, who: Who) -> Option<Wanted> {
        rate.map(|rate| (quota, Key { scope: self.scope, rate, who }))
    }

    const fn quotas(&self) -> (Quota, Quota, Quota) {
        match self.is_tenants {
            true => (Quota::TenantSource, Quota::TenantCaller, Quota::Tenant),
            false => (Quota::FunctionSource, Quota::FunctionCaller, Quota::Function),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    Source(IpAddr),
    /// By a hash of its name that nobody outside can foretell.
    Caller(u64),
    All,
}

/// A rate is part of it: another one is counted anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    scope: Scope,
    rate: Rate,
    who: Who,
}

/// One request that is to be counted, and by which rate.
type Wanted = (Quota, Key);

/// What all functions and tenants count, in one bounded table.
#[derive(Debug)]
pub(crate) struct OwnTable {
    counts: Rated<Key>,
    names: RandomState,
    scopes: AtomicU64,
}

impl Default for OwnTable {
    fn default() -> Self {
        let counts = Rated::new(limits::OWN_RATE_KEYS_MAX);
        Self { counts, names: RandomState::new(), scopes: AtomicU64::new(0) }
    }
}

impl OwnTable {
    pub(crate) fn scope(&self) -> Scope {
        Scope(self.scopes.fetch_add(1, Ordering::Relaxed))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }

    /// Takes one of each, or none of any: whoever is refused by one rate uses up no other.
    fn take<const N: usize>(&self, wanted: [Option<Wanted>; N], now_ms: u64) -> Result<(), Blocked> {
        let wanted = wanted.iter().flatten();
        for (quota, key) in wanted.clone() {
            if let Some(wait) = self.counts.wait_ms(key.rate, key, now_ms) {
                return Err(Blocked::OwnRate { quota: *quota, retry_after_ms: wait });
            }
        }
        for (quota, key) in wanted {
            let taken = self.counts.take(key.rate, key, now_ms);
            taken.map_err(|wait| Blocked::OwnRate { quota: *quota, retry_after_ms: wait })?;
        }
        Ok(())
    }

    pub(crate) fn admit_source(
        &self,
        owns: [&Own; 2],
        address: IpAddr,
        sets: &Sets,
        now_ms: u64,
    ) -> Result<(), Blocked> {
        if !owns.iter().all(|own| own.firewall.permits(address, now_ms, sets)) {
            return Err(Blocked::SourceDenied);
        }
        let who = Who::Source(source(address));
        self.take(owns.map(|own| own.wanted(own.quotas().0, own.rates.source, who)), now_ms)
    }

    pub(crate) fn admit_caller(
        &self,
        owns: [&Own; 2],
        caller: Option<&str>,
        now_ms: u64,
    ) -> Result<(), Blocked> {
        let caller = caller.map(|caller| Who::Caller(self.names.hash_one(caller)));
        let [tenants, functions] = owns.map(|own| {
            let (_, of_caller, of_all) = own.quotas();
            let of_caller = caller.and_then(|who| own.wanted(of_caller, own.rates.caller, who));
            (of_caller, own.wanted(of_all, own.rates.all, Who::All))
        });
        self.take([tenants.0, tenants.1, functions.0, functions.1], now_ms)
    }

    /// `RateLimit-Policy` and `RateLimit` of an answer. What all use together is told as a policy alone, but where it is
    /// why the answer is a refusal: how much of it is left would tell of others.
    pub(crate) fn told(
        &self,
        owns: [&Own; 2],
        address: IpAddr,
        caller: Option<&str>,
        refused: Option<&'static str>,
        now_ms: u64,
    ) -> Option<(String, String)> {
        let (mut policies, mut standings) = (String::new(), String::new());
        for own in owns {
            let (of_source, of_caller, of_all) = own.quotas();
            let caller = caller.map(|caller| Who::Caller(self.names.hash_one(caller)));
            let rows = [
                (of_source, own.rates.source, Some(Who::Source(source(address)))),
                (of_caller, own.rates.caller, caller),
                (of_all, own.rates.all, (refused == Some(of_all.code())).then_some(Who::All)),
            ];
            for (quota, rate, who) in rows {
                let Some(rate) = rate else { continue };
                let (count, seconds) = rate.quota();
                item(&mut policies, quota, ("q", count), ("w", seconds));
                let Some(who) = who else { continue };
                let Left { remaining, reset_ms } =
                    self.counts.standing(rate, &Key { scope: own.scope, rate, who }, now_ms);
                item(&mut standings, quota, ("r", remaining), ("t", reset_ms.div_ceil(1_000)));
            }
        }
        (!policies.is_empty()).then_some((policies, standings))
    }
}

/// One item of a list of strings with two integers each (RFC 9651 §3.1; integers have fifteen digits at most).
fn item(list: &mut String, quota: Quota, one: (&str, u64), two: (&str, u64)) {
    let comma = if list.is_empty() { "" } else { ", " };
    let most = 999_999_999_999_999;
    let (a, b) = (one.1.min(most), two.1.min(most));
    // To write into a text cannot fail.
    let _written = write!(list, "{comma}\"{}\";{}={a};{}={b}", quota.name(), one.0, two.0);
}

#[cfg(test)]
mod tests;
