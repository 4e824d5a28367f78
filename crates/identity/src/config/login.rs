//! Who logs in to the control API, and what the control API takes: as an operator writes it, and proved. It gives
//! nobody a role whom no rule names.

use std::collections::BTreeMap;

use keyring::sha256;
use model::{Digest, PrincipalKind, Role, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    ClaimPath, ClaimsConfig, Files,
    check::{self, Checked, wrong},
    entries::{self, Entry},
};
use crate::{
    Accept, Algorithm,
    bounds::{GRANTS_MAX, PROOF_AGE_S, SESSION_S, SESSION_S_MAX, SESSION_S_MIN, SKEW_S, SKEW_S_MAX},
    jose::{dpop, jwt},
};

/// How a person logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// In a browser on the same machine (RFC 6749 §4.1 with RFC 7636 and RFC 8252).
    Code,
    /// In a browser anywhere (RFC 8628).
    Device,
}

/// Who logs in to the control API, by an ID token of which provider (OpenID Connect Core 1.0), and what they may then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginConfig {
    /// What stands before the colon in the names of those who log in.
    #[serde(default = "name")]
    pub name: String,
    /// What `iss` must say, byte for byte.
    pub issuer: String,
    /// The command line's id at the provider: a public client. `aud` must name it.
    pub client_id: String,
    /// The algorithms that ID tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// The provider's keys as a JSON document (RFC 7517 §5); fetched where there is neither this nor a file.
    pub jwks: Option<String>,
    /// A file with the same.
    pub jwks_file: Option<String>,
    /// What the provider is asked for; `openid` must be there.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// Which ways there are to log in.
    #[serde(default = "flows")]
    pub flows: Vec<Flow>,
    /// Whether the provider repeats the nonce of a device's login; where it does not, an ID token without one is taken.
    #[serde(default = "yes")]
    pub device_nonce: bool,
    /// How long a session lasts.
    #[serde(default = "session_s")]
    pub session_s: u64,
    /// How far the provider's clock may be from this one.
    #[serde(default = "skew_s")]
    pub skew_s: u64,
    /// The tenant of those who log in. A tenant's own configuration need not say it.
    pub tenant: Option<TenantId>,
    /// Where an ID token says what.
    #[serde(default)]
    pub claims: ClaimsConfig,
    /// Who gets which roles; the first rule that fits counts, and no other.
    #[serde(default)]
    pub grants: Vec<GrantConfig>,
}

/// Who gets which roles. All that a rule names must fit: one of the groups, one of the subjects, one of the values of
/// each attribute.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantConfig {
    /// Groups, of which the person must be in one.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Subjects' names, of which the person's must be one.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// Attributes by their names, with the values of which one must be there.
    #[serde(default)]
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The roles.
    pub roles: Vec<Role>,
    /// What a session may be used for: names of actions, or `*`, all that the roles permit.
    #[serde(default = "all")]
    pub scopes: Vec<String>,
}

/// What the control API takes from this tenant's callers.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// `token`, `session` or both. Where nobody says: API tokens, and sessions where people log in.
    pub accept: Option<Vec<String>>,
}

/// How people log in, proved.
pub(crate) struct LoginRule {
    pub(crate) entry: Entry,
    pub(crate) remote: bool,
    pub(crate) rules: jwt::Rules,
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) flows: Vec<Flow>,
    pub(crate) device_nonce: bool,
    pub(crate) session_ms: u64,
    pub(crate) grants: Vec<Grant>,
    /// What proofs of possession must say.
    pub(crate) proofs: dpop::Rules,
}

/// Who gets which roles, proved.
pub(crate) struct Grant {
    groups: Vec<String>,
    subjects: Vec<String>,
    attributes: BTreeMap<String, Vec<String>>,
    pub(crate) roles: Vec<Role>,
    pub(crate) scopes: Vec<String>,
    /// Names the rule with all that it depends on: another rule has another digest.
    pub(crate) digest: Digest,
}

impl ControlConfig {
    /// What is taken; `login`: whether people log in.
    pub(super) fn prove(self, login: bool) -> Checked<Accept> {
        let Some(named) = self.accept else {
            let both = ["token".to_owned(), "session".to_owned()];
            return Ok(if login { Accept::named(&both) } else { Accept::tokens() });
        };
        check::list("control.accept", &named, 2)?;
        if let Some(at) = named.iter().position(|word| !["token", "session"].contains(&word.as_str())) {
            return wrong(&format!("control.accept[{at}]"), "write `token` or `session`");
        }
        if !login && named.iter().any(|word| word == "session") {
            return wrong("control.accept", "nobody has a session where there is no `login`");
        }
        Ok(Accept::named(&named))
    }
}

impl LoginRule {
    pub(super) fn prove(config: LoginConfig, files: &Files<'_>) -> Checked<Self> {
        let at = |name: &str| format!("login.{name}");
        let entry = entries::entry(
            "login",
            &config.name,
            config.tenant.clone(),
            PrincipalKind::User,
            &["invoke".to_owned()],
        )?;
        check::texts(&at("issuer"), std::slice::from_ref(&config.issuer), 1)?;
        check::texts(&at("client_id"), std::slice::from_ref(&config.client_id), 1)?;
        let algorithms = check::list(&at("algorithms"), &config.algorithms, 5)?.to_vec();
        let source = (config.jwks.as_deref(), config.jwks_file.as_deref());
        let keys = entries::issuer_keys("login", &config.issuer, source, &algorithms, files)?;
        let scopes = check::texts(&at("scopes"), &config.scopes, 16)?;
        if !scopes.iter().any(|scope| scope == "openid") {
            return wrong(&at("scopes"), "without `openid` no provider says who logged in");
        }
        let flows = check::list(&at("flows"), &config.flows, 2)?.to_vec();
        let session_s = check::within(&at("session_s"), config.session_s, SESSION_S_MIN, SESSION_S_MAX)?;
        let skew_ms = check::within(&at("skew_s"), config.skew_s, 0, SKEW_S_MAX)? * 1000;
        if config.grants.is_empty() || config.grants.len() > GRANTS_MAX {
            return wrong(
                &at("grants"),
                format!("write 1 to {GRANTS_MAX} rules: nobody has a role without one"),
            );
        }
        let whole = json!([config.name, config.issuer, config.client_id, said(&config.claims)]);
        let grants = config.grants.iter().enumerate();
        let grants = grants.map(|(n, grant)| Grant::prove(n, grant, &config.claims, &whole));
        let grants = grants.collect::<Checked<Vec<_>>>()?;
        let remote = keys.is_none();
        let rules = jwt::Rules {
            audiences: vec![config.client_id.clone()],
            issuer: config.issuer,
            algorithms,
            types: Vec::new(),
            keys: jwt::Keys::new(keys),
            skew_ms,
            lifetime_s_max: None,
            claims: entries::claims("login", &config.claims)?,
        };
        let proofs = dpop::Rules {
            algorithms: vec![Algorithm::ES256, Algorithm::EdDSA],
            age_ms_max: PROOF_AGE_S * 1000,
            skew_ms: SKEW_S * 1000,
            nonces: None,
        };
        let (client_id, device_nonce, session_ms) = (config.client_id, config.device_nonce, session_s * 1000);
        Ok(Self { entry, remote, rules, client_id, scopes, flows, device_nonce, session_ms, grants, proofs })
    }

    /// The rule that gives roles to whoever is this.
    pub(crate) fn grant(
        &self,
        subject: &str,
        groups: &[String],
        attributes: &BTreeMap<String, Vec<String>>,
    ) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.fits(subject, groups, attributes))
    }

    /// When a session that began then is over, as long as these rules are in force.
    pub(crate) const fn ends(&self, began: Timestamp) -> Timestamp {
        began.plus_ms(self.session_ms)
    }
}

impl Grant {
    fn prove(
        n: usize,
        config: &GrantConfig,
        claims: &ClaimsConfig,
        whole: &serde_json::Value,
    ) -> Checked<Self> {
        let at = |name: &str| format!("login.grants[{n}].{name}");
        if config.groups.is_empty() && config.subjects.is_empty() && config.attributes.is_empty() {
            return wrong(&format!("login.grants[{n}]"), "name `groups`, `subjects` or `attributes`");
        }
        if !config.groups.is_empty() && claims.groups.is_none() {
            return wrong(&at("groups"), "`login.claims.groups` says where an ID token names groups");
        }
        let lists = [("groups", &config.groups), ("subjects", &config.subjects)];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            said_once(&at(name), list)?;
        }
        for (name, values) in &config.attributes {
            let key = at(&format!("attributes.{name}"));
            if !claims.attributes.contains_key(name) {
                return wrong(&key, "`login.claims.attributes` says where an ID token has it");
            }
            said_once(&key, values)?;
        }
        check::list(&at("roles"), &config.roles, Role::ALL.len())?;
        let word = |s: &str| (1..=32).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphabetic());
        check::list(&at("scopes"), &config.scopes, 64)?;
        if let Some(bad) = config.scopes.iter().position(|scope| scope != "*" && !word(scope)) {
            return wrong(&at(&format!("scopes[{bad}]")), "write `*` or the name of an action");
        }
        let (mut roles, mut scopes) = (config.roles.clone(), config.scopes.clone());
        roles.sort_unstable();
        scopes.sort_unstable();
        let (groups, subjects, attributes) =
            (config.groups.clone(), config.subjects.clone(), config.attributes.clone());
        let text = json!([whole, groups, subjects, attributes, roles, scopes]).to_string();
        Ok(Self { groups, subjects, attributes, roles, scopes, digest: sha256(text.as_bytes()) })
    }

    fn fits(&self, subject: &str, groups: &[String], attributes: &BTreeMap<String, Vec<String>>) -> bool {
        let one_of = |wanted: &[String], has: &[String]| has.iter().any(|one| wanted.contains(one));
        (self.groups.is_empty() || one_of(&self.groups, groups))
            && (self.subjects.is_empty() || self.subjects.iter().any(|one| one == subject))
            && self
                .attributes
                .iter()
                .all(|(name, values)| attributes.get(name).is_some_and(|has| one_of(values, has)))
    }
}

/// Names as a provider has them: anything that people see, but nothing empty, endless or twice.
fn said_once(key: &str, list: &[String]) -> Checked<()> {
    check::list(key, list, 128)?;
    let bad = |text: &String| text.is_empty() || text.len() > 256 || text.chars().any(char::is_control);
    match list.iter().position(bad) {
        Some(at) => wrong(&format!("{key}[{at}]"), "write 1 to 256 bytes without control characters"),
        None => Ok(()),
    }
}

fn said(claims: &ClaimsConfig) -> serde_json::Value {
    let path = |path: &ClaimPath| match path {
        ClaimPath::Dotted(text) => json!(text),
        ClaimPath::Names(names) => json!(names),
    };
    let attributes: BTreeMap<_, _> =
        claims.attributes.iter().map(|(name, way)| (name.clone(), path(way))).collect();
    json!([path(&claims.subject), claims.groups.as_ref().map(path), attributes])
}

fn name() -> String {
    "login".into()
}

fn scopes() -> Vec<String> {
    vec!["openid".into()]
}

fn flows() -> Vec<Flow> {
    vec![Flow::Code, Flow::Device]
}

fn all() -> Vec<String> {
    vec!["*".into()]
}

const fn yes() -> bool {
    true
}

const fn session_s() -> u64 {
    SESSION_S
}

const fn skew_s() -> u64 {
    SKEW_S
}
