//! The rule engine for requests: SecLang compiled to a plan. It never opens a file or a socket, reads a clock, or knows
//! of Casemate: files that rules name and the time are handed in.

pub mod body;
pub mod ftw;
pub mod injection;
pub mod memory;
pub mod operator;
mod pattern;
pub mod plan;
mod rules;
pub mod seclang;
mod transaction;
pub mod transform;

pub use plan::{BodyOverLimit, Exhausted, Limits, Plan, PlanError, Settings};
pub use rules::Rules;
pub use seclang::{Files, LoadError, NoFiles, Source};
pub use transaction::{Cause, Decision, Head, Match, Refusal, Report, Transaction, World};
