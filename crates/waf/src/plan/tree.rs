//! Lists of transformations as one tree, so that what two rules share is done once. It holds no text.

use crate::transform::{Transformation, Triggers};

/// The most places that the scanner knows; rules beyond run without a guard.
pub(crate) const SCANNED_MAX: usize = 128;

/// Bytes from which on a text is first asked which bytes it holds.
const LONG: usize = 1024;

/// One transformation after those above it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) parent: u16,
    pub(crate) transformation: Transformation,
    pub(crate) triggers: Triggers,
}

/// All of them; place 0 is the text as it came.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// The place of a list of transformations.
    pub(crate) fn place(&mut self, list: &[Transformation]) -> u16 {
        let mut at = 0;
        for transformation in list {
            at = self.child(at, *transformation);
        }
        at
    }

    fn child(&mut self, parent: u16, transformation: Transformation) -> u16 {
        let known = self.nodes.iter().position(|n| n.parent == parent && n.transformation == transformation);
        if let Some(known) = known.and_then(|at| u16::try_from(at + 1).ok()) {
            return known;
        }
        self.nodes.push(Node { parent, transformation, triggers: transformation.triggers() });
        u16::try_from(self.nodes.len()).unwrap_or(u16::MAX)
    }

    /// How many places there are, with the root.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() + 1
    }

    /// The node at a place; none at the root.
    pub(crate) fn node(&self, place: u16) -> Option<&Node> {
        self.nodes.get(usize::from(place.checked_sub(1)?))
    }

    /// The places from the root to `place`, both in it.
    pub(crate) fn path(&self, place: u16) -> Vec<u16> {
        let mut path = vec![place];
        let mut at = place;
        while let Some(node) = self.node(at) {
            at = node.parent;
            path.push(at);
        }
        path.reverse();
        path
    }

    /// The set with all places above those in it.
    pub(crate) fn closure(&self, places: u128) -> u128 {
        let mut found = places | 1;
        let scanned = self.nodes.iter().take(SCANNED_MAX - 1).enumerate().rev();
        for (index, node) in scanned {
            if found >> (index + 1) & 1 == 1 {
                found |= 1 << node.parent;
            }
        }
        found
    }
}

/// What each byte of a text sets off: places of the tree whose transformation may change a text that holds it.
#[derive(Debug)]
pub(crate) struct Triggered {
    by_byte: Box<[u128; 256]>,
    /// Where it stands at either end.
    by_end: Box<[u128; 256]>,
    /// Whatever the text is.
    always: u128,
    /// By place: it and all below it.
    below: Vec<u128>,
}

impl Triggered {
    pub(crate) fn new(tree: &Tree) -> Self {
        let (mut by_byte, mut by_end, mut always) = (Box::new([0; 256]), Box::new([0; 256]), 0);
        let mut below = vec![0_u128; tree.len().min(SCANNED_MAX)];
        for (place, node) in (1..SCANNED_MAX).zip(&tree.nodes).rev() {
            let (set, table) = match &node.triggers {
                Triggers::Always => {
                    always |= 1 << place;
                    (None, &mut by_byte)
                }
                Triggers::Bytes(set) => (Some(set), &mut by_byte),
                Triggers::Ends(set) => (Some(set), &mut by_end),
            };
            for (byte, places) in (0..=255).zip(table.iter_mut()) {
                *places |= u128::from(set.is_some_and(|set| set.contains(byte))) << place;
            }
            let mine = below.get(place).copied().unwrap_or(0) | 1 << place;
            below.get_mut(place).into_iter().for_each(|own| *own = mine);
            below.get_mut(usize::from(node.parent)).into_iter().for_each(|above| *above |= mine);
        }
        Self { by_byte, by_end, always, below }
    }

    /// The places that a text sets off, and the union of `sets` over its bytes.
    pub(crate) fn by(&self, text: &[u8], sets: &[u128; 256]) -> (u128, u128) {
        let (mut places, mut all) = (self.always, 0);
        let mut add = |byte: u8| {
            places |= self.by_byte.get(usize::from(byte)).copied().unwrap_or(0);
            all |= sets.get(usize::from(byte)).copied().unwrap_or(0);
        };
        if text.len() < LONG {
            text.iter().copied().for_each(add);
        } else {
            // A byte that comes again adds nothing.
            let mut held = [false; 256];
            for byte in text {
                held.get_mut(usize::from(*byte)).into_iter().for_each(|held| *held = true);
            }
            (0..=255).zip(held).filter(|(_, held)| *held).for_each(|(byte, _)| add(byte));
        }
        for byte in text.first().into_iter().chain(text.last()) {
            places |= self.by_end.get(usize::from(*byte)).copied().unwrap_or(0);
        }
        (places, all)
    }

    /// These places and all below them.
    pub(crate) fn below(&self, mut places: u128) -> u128 {
        let mut found = 0;
        while places != 0 {
            let place = usize::try_from(places.trailing_zeros()).unwrap_or(0);
            found |= self.below.get(place).copied().unwrap_or(0);
            places &= !found & (places - 1);
        }
        found
    }
}
