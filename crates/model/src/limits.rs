//! Every bound of the product with its unit. It never enforces one.

use serde::{Deserialize, Serialize};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $name:ident: $min:expr, $default:expr, $max:expr;)*) => {
        /// The bounds of one function. All are on by default; a manifest may set each between its minimum
        /// and the node's ceiling.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Limits { $($(#[doc = $doc])* #[schemars(range(min = $min))] pub $name: u64,)* }

        /// One row of the table of limits: name, minimum, default, the ceiling of a node that sets none.
        pub const TABLE: &[(&str, u64, u64, u64)] = &[$((stringify!($name), $min, $default, $max),)*];

        /// What each bound is about, with its unit, in the table's order.
        pub const MEANINGS: &[&str] = &[$(concat!($($doc),*).trim_ascii_start(),)*];

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Limits {
            /// The highest that a node allows unless its configuration says otherwise.
            pub const CEILING: Self = Self { $($name: $max,)* };

            /// Names the first bound that is below its minimum or above the ceiling, with value and allowed
            /// range.
            pub fn outside(&self, ceiling: &Self) -> Option<(&'static str, u64, u64, u64)> {
                let maxima = ceiling.rows();
                let rows = TABLE.iter().zip(self.rows()).zip(maxima);
                rows.map(|((row, (name, value)), (_, max))| (name, value, row.1, max))
                    .find(|(_, value, min, max)| value < min || value > max)
            }

            /// The same, with those bounds that nobody named no higher than the ceiling: a node that allows less
            /// than a default means that the default is less there.
            pub fn under(mut self, ceiling: &Self, named: impl Fn(&str) -> bool) -> Self {
                $(if !named(stringify!($name)) { self.$name = self.$name.min(ceiling.$name); })*
                self
            }

            /// Each bound with its name, in the table's order.
            pub fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

limits! {
    /// CPU time of one run, in milliseconds.
    cpu_ms: 1, 1_000, 60_000;
    /// Time of one run from start to the end of its answer, in milliseconds.
    wall_ms: 1, 30_000, 900_000;
    /// Linear memory of the whole instance, all memories together, in bytes.
    memory_bytes: 64 * KIB, 128 * MIB, 1024 * MIB;
    /// Elements of all tables together.
    table_elements: 1, 100_000, 1_000_000;
    /// Core instances, and as many memories and tables.
    instances: 1, 50, 200;
    /// Wasm stack, in bytes; rounded up to the next class that the engine has.
    stack_bytes: 64 * KIB, 1024 * KIB, 4096 * KIB;
    /// Body of a request, in bytes.
    request_body_bytes: 0, 10 * MIB, 1024 * MIB;
    /// Head of a request (names, values and target), in bytes.
    request_header_bytes: 256, 32 * KIB, 64 * KIB;
    /// Body of an answer, in bytes.
    response_body_bytes: 0, 10 * MIB, 1024 * MIB;
    /// Headers and trailers of an answer (names and values), in bytes.
    response_header_bytes: 64, 32 * KIB, 64 * KIB;
    /// Until the head of the answer, in milliseconds.
    first_byte_ms: 1, 15_000, 900_000;
    /// How long a body may stand still, either way, in milliseconds.
    idle_ms: 1, 10_000, 300_000;
    /// Calls from the guest into the host.
    host_calls: 10, 1_000_000, 100_000_000;
    /// Log of one run, in bytes; the rest is dropped and counted.
    log_bytes: 0, 64 * KIB, 16 * MIB;
    /// Outbound calls of one run.
    outbound_calls: 0, 50, 1_000;
    /// Runs of the function at once.
    concurrency: 1, 100, 1_000;
    /// Requests that wait for a free run of the function.
    queue: 0, 1_000, 10_000;
    /// How long a request may wait for a free run, in milliseconds.
    queue_ms: 0, 10_000, 60_000;
}

/// Runs of one tenant at once, unless `casemate tenant set` gives it another number.
pub const TENANT_CONCURRENCY: u64 = 500;
/// The highest such number; `tenants.concurrency` of a node's configuration sets a lower one.
pub const TENANT_CONCURRENCY_MAX: u64 = 10_000;
/// Runs in one worker at once: the slots of its instance pools.
pub const WORKER_RUNS_MAX: u32 = 128;
/// Runs that compute at once for each worker, where sources that ask much take turns with such that ask little.
pub const WORKER_TURNS: usize = 2;
/// Requests of one source that wait for their turn to run.
pub const SOURCE_WAITING_MAX: usize = 1_024;
/// Writable memory of one worker, all of its runs together, in bytes.
pub const WORKER_DATA_BYTES_MAX: u64 = 160 * 1024 * MIB;
/// A component as uploaded, in bytes.
pub const COMPONENT_BYTES_MAX: u64 = 64 * MIB;
/// A manifest's text, in bytes.
pub const MANIFEST_BYTES_MAX: u64 = 64 * KIB;
/// Compiled code of one component, in bytes.
pub const COMPILED_BYTES_MAX: u64 = 512 * MIB;
/// Compilation of one component, in milliseconds of wall time.
pub const COMPILE_WALL_MS: u64 = 120_000;
/// Compilation of one component, in seconds of CPU time over all its threads.
pub const COMPILE_CPU_S: u64 = 180;
/// Address space of a compilation, in bytes.
pub const COMPILE_MEMORY_BYTES: u64 = 4096 * MIB;
/// How long a node waits for its requests when it stops, in milliseconds, unless `drain_ms` of its configuration
/// says otherwise.
pub const DRAIN_MS: u64 = 30_000;
/// The highest that `drain_ms` may be set, in milliseconds.
pub const DRAIN_MS_MAX: u64 = 3_600_000;
/// How long a worker may leave a heartbeat unanswered, in milliseconds.
pub const WORKER_STALL_MS: u64 = 3_000;
/// How long the workers of a trust label other than the usual stay without a run, in milliseconds.
pub const WORKER_IDLE_MS: u64 = 300_000;
/// CPU time beyond which a run is worn, in milliseconds: others go first in its worker.
pub const WORN_CPU_MS: u64 = 4;
/// A function whose runs use more CPU time than this on average, in microseconds, is heavy, and gets workers of its
/// own.
pub const HEAVY_CPU_US: u64 = 1_000;
/// How long the workers of heavy functions stay without a run, in milliseconds.
pub const HEAVY_IDLE_MS: u64 = 60_000;
/// One frame between node and worker, in bytes.
pub const FRAME_BYTES_MAX: u32 = 128 * 1024;
/// Header lines in one frame between node and worker.
pub const FRAME_HEADERS_MAX: usize = 1_000;
/// Body bytes under way in one direction of one run before the sender waits, in bytes.
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Random bytes that a guest may ask for in one call.
pub const RANDOM_BYTES_MAX: u64 = 64 * KIB;
/// Handles and host resources that one run may hold at once.
pub const HANDLES_MAX: usize = 1_024;
/// Records that the engine keeps for one run of 0.3: some of each for every stream, future or task.
pub const CONCURRENT_RECORDS_MAX: usize = 8_192;
/// What a guest may hand to the host in one call, in bytes.
pub const HOST_CALL_BYTES_MAX: usize = 2 << 20;
/// One table of headers in the host, in bytes; four times `response_header_bytes` where that is more.
pub const FIELDS_BYTES_MAX: usize = 128 << 10;
/// Granularity of a guest's clocks, in nanoseconds (coarse: a defence against timing attacks).
pub const CLOCK_GRAIN_NS: u64 = 1_000_000;
/// Open connections of a node.
pub const CONNECTIONS_MAX: u64 = 10_000;
/// Open connections of one source address.
pub const CONNECTIONS_PER_SOURCE_MAX: u64 = 1_000;
/// Connections a second that one source address may open, and how many may come at once. Those above it wait before
/// their handshake: a node spends most of a short connection on that. A configuration may allow more.
pub const CONNECTION_RATE: (u32, u32) = (100, 250);
/// The most connections a second of one source address, and at once, that a configuration may allow.
pub const CONNECTION_RATE_MAX: u32 = 100_000;
/// How long a connection may wait for its source's rate, in milliseconds; one that had to wait longer is closed.
pub const CONNECTION_WAIT_MS: u64 = 5_000;
/// A TLS handshake, in milliseconds.
pub const HANDSHAKE_MS: u64 = 10_000;
/// How long a key seals session tickets, and opens them after that, in seconds: a client comes back without a whole
/// handshake for twice this time at most.
pub const TICKET_KEY_S: u64 = 3_600;
/// Sessions of one tenant's clients with certificates that can be resumed, in memory; at most twice as many.
pub const CLIENT_SESSIONS_MAX: usize = 256;
/// How often the operator's certificate and key are looked at for a change, in milliseconds.
pub const CERTIFICATE_LOOK_MS: u64 = 2_000;
/// Names that certificates are ordered for.
pub const ACME_NAMES_MAX: usize = 100;
/// How long one order of a certificate may take, in milliseconds.
pub const ACME_ORDER_MS: u64 = 300_000;
/// One answer of a certificate authority, in bytes.
pub const ACME_BYTES_MAX: u64 = 256 * KIB;
/// How soon an order that failed is tried again, in milliseconds: at first, and at most, after it doubled each time.
pub const ACME_RETRY_MS: (u64, u64) = (60_000, 21_600_000);
/// How soon after an order the next one may come, in milliseconds, however short certificates last.
pub const ACME_LEAST_MS: u64 = 5_000;
/// Open connections at the door for certificate authorities.
pub const CHALLENGE_CONNECTIONS_MAX: usize = 64;
/// The head of a request, from its first byte, in milliseconds.
pub const REQUEST_HEAD_MS: u64 = 10_000;
/// A connection with no request, in milliseconds.
pub const KEEP_ALIVE_MS: u64 = 60_000;
/// Connections of HTTP/1.1 that were told to come back later and are read again, a second. Who is refused alone is
/// heard at once; those who are refused by the thousand wait for each other, so that no node is kept busy with
/// refusals.
pub const REFUSED_AGAIN_PER_S: u64 = 1_000;
/// The longest that such a connection waits, in milliseconds: less than it was told to.
pub const REFUSED_PAUSE_MS: u64 = 800;
/// How long the rest of a body that nobody wants is read and thrown away, in milliseconds.
pub const LINGER_MS: u64 = 2_000;
/// How much of such a rest is read, in bytes.
pub const LINGER_BYTES_MAX: usize = 4 << 20;
/// Header lines of a request.
pub const REQUEST_HEADERS_MAX: usize = 100;
/// A request's target, in bytes.
pub const REQUEST_TARGET_BYTES_MAX: usize = 8 * 1024;
/// Extensions of all chunks of one body, in bytes.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 4 * 1024;
/// Trailers of one body, in bytes.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Trailer lines of one body.
pub const TRAILERS_MAX: usize = 32;
/// HTTP/2 streams of one connection at once.
pub const H2_STREAMS_MAX: u32 = 128;
/// Requests a second of one source address, and how many may come at once.
pub const SOURCE_RATE: (u32, u32) = (50_000, 10_000);
/// Requests a second of one caller, and how many may come at once.
pub const CALLER_RATE: (u32, u32) = (50_000, 10_000);
/// Refused proofs of identity a minute of one source address.
pub const FAILED_PROOFS_PER_MINUTE: u32 = 60;
/// Refused proofs of identity a minute that say they are one caller's, from wherever they come.
pub const FAILED_CLAIMS_PER_MINUTE: u32 = 120;
/// How often a minute one source address may ask how to log in, or log in.
pub const LOGIN_ASKS_PER_MINUTE: u32 = 60;
/// Body of a request to log in, in bytes.
pub const LOGIN_BODY_BYTES_MAX: u64 = 16 * KIB;
/// How long such a body may take, in milliseconds.
pub const LOGIN_BODY_MS: u64 = 10_000;
/// Sessions of one tenant at once.
pub const SESSIONS_MAX: usize = 4_096;
/// Sessions of one person at once; one more ends the oldest.
pub const SESSIONS_OF_ONE_MAX: usize = 16;
/// Credentials that one function may name as accepted.
pub const ACCEPTED_CREDENTIALS_MAX: usize = 32;
/// Bodies that are held whole at once because a webhook or a signature proves them, all together, in bytes.
pub const PROVED_BODIES_BYTES_MAX: u64 = 256 * MIB;
/// How often an issuer's keys are fetched again, in milliseconds.
pub const ISSUER_REFRESH_MS: u64 = 600_000;
/// How soon they are fetched again after a fetch that failed, or for a key that nobody knows, in milliseconds.
pub const ISSUER_RETRY_MS: u64 = 30_000;
/// How long an issuer's keys are good after the last fetch that did not fail, in milliseconds.
pub const ISSUER_GRACE_MS: u64 = 86_400_000;
/// How long one fetch from an issuer may take, and a request wait for the first, in milliseconds.
pub const ISSUER_FETCH_MS: u64 = 5_000;
/// An issuer's metadata, and its keys, in bytes.
pub const ISSUER_BYTES_MAX: u64 = 256 * KIB;
/// Sources and callers that the rate limiter remembers; the longest idle goes first.
pub const RATE_KEYS_MAX: usize = 100_000;
/// How long refusals of one kind and one source are counted before they become one event, in milliseconds.
pub const REFUSALS_GATHER_MS: u64 = 10_000;
/// Kinds and sources of refusals that are counted at once; what comes beyond them is counted by kind alone.
pub const REFUSALS_GATHERED_MAX: usize = 4_096;
/// Body of a control request other than a deploy, in bytes.
pub const CONTROL_BODY_BYTES_MAX: u64 = MIB;
/// Events that wait to be recorded; when it is full, the answer is no.
pub const LEDGER_QUEUE: usize = 65_536;
/// Sinks of one node that events go to.
pub const SINKS_MAX: usize = 8;
/// Records that a sink may be behind before the oldest are passed over, where the node's configuration does not say.
pub const SINK_BEHIND: u64 = 10_000_000;
/// The most that the configuration may say.
pub const SINK_BEHIND_MAX: u64 = 1_000_000_000;
/// Events that are handed to a sink at once.
pub const SINK_BATCH_EVENTS: usize = 512;
/// After which a batch for a sink takes no further event, in bytes.
pub const SINK_BATCH_BYTES: usize = 1 << 20;
/// How long a delivery to a sink may take, in milliseconds.
pub const SINK_DELIVER_MS: u64 = 10_000;
/// How soon a delivery that failed is tried again, in milliseconds; twice as long each time.
pub const SINK_RETRY_MS: u64 = 250;
/// How long it is put off at most, whatever the receiver asks for, in milliseconds.
pub const SINK_RETRY_MS_MAX: u64 = 60_000;
/// Log lines kept for each function, in bytes.
pub const LOG_KEEP_BYTES: u64 = 4 * MIB;
/// One outbound answer's head, in milliseconds.
pub const OUTBOUND_HEAD_MS: u64 = 30_000;
/// Connecting to an outbound destination, in milliseconds.
pub const OUTBOUND_CONNECT_MS: u64 = 10_000;
/// Body of an outbound request or answer, in bytes.
pub const OUTBOUND_BODY_BYTES_MAX: u64 = 64 * MIB;
/// Connections to one outbound destination at once.
pub const OUTBOUND_CONNECTIONS_MAX: usize = 64;
/// Redirects that an outbound call may follow where the operator's client asks for it.
pub const OUTBOUND_REDIRECTS_MAX: usize = 5;
/// Functions in one chain of calls, the first included.
pub const CHAIN_DEPTH_MAX: usize = 8;
/// Calls between functions that one request from outside may cause in all, whoever of its chain makes them.
pub const CHAIN_CALLS_MAX: u32 = 256;
/// How long a call between functions waits for a place of the callee and of the node, in milliseconds, where the
/// callee's `queue_ms` is not less: it holds places for which others wait.
pub const CHAIN_QUEUE_MS: u64 = 1_000;
/// How long a token may live at most, in days.
pub const TOKEN_DAYS_MAX: u64 = 365;
/// How long a token may stay good beside the one that takes its place, in days.
pub const TOKEN_OVERLAP_DAYS_MAX: u64 = 30;
/// How long a waiver may last at most, in days.
pub const WAIVER_DAYS_MAX: u64 = 365;
/// Policies of one tenant, in bytes of text.
pub const POLICY_BYTES_MAX: u64 = MIB;
/// Changes of one tenant that wait for somebody to approve them.
pub const CHANGES_WAITING_MAX: usize = 32;
/// How long a change waits at most, in days.
pub const CHANGE_WAITS_DAYS: u64 = 7;
/// How long a permit of `casemate policy break-glass` lasts at most, in minutes.
pub const GLASS_MINUTES_MAX: u64 = 240;
/// Permits of `casemate policy break-glass` of one tenant at once.
pub const GLASS_MAX: usize = 32;
/// How much of a request's body rules look at, in bytes, unless a manifest or the node's configuration says otherwise.
pub const INSPECTED_BODY_BYTES: u64 = 128 * KIB;
/// The most of a body that rules may be asked to look at, in bytes.
pub const INSPECTED_BODY_BYTES_MAX: u64 = MIB;
/// How much of an answer's body rules look at where a function asks for it, in bytes.
pub const INSPECTED_ANSWER_BYTES: u64 = 128 * KIB;
/// How long rules may look at one request, all phases together, in milliseconds.
pub const INSPECTION_MS: u64 = 18;
/// How long rules that are added may take for a long text that is made to be slow, in milliseconds.
pub const RULES_PROBE_MS: u64 = 500;
/// Beginnings of bodies that are held at once while rules look at them, all together, in bytes.
pub const INSPECTED_BODIES_BYTES_MAX: u64 = 256 * MIB;
/// Addresses for which rules may keep something, of one tenant.
pub const RULE_ADDRESSES_MAX: usize = 10_000;
/// All files of one set of rules, in bytes.
pub const RULES_BYTES_MAX: usize = 3 << 20;
/// Body of a control request that brings rules, in bytes.
pub const RULES_BODY_BYTES_MAX: u64 = 8 * MIB;
/// Sets of rules that a node keeps to go back to.
pub const RULE_SETS_MAX: usize = 8;
/// Requests that are kept for `casemate shield simulate`, in bytes of memory.
pub const RECENT_BYTES_MAX: usize = 32 << 20;
/// How long they are kept, in milliseconds.
pub const RECENT_MS: u64 = 3_600_000;
/// Requests a second of one function that are kept, of those that pass and of those that rules refuse, each.
pub const RECENT_PER_S: u32 = 8;
/// The body of a request that is kept, in bytes; the rest of a longer one is left out.
pub const RECENT_BODY_BYTES: usize = 16 << 10;
/// Exclusions of one manifest.
pub const SHIELD_EXCLUSIONS_MAX: usize = 64;
/// Ranges of addresses in one manifest's `allow` and `deny` together.
pub const SHIELD_RANGES_MAX: usize = 256;
/// Ranges of addresses in one of the node's named sets.
pub const FIREWALL_SET_RANGES_MAX: usize = 200_000;
/// A file of such a set, in bytes.
pub const FIREWALL_SET_BYTES_MAX: u64 = 16 * MIB;
/// Entries of one of a tenant's lists of sources.
pub const TENANT_RANGES_MAX: usize = 1_024;
/// The header of a forwarded connection (PROXY protocol, version 2), in bytes.
pub const PROXY_HEADER_BYTES_MAX: usize = 2_048;
/// How long a trusted forwarder may take for that header, in milliseconds.
pub const PROXY_HEADER_MS: u64 = 3_000;
/// Sources and callers that the rates of all functions and tenants together remember; those who have used least of
/// theirs go first.
pub const OWN_RATE_KEYS_MAX: usize = 200_000;
/// How long a new revision is learned before its profile is in force, in minutes, unless its manifest says otherwise.
pub const PROFILE_LEARN_MINUTES: u32 = 1_440;
/// How long points of a source are counted before they are forgotten, in milliseconds: a burst of probing.
pub const PROBING_MS: u64 = 60_000;
/// Points of one source within that time from which it probes. Each path that is refused (401, 403, 404) counts once, one
/// that scanners ask everybody for eight, a match of rules its score, at most ten. A page with broken images has a
/// dozen, and a client that repeats a request has one.
pub const PROBING_POINTS: u32 = 40;
/// The same for those who take their time, in milliseconds.
pub const PROBING_LONG_MS: u64 = 3_600_000;
/// Points within that time: about 180 different paths, which a crawler of old links has in hours.
pub const PROBING_LONG_POINTS: u32 = 128;
/// Points of a path that scanners of the whole Internet ask everybody for, and no link leads to.
pub const PROBING_KNOWN_POINTS: u32 = 8;
/// How long credentials that do not hold are counted, in milliseconds.
pub const STUFFING_MS: u64 = 600_000;
/// Different credentials of one source within that time that do not hold, from which it tries them: who mistypes has three,
/// and a machine with a stale one has one.
pub const STUFFING_OF_SOURCE: u32 = 20;
/// Different credentials within that time that say they are one caller's, from wherever they come.
pub const STUFFING_OF_CLAIM: u32 = 60;
/// How long the places are remembered that a token comes from, in milliseconds.
pub const TOKEN_PLACES_MS: u64 = 600_000;
/// Networks (`/16` of IPv4, `/32` of IPv6) that a person's token comes from within that time, from which it is somebody
/// else's too: at home, on the way and by an office's gateway are three.
pub const TOKEN_PLACES_OF_USER: usize = 5;
/// The same of a machine's: fleets of runners share one.
pub const TOKEN_PLACES_OF_SERVICE: usize = 24;
/// Sources, claimed callers and tokens that are watched at once, each; those seen the longest ago go first.
pub const WATCHED_MAX: usize = 16_384;
/// How long one kind of signal of one source, caller or token is told once, in milliseconds.
pub const SIGNAL_AGAIN_MS: u64 = 600_000;
/// Signals of a node that are kept to be shown; the record has all.
pub const SIGNALS_KEPT: usize = 1_024;
/// Signals of one tenant among them, and actions of one that are over: those of others stay, whatever it comes to.
pub const SIGNALS_OF_TENANT: usize = 256;
/// How long they are shown, in hours.
pub const SIGNALS_HOURS: u64 = 24;
/// Actions of the shield in force at once, of a node.
pub const ACTIONS_MAX: usize = 4_096;
/// Of those, what the node itself may do against somebody. The rest is for operators, whoever attacks.
pub const ACTIONS_BY_ITSELF_MAX: usize = 1_024;
/// Of those, for one tenant. Where there are as many, the one that ends the soonest gives way.
pub const ACTIONS_BY_ITSELF_OF_TENANT: usize = 256;
/// What operators of one tenant may have in force at once.
pub const ACTIONS_OF_TENANT: usize = 1_024;
/// What no tenant can take of the actions of a node: for its own operators.
pub const ACTIONS_OF_NODE: usize = 512;
/// The longest that an action of the shield lasts, in minutes.
pub const ACTION_MINUTES_MAX: u64 = 43_200;
/// How long an action of the shield itself lasts, in minutes, unless the node's configuration says otherwise.
pub const RESPONSE_MINUTES: u64 = 10;
/// How late a source that is slowed is refused, in milliseconds.
pub const SLOW_MS: u64 = 2_000;
/// Refusals of a node that wait for that at once; what is more is answered at once.
pub const SLOWED_MAX: usize = 256;
/// Bait routes, and bait tokens, of one tenant.
pub const BAIT_MAX: usize = 64;
/// Different steps one after another that are kept of one run.
pub const TRAIL_MAX: usize = 64;
/// Different steps one after another that a profile holds.
pub const PROFILE_TRANSITIONS_MAX: usize = 512;
/// Runs that a profile is made of at least.
pub const PROFILE_RUNS_MIN: u64 = 100;
/// Steps not in a profile that are told, each once, until it is learned anew.
pub const PROFILE_FINDINGS_MAX: usize = 64;
/// Runs that are held against a profile's numbers together.
pub const DRIFT_RUNS: u32 = 100;
/// One in how many such groups of runs that are like the learned ones raises an alarm all the same at most, of each number.
pub const DRIFT_FALSE_ALARM_ONE_IN: u64 = 1_000_000;
/// How many times as much as within the busiest learned minute may be sent out within one.
pub const EGRESS_FACTOR: u64 = 4;
/// Outbound calls within a minute that are no alarm beside that.
pub const EGRESS_CALLS: u64 = 60;
/// Bytes of outbound calls' bodies within a minute that are no alarm beside that.
pub const EGRESS_BYTES: u64 = 4 * MIB;
/// Changes of policies that are compared and proved at once on a node.
pub const PROOFS_AT_ONCE: usize = 2;
