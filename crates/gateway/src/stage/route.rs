//! Finds the function that a request is for. It never says who may call it.

use std::sync::Arc;

use model::RequestId;
use platform::{Platform, RouteMiss, Target};
use shield::Peer;

use super::{screen::host, shape::Shaped};

/// Tenant by host, function and revision by path and method.
pub(crate) fn route(
    platform: &Platform,
    id: RequestId,
    shaped: &Shaped,
    peer: &Peer,
) -> Result<Arc<Target>, RouteMiss> {
    let head = &shaped.head;
    let (host, path) = (host(head), head.uri.path());
    platform.note_bait(id, head, peer);
    platform.route(host, &head.method, path).inspect_err(|miss| {
        if *miss == RouteMiss::NoRoute {
            platform.note_miss(id, host, path, peer);
        }
    })
}
