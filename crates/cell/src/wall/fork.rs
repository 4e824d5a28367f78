//! The two things that need unsafe code: closing what was inherited, and the fork into an empty process
//! namespace. It never runs beside another thread.
#![expect(unsafe_code, reason = "fork, close_range and unshare have no safe form")]

use std::{fs, io, os::fd::AsFd};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, WaitOptions, kill_process, set_parent_process_death_signal, waitpid},
    thread::UnshareFlags,
};

use super::WallError;

/// Whether this process has but one thread.
pub(super) fn alone() -> Result<(), WallError> {
    let count = fs::read_dir("/proc/self/task").map_err(WallError::step("count threads"))?.count();
    if count == 1 { Ok(()) } else { Err(WallError::Threads(count)) }
}

/// Closes every descriptor from `first` on.
pub(super) fn close_from(first: u32) -> Result<(), WallError> {
    // SAFETY: called at the start of `enter` and between fork and wait, before this process has made any
    // descriptor above standard error that an object of it owns.
    let closed = unsafe { libc::close_range(first, u32::MAX, 0) };
    if closed == 0 { Ok(()) } else { Err(WallError::step("close descriptors")(io::Error::last_os_error())) }
}

/// Leaves the given namespaces for fresh ones.
pub(super) fn unshare(namespaces: UnshareFlags) -> rustix::io::Result<()> {
    debug_assert!(!namespaces.contains(UnshareFlags::FILES));
    // SAFETY: the table of descriptors stays shared: `FILES` is not asked for.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }
}

/// Forks. The child, first process of the new namespace, returns; the parent only waits for it, and ends
/// as it ends. Killing the parent kills the child.
pub(super) fn into_namespace() -> Result<(), WallError> {
    alone()?;
    let (watched, held) = rustix::pipe::pipe().map_err(WallError::kernel("pipe"))?;
    // SAFETY: there is no other thread (checked above), so the child finds no lock held by one.
    match unsafe { libc::fork() } {
        -1 => Err(WallError::step("fork")(io::Error::last_os_error())),
        0 => {
            drop(held);
            set_parent_process_death_signal(Some(Signal::KILL))
                .map_err(WallError::kernel("parent-death signal"))?;
            // The parent may have died before the signal was asked for: then its end of the pipe is gone.
            if hung_up(&watched)? { Err(WallError::ParentGone) } else { Ok(()) }
        }
        child => {
            // Nothing but the end of the pipe stays open here: the node must see the socket close when the
            // child dies. Its number is kept by moving it to 0.
            let kept = rustix::stdio::dup2_stdin(&held);
            std::mem::forget((watched, held));
            if kept.is_err() || close_from(1).is_err() {
                std::process::exit(70);
            }
            wait_and_end(child)
        }
    }
}

/// Whether the other end of a pipe or socket is gone.
pub(super) fn hung_up(end: &impl AsFd) -> Result<bool, WallError> {
    let mut ends = [PollFd::new(end, PollFlags::empty())];
    poll(&mut ends, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map_err(WallError::kernel("poll"))?;
    Ok(ends.iter().any(|e| e.revents().intersects(PollFlags::HUP | PollFlags::ERR)))
}

fn wait_and_end(child: i32) -> ! {
    let status = loop {
        match waitpid(Pid::from_raw(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => break status,
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Err(_) => std::process::exit(70),
        }
    };
    if let Some(signal) = status.terminating_signal() {
        if let (Some(signal), Some(own)) = (Signal::from_named_raw(signal), Pid::from_raw(own_pid())) {
            let _ended = kill_process(own, signal);
        }
        std::process::exit(128 + signal);
    }
    std::process::exit(status.exit_status().unwrap_or(70))
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
