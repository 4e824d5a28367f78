//! The nouns that three rooms or more share: ids, digests, manifest, limits, usage, clock and entropy.
//! It never decides, stores, encrypts or talks to anything.

mod digest;
mod function;
mod ids;
pub mod limits;
pub mod manifest;
mod principal;
mod shield;
mod tenant;
mod time;
mod usage;

pub use digest::{Digest, DigestError};
pub use function::{
    FUNCTION_DOMAIN, Function, Grants, OutboundGrant, Revision, Route, Waiver, World, function_host,
};
pub use ids::{FunctionName, IdError, RequestId, RevisionNumber, TenantId, TokenId};
pub use limits::Limits;
pub use manifest::{Access, Build, Manifest, ManifestError};
pub use principal::{Principal, PrincipalKind, Role};
pub use shield::{
    Exclusion, ProfileMode, ProfileTuning, Rates, RequestRate, RuleMode, Shield, ShieldDefaults, Unseen,
};
pub use tenant::{Tenant, TenantLimits, TenantRates, TenantShield, TrustLabel};
pub use time::{Clock, Entropy, EntropyError, Timestamp};
pub use usage::{Blame, Fault, Outcome, Usage};
