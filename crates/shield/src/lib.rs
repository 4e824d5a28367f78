//! The first look at a request: sizes, ambiguity, rates and the firewall's lists; and the counting of what is suspicious,
//! of those who ask and of runs, and what is done against whom. It never opens a socket, reads a clock, or acts.
//!
//! The only exit of a request is [`Screened`], which [`Shield::screen`] alone makes.

pub mod added;
pub mod base;
mod blocked;
mod firewall;
mod forwarded;
pub mod frames;
mod head;
pub mod http1;
pub mod inspect;
mod own;
mod profile;
pub mod proxy;
mod rate;
mod repeats;
mod screen;
mod standing;
mod watch;

pub use base::{BASE_SOURCES, base_rules};
pub use blocked::Blocked;
pub use firewall::{At, Cidr, CidrError, Entry, EntryError, Firewall, Lists, Ranges, SetError, Sets, source};
pub use forwarded::{ForwardHeader, ForwardedMalformed, Forwarders};
pub use inspect::{Guard, Guards, Inspected};
pub use own::{Own, OwnRates, Quota, Scope};
pub use profile::{Finding, Numbers, Profile, Seen, Sent, Stage, Step, Trail, Transition, critical};
pub use rate::{Left, Limiter, Rate, Rated};
pub use repeats::{Repeated, Repeats};
pub use screen::{Admitted, ClientCertificate, Peer, Port, Screened, Shield, ShieldConfig};
pub use standing::{Action, Against, BY_ITSELF, Measure, Responses, Standing, Subject, TooMany};
pub use watch::{Credential, Sign, Signal, SignalKind, Thresholds, Watch};
