//! Entries of a configuration, proved: what the rest of this crate asks. It never takes an entry that names
//! less than it must.

use std::{collections::BTreeMap, sync::Arc};

use keyring::{PublicKey, SharedKey, SignatureAlgorithm};
use model::{Principal, PrincipalKind, TenantId};

use super::{
    CertificateConfig, ConfigError, DpopConfig, Files, IdentityConfig, IssuerConfig, LoginRule,
    SignatureConfig, WebhookConfig,
    check::{self, Checked, EntryNames, wrong},
};
use crate::{
    Accept, Algorithm, MessageAlgorithm, TokenBook,
    bounds::{
        ENTRIES_MAX, KID_BYTES_MAX, MESSAGE_WINDOW_S_MAX, PROOF_AGE_S_MAX, REPLAYS_PER_TENANT_MAX,
        SENDER_KEYS_MAX, SKEW_S_MAX, SUBJECT_BYTES_MAX,
    },
    certificate::spiffe,
    jose::{
        dpop, json,
        jwk::{Jwk, KeySet},
        jwt,
        nonce::Nonces,
    },
    signature::{self, Signer, SignerKey},
    uri, webhook,
};

/// Whose principal an entry makes.
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    pub(crate) tenant: TenantId,
    kind: PrincipalKind,
    scopes: Vec<String>,
}

impl Entry {
    /// The principal `entry:subject`. No API token's name has a colon, so that nobody outside can make a
    /// principal that is one of this node's.
    pub(crate) fn principal(&self, subject: &str) -> Arc<Principal> {
        self.named(format!("{}:{subject}", self.name))
    }

    /// The principal that the entry is itself: `webhook:entry`, `signature:entry`. No entry is named so.
    pub(crate) fn itself(&self, word: &str) -> Arc<Principal> {
        self.named(format!("{word}:{}", self.name))
    }

    fn named(&self, name: String) -> Arc<Principal> {
        Arc::new(Principal {
            kind: self.kind,
            tenant: Some(self.tenant.clone()),
            name,
            roles: Vec::new(),
            scopes: self.scopes.clone(),
            token: None,
        })
    }
}

pub(crate) struct IssuerRule {
    pub(crate) entry: Entry,
    pub(crate) require_bound: bool,
    /// Its keys are fetched.
    pub(crate) remote: bool,
    pub(crate) rules: jwt::Rules,
}

pub(crate) enum Matches {
    Spiffe { trust_domain: String, path: String },
    Dns(Vec<String>),
    Subject(Vec<String>),
}

pub(crate) struct CertificateRule {
    pub(crate) entry: Entry,
    pub(crate) matches: Matches,
    pub(crate) ca: Option<String>,
    pub(crate) crl: Option<String>,
}

pub(crate) struct WebhookRule {
    pub(crate) entry: Entry,
    pub(crate) scheme: crate::WebhookScheme,
    pub(crate) paths: Vec<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) sender: webhook::Sender,
}

pub(crate) struct SignerRule {
    pub(crate) entry: Entry,
    pub(crate) keyid: String,
    pub(crate) signer: Signer,
}

/// All that is accepted.
pub(crate) struct Accepted {
    pub(crate) tokens: bool,
    pub(crate) known: TokenBook,
    pub(crate) issuers: Vec<IssuerRule>,
    pub(crate) dpop: Option<dpop::Rules>,
    pub(crate) certificates: Vec<CertificateRule>,
    pub(crate) webhooks: Vec<WebhookRule>,
    pub(crate) signatures: Vec<SignerRule>,
    pub(crate) login: Option<LoginRule>,
    /// What the control API takes.
    pub(crate) control: Accept,
    pub(crate) query_refused: Vec<String>,
    pub(crate) replays_per_tenant: usize,
}

impl Accepted {
    /// Proves a configuration.
    pub(crate) fn prove(config: IdentityConfig, files: &Files<'_>) -> Checked<Self> {
        let mut names = EntryNames::default();
        let entries =
            [config.issuers.len(), config.certificates.len(), config.webhooks.len(), config.signatures.len()];
        if entries.iter().any(|count| *count > ENTRIES_MAX) {
            return wrong("issuers", format!("there may be {ENTRIES_MAX} entries of one kind"));
        }
        let known = TokenBook::new();
        config.tokens.known.into_iter().for_each(|record| known.put(record));
        let login = config.login.map(|login| LoginRule::prove(login, files)).transpose()?;
        if let Some(login) = &login {
            names.take("login.name", &login.entry.name)?;
        }
        let mut accepted = Self {
            control: config.control.prove(login.is_some())?,
            login,
            tokens: config.tokens.accept.unwrap_or(false),
            known,
            issuers: Vec::new(),
            dpop: config.dpop.map(|dpop| dpop_rules(&dpop, files)).transpose()?,
            certificates: Vec::new(),
            webhooks: Vec::new(),
            signatures: Vec::new(),
            query_refused: check::texts("query_refused", &config.query_refused, 64)?,
            replays_per_tenant: config.replays_per_tenant,
        };
        if !(1..=REPLAYS_PER_TENANT_MAX).contains(&config.replays_per_tenant) {
            return wrong("replays_per_tenant", format!("write 1 to {REPLAYS_PER_TENANT_MAX}"));
        }
        for (at, entry) in config.issuers.into_iter().enumerate() {
            let key = format!("issuers[{at}]");
            names.take(&format!("{key}.name"), &entry.name)?;
            let rule = issuer(&key, entry, files)?;
            if accepted.issuers.iter().any(|other| other.rules.issuer == rule.rules.issuer) {
                return wrong(&format!("{key}.issuer"), "another entry has the same issuer");
            }
            accepted.issuers.push(rule);
        }
        for (at, entry) in config.certificates.into_iter().enumerate() {
            let key = format!("certificates[{at}]");
            names.take(&format!("{key}.name"), &entry.name)?;
            accepted.certificates.push(certificate(&key, entry, files)?);
        }
        for (at, entry) in config.webhooks.into_iter().enumerate() {
            let key = format!("webhooks[{at}]");
            names.take(&format!("{key}.name"), &entry.name)?;
            accepted.webhooks.push(webhook(&key, &entry, files)?);
        }
        for (at, entry) in config.signatures.into_iter().enumerate() {
            let key = format!("signatures[{at}]");
            names.take(&format!("{key}.name"), &entry.name)?;
            let rule = signer(&key, &entry, files)?;
            if accepted.signatures.iter().any(|other| other.keyid == rule.keyid) {
                return wrong(&format!("{key}.keyid"), "another entry has the same id");
            }
            accepted.signatures.push(rule);
        }
        Ok(accepted)
    }
}

pub(super) fn entry(
    key: &str,
    name: &str,
    tenant: Option<TenantId>,
    kind: PrincipalKind,
    scopes: &[String],
) -> Checked<Entry> {
    let Some(tenant) = tenant else {
        return wrong(&format!("{key}.tenant"), "name the tenant of its principals");
    };
    if !matches!(kind, PrincipalKind::User | PrincipalKind::Service) {
        return wrong(&format!("{key}.kind"), "write `User` or `Service`");
    }
    let scopes = check::scopes(&format!("{key}.scopes"), scopes)?;
    Ok(Entry { name: name.into(), tenant, kind, scopes })
}

fn issuer(key: &str, config: IssuerConfig, files: &Files<'_>) -> Checked<IssuerRule> {
    let at = |name: &str| format!("{key}.{name}");
    let entry = entry(key, &config.name, config.tenant, config.kind, &config.scopes)?;
    check::texts(&at("issuer"), std::slice::from_ref(&config.issuer), 1)?;
    let algorithms = check::list(&at("algorithms"), &config.algorithms, 5)?.to_vec();
    let keys = issuer_keys(
        key,
        &config.issuer,
        (config.jwks.as_deref(), config.jwks_file.as_deref()),
        &algorithms,
        files,
    )?;
    let remote = keys.is_none();
    let rules = jwt::Rules {
        issuer: config.issuer,
        audiences: check::texts(&at("audiences"), &config.audiences, 64)?,
        algorithms,
        types: check::texts(&at("types"), &config.types, 8)?,
        keys: jwt::Keys::new(keys),
        skew_ms: check::within(&at("skew_s"), config.skew_s, 0, SKEW_S_MAX)? * 1000,
        lifetime_s_max: config.lifetime_s_max,
        claims: claims(key, &config.claims)?,
    };
    Ok(IssuerRule { entry, require_bound: config.require_bound, remote, rules })
}

/// An issuer's keys as they stand in the configuration; none where they are to be fetched.
pub(super) fn issuer_keys(
    key: &str,
    issuer: &str,
    (inline, file): (Option<&str>, Option<&str>),
    algorithms: &[Algorithm],
    files: &Files<'_>,
) -> Checked<Option<KeySet>> {
    let at = |name: &str| format!("{key}.{name}");
    if inline.is_none() && file.is_none() {
        return check::discoverable(&at("issuer"), issuer).map(|()| None);
    }
    let jwks = check::one_source(&at("jwks"), inline.map(str::as_bytes), file, files)?;
    let keys = KeySet::parse(&jwks).or_else(|why| wrong(&at("jwks"), why))?;
    if !algorithms.iter().any(|algorithm| keys.fits(*algorithm)) {
        return wrong(&at("jwks"), "no key fits any of the algorithms");
    }
    Ok(Some(keys))
}

/// Where an issuer's tokens say what.
pub(super) fn claims(key: &str, config: &super::ClaimsConfig) -> Checked<jwt::Claims> {
    let at = |name: &str| format!("{key}.claims.{name}");
    let attribute = |(name, path): (&String, &super::ClaimPath)| {
        check::path(&at(&format!("attributes.{name}")), path).map(|path| (name.clone(), path))
    };
    Ok(jwt::Claims {
        subject: check::path(&at("subject"), &config.subject)?,
        groups: config.groups.as_ref().map(|path| check::path(&at("groups"), path)).transpose()?,
        attributes: config.attributes.iter().map(attribute).collect::<Checked<BTreeMap<_, _>>>()?,
    })
}

fn dpop_rules(config: &DpopConfig, files: &Files<'_>) -> Checked<dpop::Rules> {
    let secret = match (&config.nonce_secret, &config.nonce_secret_file) {
        (None, None) => None,
        (inline, file) => {
            let key = "dpop.nonce_secret";
            let text =
                check::one_source(key, inline.as_ref().map(super::Secret::bytes), file.as_deref(), files)?;
            Some(check::secret_bytes(key, &text, 32)?)
        }
    };
    let nonce_s = check::within("dpop.nonce_s", config.nonce_s, 10, 3600)?;
    Ok(dpop::Rules {
        algorithms: check::list("dpop.algorithms", &config.algorithms, 5)?.to_vec(),
        age_ms_max: check::within("dpop.age_s_max", config.age_s_max, 1, PROOF_AGE_S_MAX)? * 1000,
        skew_ms: check::within("dpop.skew_s", config.skew_s, 0, SKEW_S_MAX)? * 1000,
        nonces: secret.map(|secret| Nonces::new(&secret, nonce_s)),
    })
}

fn certificate(key: &str, config: CertificateConfig, files: &Files<'_>) -> Checked<CertificateRule> {
    let at = |name: &str| format!("{key}.{name}");
    let ca = check::some_source(&at("ca"), config.ca.as_deref(), config.ca_file.as_deref(), files)?;
    let crl = check::some_source(&at("crl"), config.crl.as_deref(), config.crl_file.as_deref(), files)?;
    if ca.is_none() && crl.is_some() {
        return wrong(&at("crl"), "a list of revoked certificates is of no use without `ca`");
    }
    let entry = entry(key, &config.name, config.tenant, PrincipalKind::Service, &config.scopes)?;
    let matches = match (config.spiffe_trust_domain, config.dns.as_slice(), config.subjects.as_slice()) {
        (Some(trust_domain), [], []) => {
            let path = config.spiffe_path.unwrap_or_default();
            if !spiffe::is_trust_domain(&trust_domain) {
                return wrong(&at("spiffe_trust_domain"), "this is no trust domain (SPIFFE-ID §2.1)");
            }
            if !spiffe::is_path(&path) {
                return wrong(&at("spiffe_path"), "this is no path (SPIFFE-ID §2.2)");
            }
            Matches::Spiffe { trust_domain, path }
        }
        (None, [_, ..], []) if config.spiffe_path.is_none() => {
            let dns = check::texts(&at("dns"), &config.dns, 64)?;
            if dns.iter().any(|name| name.contains('*') || *name != name.to_ascii_lowercase()) {
                return wrong(&at("dns"), "write whole names in lower case");
            }
            Matches::Dns(dns)
        }
        (None, [], [_, ..]) if config.spiffe_path.is_none() => {
            let subjects = check::texts(&at("subjects"), &config.subjects, 64)?;
            if subjects.iter().any(|name| name.len() > SUBJECT_BYTES_MAX || name.contains(['"', '\\'])) {
                return wrong(&at("subjects"), "write names without quotes and backslashes");
            }
            Matches::Subject(subjects)
        }
        _ => return wrong(key, "write exactly one of `spiffe_trust_domain`, `dns` and `subjects`"),
    };
    Ok(CertificateRule { entry, matches, ca, crl })
}

fn webhook(key: &str, config: &WebhookConfig, files: &Files<'_>) -> Checked<WebhookRule> {
    let at = |name: &str| format!("{key}.{name}");
    let service = PrincipalKind::Service;
    let entry = entry(key, &config.name, config.tenant.clone(), service, &config.scopes)?;
    let paths = check::texts(&at("paths"), &config.paths, 64)?;
    if paths.iter().any(|path| !path.starts_with('/') || path.contains(['?', '#'])) {
        return wrong(&at("paths"), "write paths that begin with `/`, without a query");
    }
    let mut hosts = Vec::new();
    for host in &config.hosts {
        match uri::authority("https", host) {
            Some(host) => hosts.push(host),
            None => return wrong(&at("hosts"), format!("`{host}` is no host")),
        }
    }
    let mut texts = Vec::new();
    for (n, secret) in config.secrets.iter().enumerate() {
        texts.push((at(&format!("secrets[{n}]")), zeroize::Zeroizing::new(secret.bytes().to_vec())));
    }
    for (n, file) in config.secret_files.iter().enumerate() {
        let key = at(&format!("secret_files[{n}]"));
        let text = check::from_file(&key, file, files)?;
        texts.push((key, text));
    }
    if !(1..=SENDER_KEYS_MAX).contains(&texts.len()) {
        return wrong(&at("secrets"), format!("name 1 to {SENDER_KEYS_MAX}"));
    }
    let key = |(key, text): &(String, zeroize::Zeroizing<Vec<u8>>)| {
        let text = check::secret_text(key, text)?;
        webhook::key(config.scheme, &text).or_else(|why| wrong(key, why))
    };
    let sender = webhook::Sender {
        scheme: config.scheme,
        keys: texts.iter().map(key).collect::<Checked<Vec<_>>>()?,
        window_ms: check::within(&at("window_s"), config.window_s, 1, MESSAGE_WINDOW_S_MAX)? * 1000,
        remember_ms: check::within(&at("remember_s"), config.remember_s, 60, 7 * 86_400)? * 1000,
    };
    Ok(WebhookRule { entry, scheme: config.scheme, paths, hosts, sender })
}

fn signer(key: &str, config: &SignatureConfig, files: &Files<'_>) -> Checked<SignerRule> {
    let at = |name: &str| format!("{key}.{name}");
    let service = PrincipalKind::Service;
    let entry = entry(key, &config.name, config.tenant.clone(), service, &config.scopes)?;
    check::texts(&at("keyid"), std::slice::from_ref(&config.keyid), 1)?;
    if config.keyid.len() > KID_BYTES_MAX {
        return wrong(&at("keyid"), "it is too long");
    }
    let required = check::texts(&at("required"), &config.required, 64)?;
    if let Some(name) = required.iter().find(|name| !signature::is_component(name)) {
        return wrong(&at("required"), format!("`{name}` is no component"));
    }
    if let Some(tag) = &config.tag {
        check::texts(&at("tag"), std::slice::from_ref(tag), 1)?;
    }
    let signer = Signer {
        algorithm: config.algorithm,
        key: signer_key(key, config, files)?,
        required,
        window_ms: check::within(&at("window_s"), config.window_s, 1, MESSAGE_WINDOW_S_MAX)? * 1000,
        skew_ms: check::within(&at("skew_s"), config.skew_s, 0, SKEW_S_MAX)? * 1000,
        tag: config.tag.clone(),
        nonce_required: config.require_nonce,
    };
    Ok(SignerRule { entry, keyid: config.keyid.clone(), signer })
}

fn signer_key(key: &str, config: &SignatureConfig, files: &Files<'_>) -> Result<SignerKey, ConfigError> {
    let at = |name: &str| format!("{key}.{name}");
    let has_public = config.key.is_some() || config.key_file.is_some();
    let has_shared = config.secret.is_some() || config.secret_file.is_some();
    let algorithm = match config.algorithm {
        MessageAlgorithm::HmacSha256 if has_public => {
            return wrong(&at("key"), "`hmac-sha256` wants a secret");
        }
        MessageAlgorithm::HmacSha256 => {
            let inline = config.secret.as_ref().map(super::Secret::bytes);
            let text = check::one_source(&at("secret"), inline, config.secret_file.as_deref(), files)?;
            let bytes = check::secret_bytes(&at("secret"), &text, 32)?;
            return Ok(SignerKey::Shared(SharedKey::new(&bytes)));
        }
        _ if has_shared => return wrong(&at("secret"), "this algorithm wants a public key"),
        MessageAlgorithm::Ed25519 => SignatureAlgorithm::Ed25519,
        MessageAlgorithm::EcdsaP256Sha256 => SignatureAlgorithm::EcdsaP256Sha256,
    };
    let inline = config.key.as_deref().map(str::as_bytes);
    let text = check::one_source(&at("key"), inline, config.key_file.as_deref(), files)?;
    let members = json::object(&text).ok();
    let read: Option<PublicKey> = members.and_then(|members| Jwk::read(&members).ok()).map(|jwk| jwk.key);
    match read.filter(|key| key.fits(algorithm)) {
        Some(key) => Ok(SignerKey::Public(key, algorithm)),
        None => wrong(&at("key"), "this is no public key (RFC 7517) for the algorithm"),
    }
}
