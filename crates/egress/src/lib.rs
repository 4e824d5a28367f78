//! Outbound calls: granted, resolved once, pinned to a checked address, verified, bounded. It never knows
//! which function asks: it is handed that function's [`Destinations`].
//!
//! The order of a call: its target is covered by a grant → its name is resolved, once → every address of the
//! answer is checked, and one that is refused refuses the call → the connection is made to one of these
//! addresses, and its certificate must have the name → the answer is handed back; redirects too, unfollowed,
//! so that the guest's next call is checked like its first.
//!
//! HTTP/1.1 alone is spoken outwards. Trailers are not handed on.

mod address;
mod body;
mod call;
mod client;
mod connection;
mod destination;
mod dial;
mod error;
mod resolve;
mod tls;

use std::{net::IpAddr, sync::Arc, time::Duration};

use cell::BodyStream;
use http::{Request, Response};
use model::limits;

use crate::{
    address::Reach,
    call::{Lines, Route},
    destination::{Host, Place},
};
pub use crate::{
    address::{Cidr, CidrError},
    client::{Client, ClientConfig},
    destination::{Destinations, GrantError, function},
    dial::{Dialer, DialerConfig, Duplex},
    error::EgressError,
    resolve::{Resolve, Resolved, SystemResolver},
    tls::SetupError,
};

/// How outbound calls are set up.
pub struct EgressConfig {
    /// Ranges that guests may reach though they are not the public internet. Empty by default.
    pub allow: Vec<Cidr>,
    /// Certificates that vouch for names beside the web's own roots: each DER, or PEM of one or more.
    pub roots: Vec<Vec<u8>>,
    /// Where addresses come from.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self { allow: Vec::new(), roots: Vec::new(), resolver: Arc::new(SystemResolver) }
    }
}

/// What one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Resolving, then waiting for a place, then connecting with TLS: each, in milliseconds.
    pub connect_ms: u64,
    /// From the last piece of the request's body to the head of the answer, in milliseconds.
    pub head_ms: u64,
    /// How long the answer's body may stand still while it is waited for, in milliseconds; none: for ever.
    pub idle_ms: Option<u64>,
    /// Body of the request, in bytes.
    pub request_bytes_max: u64,
    /// Body of the answer, in bytes.
    pub response_bytes_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connect_ms: limits::OUTBOUND_CONNECT_MS,
            head_ms: limits::OUTBOUND_HEAD_MS,
            idle_ms: Some(limits::OUTBOUND_HEAD_MS),
            request_bytes_max: limits::OUTBOUND_BODY_BYTES_MAX,
            response_bytes_max: limits::OUTBOUND_BODY_BYTES_MAX,
        }
    }
}

/// The way out for guests.
pub struct Egress {
    reach: Reach,
    resolver: Arc<dyn Resolve>,
    lines: Lines,
}

impl Egress {
    /// Sets the way out up; connects to nothing.
    ///
    /// # Errors
    /// If a root certificate cannot be read.
    pub fn new(config: EgressConfig) -> Result<Self, SetupError> {
        let lines = Lines::new(tls::client_config(true, &config.roots)?);
        Ok(Self { reach: Reach::new(config.allow), resolver: config.resolver, lines })
    }

    /// Makes one call of a guest. A redirect is an answer like any other. Dropping the future, or the
    /// answer's body, ends the call and its connection.
    ///
    /// # Errors
    /// [`EgressError`]: not granted, an address that is refused, or what the network did.
    pub async fn call(
        &self,
        destinations: &Destinations,
        request: Request<BodyStream>,
        bounds: Bounds,
    ) -> Result<Response<BodyStream>, EgressError> {
        let (method, uri) = (request.method(), request.uri());
        let denied = |why| EgressError::Denied { method: method.to_string(), target: bare(uri), why };
        let place = destinations.cover(method, uri).map_err(denied)?;
        if place.function().is_some() {
            // INVARIANT: no name of a function is ever looked up or connected to.
            return Err(denied("a function is called within the node"));
        }
        let addresses = resolve(&*self.resolver, &place, bounds.connect_ms).await?;
        for address in &addresses {
            if let Some(why) = self.reach.refuses(*address) {
                let host = place.authority();
                return Err(EgressError::Address { host, address: *address, why });
            }
        }
        self.lines.call(Route { owner: destinations.id, place, addresses }, request, bounds).await
    }
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("reach", &self.reach).finish_non_exhaustive()
    }
}

/// Scheme, authority and path, for the record: queries carry secrets.
fn bare(uri: &http::Uri) -> String {
    let authority = uri.authority().map_or("", |a| a.as_str().rsplit('@').next().unwrap_or_default());
    let mut text = format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path());
    if text.len() > 256 {
        text = text.chars().take(256).collect();
    }
    text
}

/// The addresses of a place, at least one.
async fn resolve(resolver: &dyn Resolve, place: &Place, within_ms: u64) -> Result<Vec<IpAddr>, EgressError> {
    let name = match &place.host {
        Host::Address(address) => return Ok(vec![*address]),
        Host::Name(name) => name,
    };
    let not_found = || EgressError::NotFound { host: name.to_string() };
    let answer = tokio::time::timeout(Duration::from_millis(within_ms), resolver.resolve(name)).await;
    let addresses = answer.map_err(|_| EgressError::Timeout)?.map_err(|_| not_found())?;
    if addresses.is_empty() { Err(not_found()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests;
