//! Which credentials one door takes, by the names of the entries that prove them. It never proves one.

use std::fmt;

use crate::{Caller, ProofKind};

/// The word for API tokens of this node's.
const TOKEN: &str = "token";
/// The word for sessions of people who logged in.
const SESSION: &str = "session";

/// What one function, or the control API, takes: `token` for API tokens, `session` for people who logged in, `NAME` for
/// an issuer's or certificates' entry, `webhook:NAME`, `signature:NAME`: what the principals of an entry are named after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept(Taken);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Taken {
    All,
    Tokens,
    Named(Vec<String>),
}

impl Accept {
    /// Whatever the configuration names: for looking at a request without a function.
    pub const fn all() -> Self {
        Self(Taken::All)
    }

    /// API tokens of this node's and nothing else.
    pub const fn tokens() -> Self {
        Self(Taken::Tokens)
    }

    /// What is named.
    pub fn named(names: &[String]) -> Self {
        match names {
            [one] if one == TOKEN => Self::tokens(),
            _ => Self(Taken::Named(names.to_vec())),
        }
    }

    /// Whether it takes nothing but API tokens, which need no configuration.
    pub const fn is_tokens_alone(&self) -> bool {
        matches!(self.0, Taken::Tokens)
    }

    /// Whether it takes API tokens.
    pub fn takes_tokens(&self) -> bool {
        match &self.0 {
            Taken::All | Taken::Tokens => true,
            Taken::Named(names) => names.iter().any(|name| name == TOKEN),
        }
    }

    /// Whether it takes the credential that proved a caller. One that presented none is the policies' affair.
    pub fn takes_caller(&self, caller: &Caller) -> bool {
        match caller.proof() {
            Some(proof) if proof.kind() == ProofKind::Session => self.takes_sessions(),
            Some(proof) => self.takes(proof.kind().word(), proof.entry()),
            None => caller.token().is_none() || self.takes_tokens(),
        }
    }

    /// Whether it takes sessions.
    pub fn takes_sessions(&self) -> bool {
        match &self.0 {
            Taken::All => true,
            Taken::Tokens => false,
            Taken::Named(names) => names.iter().any(|name| name == SESSION),
        }
    }

    /// Whether it takes what the entry `name` proves; `word` stands before the name, if it has one.
    pub(crate) fn takes(&self, word: &str, name: &str) -> bool {
        let is = |taken: &String| match taken.split_once(':') {
            None => word.is_empty() && taken == name,
            Some((before, after)) => before == word && after == name,
        };
        match &self.0 {
            Taken::All => true,
            Taken::Tokens => false,
            Taken::Named(names) => names.iter().any(is),
        }
    }
}

impl fmt::Display for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Taken::All => f.write_str("all"),
            Taken::Tokens => f.write_str(TOKEN),
            Taken::Named(names) => f.write_str(&names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole_names() {
        let accept = Accept::named(&["corp".into(), "webhook:orders".into()]);
        for (word, name, expect) in [
            ("", "corp", true),
            ("webhook", "orders", true),
            ("", "orders", false),
            ("webhook", "corp", false),
            ("signature", "orders", false),
            ("", "cor", false),
            ("", "webhook:orders", false),
        ] {
            assert_eq!(accept.takes(word, name), expect, "{word}:{name}");
            assert!(Accept::all().takes(word, name) && !Accept::tokens().takes(word, name));
        }
        assert!(!accept.takes_tokens() && Accept::tokens().takes_tokens());
        assert!(Accept::named(&["token".into()]).is_tokens_alone());
        assert!(!Accept::named(&["token".into(), "corp".into()]).is_tokens_alone());
        assert!(!Accept::named(&[]).takes_tokens(), "nothing named is nothing taken");
    }
}
