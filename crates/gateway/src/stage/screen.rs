//! Asks the shield about a request: of its source as soon as the head is read, of the rest when it is known which
//! function is meant; and has the rules of its function look at it where its body is in hand. What they refuse is in
//! the record. It never has an opinion.

use http::{header, request::Parts};
use model::RequestId;
use platform::{Platform, RequestBody, Target};
use shield::{Admitted, Peer, Screened};

use super::shape::Shaped;
use crate::problem::Problem;

/// Whether the source may ask at all, before its body is read and before anything is looked up for it.
pub(crate) fn admit(
    platform: &Platform,
    id: RequestId,
    head: &Parts,
    peer: &Peer,
) -> Result<Admitted, Problem> {
    let host = host(head);
    platform.admit_unblocked(id, host, peer)?;
    platform.shield().admit_request(peer, platform.clock().monotonic_ms()).map_err(|blocked| {
        platform.note_refusal_at(id, host, peer, blocked.code(), &blocked.to_string());
        Problem::from(&blocked)
    })
}

/// Screens a request.
pub(crate) fn screen(
    platform: &Platform,
    id: RequestId,
    target: &Target,
    shaped: Shaped,
    admitted: Admitted,
    peer: &Peer,
) -> Result<Screened<RequestBody>, Problem> {
    let screened = platform.shield().screen_admitted(shaped.head, shaped.body, admitted);
    let mut screened = screened.map_err(|blocked| {
        platform.note_refusal(id, Some(target), peer, blocked.code(), &blocked.to_string());
        Problem::from(&blocked)
    })?;
    platform.admit_source(id, target, peer).map_err(|blocked| Problem::from(&blocked))?;
    platform.look(id, target, &mut screened)?;
    Ok(screened)
}

/// The host, which `shape` left in `Host` alone.
pub(super) fn host(head: &Parts) -> &str {
    head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}
