//! The use-cases: deploy, route, invoke, tokens, policies, usage, logs; the broker that answers a guest; the
//! single writer of the record. It never speaks a wire format, SQL, or wasm types.
//!
//! A request walks `route → (shield) → identify → authorize → invoke`; each step's proof is what the next one
//! takes. A control operation takes a [`Ctx`] and decides inside, so that no endpoint can forget to.

mod broker;
mod call;
mod catalog;
mod chain;
mod changes;
mod code;
mod control;
mod defence;
mod events;
mod explain;
mod fair;
mod forward;
mod functions;
mod gate;
mod glass;
mod held;
mod identify;
mod identities;
mod ids;
mod inspect;
mod invoke;
mod issuers;
mod logins;
mod logs;
mod meter;
mod node;
mod open;
mod own;
mod quota;
mod reach;
mod recent;
mod recorder;
mod recover;
mod refusals;
mod refused;
mod routes;
mod rules;
mod sessions;
mod shelf;
mod tenants;
mod tokens;
mod widening;

use std::sync::Arc;

use model::{Clock, Entropy, Limits, RequestId, Timestamp};

pub use catalog::Target;
pub use cell::Walls;
pub use changes::{Change, Proposed};
pub use control::{Follow, RecordQuery, Recorded};
pub use defence::{Against, Bait, MadeBait, NewAction, Noticed, ProfileView, ShieldView, Story, Which};
pub use events::{Delivering, Delivery, EventGroup, Sink, SinkError, SinkOrder, SinkView};
pub use explain::Explained;
pub use functions::{Deployed, FunctionView, Order, Stored};
pub use glass::{GivenGlass, NewGlass};
pub use held::{Held, Holds};
pub use identities::Trust;
pub use inspect::Withheld;
pub use invoke::{AnswerBody, BodyBroken, Ended, Permit, RequestBody, WAIVER_ENDED};
pub use logins::{LoginOffer, LoginTold, OpenedSession};
pub use logs::LogLine;
pub use meter::Totals;
pub use node::{FunctionMetrics, Metrics, NodeView};
pub use open::{FirstStart, OpenError, Parts, PlatformConfig};
pub use prover::{Prover, Witness};
pub use reach::Reached;
pub use recover::{Recovered, recover};
pub use refused::{ControlError, Ctx, Refused};
pub use routes::RouteMiss;
pub use rules::{BASE, Changed, RuleFiles, RuleSetView, Simulated, Wanted};
pub use tokens::{CreatedToken, NewToken};
pub use widening::{Consent, Widening};

/// One node's platform: everything between the gateway's bytes and the cells.
pub struct Platform {
    catalog: catalog::Catalog,
    sealed: Arc<store::Sealed>,
    cells: Arc<cell::Cells>,
    egress: Arc<egress::Egress>,
    shield: Arc<shield::Shield>,
    /// What looks at requests.
    rules: rules::Rulebook,
    /// Beginnings of bodies that are looked at.
    inspected_bodies: Holds,
    /// Requests that other rules can be asked about.
    recent: recent::Recent,
    tokens: identity::TokenBook,
    sessions: identity::SessionBook,
    /// Makes callers of runs that call; nobody else can.
    functions: identity::Functions,
    node_slice: policy::Slice,
    proofs: widening::Proofs,
    recorder: Arc<recorder::Recorder>,
    sinks: events::Sinks,
    logs: logs::LogBook,
    code: code::CodeRoom,
    /// Runs at once on this node.
    places: gate::Places,
    fair: Arc<fair::Fair>,
    ceiling: Limits,
    /// What was found suspicious, and what is done about it.
    defence: defence::Defence,
    /// How requests are looked at where a manifest is silent.
    shield_defaults: model::ShieldDefaults,
    /// The most runs at once that a tenant may be given.
    tenant_ceiling: u64,
    clock: Arc<dyn Clock>,
    /// When the time was saved last.
    clock_saved_ms: std::sync::atomic::AtomicU64,
    entropy: Arc<dyn Entropy>,
    ids: ids::RequestIds,
    draining: std::sync::atomic::AtomicBool,
    started_at: Timestamp,
    /// Refusals that were not recorded since the last that was, for want of room.
    unrecorded: std::sync::atomic::AtomicU64,
}

impl Platform {
    /// A fresh id for a request. Where the source of randomness fails, the id is of the time alone, which
    /// still names the request in the log.
    pub fn request_id(&self) -> RequestId {
        self.ids.next(self.clock.now())
    }

    /// The screen that requests pass before anyone asks who sent them.
    pub fn shield(&self) -> &shield::Shield {
        &self.shield
    }

    /// The node's clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The highest bounds that a manifest may ask for.
    pub const fn ceiling(&self) -> &Limits {
        &self.ceiling
    }

    pub(crate) fn recorder(&self) -> &recorder::Recorder {
        &self.recorder
    }
}
