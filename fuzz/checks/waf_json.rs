//! JSON: what is taken serde_json takes too, within bounds on levels and values. It compares no values.

use serde::de::IgnoredAny;
use waf::body::{BodyError, Bounds, json};

/// What must hold of any bytes.
pub(crate) fn holds(input: &[u8]) {
    let bounds = Bounds { pairs_max: 64, depth_max: 16, ..Bounds::default() };
    let (parsed, error) = json(input, &bounds);
    assert!(parsed.pairs.len() <= 64);
    match error {
        None => assert!(serde_json::from_slice::<IgnoredAny>(input).is_ok(), "taken, and is no JSON"),
        Some(BodyError::Malformed { offset, .. }) => assert!(offset <= input.len()),
        Some(_) => {}
    }
}
