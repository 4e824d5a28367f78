//! The system calls that a walled process keeps, as data: one a line, each with its reason. It never
//! installs the filter: `filter` does.

#[cfg(test)]
mod tests;

use super::WallKind;

/// One call and when it is allowed. Whatever is not listed kills the process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) number: i64,
    pub(super) when: When,
}

/// What an argument must be, compared in its lower 32 bits.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Always,
    /// The argument of this place is one of these.
    OneOf(u8, &'static [u32]),
    /// The argument of this place has all of these bits.
    Bits(u8, u32),
    /// The first argument is the process itself.
    Own,
    /// Never, but with this error in place of death, since a library asks and takes no for an answer.
    Refused(i32),
}

const fn always(number: i64) -> Call {
    Call { number, when: When::Always }
}

const fn one_of(number: i64, place: u8, values: &'static [u32]) -> Call {
    Call { number, when: When::OneOf(place, values) }
}

const fn refused(number: i64, error: i32) -> Call {
    Call { number, when: When::Refused(error) }
}

/// `PAGEMAP_SCAN`: `_IOWR('f', 16, struct pm_scan_arg)`, of 96 bytes.
const PAGEMAP_SCAN: u32 = 0xc060_6610;
const PR_GET_AUXV: u32 = 0x4155_5856;
/// Gives a name to a part of one's own memory.
const PR_SET_VMA: u32 = 0x5356_4d41;
/// The process itself, where a descriptor of a process is wanted.
const PIDFD_SELF: u32 = (-10_000_i32).cast_unsigned();
/// Flags, duplicates and seals of a descriptor; not its owner, signals, locks or leases.
const FCNTL: &[u32] = &[
    libc::F_GETFD as u32,
    libc::F_GETFL as u32,
    libc::F_DUPFD_CLOEXEC as u32,
    libc::F_GET_SEALS as u32,
    libc::F_ADD_SEALS as u32,
];

/// What both kinds of process need.
const COMMON: &[Call] = &[
    // Descriptors that are held already. None can be made of a path or an address.
    always(libc::SYS_read),
    always(libc::SYS_write),
    always(libc::SYS_writev),
    always(libc::SYS_close),
    always(libc::SYS_lseek), // the length of a memfd
    always(libc::SYS_fstat), // the length of compiled code before it is mapped
    // The same by the name that the standard library uses, on a descriptor alone. (A path can be hidden in
    // it where no mount namespace stands: that tells a file's size and times, and opens nothing.)
    Call { number: libc::SYS_statx, when: When::Bits(2, libc::AT_EMPTY_PATH as u32) },
    Call { number: libc::SYS_newfstatat, when: When::Bits(3, libc::AT_EMPTY_PATH as u32) },
    one_of(libc::SYS_fcntl, 1, FCNTL),
    // Memory. Code is mapped from memfds and made executable, so both stay open.
    always(libc::SYS_mmap),
    always(libc::SYS_munmap),
    always(libc::SYS_mprotect),
    always(libc::SYS_mremap), // the allocator grows large blocks
    always(libc::SYS_madvise),
    always(libc::SYS_brk),
    always(libc::SYS_getcpu), // whose memory is near, where the machine has several kinds
    // Waiting, for each other and for time.
    always(libc::SYS_futex),
    always(libc::SYS_sched_yield),
    always(libc::SYS_nanosleep),
    always(libc::SYS_clock_nanosleep),
    always(libc::SYS_restart_syscall), // the kernel's own, after a signal
    // Clocks and the accounts of the process itself.
    always(libc::SYS_clock_gettime),
    always(libc::SYS_gettimeofday),
    always(libc::SYS_getrusage),
    always(libc::SYS_getpid),
    always(libc::SYS_gettid),
    always(libc::SYS_sched_getaffinity), // how many cores there are
    always(libc::SYS_getrandom),         // hash seeds, and a guest's randomness
    // Traps of guests are signals.
    always(libc::SYS_rt_sigaction),
    always(libc::SYS_rt_sigprocmask),
    always(libc::SYS_rt_sigreturn),
    always(libc::SYS_sigaltstack),
    Call { number: libc::SYS_tgkill, when: When::Own }, // abort
    always(libc::SYS_exit),
    always(libc::SYS_exit_group),
];

/// What a worker needs besides: its socket, its runtime, and the reset of an instance's memory.
const WORKER: &[Call] = &[
    always(libc::SYS_recvfrom),
    always(libc::SYS_sendto),
    always(libc::SYS_recvmsg), // frames, and compiled code with them
    always(libc::SYS_sendmsg),
    #[cfg(target_arch = "x86_64")]
    always(libc::SYS_epoll_wait),
    always(libc::SYS_epoll_pwait),
    always(libc::SYS_epoll_ctl),
    #[cfg(target_arch = "x86_64")]
    always(libc::SYS_poll),
    always(libc::SYS_ppoll),
    always(libc::SYS_memfd_create), // the image from which a guest's memory is copied on write
    one_of(libc::SYS_prctl, 0, &[PR_GET_AUXV, PR_SET_VMA]), // the page size, clocks; names of memory
    one_of(libc::SYS_ioctl, 1, &[PAGEMAP_SCAN]), // which pages did the last guest write?
    one_of(libc::SYS_process_madvise, 0, &[PIDFD_SELF]), // giving back the memory of many guests at once
];

/// What a compiler needs besides: threads.
const COMPILER: &[Call] = &[
    Call { number: libc::SYS_clone, when: When::Bits(0, THREAD) }, // a thread, not a process
    refused(libc::SYS_clone3, libc::ENOSYS), // its flags cannot be seen: `clone` is tried then
    always(libc::SYS_set_robust_list),
    always(libc::SYS_rseq),
    one_of(libc::SYS_prctl, 0, &[PR_GET_AUXV, PR_SET_VMA, libc::PR_SET_NAME as u32]), // and names of threads
    refused(libc::SYS_openat, libc::EACCES), // how many cores, in a control group's file
    always(libc::SYS_ftruncate),
    always(libc::SYS_pwrite64),
    always(libc::SYS_pread64),
];

const THREAD: u32 = (libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u32;

/// Both lists that such a process gets.
pub(super) fn kept(kind: WallKind) -> impl Iterator<Item = &'static Call> {
    let own = match kind {
        WallKind::Worker => WORKER,
        WallKind::Compiler => COMPILER,
    };
    COMMON.iter().chain(own)
}
