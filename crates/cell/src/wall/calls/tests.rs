use std::collections::BTreeSet;

use super::kept;
use crate::wall::WallKind;

#[test]
fn each_call_has_one_line_and_none_of_these_has_any() {
    let never = [
        libc::SYS_openat2,
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_pidfd_getfd,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_bpf,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
        libc::SYS_keyctl,
        libc::SYS_setrlimit,
        libc::SYS_prlimit64,
        libc::SYS_timer_create,
    ];
    for kind in [WallKind::Worker, WallKind::Compiler] {
        let numbers: Vec<i64> = kept(kind).map(|call| call.number).collect();
        // A second line would silently replace the first.
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len(), "{kind:?}");
        for number in never {
            assert!(!numbers.contains(&number), "{kind:?} {number}");
        }
    }
    let worker: Vec<i64> = kept(WallKind::Worker).map(|call| call.number).collect();
    for number in [libc::SYS_clone, libc::SYS_clone3, libc::SYS_openat] {
        assert!(!worker.contains(&number), "{number}");
    }
}
