//! What the platform keeps in the store: which spaces there are, and JSON in them. It never decides.

use model::{FunctionName, RevisionNumber};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use store::{Page, Space, Span, StoreError, TenantStore};

/// System: tenants by id.
pub(crate) const TENANTS: Space = Space::new("tenants");
/// System: segments of the record, by the number of their first event.
pub(crate) const RECORD: Space = Space::new("record");
/// Tenant: [`FunctionRecord`] by name.
pub(crate) const FUNCTIONS: Space = Space::new("functions");
/// Tenant: revisions by function and number.
pub(crate) const REVISIONS: Space = Space::new("revisions");
/// Tenant: token records by id.
pub(crate) const TOKENS: Space = Space::new("tokens");
/// Tenant: sessions of people who logged in, by id.
pub(crate) const SESSIONS: Space = Space::new("sessions");
/// Tenant: the text of its policies, under [`CURRENT`].
pub(crate) const POLICY: Space = Space::new("policy");
/// Tenant: policies that were in force, by the time from which they were.
pub(crate) const PAST: Space = Space::new("past-policies");
/// Tenant: the text of its identity configuration, secrets and all, under [`CURRENT`].
pub(crate) const IDENTITY: Space = Space::new("identity");
/// Tenant: changes that wait to be approved, by id.
pub(crate) const CHANGES: Space = Space::new("changes");
/// Tenant: permits that end by themselves, by id.
pub(crate) const GLASS: Space = Space::new("glass");
/// Tenant: uploaded components by digest.
pub(crate) const COMPONENTS: Space = Space::new("components");
/// Tenant: [`CodeRecord`] by component and world.
pub(crate) const CODE: Space = Space::new("code");
/// Tenant: batches of log lines by function and first line.
pub(crate) const LOGS: Space = Space::new("logs");
/// Tenant: totals by function.
pub(crate) const USAGE: Space = Space::new("usage");
/// System: signals of the shield by time and name.
pub(crate) const SIGNALS: Space = Space::new("signals");
/// System: actions of the shield by name.
pub(crate) const ACTIONS: Space = Space::new("actions");
/// Tenant: bait by the hash of its path or of the token's id.
pub(crate) const BAIT: Space = Space::new("bait");
/// Tenant: profiles by function and revision.
pub(crate) const PROFILES: Space = Space::new("profiles");
/// System: under [`CURRENT`], the latest time that the node has seen.
pub(crate) const CLOCK: Space = Space::new("clock");

/// System: sets of rules by number, and under [`CURRENT`] which of them is in force.
pub(crate) const RULES: Space = Space::new("rules");
/// System: by a sink's name, the number of the next record that it is asked about, big-endian.
pub(crate) const EVENT_SINKS: Space = Space::new("event-sinks");
/// System: under [`CURRENT`], what tells this node's events from those of any other.
pub(crate) const EVENT_SOURCE: Space = Space::new("event-source");

/// Tenant: under [`CURRENT`], the id of the first start's token while nobody has been given it.
pub(crate) const FIRST_TOKEN: Space = Space::new("first-token");

/// The one row of [`POLICY`], of [`IDENTITY`], of [`CLOCK`] and of [`FIRST_TOKEN`].
pub(crate) const CURRENT: &[u8] = b"current";

/// Which revision of a function answers. It stays when the function is removed, so that no number is used
/// twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FunctionRecord {
    /// None: the function is removed.
    pub(crate) active: Option<RevisionNumber>,
    pub(crate) newest: RevisionNumber,
}

/// Where the compiled code of a component is, and which engine made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CodeRecord {
    pub(crate) fingerprint: String,
    pub(crate) code: model::Digest,
    pub(crate) bytes: u64,
}

/// The id of a row that belongs to a function and is numbered: name, 0, big-endian number.
pub(crate) fn numbered(function: &FunctionName, number: u64) -> Vec<u8> {
    let mut id = prefix(function);
    id.extend_from_slice(&number.to_be_bytes());
    id
}

/// What the ids of all numbered rows of a function start with. Names hold no 0.
pub(crate) fn prefix(function: &FunctionName) -> Vec<u8> {
    let mut id = function.as_str().as_bytes().to_vec();
    id.push(0);
    id
}

/// JSON of a value; what the platform stores always has one.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|e| StoreError::Io(e.to_string()))
}

/// Reads a stored value.
///
/// # Errors
/// [`StoreError::Damaged`]: it opened, so it was written by us, but it is of another shape.
pub(crate) fn decode<T: DeserializeOwned>(space: Space, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|e| StoreError::Damaged(format!("{}: {e}", space.as_str())))
}

/// Every row of a span, page by page, handed to `each` in order until it says to stop.
pub(crate) async fn every(
    store: &TenantStore,
    span: Span,
    mut each: impl FnMut(&[u8], &[u8], u64) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut next = Some(span);
    while let Some(span) = next {
        let Page { rows, next: rest } = store.scan(span, store::PAGE_ROWS_MAX).await?;
        for row in rows {
            if !each(&row.id, &row.value, row.revision)? {
                return Ok(());
            }
        }
        next = rest;
    }
    Ok(())
}
