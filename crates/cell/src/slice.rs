//! How long the scheduler lets a thread run before it looks at others. It never changes a thread's share of
//! the processor, nor its priority.
#![expect(unsafe_code, reason = "sched_setattr has no safe form")]

use std::io;

/// Short, in nanoseconds: a thread with little to do is let in at once when it wakes (EEVDF takes it for more
/// urgent than one with a longer slice), and gives way as soon.
const PROMPT_NS: u64 = 300_000;
/// The kernel's own default.
const USUAL: u64 = 0;

/// The slice of this thread and of those that it starts is short from here on, as far as the kernel knows of
/// such (Linux 6.12). For threads that answer, beside processes that compute.
pub fn answer_promptly() {
    // An older kernel, or a policy that has no slices: then all are let in as they always were.
    let _unchanged = set(PROMPT_NS);
}

/// Undoes what this thread inherited.
pub(crate) fn take_turns() {
    let _unchanged = set(USUAL);
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

fn set(slice_ns: u64) -> io::Result<()> {
    let mut own = Attributes::default();
    // SAFETY: the kernel writes at most `SIZE` bytes, and `own` has as many; 0 is the calling thread.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut own, SIZE, 0) };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    if own.policy != libc::SCHED_OTHER.cast_unsigned() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // Policy and nice value stay what they are.
    let wanted = Attributes { size: SIZE, runtime_ns: slice_ns, flags: own.flags & RESET_ON_FORK, ..own };
    // SAFETY: the kernel reads `SIZE` bytes of `wanted`, which outlives the call.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
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
