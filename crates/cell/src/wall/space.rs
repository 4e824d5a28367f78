//! Another user and empty namespaces, as far as the kernel gives them. It never fails where the kernel
//! withholds a namespace: it says which stand.

use std::fs;

use rustix::{
    fs::Mode,
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    process::{DumpableBehavior, Gid, Uid, chdir, geteuid, pivot_root, set_dumpable_behavior},
    thread::UnshareFlags,
};

use super::{WallError, fork};
use crate::Walls;

/// The user and group `nobody`: a node that runs as root does not hand its user to its children, since the
/// owner of a file may open it in whichever namespace.
const NOBODY: u32 = 65_534;

/// Becomes nobody, if it is root.
pub(super) fn leave_root() -> Result<(), WallError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    rustix::thread::set_thread_groups(&[]).map_err(WallError::kernel("groups"))?;
    let (group, user) = (Gid::from_raw(NOBODY), Uid::from_raw(NOBODY));
    rustix::thread::set_thread_res_gid(group, group, group).map_err(WallError::kernel("group"))?;
    rustix::thread::set_thread_res_uid(user, user, user).map_err(WallError::kernel("user"))?;
    // Another user's process cannot read its own `/proc`, which the steps between the two stages need; the
    // second stage takes it away again.
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(WallError::kernel("dumpable"))
}

const WANTED: &[(UnshareFlags, Walls)] = &[
    (UnshareFlags::NEWNET, Walls::NET_NS),
    (UnshareFlags::NEWNS, Walls::MOUNT_NS),
    (UnshareFlags::NEWPID, Walls::PID_NS),
    (UnshareFlags::NEWIPC, Walls(0)),
    (UnshareFlags::NEWUTS, Walls(0)),
    (UnshareFlags::NEWCGROUP, Walls(0)),
];

/// Leaves for namespaces of its own; forks if a process namespace is among them.
pub(super) fn leave() -> Result<Walls, WallError> {
    let (user, group) = (geteuid().as_raw(), rustix::process::getegid().as_raw());
    if fork::unshare(UnshareFlags::NEWUSER).is_err() {
        return Ok(Walls::default());
    }
    let mut walls = Walls::USER_NS;
    // The one user there is, so that the empty root below can belong to somebody. Without it that step
    // fails, and says so.
    let _unmapped = fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("{user} {user} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("{group} {group} 1")));
    for (flag, wall) in WANTED {
        if fork::unshare(*flag).is_ok() {
            walls = walls.with(*wall);
        }
    }
    if walls.has(Walls::PID_NS) {
        fork::into_namespace()?;
    }
    Ok(walls)
}

/// Puts an empty, read-only file system in the place of all others. Whether it stands.
pub(super) fn empty() -> bool {
    let swap = || -> rustix::io::Result<()> {
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        // Over a folder that every system has; it goes away with the old root.
        mount("none", "/proc", "tmpfs", flags, c"size=4k,nr_inodes=1,mode=0555")?;
        chdir("/proc")?;
        pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        chdir("/")
    };
    swap().is_ok() && rustix::fs::mkdir("/x", Mode::RWXU).is_err()
}
