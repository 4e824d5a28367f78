//! An escaped guest: native code in a worker's place that tries one thing it must not be able to do. It
//! never does harm where it succeeds.
#![expect(unsafe_code, reason = "an escaped guest calls the kernel as it likes")]

use std::{
    ffi::CString,
    fs::File,
    io::{self, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    process::ExitCode,
};

use cell::wall::{self, Entered, WallKind};

/// Tries `name` and reports on the socket `done`, or `refused` and why. Being killed is the third outcome.
///
/// `layer` says which walls stand: all of a worker's (`sealed`) or a compiler's (`compiler`), all of a
/// worker's but seccomp (`within`), or none (`naked`).
pub(crate) fn escape(layer: &str, name: &str, rest: &[&str]) -> ExitCode {
    let target = rest.first().copied().unwrap_or_default().to_owned();
    let attempt = || attempt(name, &target);
    let (entered, outcome): (Option<Entered>, io::Result<String>) = match layer {
        "sealed" => {
            let (_, entered) = wall::raise(WallKind::Worker).unwrap();
            (Some(entered), attempt())
        }
        "compiler" => {
            let (_, entered) = wall::raise(WallKind::Compiler).unwrap();
            (Some(entered), attempt())
        }
        "within" => {
            let entered = wall::enter(WallKind::Worker).unwrap();
            let (_, outcome) = wall::seal(&entered, attempt).unwrap();
            (Some(entered), outcome)
        }
        _ => (None, attempt()),
    };
    let report = match outcome {
        Ok(how) => format!("done {how}"),
        Err(error) => format!("refused {error}"),
    };
    let sent = match entered {
        Some(entered) => File::from(entered.input).write_all(report.as_bytes()),
        None => {
            io::stdin().as_fd().try_clone_to_owned().and_then(|s| File::from(s).write_all(report.as_bytes()))
        }
    };
    if sent.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Outcome = io::Result<String>;

fn attempt(name: &str, target: &str) -> Outcome {
    match name {
        "nothing" => Ok("nothing".into()),
        "open" => File::open(target).map(|_| "opened".into()),
        "create" => File::create(format!("{target}/escaped")).map(|_| "created".into()),
        "stat" => std::fs::metadata(target).map(|m| format!("{} bytes", m.len())),
        "hidden-stat" => hidden_stat(target),
        "list" => std::fs::read_dir(target).map(|_| "listed".into()),
        "readlink" => std::fs::read_link(target).map(|_| "read".into()),
        "unlink" => std::fs::remove_file(target).map(|()| "removed".into()),
        "mkdir" => std::fs::create_dir(format!("{target}/escaped")).map(|()| "made".into()),
        "chmod" => call(libc::SYS_fchmodat, [libc::AT_FDCWD as i64, c(target), 0o777, 0, 0, 0]),
        "tcp-connect" => TcpStream::connect(target).map(|_| "connected".into()),
        "tcp-bind" => TcpListener::bind("127.0.0.1:0").map(|_| "bound".into()),
        "udp" => UdpSocket::bind("0.0.0.0:0").and_then(|s| s.send_to(b"x", target)).map(|_| "sent".into()),
        "unix-connect" => std::os::unix::net::UnixStream::connect(target).map(|_| "connected".into()),
        "raw-socket" => call(libc::SYS_socket, [2, 3, 1, 0, 0, 0]),
        "netlink" => call(libc::SYS_socket, [16, 3, 0, 0, 0, 0]),
        "vsock" => call(libc::SYS_socket, [40, 1, 0, 0, 0, 0]),
        "packet" => call(libc::SYS_socket, [17, 3, 0, 0, 0, 0]),
        "socketpair" => std::os::unix::net::UnixStream::pair().map(|_| "made".into()),
        "fork" => child(libc::SIGCHLD as i64),
        "vfork" => child(i64::from(libc::CLONE_VFORK | libc::SIGCHLD)),
        "new-namespace" => child(i64::from(libc::CLONE_NEWUSER | libc::SIGCHLD)),
        "clone3" => call(libc::SYS_clone3, [0, 88, 0, 0, 0, 0]),
        "thread" => std::thread::Builder::new().spawn(|| ()).map(|_| "started".into()),
        "allocate" => allocate(),
        "execve" => call(libc::SYS_execve, [c("/bin/true"), 0, 0, 0, 0, 0]),
        "execveat" => call(libc::SYS_execveat, [-1, c("/bin/true"), 0, 0, 0, 0]),
        "kill-parent" => call(libc::SYS_kill, [number(target), 0, 0, 0, 0, 0]),
        "kill-all" => call(libc::SYS_kill, [-1, 0, 0, 0, 0, 0]),
        "tgkill-parent" => call(libc::SYS_tgkill, [number(target), number(target), 0, 0, 0, 0]),
        "ptrace-parent" => {
            call(libc::SYS_ptrace, [i64::from(libc::PTRACE_SEIZE), number(target), 0, 0, 0, 0])
        }
        "read-parent" => read_memory(number(target)),
        "pidfd-parent" => call(libc::SYS_pidfd_open, [number(target), 0, 0, 0, 0, 0]),
        "parent-limits" => call(libc::SYS_prlimit64, [number(target), 7, 0, 0, 0, 0]),
        "own-dumpable" => call(libc::SYS_prctl, [i64::from(libc::PR_SET_DUMPABLE), 1, 0, 0, 0, 0]),
        "live-on" => call(libc::SYS_prctl, [i64::from(libc::PR_SET_PDEATHSIG), 0, 0, 0, 0, 0]),
        "raise-limits" => raise_limits(),
        "setuid" => call(libc::SYS_setuid, [0; 6]),
        "capset" => capset(),
        "unshare" => call(libc::SYS_unshare, [i64::from(libc::CLONE_NEWUSER), 0, 0, 0, 0, 0]),
        "setns" => call(libc::SYS_setns, [0, 0, 0, 0, 0, 0]),
        "mount" => call(libc::SYS_mount, [c("none"), c("/"), c("tmpfs"), 0, 0, 0]),
        "umount" => call(libc::SYS_umount2, [c("/"), 2, 0, 0, 0, 0]),
        "chroot" => call(libc::SYS_chroot, [c("/"), 0, 0, 0, 0, 0]),
        "pivot-root" => call(libc::SYS_pivot_root, [c("."), c("."), 0, 0, 0, 0]),
        "open-tree" => call(libc::SYS_open_tree, [i64::from(libc::AT_FDCWD), c("/"), 1, 0, 0, 0]),
        "open-by-handle" => call(libc::SYS_open_by_handle_at, [0, 0, 0, 0, 0, 0]),
        "openat2" => call(libc::SYS_openat2, [i64::from(libc::AT_FDCWD), c("/"), 0, 24, 0, 0]),
        "io-uring" => call(libc::SYS_io_uring_setup, [8, c(&"\0".repeat(256)), 0, 0, 0, 0]),
        "bpf" => call(libc::SYS_bpf, [0, 0, 0, 0, 0, 0]),
        "perf" => call(libc::SYS_perf_event_open, [c(&"\0".repeat(128)), 0, -1, -1, 0, 0]),
        "userfaultfd" => call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0]),
        "keyctl" => call(libc::SYS_keyctl, [0, -3, 1, 0, 0, 0]),
        "add-key" => call(libc::SYS_add_key, [c("user"), c("x"), c("x"), 1, -3, 0]),
        "shm" => call(libc::SYS_shmget, [0, 4096, 0o1777, 0, 0, 0]),
        "semaphores" => call(libc::SYS_semget, [0, 1, 0o1777, 0, 0, 0]),
        "messages" => call(libc::SYS_msgget, [0, 0o1777, 0, 0, 0, 0]),
        "message-queue" => call(libc::SYS_mq_open, [c("escaped"), 0o102, 0o600, 0, 0, 0]),
        "inotify" => call(libc::SYS_inotify_init1, [0; 6]),
        "fanotify" => call(libc::SYS_fanotify_init, [0; 6]),
        "module" => call(libc::SYS_init_module, [0; 6]),
        "kexec" => call(libc::SYS_kexec_load, [0; 6]),
        "reboot" => call(libc::SYS_reboot, [0; 6]),
        "swapon" => call(libc::SYS_swapon, [c("/dev/null"), 0, 0, 0, 0, 0]),
        "settime" => call(libc::SYS_clock_settime, [0, 0, 0, 0, 0, 0]),
        "hostname" => call(libc::SYS_sethostname, [c("escaped"), 7, 0, 0, 0, 0]),
        "syslog" => call(libc::SYS_syslog, [3, 0, 0, 0, 0, 0]),
        "personality" => call(libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0, 0]),
        "scheduler" => call(libc::SYS_sched_setscheduler, [0, 1, c("\x01\0\0\0"), 0, 0, 0]),
        "loosen-seccomp" => call(libc::SYS_seccomp, [1, 0, 0, 0, 0, 0]),
        "tiocsti" => call(libc::SYS_ioctl, [0, 0x5412, c("x"), 0, 0, 0]),
        "fcntl-owner" => call(libc::SYS_fcntl, [0, i64::from(libc::F_SETOWN), number(target), 0, 0, 0]),
        "fcntl-signal" => call(libc::SYS_fcntl, [0, 10, 9, 0, 0, 0]),
        "signal-fd" => call(libc::SYS_signalfd4, [-1, 0, 8, 0, 0, 0]),
        "timer" => call(libc::SYS_timer_create, [1, 0, 0, 0, 0, 0]),
        "memory-policy" => call(libc::SYS_set_mempolicy, [0; 6]),
        "move-pages" => call(libc::SYS_move_pages, [number(target), 0, 0, 0, 0, 0]),
        "lock-memory" => call(libc::SYS_mlockall, [1, 0, 0, 0, 0, 0]),
        "secret-memory" => call(libc::SYS_memfd_secret, [0; 6]),
        "x32" => call(0x4000_0000 | libc::SYS_getpid, [0; 6]),
        "32-bit" => legacy(),
        "environment" => none(std::env::vars().count(), "variables"),
        "descriptors" => descriptors(),
        other => Err(io::Error::other(format!("no attempt is called `{other}`"))),
    }
}

/// Any call; what the kernel says to its arguments does not count as refused but where it may not be made.
fn call(number: i64, a: [i64; 6]) -> Outcome {
    // SAFETY: arguments are numbers or strings that live on; the process does nothing else afterwards.
    let said = unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) };
    if said == -1 { Err(io::Error::last_os_error()) } else { Ok(format!("{said}")) }
}

/// A pointer to a string that lives on.
fn c(text: &str) -> i64 {
    if text.contains('\0') {
        Box::leak(text.as_bytes().to_vec().into_boxed_slice()).as_ptr() as i64
    } else {
        CString::new(text).unwrap().into_raw() as i64
    }
}

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

fn child(flags: i64) -> Outcome {
    // SAFETY: the child ends at once.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: nothing of the parent's is unwound in the child.
        0 => unsafe { libc::_exit(0) },
        pid => Ok(format!("child {pid}")),
    }
}

/// For those that have no path and no argument.
pub(crate) fn fork() -> Outcome {
    child(libc::SIGCHLD as i64)
}

/// Maps writable memory until no more is given, and touches none of it.
fn allocate() -> Outcome {
    const STEP: usize = 1 << 30;
    // Twice what a worker may have.
    for taken in 0..2 * model::limits::WORKER_DATA_BYTES_MAX / STEP as u64 {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), STEP, rights, kind, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::other(format!("no more than {taken} GiB")));
        }
    }
    Ok("more than it may have".into())
}

fn read_memory(pid: i64) -> Outcome {
    let mut taken = [0_u8; 8];
    let ours = libc::iovec { iov_base: taken.as_mut_ptr().cast(), iov_len: 8 };
    let theirs = libc::iovec { iov_base: read_memory as *mut libc::c_void, iov_len: 8 };
    let (ours, theirs) = (&raw const ours as i64, &raw const theirs as i64);
    call(libc::SYS_process_vm_readv, [pid, ours, 1, theirs, 1, 0])
}

fn raise_limits() -> Outcome {
    let wanted = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    let wanted = &raw const wanted as i64;
    call(libc::SYS_prlimit64, [0, libc::RLIMIT_NOFILE as i64, wanted, 0, 0, 0])
}

fn capset() -> Outcome {
    let header: [u32; 2] = [0x2008_0522, 0];
    let sets: [u32; 6] = [u32::MAX, u32::MAX, 0, 0x1ff, 0x1ff, 0];
    call(libc::SYS_capset, [header.as_ptr() as i64, sets.as_ptr() as i64, 0, 0, 0, 0])
}

/// The length of a file, asked for as if of a descriptor.
fn hidden_stat(path: &str) -> Outcome {
    let out = Box::leak(vec![0_u8; 256].into_boxed_slice()).as_mut_ptr() as i64;
    let (here, flags) = (i64::from(libc::AT_FDCWD), i64::from(libc::AT_EMPTY_PATH));
    call(libc::SYS_statx, [here, c(path), flags, 0x7ff, out, 0])
}

#[cfg(target_arch = "x86_64")]
fn legacy() -> Outcome {
    let said: i64;
    // SAFETY: getpid through the gate of 32-bit programs, which takes no argument.
    unsafe { std::arch::asm!("int 0x80", inout("rax") 20_i64 => said) };
    if said < 0 { Err(io::Error::from_raw_os_error((-said) as i32)) } else { Ok(format!("{said}")) }
}

#[cfg(not(target_arch = "x86_64"))]
fn legacy() -> Outcome {
    Err(io::Error::other("no such gate"))
}

fn none(count: usize, what: &str) -> Outcome {
    if count == 0 { Err(io::Error::other(format!("no {what}"))) } else { Ok(format!("{count} {what}")) }
}

/// Descriptors beside the three standard ones, what was standard input and what was standard output.
fn descriptors() -> Outcome {
    // SAFETY: asking for a descriptor's flags changes nothing.
    let open = (0..4096).filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } != -1).count();
    if open <= 5 { Err(io::Error::other("no descriptors")) } else { Ok(format!("{open} descriptors")) }
}
