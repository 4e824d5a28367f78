//! What a run cost and how it ended. It never measures: `cell` does.

use serde::{Deserialize, Serialize};

/// What one run of a function used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Usage {
    /// CPU time of the run in its worker, instantiation included, in microseconds.
    pub cpu_us: u64,
    /// From the start in the worker to the end of the answer, in microseconds.
    pub wall_us: u64,
    /// The most linear memory that the instance held, all memories together, in bytes.
    pub memory_bytes_peak: u64,
    /// Calls from the guest into the host.
    pub host_calls: u64,
    /// Body bytes that the guest was sent.
    pub request_bytes: u64,
    /// Body bytes that the guest answered.
    pub response_bytes: u64,
    /// Bytes written to the function's log.
    pub log_bytes: u64,
    /// Bytes that the guest wrote to its log beyond its limit, which were dropped.
    pub log_bytes_dropped: u64,
    /// Outbound calls made.
    pub outbound_calls: u32,
}

/// Who is to blame for an error: it decides the status class and whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The request was wrong.
    Caller,
    /// The function misbehaved.
    Guest,
    /// A limit of load was met; trying later may work.
    Load,
    /// The platform failed.
    Platform,
}

macro_rules! faults {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $code:literal, $status:literal, $blame:ident, $sentence:literal;
    )*) => {
        /// Why a run did not end as it should. Each has a code of its own, an HTTP status and a sentence.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Fault { $($(#[$doc])* $variant,)* }

        impl Fault {
            /// Every fault there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code, in kebab case.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The HTTP status that a caller sees where the answer had not begun.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// Whose doing it is.
            pub const fn blame(self) -> Blame {
                match self { $(Self::$variant => Blame::$blame,)* }
            }

            /// One sentence that may be shown to anyone.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

faults! {
    /// More CPU time than `cpu_ms`.
    CpuLimit = "cpu-limit", 504, Guest, "the function used up its CPU time";
    /// Longer than `wall_ms` in all.
    WallLimit = "wall-limit", 504, Guest, "the function ran out of time";
    /// No head of an answer within `first_byte_ms`.
    FirstByteLimit = "first-byte-limit", 504, Guest, "the function did not begin to answer in time";
    /// The answer's body stood still for `idle_ms`.
    IdleLimit = "idle-limit", 504, Guest, "the function's answer stood still for too long";
    /// More linear memory than `memory_bytes`.
    MemoryLimit = "memory-limit", 502, Guest, "the function asked for more memory than it may have";
    /// More table elements than `table_elements`.
    TableLimit = "table-limit", 502, Guest, "the function asked for larger tables than it may have";
    /// More core instances, memories or tables than `instances`.
    InstanceLimit = "instance-limit", 502, Guest, "the function has more instances than it may have";
    /// More stack than `stack_bytes`.
    StackLimit = "stack-limit", 502, Guest, "the function used up its stack";
    /// More calls into the host than `host_calls`.
    HostCallLimit = "host-call-limit", 502, Guest, "the function made more host calls than it may make";
    /// More handles and host resources at once than `HANDLES_MAX`, or records than `CONCURRENT_RECORDS_MAX`.
    HandleLimit = "handle-limit", 502, Guest, "the function holds more handles than it may hold";
    /// More random bytes in one call than `RANDOM_BYTES_MAX`, in 0.2. In 0.3 a call gives that many.
    RandomLimit = "random-limit", 502, Guest, "the function asked for more random bytes than it may have";
    /// More bytes for the host in one call than `HOST_CALL_BYTES_MAX`.
    HostCallBytesLimit = "host-call-bytes-limit", 502, Guest,
        "the function handed the host more bytes than it may";
    /// More answer than `response_body_bytes`.
    ResponseBodyLimit = "response-body-limit", 502, Guest, "the function's answer is larger than it may be";
    /// More answer headers than `response_header_bytes`.
    ResponseHeaderLimit = "response-header-limit", 502, Guest,
        "the function's answer has more header bytes than it may have";
    /// More log than `log_bytes`; the run goes on and the rest of the log is dropped.
    LogLimit = "log-limit", 502, Guest, "the function's log was cut at its limit";
    /// More outbound calls than `outbound_calls`; the guest is told so and the run goes on.
    OutboundLimit = "outbound-limit", 502, Guest, "the function's outbound calls were cut at their limit";
    /// Rules found in the answer what must not leave.
    AnswerRefused = "answer-refused", 502, Guest, "the function's answer was held back";
    /// The guest trapped.
    Trap = "trap", 502, Guest, "the function crashed";
    /// The guest called exit before it answered.
    Exit = "exit", 502, Guest, "the function exited before it answered";
    /// The guest returned without an answer.
    NoAnswer = "no-answer", 502, Guest, "the function ended without an answer";
    /// The guest answered with an error of `wasi:http` in place of a response.
    GuestError = "guest-error", 502, Guest, "the function answered with an error";
    /// More request body than `request_body_bytes`.
    RequestBodyLimit = "request-body-limit", 413, Caller, "the request's body is larger than the function takes";
    /// More request header bytes than `request_header_bytes`.
    RequestHeaderLimit = "request-header-limit", 431, Caller, "the request's headers are larger than the function takes";
    /// The request's body is not framed as HTTP frames one (RFC 9112 §7.1).
    RequestBroken = "request-malformed", 400, Caller, "the request's body breaks its framing";
    /// The caller went away or its body broke off.
    CallerGone = "caller-gone", 499, Caller, "the caller went away";
    /// More requests at once than the function's `concurrency`, and its queue is full or waited too long.
    FunctionBusy = "function-busy", 503, Load, "the function has as many requests as it takes; try again";
    /// More requests at once than the tenant may have.
    TenantBusy = "tenant-busy", 503, Load, "the tenant has as many requests as it may have; try again";
    /// Every worker's queue is full.
    NodeBusy = "node-busy", 503, Load, "the node has as many requests as it takes; try again";
    /// The worker died with the run in it.
    WorkerDied = "worker-died", 502, Platform, "the function's worker ended; try again";
    /// The worker stood still and was replaced.
    WorkerStalled = "worker-stalled", 504, Platform, "the function's worker stood still; try again";
    /// The worker broke the protocol and was replaced.
    WorkerLied = "worker-lied", 502, Platform, "the function's worker misbehaved; try again";
    /// The compiled code can neither be read from the store nor be made again.
    CodeUnavailable = "code-unavailable", 503, Platform, "the function's code cannot be had";
    /// The shield keeps the revision in quarantine.
    Quarantined = "quarantined", 503, Load, "the function is in quarantine; try again later";
    /// The node is stopping.
    Draining = "draining", 503, Load, "the node is stopping; try another";
}

impl Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let found = Self::ALL.iter().find(|f| f.code() == text).copied();
        found.ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no fault")))
    }
}

impl schemars::JsonSchema for Fault {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fault".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let codes: Vec<&str> = Self::ALL.iter().map(|f| f.code()).collect();
        schemars::json_schema!({ "type": "string", "enum": codes })
    }
}

/// How a run ended: with an answer, or with a fault and a detail for the function's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The guest answered with this status, to the end.
    Answered(u16),
    /// It did not. The detail (a trap's message, say) is for the function's log, never for the caller.
    Failed(Fault, String),
}
