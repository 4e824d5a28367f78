//! The kernel's filters: Landlock for paths and ports, seccomp for calls. It never allows what `calls`
//! does not list.

use std::collections::BTreeMap;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::{
    WallError, WallKind,
    calls::{self, Call, When},
};

/// Takes every path, TCP port, abstract socket and foreign process away, as far as the kernel's Landlock
/// goes. Whether it stands at all.
pub(super) fn forbid_paths() -> Result<bool, WallError> {
    let newest = ABI::V7;
    let restrict = || -> Result<RestrictionStatus, landlock::RulesetError> {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(newest))?
            .handle_access(AccessNet::from_all(newest))?
            .scope(Scope::from_all(newest))?
            .create()?
            .no_new_privs(true)
            .restrict_self()
    };
    match restrict() {
        Ok(status) => Ok(status.ruleset != RulesetStatus::NotEnforced),
        Err(error) => Err(WallError::other("landlock", error)),
    }
}

/// Leaves the calls of `kind` to all threads of the process; any other kills it.
pub(super) fn forbid_calls(kind: WallKind) -> Result<(), WallError> {
    let failed = |error| WallError::other("seccomp", error);
    let (soft, allowed) = programs(kind, std::process::id()).map_err(|e| WallError::other("seccomp", e))?;
    for filter in soft.iter().chain([&allowed]) {
        seccompiler::apply_filter_all_threads(filter).map_err(failed)?;
    }
    Ok(())
}

type Programs = (Vec<BpfProgram>, BpfProgram);

/// The kernel takes the strictest of all filters' answers: a call that is refused with an error is
/// therefore let through by the list that kills, and caught by a filter of its own.
fn programs(kind: WallKind, own: u32) -> Result<Programs, seccompiler::BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    let (mut rules, mut soft) = (BTreeMap::new(), Vec::new());
    for Call { number, when } in calls::kept(kind) {
        rules.insert(*number, conditions(*when, own)?);
        if let When::Refused(error) = when {
            let refuse = SeccompAction::Errno(error.unsigned_abs());
            let one = BTreeMap::from([(*number, Vec::new())]);
            soft.push(SeccompFilter::new(one, SeccompAction::Allow, refuse, arch)?.try_into()?);
        }
    }
    let list = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)?;
    Ok((soft, list.try_into()?))
}

/// One rule for each way to satisfy `when`; none means always.
fn conditions(when: When, own: u32) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let one = |place, operator, value| {
        let condition = SeccompCondition::new(place, SeccompCmpArgLen::Dword, operator, u64::from(value))?;
        SeccompRule::new(vec![condition])
    };
    match when {
        When::Always | When::Refused(_) => Ok(Vec::new()),
        When::OneOf(place, values) => values.iter().map(|v| one(place, SeccompCmpOp::Eq, *v)).collect(),
        When::Bits(place, bits) => Ok(vec![one(place, SeccompCmpOp::MaskedEq(u64::from(bits)), bits)?]),
        When::Own => Ok(vec![one(0, SeccompCmpOp::Eq, own)?]),
    }
}
