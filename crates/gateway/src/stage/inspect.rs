//! Has rules look at what they have not seen yet: a body that still comes. It never has an opinion.

use identity::Caller;
use model::RequestId;
use platform::{Platform, RequestBody, Target};
use shield::{Inspected, Screened};

use crate::problem::Problem;

/// The proof that rules have looked at a request as far as its function wants.
pub(crate) async fn inspect(
    platform: &Platform,
    id: RequestId,
    target: &Target,
    caller: &Caller,
    screened: Screened<RequestBody>,
) -> Result<Inspected<RequestBody>, Problem> {
    platform.inspect_request(id, target, caller, screened).await.map_err(Problem::from)
}
