//! An escaped guest finds nothing: native code behind a worker's walls, one attempt in each process. The
//! tables say what must happen to each; the same attempts without walls prove that they would work.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test says so by panicking"
)]

mod house;

use std::{
    io::Read,
    os::{fd::OwnedFd, unix::net::UnixStream, unix::process::ExitStatusExt},
    process::{Command, Stdio},
};

use Ended::{Done, Killed, Refused};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// By seccomp.
    Killed,
    Refused,
    Done,
}

/// Lets the probe try `name` and tells what came of it.
fn attempt(layer: &str, name: &str, target: &str) -> (Ended, String) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(house::probe())
        .args(["escape", layer, name, target])
        .env("CASEMATE_SECRET", "a key in the environment")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .env_clear()
        .spawn()
        .unwrap();
    let mut report = String::new();
    ours.read_to_string(&mut report).unwrap();
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    let status = child.wait().unwrap();
    let how = format!("{layer} {name} {target}: {status}: {report}{words}");
    let ended = match (status.signal(), report.split(' ').next()) {
        (Some(libc::SIGSYS), _) => Killed,
        (None, Some("refused")) => Refused,
        (None, Some("done")) => Done,
        _ => panic!("{how}"),
    };
    (ended, how)
}

fn check(layer: &str, name: &str, target: &str, expect: Ended) {
    let (ended, how) = attempt(layer, name, target);
    assert_eq!(ended, expect, "{how}");
}

/// A folder such as a node keeps its data in, a listener and a socket file in reach of anyone who may.
struct Prey {
    folder: tempfile::TempDir,
    tcp: std::net::TcpListener,
    udp: std::net::UdpSocket,
    _unix: std::os::unix::net::UnixListener,
}

impl Prey {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.key"), "a key").unwrap();
        let unix = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        Self {
            tcp: std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
            udp: std::net::UdpSocket::bind("127.0.0.1:0").unwrap(),
            _unix: unix,
            folder,
        }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// What wants a path, a port or a process, with that.
    fn targets(&self) -> Vec<(&'static str, String)> {
        let (own, parent) = (self.file(""), std::process::id());
        vec![
            ("open", "/etc/passwd".into()),
            ("open", self.file("root.key")),
            ("open", "/proc/self/environ".into()),
            ("open", "/proc/self/mem".into()),
            ("open", format!("/proc/{parent}/mem")),
            ("open", format!("/proc/{parent}/environ")),
            ("open", "/".into()),
            ("list", "/".into()),
            ("list", "/proc".into()),
            ("create", own.clone()),
            ("mkdir", own.clone()),
            ("readlink", "/proc/self/exe".into()),
            ("tcp-connect", self.tcp.local_addr().unwrap().to_string()),
            ("udp", self.udp.local_addr().unwrap().to_string()),
            ("unix-connect", self.file("socket")),
            ("kill-parent", parent.to_string()),
            ("tgkill-parent", parent.to_string()),
            ("ptrace-parent", parent.to_string()),
            ("read-parent", parent.to_string()),
            ("pidfd-parent", parent.to_string()),
            ("parent-limits", parent.to_string()),
            ("move-pages", parent.to_string()),
            ("fcntl-owner", parent.to_string()),
            // Last: what it takes away, others look for.
            ("chmod", own),
            ("unlink", self.file("root.key")),
        ]
    }
}

/// What needs no target.
const PLAIN: &[&str] = &[
    "tcp-bind",
    "raw-socket",
    "netlink",
    "vsock",
    "packet",
    "socketpair",
    "fork",
    "vfork",
    "new-namespace",
    "clone3",
    "thread",
    "execve",
    "execveat",
    "kill-all",
    "own-dumpable",
    "live-on",
    "raise-limits",
    "setuid",
    "capset",
    "unshare",
    "setns",
    "mount",
    "umount",
    "chroot",
    "pivot-root",
    "open-tree",
    "open-by-handle",
    "openat2",
    "io-uring",
    "bpf",
    "perf",
    "userfaultfd",
    "keyctl",
    "add-key",
    "shm",
    "semaphores",
    "messages",
    "message-queue",
    "inotify",
    "fanotify",
    "module",
    "kexec",
    "reboot",
    "swapon",
    "settime",
    "hostname",
    "syslog",
    "personality",
    "scheduler",
    "loosen-seccomp",
    "tiocsti",
    "fcntl-signal",
    "signal-fd",
    "timer",
    "memory-policy",
    "lock-memory",
    "secret-memory",
    "x32",
    "32-bit",
];

#[test]
fn behind_all_walls_every_attempt_is_its_last() {
    let prey = Prey::new();
    for (name, target) in prey.targets() {
        check("sealed", name, &target, Killed);
    }
    for name in PLAIN {
        check("sealed", name, "", Killed);
    }
    assert_eq!(std::fs::read_to_string(prey.file("root.key")).unwrap(), "a key");
}

#[test]
fn what_is_not_killed_finds_nothing() {
    let prey = Prey::new();
    check("sealed", "nothing", "", Done);
    check("sealed", "environment", "", Refused);
    check("sealed", "allocate", "", Refused);
    check("naked", "allocate", "", Done);
    check("sealed", "descriptors", "", Refused);
    // The one call in which a path can be hidden finds an empty root.
    check("sealed", "stat", &prey.file("root.key"), Killed);
    check("sealed", "hidden-stat", &prey.file("root.key"), Refused);
    check("naked", "hidden-stat", &prey.file("root.key"), Done);
}

#[test]
fn a_compiler_is_held_as_well() {
    let prey = Prey::new();
    // Libraries ask for files and take no for an answer.
    let softly = ["open", "create"];
    for (name, target) in prey.targets() {
        let expect = if softly.contains(&name) || name == "list" { Refused } else { Killed };
        check("compiler", name, &target, expect);
    }
    for name in PLAIN {
        let expect = match *name {
            "thread" => Done,
            "clone3" => Refused,
            _ => Killed,
        };
        check("compiler", name, "", expect);
    }
}

/// The other walls hold where seccomp has a hole: everything but it stands.
#[test]
fn without_seccomp_the_other_walls_hold() {
    let prey = Prey::new();
    for (name, target) in prey.targets() {
        // The process itself may still be asked about, and told about others that it does not see.
        if matches!(name, "parent-limits" | "move-pages" | "fcntl-owner" | "readlink" | "list") {
            continue;
        }
        let (ended, how) = attempt("within", name, &target);
        // Its own empty root may be opened, but for what Landlock forbids: reading it.
        assert_eq!(ended, Refused, "{how}");
    }
    for name in [
        "tcp-bind",
        "raw-socket",
        "packet",
        "execve",
        "raise-limits",
        "setuid",
        "capset",
        "mount",
        "umount",
        "chroot",
        "pivot-root",
        "open-tree",
        "open-by-handle",
        "module",
        "kexec",
        "reboot",
        "swapon",
        "settime",
        "hostname",
        "lock-memory",
        "perf",
        "message-queue",
    ] {
        check("within", name, "", Refused);
    }
}

/// The same attempts work where there is no wall: the tables above say something.
#[test]
fn without_walls_the_attempts_work() {
    let prey = Prey::new();
    for (name, target) in prey.targets() {
        if ["open", "list", "create", "readlink", "tcp-connect", "udp", "unix-connect", "kill-parent"]
            .contains(&name)
        {
            check("naked", name, &target, Done);
        }
    }
    for name in
        ["tcp-bind", "netlink", "socketpair", "fork", "vfork", "thread", "own-dumpable", "unshare", "inotify"]
    {
        check("naked", name, "", Done);
    }
    check("naked", "unlink", &prey.file("root.key"), Done);
}
