//! Which events somebody wants, told from a leaf's bytes before it is read whole. It never decodes one.

use crate::Kind;

/// A group of events that can be asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Something suspicious was seen.
    Signals,
    /// The node defended itself.
    Actions,
    /// Refused, by policy or before it was asked.
    Refusals,
    /// What is run, who may do what, and the node itself were changed; people logged in and out.
    Changes,
    /// Policy permitted.
    Decisions,
    /// A run failed.
    Runs,
}

impl Group {
    /// Every group, with its name.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Signals, "signals"),
        (Self::Actions, "actions"),
        (Self::Refusals, "refusals"),
        (Self::Changes, "changes"),
        (Self::Decisions, "decisions"),
        (Self::Runs, "runs"),
    ];

    /// The group of an event. Each event is of exactly one.
    pub const fn of(kind: Kind, allowed: bool) -> Self {
        match kind {
            Kind::Signal => Self::Signals,
            Kind::Action => Self::Actions,
            Kind::Decision if allowed => Self::Decisions,
            Kind::Decision | Kind::Refusal => Self::Refusals,
            Kind::Run => Self::Runs,
            Kind::Deploy
            | Kind::Rollback
            | Kind::Remove
            | Kind::Token
            | Kind::Session
            | Kind::Policy
            | Kind::Identity
            | Kind::Tenant
            | Kind::Node => Self::Changes,
        }
    }

    /// The group of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(group, _)| *group)
    }

    /// The group of the event of a leaf; none where the bytes are no leaf.
    pub fn of_leaf(leaf: &[u8]) -> Option<Self> {
        // INVARIANT: in a string each quotation mark has a backslash before it, so that these bytes are found in
        // no string, and the first of them is the field's own.
        let (from, to) = (find(leaf, b",\"kind\":\"")?, find(leaf, b",\"principal\":\"")?);
        let kind = std::str::from_utf8(leaf.get(from + 9..to.checked_sub(1)?)?).ok()?;
        let allowed = find(leaf, b",\"allowed\":true,").is_some();
        Some(Self::of(Kind::named(kind)?, allowed))
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
