//! The first look at a request: sizes, ambiguity, rates and the firewall's lists. It never opens a socket,
//! reads a clock, or knows who the caller is.
//!
//! The only exit is [`Screened`], which [`Shield::screen`] alone makes.

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
pub mod proxy;
mod rate;
mod repeats;
mod screen;

pub use base::{BASE_SOURCES, BASE_VERSION, base_rules};
pub use blocked::Blocked;
pub use firewall::{At, Cidr, CidrError, Entry, EntryError, Firewall, Lists, Ranges, SetError, Sets};
pub use forwarded::{ForwardHeader, ForwardedMalformed, Forwarders};
pub use inspect::{Guard, Guards, Inspected};
pub use own::{Own, OwnRates, Quota, Scope};
pub use rate::{Limiter, Rate, Rated, Standing};
pub use repeats::{Repeated, Repeats};
pub use screen::{ClientCertificate, Peer, Port, Screened, Shield, ShieldConfig};
