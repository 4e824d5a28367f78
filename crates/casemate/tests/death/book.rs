//! What a client of the control API was told, and what may have become of what nobody told it. It never
//! speaks to a node.

use std::collections::BTreeMap;

/// An act on a function that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// A revision of this variant.
    Deploy(u64),
    /// Back to this revision.
    Rollback(u64),
    Remove,
}

/// One function: what was acknowledged, and the one act that was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) active: Option<u64>,
    /// Revision → variant.
    pub(crate) revisions: BTreeMap<u64, u64>,
    pub(crate) newest: u64,
    pub(crate) pending: Option<Act>,
}

impl Function {
    /// Applies an act that was acknowledged, or found to be done.
    pub(crate) fn done(&mut self, act: Act, number: u64) {
        match act {
            Act::Deploy(variant) => {
                assert_eq!(number, self.newest + 1, "a number was used twice, or skipped");
                self.newest = number;
                self.revisions.insert(number, variant);
                self.active = Some(number);
            }
            Act::Rollback(to) => self.active = Some(to),
            Act::Remove => {
                self.active = None;
                self.revisions.clear();
            }
        }
    }

    /// What it may be now: as it was known, or as the act under way leaves it.
    pub(crate) fn possible(&self) -> Vec<Self> {
        let mut known = self.clone();
        let pending = known.pending.take();
        let mut all = vec![known.clone()];
        if let Some(act) = pending {
            known.done(act, self.newest + 1);
            all.push(known);
        }
        all
    }
}

/// One token.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) secret: String,
    pub(crate) revoked: bool,
    /// A revocation is under way.
    pub(crate) revoking: bool,
}

/// All that one client knows of one node.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) functions: BTreeMap<String, Function>,
    /// By id.
    pub(crate) tokens: BTreeMap<String, Token>,
    /// Tokens whose making was not answered, at most.
    pub(crate) tokens_unanswered: usize,
    /// Tokens that are there though their making was not answered.
    pub(crate) tokens_unknown: usize,
    /// The number in the text of the policy.
    pub(crate) policy: u64,
    pub(crate) policy_pending: Option<u64>,
    /// Request and kind of event of each acknowledged change since the node started.
    pub(crate) acknowledged: Vec<(String, &'static str)>,
    /// The next variant of the component.
    pub(crate) variants: u64,
}
