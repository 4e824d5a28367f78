//! Has rules look at what they have not seen yet: a body that still comes. It never has an opinion.

use identity::Caller;
use model::RequestId;
use platform::{Platform, RequestBody, Target};
use shield::{Inspected, Peer, Screened};

use super::shape::Upload;
use crate::problem::Problem;

/// The proof that rules have looked at a request as far as its function wants. What is wrong with a body that had to be
/// read for that is in the record of its function.
pub(crate) async fn inspect(
    platform: &Platform,
    id: RequestId,
    target: &Target,
    (caller, peer): (&Caller, &Peer),
    screened: Screened<RequestBody>,
    upload: &Upload,
) -> Result<Inspected<RequestBody>, Problem> {
    platform.inspect_request(id, target, caller, screened).await.map_err(|withheld| {
        let problem = upload.blame(withheld.into());
        if problem.is_recorded() {
            return problem;
        }
        platform.note_refusal(id, Some(target), peer, problem.code(), problem.sentence());
        problem.recorded()
    })
}
