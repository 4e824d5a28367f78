//! Lists of transformations as one tree, so that what two rules share is done once. It holds no text.

use crate::transform::{Transformation, Triggers};

/// The most places that the scanner knows; rules beyond run without a guard.
pub(crate) const SCANNED_MAX: usize = 128;

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
