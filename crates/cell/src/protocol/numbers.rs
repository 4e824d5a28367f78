//! Maps keyed by numbers that count up: runs and codes. It is never used where a stranger chooses the keys.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map whose keys the node counts up.
pub(crate) type Numbered<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

/// Multiplies by an odd constant (Knuth, "The Art of Computer Programming", vol. 3, §6.4): consecutive numbers
/// never collide, and the upper bits, which the map looks at first, differ.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, hash::BuildHasher};

    use super::*;

    #[test]
    fn consecutive_numbers_spread() {
        let hasher = BuildHasherDefault::<Spread>::default();
        let hashes: Vec<u64> = (0..4096_u64).map(|n| hasher.hash_one(n)).collect();
        let all: HashSet<_> = hashes.iter().collect();
        let low: HashSet<_> = hashes.iter().map(|h| h & 4095).collect();
        let high: HashSet<_> = hashes.iter().map(|h| h >> 57).collect();
        assert_eq!((all.len(), low.len(), high.len()), (4096, 4096, 128));
    }
}
