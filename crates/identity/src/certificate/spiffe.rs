//! SPIFFE IDs as the standard writes them (SPIFFE-ID §2). It never takes one that two readers could take
//! differently: no other case, no encoding, no empty or dotted segment.

use crate::bounds::SPIFFE_BYTES_MAX;

/// A workload's name: a trust domain and a path below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpiffeId<'a> {
    pub(crate) trust_domain: &'a str,
    /// With its leading slash; empty for the trust domain itself.
    pub(crate) path: &'a str,
}

impl<'a> SpiffeId<'a> {
    /// Reads an id.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > SPIFFE_BYTES_MAX {
            return None;
        }
        let rest = text.strip_prefix("spiffe://")?;
        let (trust_domain, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        (is_trust_domain(trust_domain) && is_path(path)).then_some(Self { trust_domain, path })
    }
}

//= SPIFFE-ID §2.1: lower-case letters, digits, dots, dashes and underscores; at most 255 bytes
pub(crate) fn is_trust_domain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(plain)
}

//= SPIFFE-ID §2.2: no empty segments, no `.` or `..`, no trailing slash; letters, digits, dots, dashes and
//= underscores
pub(crate) fn is_path(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let good = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain)
    };
    match text.strip_prefix('/') {
        None => text.is_empty(),
        Some(rest) => rest.split('/').all(good),
    }
}
