//! Who sent a request that a forwarder of HTTP hands on. It never believes a header of anybody else.

use http::{HeaderName, HeaderValue, Request};
use platform::Platform;
use shield::Peer;

use crate::problem::Problem;

/// The client behind a trusted forwarder.
pub(crate) struct Behind {
    /// The forwarder's connection with the client's address: who the request is of, for all that follows.
    pub(crate) peer: Peer,
    /// What the function is told in place of what the forwarder wrote, of which its clients may have written a part.
    pub(crate) told: (HeaderName, HeaderValue),
}

/// Asks the shield whom a request is of, where that is not the peer.
pub(crate) fn behind<B>(
    platform: &Platform,
    peer: &Peer,
    request: &Request<B>,
) -> Result<Option<Behind>, Problem> {
    let now_ms = platform.clock().monotonic_ms();
    let found = platform.shield().source_of(peer.address.ip(), request.headers(), now_ms);
    let Some((source, header)) = found.map_err(Problem::from)? else { return Ok(None) };
    let Ok(value) = HeaderValue::try_from(header.of(source)) else { return Ok(None) };
    // Its port is not known, and nobody asks for it.
    let peer = Peer { address: (source, 0).into(), ..peer.clone() };
    Ok(Some(Behind { peer, told: (header.name(), value) }))
}
