//! Memory for bodies, or their beginnings, that are held before a function gets them: bounded for the whole node, and
//! paid for by what has come, never by what was said to come. It never reads a body.

use std::sync::Arc;

use bytes::Bytes;
use model::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one place stands for.
const PLACE_BYTES: usize = 1024;

/// The memory of a node for one purpose.
#[derive(Debug, Clone)]
pub struct Holds(Arc<Semaphore>);

/// Bytes with their places in memory, given back with them.
#[derive(Debug)]
pub struct Held {
    holds: Holds,
    bytes: Vec<u8>,
    places: Option<OwnedSemaphorePermit>,
}

impl Holds {
    /// Room for that many bytes in all.
    pub fn new(bytes_max: u64) -> Self {
        let places = usize::try_from(bytes_max).unwrap_or(usize::MAX) / PLACE_BYTES;
        Self(Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))))
    }

    /// Nothing yet.
    pub fn begin(&self) -> Held {
        Held { holds: self.clone(), bytes: Vec::new(), places: None }
    }
}

impl Held {
    /// Bytes that are held.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether none are.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Holds more.
    ///
    /// # Errors
    /// [`Fault::NodeBusy`] if there is no room.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Fault> {
        self.bytes.extend_from_slice(piece);
        let wanted = self.bytes.capacity().div_ceil(PLACE_BYTES);
        let more = wanted.saturating_sub(self.places.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        let places = self.holds.0.clone().try_acquire_many_owned(u32::try_from(more).unwrap_or(u32::MAX));
        let places = places.map_err(|_| Fault::NodeBusy)?;
        match &mut self.places {
            Some(own) => own.merge(places),
            none => *none = Some(places),
        }
        Ok(())
    }

    /// What is held, with its places.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_and_given_back() {
        let holds = Holds::new(8 * 1024);
        let mut first = holds.begin();
        first.push(&[1; 5000]).unwrap();
        assert_eq!(holds.begin().push(&[2; 5000]), Err(Fault::NodeBusy));
        let bytes = first.into_bytes();
        assert_eq!(bytes.len(), 5000);
        assert!(holds.begin().push(&[2; 5000]).is_err(), "the bytes are still held");
        drop(bytes);
        holds.begin().push(&[2; 5000]).unwrap();
    }
}
