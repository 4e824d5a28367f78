//! Asks the shield about a request, and has the rules of its function look at it where its body is in hand. What they
//! refuse is in the record. It never has an opinion.

use model::RequestId;
use platform::{Platform, RequestBody, Target};
use shield::{Peer, Screened};

use super::shape::Shaped;
use crate::problem::Problem;

/// Screens a request.
pub(crate) fn screen(
    platform: &Platform,
    id: RequestId,
    target: &Target,
    shaped: Shaped,
    peer: &Peer,
) -> Result<Screened<RequestBody>, Problem> {
    platform.admit_unblocked(id, target, peer)?;
    let now_ms = platform.clock().monotonic_ms();
    let screened = platform.shield().screen(shaped.head, shaped.body, peer, now_ms);
    let mut screened = screened.map_err(|blocked| {
        platform.note_refusal(id, Some(target), peer, blocked.code(), &blocked.to_string());
        Problem::from(&blocked)
    })?;
    platform.admit_source(id, target, peer).map_err(|blocked| Problem::from(&blocked))?;
    platform.look(id, target, &mut screened)?;
    Ok(screened)
}
