//! How many files and sockets this process may hold, against how many a full node wants. It never asks for more than
//! the machine's administrator allows.

use std::io;

use model::limits;
use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Descriptors beside those of connections: the store, the workers' sockets, compiled code, outbound calls.
const OTHERS: u64 = 2_048;
/// What a node wants that is to hold as many connections as its bounds say.
pub(crate) const WANTED: u64 = limits::CONNECTIONS_MAX + OTHERS;

/// Raises this process's own bound (`RLIMIT_NOFILE`) to what a node wants, or as near as it may; gives what it is now.
pub(crate) fn raise() -> u64 {
    let bound = raise_bound();
    // Linux doubles a process's table of descriptors when it is full, and makes a process of several threads wait for
    // tens of milliseconds each time (`synchronize_rcu` in `expand_fdtable`): here that is once, before anyone calls.
    if let Ok(last) = i32::try_from(WANTED.min(bound).saturating_sub(1)) {
        let _grown = fcntl_dupfd_cloexec(io::stderr(), last);
    }
    bound
}

fn raise_bound() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let most = now.maximum.unwrap_or(u64::MAX);
    let soft = now.current.unwrap_or(u64::MAX);
    let wanted = WANTED.min(most);
    if soft < wanted {
        let raised = Rlimit { current: Some(wanted), maximum: now.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return wanted;
        }
    }
    soft
}

/// What a node started by this user could raise its bound to.
pub(crate) fn most() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}
