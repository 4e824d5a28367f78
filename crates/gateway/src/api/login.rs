//! What is asked and answered about logging in and about sessions. It never does either.

use std::fmt;

use model::{Role, Timestamp, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a person logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoginFlow {
    /// In a browser on the same machine (RFC 6749 §4.1 with RFC 7636 and RFC 8252).
    Code,
    /// In a browser anywhere (RFC 8628).
    Device,
}

/// `GET /v1/tenants/{tenant}/login`: what a client needs to know to log in. It is answered without a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginProvider {
    /// The OpenID provider, whose metadata say where all else is.
    pub issuer: String,
    /// The client's id there; it is a public client.
    pub client_id: String,
    /// What to ask the provider for.
    pub scopes: Vec<String>,
    /// Which ways there are.
    pub flows: Vec<LoginFlow>,
}

/// `POST /v1/tenants/{tenant}/login`, with the proof of a key in the header `DPoP` (RFC 9449 §5): opens a session for
/// who logged in, bound to that key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// What the provider gave (OpenID Connect Core 1.0 §2).
    pub id_token: String,
    /// 32 random bytes in base64url. The ID token's `nonce` is SHA-256, in base64url, over `casemate login nonce v1`, a
    /// zero byte, the 32 bytes of the key's thumbprint (RFC 7638) and these.
    pub nonce_seed: String,
}

impl fmt::Debug for OpenSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSession").finish_non_exhaustive()
    }
}

/// A session just opened, 201: the only time that its secret is shown. It is presented as `Authorization: DPoP SECRET`,
/// with a proof by its key in each request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenedSession {
    /// What is kept of it.
    pub session: SessionInfo,
    /// The secret.
    pub secret: String,
}

impl fmt::Debug for OpenedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedSession").field("session", &self.session).finish_non_exhaustive()
    }
}

/// `POST /v1/tenants/{tenant}/login/failed`: a login came to nothing before it reached the node, which puts it into the
/// record as told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginProblem {
    /// Why.
    pub why: LoginWhy,
}

/// Why a login came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoginWhy {
    /// The provider's answer had another `state`.
    State,
    /// The answer was another provider's (RFC 9207).
    Issuer,
    /// The provider, or the person, said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// The provider did not do what it must.
    Failed,
}

/// A session without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionInfo {
    /// Names it without being it.
    pub id: TokenId,
    /// Whose it is: the principal's name in the tenant.
    pub name: String,
    /// The provider that said so.
    pub issuer: String,
    /// The principal's roles.
    pub roles: Vec<Role>,
    /// What it may be used for: names of actions, or `*`.
    pub scopes: Vec<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// `GET /v1/tenants/{tenant}/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionList {
    /// The newest first.
    pub sessions: Vec<SessionInfo>,
}

/// What proves who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Credential {
    /// `api-token` or `session`.
    pub kind: String,
    /// Its public id.
    pub id: TokenId,
    /// Of a session: the provider that the person logged in at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Of a session: when the provider said who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Timestamp,
}
