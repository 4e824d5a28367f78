//! Bytes in and out: sockets, TLS, HTTP, the list of stages, the control API. It never decides.
//!
//! Read `pipeline` for the way of a request, and the files under `stage/` for what happens on it; `control`
//! for the control API, whose endpoints stand in one table; `problem` for how errors look outside.

pub mod api;
mod challenge;
mod config;
mod connection;
mod control;
mod metrics;
mod pipeline;
mod problem;
mod server;
mod slow;
mod stage;
pub mod tls;

pub use config::{About, GatewayConfig};
pub use server::{Addresses, BindError, Gateway};
