//! One call as logs name it, and the lines about it in the node's log and in its function's. It never writes a
//! credential, a query or a body.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use http::{Method, Uri, request::Parts};
use identity::{Caller, Chain};
use model::{Outcome, RequestId, Usage};

use crate::{Platform, catalog::Target, logs::LogLine};

/// Refused calls that a function's log tells of within a second. What is more is counted, so that a flood of
/// them does not push out what the function itself wrote.
const REFUSED_PER_SECOND: u64 = 10;
/// Bytes of a path in a log line.
const PATH_BYTES_MAX: usize = 256;

/// Who calls what, from where.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) id: RequestId,
    /// The principal's text; empty where it is not known yet.
    pub(crate) principal: Arc<str>,
    pub(crate) source: IpAddr,
    /// Behind the principal, where it is a function.
    pub(crate) chain: Option<Arc<Chain>>,
    asked: Option<(Method, Uri)>,
}

impl Call {
    pub(crate) fn new(id: RequestId, principal: Arc<str>, source: IpAddr, head: &Parts) -> Self {
        Self { id, principal, source, chain: None, asked: Some((head.method.clone(), head.uri.clone())) }
    }

    /// The same, with the chain of calls behind its caller.
    pub(crate) fn through(self, caller: &Caller) -> Self {
        Self { chain: caller.chain().cloned(), ..self }
    }

    /// A call whose head nobody is to read.
    pub(crate) fn unread(id: RequestId, source: IpAddr) -> Self {
        Self { id, principal: "".into(), source, chain: None, asked: None }
    }

    fn method(&self) -> &str {
        self.asked.as_ref().map_or("", |(method, _)| method.as_str())
    }

    /// The path without its query, which may hold what is no log's business.
    fn path(&self) -> &str {
        let path = self.asked.as_ref().map_or("", |(_, uri)| uri.path());
        let cut = (0..=PATH_BYTES_MAX.min(path.len())).rev().find(|at| path.is_char_boundary(*at));
        path.get(..cut.unwrap_or_default()).unwrap_or_default()
    }
}

/// How many refused calls a function's log has told of lately.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    second: AtomicU64,
    told: AtomicU64,
    untold: AtomicU64,
}

impl Refusals {
    /// Whether to tell of one more, and how many went untold before it. A lost race costs a line.
    fn tell(&self, now_s: u64) -> Option<u64> {
        if self.second.swap(now_s, Relaxed) != now_s {
            self.told.store(0, Relaxed);
        }
        if self.told.fetch_add(1, Relaxed) < REFUSED_PER_SECOND {
            return Some(self.untold.swap(0, Relaxed));
        }
        self.untold.fetch_add(1, Relaxed);
        None
    }
}

impl Platform {
    /// A line of the platform in a function's log.
    pub(crate) fn tell(&self, target: &Target, request: RequestId, text: String) {
        let (at, revision) = (self.clock.now(), target.revision.number);
        target.life.log.push(LogLine { seq: 0, at, revision, request, stream: "platform".into(), text });
    }

    /// Tells the operator and the function's owner of a call that never ran.
    pub(crate) fn log_refused(&self, target: &Target, call: &Call, code: &str) {
        tracing::info!(
            target: "casemate::refused",
            request = %call.id,
            tenant = target.tenant().as_str(),
            function = target.function().as_str(),
            revision = target.revision.number.0,
            code,
            caller = &*call.principal,
            source = %call.source,
            method = call.method(),
            path = call.path(),
        );
        let Some(untold) = target.life.refusals.tell(self.clock.now().unix_ms() / 1_000) else { return };
        let by = if call.principal.is_empty() { String::new() } else { format!(" by {}", call.principal) };
        let more = match untold {
            0 => String::new(),
            n => format!(" ({n} more before it)"),
        };
        let asked = if call.asked.is_some() { " " } else { "" };
        let what = format!("{asked}{} {}", call.method(), call.path());
        let text = format!("{code}: refused{}{by} from {}{more}", what.trim_end(), call.source);
        self.tell(target, call.id, text);
    }

    /// Tells the operator of a run that ended.
    pub(crate) fn log_run(&self, target: &Target, call: &Call, usage: &Usage, outcome: &Outcome) {
        let (status, fault) = match outcome {
            Outcome::Answered(status) => (*status, ""),
            Outcome::Failed(fault, _) => (fault.status(), fault.code()),
        };
        tracing::info!(
            target: "casemate::run",
            request = %call.id,
            tenant = target.tenant().as_str(),
            function = target.function().as_str(),
            revision = target.revision.number.0,
            caller = &*call.principal,
            source = %call.source,
            method = call.method(),
            path = call.path(),
            status,
            fault,
            cpu_us = usage.cpu_us,
            wall_us = usage.wall_us,
            memory = usage.memory_bytes_peak,
        );
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn call(uri: &str) -> Call {
        let (head, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
        Call::new(RequestId::from_parts(Timestamp::default(), 0), "".into(), [127, 0, 0, 1].into(), &head)
    }

    #[test]
    fn a_path_is_cut_and_has_no_query() {
        assert_eq!(call("/a/b?token=s3cret").path(), "/a/b");
        let long = format!("/{}é", "x".repeat(PATH_BYTES_MAX - 2));
        assert_eq!(call(&long).path().len(), PATH_BYTES_MAX - 1, "no character is cut in two");
    }

    #[test]
    fn a_flood_is_counted() {
        let refusals = Refusals::default();
        let told = (0..25).filter(|_| refusals.tell(7).is_some()).count();
        assert_eq!(told as u64, REFUSED_PER_SECOND);
        assert_eq!(refusals.tell(8), Some(15));
        assert_eq!(refusals.tell(8), Some(0));
    }
}
