//! Asks whether the caller may call. It never answers itself.

use identity::Caller;
use model::RequestId;
use platform::{Permit, Platform, Refused, RequestBody, Target};
use shield::Screened;

/// Turns the caller into a permit, which is recorded before it is acted on.
pub(crate) fn authorize(
    platform: &Platform,
    id: RequestId,
    target: &Target,
    caller: &Caller,
    screened: &Screened<RequestBody>,
) -> Result<Permit, Refused> {
    platform.authorize(id, target, caller, screened)
}
