//! Requests against whole configurations: one file for each kind of credential.

mod access_tokens;
mod certificates;
mod kinds;
mod messages;
mod never_panics;
mod possession;
mod webhooks;
