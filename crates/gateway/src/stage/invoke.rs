//! Hands permit and request to the platform, which runs the function. It never runs one itself.

use std::sync::Arc;

use http::Response;
use identity::Caller;
use model::{Fault, RequestId};
use platform::{Permit, Platform, RequestBody, Target};
use shield::Inspected;

use super::respond::Body;
use crate::problem::Problem;

/// Runs the function and takes its answer.
pub(crate) async fn invoke(
    platform: &Arc<Platform>,
    id: RequestId,
    permit: Permit,
    caller: &Caller,
    target: Arc<Target>,
    inspected: Inspected<RequestBody>,
) -> Result<Response<Body>, Problem> {
    let answer = platform.invoke(id, permit, caller, target, inspected).await?;
    if answer.status().is_informational() {
        // An answer that is none: what follows on the connection would be taken for the real one.
        return Err(Fault::GuestError.into());
    }
    Ok(answer.map(Body::answer))
}
