//! What is kept of a token, and who may make which. It never holds the secret.

use model::{Digest, Principal, PrincipalKind, Role, TenantId, Timestamp, TokenId, limits};
use serde::{Deserialize, Serialize};

use crate::Caller;

/// A token as it is stored: its public id, the hash of its secret, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its public name.
    pub id: TokenId,
    /// SHA-256 of the secret's 256 bits (`TokenSecret::hash`).
    pub hash: Digest,
    /// A person or a machine.
    pub kind: PrincipalKind,
    /// Whose it is.
    pub tenant: TenantId,
    /// The principal's name in that tenant.
    pub name: String,
    /// Roles in that tenant.
    pub roles: Vec<Role>,
    /// What it may be used for: names of actions, or `*`.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom: the maker's text.
    pub created_by: String,
    /// When it ends. There is no token without an end.
    pub expires_at: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to within the time between two writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// What a new token is to stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// A person or a machine.
    pub kind: PrincipalKind,
    /// Whose it is.
    pub tenant: TenantId,
    /// The principal's name in that tenant.
    pub name: String,
    /// Roles in that tenant.
    pub roles: Vec<Role>,
    /// What it may be used for: names of actions, or `*`.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Who makes a token.
#[derive(Debug, Clone, Copy)]
pub enum Issuer<'a> {
    /// The node itself, when it starts for the first time.
    FirstStart,
    /// An operator with the data folder and the root key, while the node is stopped.
    Recovery,
    /// A caller, whom policy permits to manage the tokens of that tenant.
    Caller(&'a Caller),
}

/// Why a token is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Functions and anonymous callers have no tokens.
    #[error("a token is for a `User` or a `Service`")]
    Kind,
    /// A name that could be taken for another.
    #[error("`{0}` is no name: write 1 to 63 characters of a-z, 0-9, `-`, `_`, `.` and `@`")]
    Name(String),
    /// No scope at all.
    #[error("a token wants at least one scope: the name of an action, or `*`")]
    NoScope,
    /// A scope that is no name of an action.
    #[error("`{0}` is no scope")]
    Scope(String),
    /// It ends before it begins.
    #[error("a token wants an end in the future")]
    Ended,
    /// It lives too long.
    #[error("a token lives at most {} days", limits::TOKEN_DAYS_MAX)]
    TooLong,
    /// A role that the maker could not give.
    #[error("role `{}` is more than the maker has", .0.as_str())]
    Role(Role),
    /// A scope that the maker's own token does not have.
    #[error("scope `{0}` is more than the maker's token has")]
    WiderScope(String),
}

impl TokenRecord {
    /// Makes the record of a new token. Nobody gives more than they have: the roles must be covered by the
    /// maker's, the scopes by those of the maker's own token. `admin` with `*` is given by the first start, by
    /// a recovery, or by an admin to itself; to others an admin gives it with named scopes only. Whether the maker may
    /// make tokens in that tenant at all is for policy to say, before this is called.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue(
        id: TokenId,
        hash: Digest,
        issue: Issue,
        issuer: Issuer<'_>,
        now: Timestamp,
    ) -> Result<Self, IssueError> {
        let Issue { kind, tenant, name, mut roles, mut scopes, expires_at } = issue;
        if !matches!(kind, PrincipalKind::User | PrincipalKind::Service) {
            return Err(IssueError::Kind);
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.@".contains(&b);
        if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
            return Err(IssueError::Name(name.chars().take(80).collect()));
        }
        if scopes.is_empty() {
            return Err(IssueError::NoScope);
        }
        let word = |s: &str| (1..=32).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphabetic());
        if let Some(scope) = scopes.iter().find(|scope| *scope != "*" && !word(scope)) {
            return Err(IssueError::Scope(scope.chars().take(80).collect()));
        }
        if expires_at <= now {
            return Err(IssueError::Ended);
        }
        if expires_at.since_ms(now) > limits::TOKEN_DAYS_MAX * 86_400_000 {
            return Err(IssueError::TooLong);
        }
        roles.sort_unstable();
        roles.dedup();
        scopes.sort_unstable();
        scopes.dedup();
        let made = Self {
            id,
            hash,
            kind,
            tenant,
            name,
            roles,
            scopes,
            created_at: now,
            created_by: match issuer {
                Issuer::FirstStart => "first start".into(),
                Issuer::Recovery => "recovery".into(),
                Issuer::Caller(caller) => caller.key().into(),
            },
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        if let Issuer::Caller(caller) = issuer {
            made.within(caller.principal())?;
        }
        Ok(made)
    }

    /// The principal that it stands for.
    pub fn principal(&self) -> Principal {
        Principal {
            kind: self.kind,
            tenant: Some(self.tenant.clone()),
            name: self.name.clone(),
            roles: self.roles.clone(),
            scopes: self.scopes.clone(),
            token: Some(self.id.clone()),
        }
    }

    /// Whether `principal` holds all that this token gives: then it may make it, and take it away.
    ///
    /// # Errors
    /// [`IssueError::Role`] or [`IssueError::WiderScope`], with the first that it does not hold.
    pub fn within(&self, maker: &Principal) -> Result<(), IssueError> {
        let itself =
            maker.tenant.as_ref() == Some(&self.tenant) && maker.kind == self.kind && maker.name == self.name;
        holds(maker, &self.tenant, &self.roles, &self.scopes, itself)
    }
}

/// Whether `maker` holds these roles in that tenant and these scopes: then it may give them away. `admin` with `*` it
/// gives to `itself` alone.
///
/// # Errors
/// [`IssueError::Role`] or [`IssueError::WiderScope`], with the first that it does not hold.
pub fn holds(
    maker: &Principal,
    tenant: &TenantId,
    roles: &[Role],
    scopes: &[String],
    itself: bool,
) -> Result<(), IssueError> {
    let same_tenant = maker.tenant.as_ref() == Some(tenant);
    let covered =
        |role: Role| maker.roles.iter().any(|has| covers(*has, role) && (same_tenant || *has == Role::Admin));
    if let Some(role) = roles.iter().find(|role| !covered(**role)) {
        return Err(IssueError::Role(*role));
    }
    let whole = scopes.iter().any(|scope| scope == "*");
    if roles.contains(&Role::Admin) && whole && !itself {
        return Err(IssueError::Role(Role::Admin));
    }
    let has = |scope: &String| maker.scopes.iter().any(|has| has == "*" || has == scope);
    match scopes.iter().find(|scope| !has(scope)) {
        Some(scope) => Err(IssueError::WiderScope(scope.clone())),
        None => Ok(()),
    }
}

/// Whether all that `role` permits is permitted by `has`: what the roles' policies say, as a table. A test of
/// `platform` asks those policies everything there is to ask and holds the table to the answers.
pub const fn covers(has: Role, role: Role) -> bool {
    match has {
        Role::Admin => true,
        Role::Owner => !matches!(role, Role::Admin),
        Role::Operator => matches!(role, Role::Viewer | Role::Developer | Role::Operator),
        Role::Developer => matches!(role, Role::Viewer | Role::Developer),
        Role::Auditor => matches!(role, Role::Viewer | Role::Auditor),
        Role::Viewer => matches!(role, Role::Viewer),
    }
}

#[cfg(test)]
mod tests;
