//! What is accepted, as an operator writes it. What is not named here is refused. It opens no file: whoever
//! reads the configuration hands in what its `…_file` keys point to.

mod check;
mod document;
mod entries;
mod login;

use std::collections::BTreeMap;

use model::{PrincipalKind, TenantId};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{Algorithm, MessageAlgorithm, TokenRecord, WebhookScheme, bounds};

pub use document::DocumentError;
pub(crate) use entries::{Accepted, CertificateRule, Entry, IssuerRule, Matches, WebhookRule};
pub(crate) use login::LoginRule;
pub use login::{ControlConfig, Flow, GrantConfig, LoginConfig};

/// The configuration of this crate. `docs/identity.md` has an example of all of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// Whether and which API tokens are taken.
    pub tokens: TokensConfig,
    /// Whose access tokens are taken.
    pub issuers: Vec<IssuerConfig>,
    /// How proofs of possession are taken; none are where this is absent.
    pub dpop: Option<DpopConfig>,
    /// Which clients' certificates are principals.
    pub certificates: Vec<CertificateConfig>,
    /// Whose webhooks are taken, and where.
    pub webhooks: Vec<WebhookConfig>,
    /// Whose signatures of messages are taken.
    pub signatures: Vec<SignatureConfig>,
    /// Who logs in to the control API, and by what; nobody does where it is absent.
    pub login: Option<LoginConfig>,
    /// What the control API takes.
    pub control: ControlConfig,
    /// Names of a query's parameters in which nobody may send a credential.
    pub query_refused: Vec<String>,
    /// Ids of proofs and messages that are remembered for one tenant at once; more are refused.
    pub replays_per_tenant: usize,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            tokens: TokensConfig::default(),
            issuers: Vec::new(),
            dpop: None,
            certificates: Vec::new(),
            webhooks: Vec::new(),
            signatures: Vec::new(),
            login: None,
            control: ControlConfig::default(),
            query_refused: ["access_token", "id_token", "refresh_token", "token"].map(Into::into).to_vec(),
            replays_per_tenant: bounds::REPLAYS_PER_TENANT,
        }
    }
}

/// API tokens of this node's.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokensConfig {
    /// Whether they are taken; where nobody says, they are not. A node takes them where a function does.
    pub accept: Option<bool>,
    /// Records of tokens, for a check without a node; a node has its own.
    pub known: Vec<TokenRecord>,
}

/// One issuer of access tokens (RFC 9068).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The entry's name: in the record, and before the colon in the principal's name.
    pub name: String,
    /// What `iss` must say, byte for byte.
    pub issuer: String,
    /// What `aud` must name one of.
    pub audiences: Vec<String>,
    /// The algorithms that its tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// Its keys as a JSON document (RFC 7517 §5). Where there is neither this nor a file, whoever has a network
    /// fetches them from where the issuer's metadata say (RFC 8414).
    pub jwks: Option<String>,
    /// A file with the same.
    pub jwks_file: Option<String>,
    /// What `typ` may say. `JWT`, which may also be left out, is to be named.
    #[serde(default = "access_token_types")]
    pub types: Vec<String>,
    /// How far the issuer's clock may be from this one.
    #[serde(default = "skew_s")]
    pub skew_s: u64,
    /// The longest time from `iat` to `exp`.
    pub lifetime_s_max: Option<u64>,
    /// Whether its tokens must be bound to a key or a certificate.
    #[serde(default)]
    pub require_bound: bool,
    /// The tenant of its principals. A tenant's own configuration need not say it.
    pub tenant: Option<TenantId>,
    /// What its principals are: `User` or `Service`.
    pub kind: PrincipalKind,
    /// What its tokens may be used for: names of actions.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// Where its tokens say what.
    #[serde(default)]
    pub claims: ClaimsConfig,
}

/// Where a token says what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimsConfig {
    /// The subject's name.
    pub subject: ClaimPath,
    /// The groups: a text or a list of texts.
    pub groups: Option<ClaimPath>,
    /// Attributes by their names: each a text or a list of texts.
    pub attributes: BTreeMap<String, ClaimPath>,
}

impl Default for ClaimsConfig {
    fn default() -> Self {
        Self { subject: ClaimPath::Dotted("sub".into()), groups: None, attributes: BTreeMap::new() }
    }
}

/// A way from the outermost object inwards: `realm_access.roles`, or a list of names where a name itself has
/// dots.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum ClaimPath {
    /// Names with dots between them.
    Dotted(String),
    /// Names one by one.
    Names(Vec<String>),
}

/// Proofs of possession (RFC 9449).
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DpopConfig {
    /// The algorithms that proofs may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// How old a proof may be.
    pub age_s_max: u64,
    /// How far the client's clock may be ahead.
    pub skew_s: u64,
    /// Where it is set, proofs must have a nonce of this server's: 32 bytes or more in base64.
    pub nonce_secret: Option<Secret>,
    /// A file with the same.
    pub nonce_secret_file: Option<String>,
    /// How long a nonce is handed out; it is good for as long again.
    pub nonce_s: u64,
}

impl Default for DpopConfig {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::ES256, Algorithm::EdDSA],
            age_s_max: bounds::PROOF_AGE_S,
            skew_s: bounds::SKEW_S,
            nonce_secret: None,
            nonce_secret_file: None,
            nonce_s: 120,
        }
    }
}

/// Which clients' certificates are principals. Exactly one of `spiffe_trust_domain`, `dns` and `subjects`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// The entry's name.
    pub name: String,
    /// The trust domain of the SPIFFE IDs that are taken.
    pub spiffe_trust_domain: Option<String>,
    /// What their paths must begin with, whole segments alone: `/ns/default`.
    pub spiffe_path: Option<String>,
    /// The DNS names that are taken.
    #[serde(default)]
    pub dns: Vec<String>,
    /// The common names of subjects that are taken.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// The certificates (PEM) that vouch for its clients.
    pub ca: Option<String>,
    /// A file with the same.
    pub ca_file: Option<String>,
    /// Lists of revoked ones (PEM, RFC 5280 §5); with one, each certificate of a chain must be covered.
    pub crl: Option<String>,
    /// A file with the same.
    pub crl_file: Option<String>,
    /// The tenant of its principals. A tenant's own configuration need not say it.
    pub tenant: Option<TenantId>,
    /// What they may do: names of actions.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
}

/// One sender of webhooks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// The entry's name, which is its principal's too.
    pub name: String,
    /// How it signs.
    pub scheme: WebhookScheme,
    /// The paths that it may send to, byte for byte.
    pub paths: Vec<String>,
    /// The hosts that it may send to; any where there is none.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Its secrets or public keys; the old and the new one where they are being changed.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// Files with one each.
    #[serde(default)]
    pub secret_files: Vec<String>,
    /// How old or how early a message may be.
    #[serde(default = "window_s")]
    pub window_s: u64,
    /// How long a message is remembered whose scheme signs no time.
    #[serde(default = "remember_s")]
    pub remember_s: u64,
    /// The tenant of its principal. A tenant's own configuration need not say it.
    pub tenant: Option<TenantId>,
    /// What it may do: names of actions.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
}

/// One signer of messages (RFC 9421).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureConfig {
    /// The entry's name, which is its principal's too.
    pub name: String,
    /// What `keyid` says.
    pub keyid: String,
    /// How it signs.
    pub algorithm: MessageAlgorithm,
    /// Its public key as JSON (RFC 7517 §4), where the algorithm wants one.
    pub key: Option<String>,
    /// A file with the same.
    pub key_file: Option<String>,
    /// The shared secret in base64, where the algorithm wants one.
    pub secret: Option<Secret>,
    /// A file with the same.
    pub secret_file: Option<String>,
    /// What its signatures must cover; `@query` where there is one, `content-digest` where there is a body.
    #[serde(default = "components")]
    pub required: Vec<String>,
    /// How old a signature may be.
    #[serde(default = "window_s")]
    pub window_s: u64,
    /// How far its clock may be ahead.
    #[serde(default = "skew_s")]
    pub skew_s: u64,
    /// What `tag` must say.
    pub tag: Option<String>,
    /// Whether each signature must have a nonce. One that is there is remembered in any case.
    #[serde(default)]
    pub require_nonce: bool,
    /// The tenant of its principal. A tenant's own configuration need not say it.
    pub tenant: Option<TenantId>,
    /// What it may do: names of actions.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
}

/// A secret as it stands in a configuration. It has no `Debug`, no `Display` and no serialisation, and is
/// wiped when dropped.
pub struct Secret(Zeroizing<String>);

/// A key of a configuration that does not hold, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {why}")]
pub struct ConfigError {
    /// The key, such as `issuers[0].audiences`.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

/// Reads the files that a configuration points to: a path in, the bytes or what went wrong out.
pub type Files<'a> = dyn Fn(&str) -> Result<Vec<u8>, String> + 'a;

fn access_token_types() -> Vec<String> {
    vec!["at+jwt".into(), "application/at+jwt".into()]
}

fn components() -> Vec<String> {
    ["@method", "@authority", "@path", "@query", "content-digest"].map(Into::into).to_vec()
}

fn scopes() -> Vec<String> {
    vec!["invoke".into()]
}

const fn skew_s() -> u64 {
    bounds::SKEW_S
}

const fn window_s() -> u64 {
    bounds::MESSAGE_WINDOW_S
}

const fn remember_s() -> u64 {
    86_400
}

#[cfg(test)]
mod tests;
