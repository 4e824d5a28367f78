//! The timer of CPU time: while this process computes, it interrupts the guest that runs, so that others
//! get their turn and budgets are looked at. It never interrupts a process that sleeps, and decides nothing.
#![expect(unsafe_code, reason = "a signal handler and a timer have no safe interface")]

use std::{io, mem, ptr};

use crate::engine::Engines;

/// CPU time between two ticks, in microseconds. The kernel rounds it up to its own tick.
const TICK_US: libc::suseconds_t = 5_000;

extern "C" fn on_tick(_signal: libc::c_int) {
    Engines::tick();
}

/// Starts the timer of this process, once, before the wall.
///
/// # Errors
/// The kernel's, if it gives no timer.
pub(super) fn start() -> io::Result<()> {
    let handler: extern "C" fn(libc::c_int) = on_tick;
    // SAFETY: all zeroes is a valid `sigaction`: no flags, an empty mask, the default handler.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    // On the alternative stack: a guest's own may have little left.
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the handler only adds to atomics; `action` outlives the call.
    if unsafe { libc::sigaction(libc::SIGPROF, &raw const action, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let tick = libc::timeval { tv_sec: 0, tv_usec: TICK_US };
    let timer = libc::itimerval { it_interval: tick, it_value: tick };
    // SAFETY: `timer` outlives the call, and no old value is asked for.
    if unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
