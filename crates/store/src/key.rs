//! Where a value stands: tenant, space, id, in bytes that sort in that order. It never holds a value.

use std::fmt;

use model::TenantId;

/// A table's name: 1 to 32 characters of `a`–`z`, `0`–`9` and `-`. Fixed in the code, never made of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space(&'static str);

impl Space {
    /// Names a space. In a `const`, a wrong name does not compile.
    ///
    /// # Panics
    /// If the name is not as [`Space`] says.
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 32, "a space's name has 1 to 32 characters");
        let mut rest = bytes;
        while let [first, tail @ ..] = rest {
            assert!(matches!(first, b'a'..=b'z' | b'0'..=b'9' | b'-'), "a space's name is of a-z, 0-9 and -");
            rest = tail;
        }
        Self(name)
    }

    /// A space of this crate alone: no name made by [`Space::new`] starts with `_`.
    pub(crate) const fn reserved(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Whose it is; `None` is the system.
    pub tenant: Option<TenantId>,
    /// In which table.
    pub space: Space,
    /// Which row: up to [`crate::ID_BYTES_MAX`] bytes, sorted as bytes.
    pub id: Vec<u8>,
}

impl Key {
    /// A key of the system.
    pub fn system(space: Space, id: impl Into<Vec<u8>>) -> Self {
        Self { tenant: None, space, id: id.into() }
    }

    /// A key of a tenant.
    pub fn tenant(tenant: &TenantId, space: Space, id: impl Into<Vec<u8>>) -> Self {
        Self { tenant: Some(tenant.clone()), space, id: id.into() }
    }

    /// Bytes that sort as (tenant, space, id): tenant, 0, space, 0, id. Neither tenants nor spaces hold a 0;
    /// the system's tenant is empty.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = prefix(self.tenant.as_ref(), self.space);
        out.extend_from_slice(&self.id);
        out
    }
}

/// `tenant/space/id`, the id in hex and cut: for messages.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant = self.tenant.as_ref().map_or("", TenantId::as_str);
        write!(f, "{tenant}/{}/", self.space.0)?;
        self.id.iter().take(32).try_for_each(|b| write!(f, "{b:02x}"))
    }
}

fn prefix(tenant: Option<&TenantId>, space: Space) -> Vec<u8> {
    let tenant = tenant.map_or("", TenantId::as_str);
    let mut out = Vec::with_capacity(tenant.len() + space.0.len() + 34);
    out.extend_from_slice(tenant.as_bytes());
    out.push(0);
    out.extend_from_slice(space.0.as_bytes());
    out.push(0);
    out
}

/// Consecutive ids of one space, in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The table.
    pub space: Space,
    /// The first id.
    pub from: Vec<u8>,
    /// The id that is no longer in it; `None`: to the end of the space.
    pub until: Option<Vec<u8>>,
    /// Whether a scan starts at the end.
    pub descending: bool,
}

impl Span {
    /// All of a space.
    pub fn all(space: Space) -> Self {
        Self { space, from: Vec::new(), until: None, descending: false }
    }

    /// All ids that start with `prefix`.
    pub fn prefix(space: Space, prefix: impl Into<Vec<u8>>) -> Self {
        let from = prefix.into();
        let mut until = from.clone();
        while until.last() == Some(&0xff) {
            until.pop();
        }
        if let Some(last) = until.last_mut() {
            *last += 1;
        }
        let until = if until.is_empty() { None } else { Some(until) };
        Self { space, from, until, descending: false }
    }

    /// Ids from `from` up to, but without, `until`.
    pub fn between(space: Space, from: impl Into<Vec<u8>>, until: impl Into<Vec<u8>>) -> Self {
        Self { space, from: from.into(), until: Some(until.into()), descending: false }
    }

    /// Ids that come after `id`.
    pub fn after(space: Space, id: &[u8]) -> Self {
        Self { space, from: successor(id), until: None, descending: false }
    }

    /// The same ids, the last first.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// What is left of it when a scan has come to `id`, inclusive.
    pub(crate) fn rest(&self, id: &[u8]) -> Self {
        let mut rest = self.clone();
        if self.descending {
            rest.until = Some(id.to_vec());
        } else {
            rest.from = successor(id);
        }
        rest
    }
}

/// The next id in order: the same bytes and a 0.
fn successor(id: &[u8]) -> Vec<u8> {
    let mut next = id.to_vec();
    next.push(0);
    next
}

/// A span of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Whose; `None` is the system.
    pub tenant: Option<TenantId>,
    /// Which ids.
    pub span: Span,
}

impl Range {
    /// The encoded keys in it: from the first up to, but without, the second.
    pub(crate) fn bounds(&self) -> (Vec<u8>, Vec<u8>) {
        let prefix = prefix(self.tenant.as_ref(), self.span.space);
        let low = [prefix.as_slice(), &self.span.from].concat();
        let high = match &self.span.until {
            Some(until) => [prefix.as_slice(), until].concat(),
            None => {
                // The prefix ends with 0, so its successor among prefixes ends with 1.
                let mut high = prefix;
                high.pop();
                high.push(1);
                high
            }
        };
        // An upside-down span is empty.
        if high < low { (low.clone(), low) } else { (low, high) }
    }

    /// The id of an encoded key that lies in this range.
    pub(crate) fn id_of<'k>(&self, encoded: &'k [u8]) -> &'k [u8] {
        encoded.get(prefix(self.tenant.as_ref(), self.span.space).len()..).unwrap_or_default()
    }
}
