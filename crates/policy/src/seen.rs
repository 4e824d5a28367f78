//! What a decision could see, in a text that a record keeps: the values of the context that the policies look at, and
//! what the principal is beside its name. It never holds a credential, and never more than its bound.

use std::{borrow::Cow, collections::BTreeMap};

use model::{RevisionNumber, Role};
use serde::{Deserialize, Serialize};

use crate::{
    Question,
    question::{Proof, Uses},
};

/// The longest text, in bytes.
const SEEN_BYTES_MAX: usize = 1_024;

/// What a decision could see beside what every record has: who, what, of what, when, from where, and for whom.
/// An attribute that no policy of that action looks at is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seen<'a> {
    /// The revision of the function that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionNumber>,
    /// The principal's roles.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub roles: Cow<'a, [Role]>,
    /// What its credential may be used for.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub scopes: Cow<'a, [String]>,
    /// `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Cow<'a, str>>,
    /// The path without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Cow<'a, str>>,
    /// The host that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Cow<'a, str>>,
    /// Whether the connection was encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// How the principal was proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SeenToken<'a>>,
    /// The groups that an issuer said the principal is in.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub groups: Cow<'a, [String]>,
    /// What else an issuer said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Cow<'a, BTreeMap<String, Vec<String>>>>,
    /// There was more than a record keeps, and it is not here.
    #[serde(skip_serializing_if = "is_false")]
    pub cut: bool,
}

/// How a principal was proved, as [`Proof`] has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenToken<'a> {
    /// The kind of credential.
    pub kind: Cow<'a, str>,
    /// Whether it was bound to a key.
    pub bound: bool,
    /// Who issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Cow<'a, str>>,
    /// How old the proof was, in seconds.
    pub age_s: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl<'a> Seen<'a> {
    pub(crate) fn of(question: &Question<'a>, revision: Option<RevisionNumber>, uses: Uses) -> Self {
        let (context, principal) = (question.context, question.principal);
        let text = |used, text: &'a str| uses.has(used).then_some(Cow::Borrowed(text));
        let proof = &context.proof;
        let token = SeenToken {
            kind: proof.kind.into(),
            bound: proof.bound,
            issuer: proof.issuer.map(Cow::Borrowed),
            age_s: proof.age_s,
        };
        Self {
            revision,
            roles: Cow::Borrowed(&principal.roles),
            scopes: Cow::Borrowed(&principal.scopes),
            method: text(Uses::METHOD, context.method),
            path: text(Uses::PATH, context.path),
            host: text(Uses::HOST, context.host),
            tls: uses.has(Uses::TLS).then_some(context.tls),
            token: uses.has(Uses::TOKEN).then_some(token),
            groups: Cow::Borrowed(proof.groups),
            attributes: proof.attributes.filter(|all| !all.is_empty()).map(Cow::Borrowed),
            cut: false,
        }
    }

    /// JSON of at most 1,024 bytes: of more, what an issuer said goes first, then all but the revision, and `cut` says
    /// so.
    pub fn text(&self) -> String {
        let fits = |seen: &Self| {
            let text = serde_json::to_string(seen).unwrap_or_default();
            (text.len() <= SEEN_BYTES_MAX).then_some(text)
        };
        let without_claims = || Self { groups: Cow::default(), attributes: None, cut: true, ..self.clone() };
        let bare = || Self { revision: self.revision, cut: true, ..Self::default() };
        fits(self).or_else(|| fits(&without_claims())).or_else(|| fits(&bare())).unwrap_or_default()
    }

    /// How the principal was proved, to ask again.
    pub fn proof(&'a self) -> Proof<'a> {
        let claims =
            Proof { groups: &self.groups, attributes: self.attributes.as_deref(), ..Proof::default() };
        let Some(token) = &self.token else { return claims };
        let (kind, bound, issuer, age_s) = (&*token.kind, token.bound, token.issuer.as_deref(), token.age_s);
        Proof { kind, bound, issuer, age_s, ..claims }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_was_seen_reads_back_and_stays_within_its_bound() {
        let groups = ["staff".to_owned()];
        let attributes = BTreeMap::from([("team".to_owned(), vec!["a".to_owned()])]);
        let seen = Seen {
            revision: Some(RevisionNumber(3)),
            roles: Cow::Borrowed(&[Role::Viewer]),
            path: Some("/x\"\\\n".into()),
            groups: Cow::Borrowed(&groups),
            attributes: Some(Cow::Borrowed(&attributes)),
            ..Seen::default()
        };
        assert_eq!(serde_json::from_str::<Seen<'_>>(&seen.text()).unwrap(), seen);
        let many: Vec<String> = (0..200).map(|n| format!("group-{n}")).collect();
        let cut = Seen { groups: Cow::Borrowed(&many), ..seen.clone() };
        assert!(cut.text().len() <= SEEN_BYTES_MAX);
        let read: Seen<'_> = serde_json::from_str(&cut.text()).unwrap();
        assert_eq!((read.cut, read.path, read.groups.len()), (true, seen.path.clone(), 0));
        let long = "x".repeat(SEEN_BYTES_MAX);
        let cut = Seen { path: Some(long.into()), ..seen };
        let read = Seen { revision: Some(RevisionNumber(3)), cut: true, ..Seen::default() };
        assert_eq!(serde_json::from_str::<Seen<'_>>(&cut.text()).unwrap(), read);
    }
}
