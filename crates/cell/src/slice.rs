//! How long the scheduler lets a thread run before it looks at others, and who stands behind them. It never
//! gives anyone a larger share of the processor.
#![expect(unsafe_code, reason = "sched_setattr has no safe form")]

use std::io;

/// Short, in nanoseconds: a thread with little to do is let in at once when it wakes (EEVDF takes it for more
/// urgent than one with a longer slice), and gives way as soon.
const PROMPT_NS: u64 = 300_000;
/// The kernel's own default.
const USUAL: u64 = 0;
/// What is added to the nice value of those that stand behind: a step is worth a tenth (sched(7)).
pub(crate) const BEHIND: i32 = 10;
const NICE_MAX: i32 = 19;

/// The slice of this thread and of those that it starts is short from here on, as far as the kernel knows of
/// such (Linux 6.12). For threads that answer, beside processes that compute.
pub fn answer_promptly() {
    // An older kernel, or a policy that has no slices: then all are let in as they always were.
    let _unchanged = set(0, PROMPT_NS, 0);
}

/// Undoes what this thread inherited.
pub(crate) fn take_turns() {
    let _unchanged = set(0, USUAL, 0);
}

/// Makes another process of this user stand behind all that have the node's own nice value, for good: nobody
/// but the privileged may step forward again.
///
/// # Errors
/// The system's, where the process is gone or has another scheduling policy.
pub(crate) fn stand_behind(pid: u32) -> io::Result<()> {
    set(pid, USUAL, BEHIND)
}

/// `struct sched_attr` of sched_setattr(2), in its first version.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime_ns: u64,
    deadline_ns: u64,
    period_ns: u64,
}

const SIZE: u32 = 48;
const _: () = assert!(size_of::<Attributes>() == SIZE as usize);
/// `SCHED_FLAG_RESET_ON_FORK`, which only the privileged may take away again.
const RESET_ON_FORK: u64 = 1;

/// Of a process with one thread, or of the calling thread where it is 0.
fn set(pid: u32, slice_ns: u64, behind: i32) -> io::Result<()> {
    let mut old = Attributes::default();
    // SAFETY: the kernel writes at most `SIZE` bytes, and `old` has as many.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, pid, &raw mut old, SIZE, 0) };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    if old.policy != libc::SCHED_OTHER.cast_unsigned() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // The policy stays what it is.
    let (flags, nice) = (old.flags & RESET_ON_FORK, (old.nice + behind).min(NICE_MAX));
    let wanted = Attributes { size: SIZE, runtime_ns: slice_ns, flags, nice, ..old };
    // SAFETY: the kernel reads `SIZE` bytes of `wanted`, which outlives the call.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const wanted, 0) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice_ns() -> Option<u64> {
        let own = std::fs::read_to_string("/proc/thread-self/sched").ok()?;
        let line = own.lines().find(|line| line.starts_with("se.slice"))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    #[test]
    fn a_thread_has_it_and_hands_it_on_until_it_is_undone() {
        let usual = slice_ns();
        answer_promptly();
        let (short, inherited) = (slice_ns(), std::thread::spawn(slice_ns).join().unwrap());
        let undone = std::thread::spawn(|| {
            take_turns();
            slice_ns()
        });
        let undone = undone.join().unwrap();
        // Where the kernel tells nothing, or knows of no slices, there is nothing to see.
        let knows = usual.is_some() && short != usual;
        let expect = if knows { (Some(PROMPT_NS), Some(PROMPT_NS)) } else { (usual, usual) };
        assert_eq!((short, inherited, undone), (expect.0, expect.1, usual));
    }
}
