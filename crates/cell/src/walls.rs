//! Which walls stand around a worker. It never raises one: `wall` does.

use serde::{Deserialize, Serialize};

/// One bit for each wall, as a worker reports them after raising them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls(pub u16);

impl Walls {
    /// `prctl(PR_SET_NO_NEW_PRIVS)`.
    pub const NO_NEW_PRIVS: Self = Self(1);
    /// Landlock, with no path and no port allowed.
    pub const LANDLOCK: Self = Self(1 << 1);
    /// The seccomp allow-list that kills.
    pub const SECCOMP: Self = Self(1 << 2);
    /// A user namespace of its own, all capabilities dropped.
    pub const USER_NS: Self = Self(1 << 3);
    /// A network namespace with nothing in it.
    pub const NET_NS: Self = Self(1 << 4);
    /// A mount namespace with nothing in it.
    pub const MOUNT_NS: Self = Self(1 << 5);
    /// A process namespace with nobody else in it.
    pub const PID_NS: Self = Self(1 << 6);
    /// Resource limits.
    pub const RLIMITS: Self = Self(1 << 7);
    /// The kernel kills the worker when the node dies.
    pub const PARENT_DEATH: Self = Self(1 << 8);

    /// Each wall with its name, in the order in which they are raised.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::PARENT_DEATH, "parent-death"),
        (Self::USER_NS, "user-namespace"),
        (Self::NET_NS, "network-namespace"),
        (Self::MOUNT_NS, "mount-namespace"),
        (Self::PID_NS, "pid-namespace"),
        (Self::RLIMITS, "rlimits"),
        (Self::NO_NEW_PRIVS, "no-new-privs"),
        (Self::LANDLOCK, "landlock"),
        (Self::SECCOMP, "seccomp"),
    ];

    /// Without these a node does not start, unless its configuration allows it under `dangerous`. The
    /// namespaces are the others: kernels and containers often withhold them.
    pub const REQUIRED: Self = Self(
        Self::NO_NEW_PRIVS.0 | Self::LANDLOCK.0 | Self::SECCOMP.0 | Self::RLIMITS.0 | Self::PARENT_DEATH.0,
    );

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` stand.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of those of `wanted` that do not stand.
    pub fn missing(self, wanted: Self) -> Vec<&'static str> {
        let absent = |(wall, _): &&(Self, &str)| wanted.has(*wall) && !self.has(*wall);
        Self::ALL.iter().filter(absent).map(|(_, name)| *name).collect()
    }

    /// The names of those that stand.
    pub fn names(self) -> Vec<&'static str> {
        Self::ALL.iter().filter(|(wall, _)| self.has(*wall)).map(|(_, name)| *name).collect()
    }
}
