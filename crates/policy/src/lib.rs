//! Who may do what: Cedar policies in layers, compiled into slices that answer one question at a time. It
//! never reads a clock, a file or a store, and never acts on its answers.
//!
//! The layers, from the one that nobody can lift to the narrowest: guard rails (`guards.cedar`, forbid only),
//! roles (`roles.cedar`), the tenant's own policies, the function's own. Nothing is permitted that no policy
//! permits; an evaluation that errs is a denial. The only exit is [`Permit`], which [`Slice::decide`] alone
//! makes.

mod action;
mod cache;
mod entry;
mod errors;
mod est;
mod glass;
mod lint;
mod permit;
mod question;
mod seen;
mod shipped;
mod slice;
mod terms;

pub use action::{Action, UnknownAction};
pub use entry::TenantPolicies;
pub use errors::{PolicyError, PolicyErrors};
pub use glass::Glass;
pub use lint::{Finding, lint};
pub use permit::{Denial, Permit, Reason};
pub use question::{Context, Proof, Question, Resource};
pub use seen::{Seen, SeenToken};
pub use shipped::{GUARDS, PRESETS, ROLES, SCHEMA};
pub use slice::{Asked, Considered, Difference, Explanation, Part, Reach, Slice, check_access};
