use std::time::{Duration, Instant};

use super::Link;
use crate::Walls;

#[test]
fn what_a_node_slept_through_is_nobodys_silence() {
    let (patience, seconds) = (Duration::from_secs(3), Duration::from_secs);
    let link = Link::new(1, Walls::default(), 8);
    let start = Instant::now();
    // The first look asks.
    assert!(!link.is_stalled(start, patience));
    assert!(!link.is_stalled(start + seconds(2), patience));
    assert!(link.is_stalled(start + seconds(4), patience));
    link.forgive(seconds(3));
    assert!(!link.is_stalled(start + seconds(4), patience));
    assert!(link.is_stalled(start + seconds(7), patience));
}
