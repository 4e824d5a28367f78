//! Asks who sends a request. It never reads a credential itself.

use identity::Caller;
use model::RequestId;
use platform::{Platform, Refused, RequestBody, Target};
use shield::Screened;

/// Turns the credential into a caller.
pub(crate) fn identify(
    platform: &Platform,
    id: RequestId,
    target: &Target,
    screened: &Screened<RequestBody>,
) -> Result<Caller, Refused> {
    platform.identify(id, Some(target), screened.head(), screened.peer())
}
