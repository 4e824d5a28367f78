//! The rule engine for requests: SecLang compiled to a plan. It never opens a file or a socket, reads a clock, or knows
//! of Casemate: files that rules name and the time are handed in.

pub mod body;
pub mod injection;
pub mod operator;
pub mod transform;
