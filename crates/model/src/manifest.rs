//! `casemate.toml`: what was typed, and what is proved valid. It never reads a file.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    FUNCTION_DOMAIN, FunctionName, Limits, OutboundGrant, Route, Shield, Timestamp, Waiver, function_host,
    limits, shield,
};

/// How the component is built from its source. Only the command line uses it; a node never runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// A shell command, run in the manifest's folder.
    pub command: Option<String>,
    /// A shell command that tests the function, run by `casemate test` in the manifest's folder.
    pub test: Option<String>,
    /// Files and folders whose change makes `casemate dev` build again; the manifest's folder by default.
    #[serde(default)]
    pub watch: Vec<String>,
}

/// A named answer to "who may call".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Only who another policy of the tenant permits (its owners, say).
    Nobody,
    /// Every authenticated caller of the tenant whose token has the scope `invoke`.
    Tenant,
    /// Anyone, without a credential. Wants a waiver.
    Public,
}

/// Who may call: a preset, or Cedar text; and the waiver that a public route wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// A preset. `nobody` where neither this nor `policy` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Preset>,
    /// Cedar policies about `Action::"invoke"` on this function, instead of a preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Why and until when callers without a credential are let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<Waiver>,
    /// Which credentials prove a caller: `token` (API tokens), and entries of the tenant's identity configuration:
    /// `NAME` of an issuer or of certificates, `webhook:NAME`, `signature:NAME`. API tokens alone by default.
    #[serde(default = "tokens_alone", skip_serializing_if = "is_tokens_alone")]
    pub accept: Vec<String>,
}

impl Default for Access {
    fn default() -> Self {
        Self { allow: Some(Preset::Nobody), policy: None, waiver: None, accept: tokens_alone() }
    }
}

fn tokens_alone() -> Vec<String> {
    vec!["token".into()]
}

fn is_tokens_alone(accept: &[String]) -> bool {
    accept == ["token"]
}

/// What the function may ask of the world. Absent means refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Outbound HTTP destinations.
    #[serde(default)]
    pub http: Vec<OutboundGrant>,
}

/// A function's manifest, `casemate.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The function's name, unique in its tenant.
    pub name: FunctionName,
    /// The built component, relative to the manifest.
    pub component: String,
    /// How to build it.
    #[serde(default)]
    pub build: Build,
    /// Where it answers; `/NAME/...` where none is given.
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
    /// Who may call it; nobody where it is absent.
    #[serde(default)]
    pub access: Access,
    /// Its bounds, each with a default.
    #[serde(default)]
    pub limits: Limits,
    /// What it may ask for.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// How its requests are looked at before anything runs.
    #[serde(default)]
    pub shield: Shield,
}

/// What is wrong with a manifest, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// Line and column, from 1, where they are known.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.at {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, " ({suggestion})")?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}

impl ManifestError {
    /// Turns the parser's error about `text` into one with line and column, and with the nearest known key
    /// where a key is unknown.
    pub fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map(|span| position(text, span.start));
        let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
        let mut quoted = message.split('`').skip(1).step_by(2);
        let suggestion = message.starts_with("unknown").then(|| {
            let unknown = quoted.next()?;
            let best = quoted.map(|known| (strsim::damerau_levenshtein(unknown, known), known)).min()?;
            (best.0 <= 3).then(|| format!("did you mean `{}`?", best.1))
        });
        Self { at, message, suggestion: suggestion.flatten() }
    }
}

impl Manifest {
    /// Reads and proves a manifest. `ceiling` is the highest that the node allows.
    ///
    /// # Errors
    /// The first thing that is wrong: not TOML, an unknown key (with the nearest known one), a bad name,
    /// route, grant or limit, a public preset without a waiver.
    pub fn parse(text: &str, ceiling: &Limits) -> Result<Self, ManifestError> {
        if text.len() as u64 > limits::MANIFEST_BYTES_MAX {
            return Err(wrong(format!("a manifest has at most {} bytes", limits::MANIFEST_BYTES_MAX)));
        }
        let wrong = |e: toml::de::Error| ManifestError::from_toml(text, &e);
        let mut manifest: Self = toml::from_str(text).map_err(wrong)?;
        let typed: toml::Table = toml::from_str(text).map_err(wrong)?;
        let named = |limit: &str| typed.get("limits").is_some_and(|limits| limits.get(limit).is_some());
        manifest.limits = manifest.limits.under(ceiling, named);
        if manifest.routes.is_empty() {
            manifest.routes.push(Route::of(format!("/{}/...", manifest.name)));
        }
        manifest.check(ceiling).map_err(|e| locate(text, e))?;
        Ok(manifest)
    }

    /// The JSON schema of the file (draft 2020-12), for editors.
    pub fn json_schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(Self).to_value();
        if let Some(object) = schema.as_object_mut() {
            object.insert("title".into(), "casemate.toml".into());
        }
        schema
    }

    fn check(&self, ceiling: &Limits) -> Result<(), ManifestError> {
        if self.component.is_empty() {
            return Err(wrong("`component` is empty".into()));
        }
        self.routes.iter().try_for_each(check_route)?;
        self.check_access()?;
        self.routes.iter().try_for_each(|route| self.check_route_accept(route))?;
        if let Some((name, value, min, max)) = self.limits.outside(ceiling) {
            return Err(wrong(format!("`limits.{name}` is {value}, but must be from {min} to {max}")));
        }
        shield::check(&self.shield).map_err(wrong)?;
        self.capabilities.http.iter().try_for_each(check_grant)
    }

    fn check_access(&self) -> Result<(), ManifestError> {
        let access = &self.access;
        if access.allow.is_some() && access.policy.is_some() {
            return Err(wrong("`access.allow` and `access.policy` exclude each other".into()));
        }
        if access.allow == Some(Preset::Public) && access.waiver.is_none() {
            return Err(ManifestError {
                at: None,
                message: "`access.allow = \"public\"` wants a waiver".into(),
                suggestion: Some(
                    "add `[access.waiver]` with `reason = \"…\"` and `until = \"YYYY-MM-DD\"`".into(),
                ),
            });
        }
        check_accept(&access.accept)?;
        match &access.waiver {
            Some(waiver) if waiver.reason.trim().len() < 8 => {
                Err(wrong("`access.waiver.reason` wants a sentence (8 characters or more)".into()))
            }
            _ => Ok(()),
        }
    }

    /// A route takes less than its function, never more.
    fn check_route_accept(&self, route: &Route) -> Result<(), ManifestError> {
        let (path, accept) = (&route.path, &route.accept);
        for (at, word) in accept.iter().enumerate() {
            if !self.access.accept.contains(word) {
                return Err(ManifestError {
                    at: None,
                    message: format!(
                        "the route `{path}` accepts `{word}`, which `access.accept` does not name"
                    ),
                    suggestion: Some(
                        "name it in `access.accept` too; a route takes some of what stands there".into(),
                    ),
                });
            }
            if accept.iter().take(at).any(|other| other == word) {
                return Err(wrong(format!("`{word}` stands twice in `accept` of the route `{path}`")));
            }
        }
        Ok(())
    }

    /// Says whether the waiver has ended or lasts longer than is allowed, at `now`.
    ///
    /// # Errors
    /// If it has, with what to write.
    pub fn check_waiver(&self, now: Timestamp) -> Result<(), ManifestError> {
        let Some(waiver) = &self.access.waiver else { return Ok(()) };
        if waiver.until <= now {
            return Err(wrong(format!("`access.waiver.until` is {}, which has passed", waiver.until)));
        }
        if waiver.until.since_ms(now) > limits::WAIVER_DAYS_MAX * 86_400_000 {
            let days = limits::WAIVER_DAYS_MAX;
            return Err(wrong(format!("`access.waiver.until` is more than {days} days away")));
        }
        Ok(())
    }
}

fn wrong(message: String) -> ManifestError {
    ManifestError { at: None, message, suggestion: None }
}

fn check_accept(accept: &[String]) -> Result<(), ManifestError> {
    if !(1..=limits::ACCEPTED_CREDENTIALS_MAX).contains(&accept.len()) {
        let most = limits::ACCEPTED_CREDENTIALS_MAX;
        return Err(wrong(format!("`access.accept` names {}, but must name from 1 to {most}", accept.len())));
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    for (at, word) in accept.iter().enumerate() {
        let name = word.strip_prefix("webhook:").or_else(|| word.strip_prefix("signature:")).unwrap_or(word);
        if !(1..=63).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(ManifestError {
                at: None,
                message: format!("`{word}` is no credential that could be accepted"),
                suggestion: Some(
                    "write `token`, `session`, the name of an issuer or of certificates, `webhook:NAME` or `signature:NAME`"
                        .into(),
                ),
            });
        }
        if accept.iter().take(at).any(|other| other == word) {
            return Err(wrong(format!("`{word}` stands twice in `access.accept`")));
        }
    }
    Ok(())
}

fn check_route(route: &Route) -> Result<(), ManifestError> {
    let path = route.path.as_str();
    let body = path.strip_suffix("/...").unwrap_or(path);
    let plain = path.starts_with('/')
        && !body.contains("...")
        && !body.contains("//")
        && !body.split('/').any(|part| part == "." || part == "..")
        && body.bytes().all(|b| b.is_ascii_graphic() && !b"?#%\\\"<>{}^`|".contains(&b));
    if !plain {
        return Err(ManifestError {
            at: None,
            message: format!("`{path}` is no route"),
            suggestion: Some("write `/path` or `/path/...`, without `%`, `?`, `#`, `//` or dots".into()),
        });
    }
    route.methods.iter().try_for_each(|m| check_method(m))
}

fn check_method(method: &str) -> Result<(), ManifestError> {
    let token = !method.is_empty()
        && method.len() <= 32
        && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    if token { Ok(()) } else { Err(wrong(format!("`{method}` is no method: write it as `GET`"))) }
}

fn check_grant(grant: &OutboundGrant) -> Result<(), ManifestError> {
    grant.methods.iter().try_for_each(|m| check_method(m))?;
    let rest = grant.url.strip_prefix("https://").or_else(|| grant.url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let plain = !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
        && !grant.url.contains(['?', '#', '@', ' ', '*']);
    if let Some(named) = function_host(host.split(':').next().unwrap_or_default()) {
        // Functions of one tenant speak within the node: there is no port, and nothing to encrypt.
        let within = plain && named.is_ok() && !host.contains(':') && grant.url.starts_with("http://");
        return if within { Ok(()) } else { Err(no_function(&grant.url)) };
    }
    if plain {
        return Ok(());
    }
    Err(ManifestError {
        at: None,
        message: format!("`{}` is no outbound destination", grant.url),
        suggestion: Some("write `https://host/path/...`; wildcards in hosts are not taken".into()),
    })
}

fn no_function(url: &str) -> ManifestError {
    ManifestError {
        at: None,
        message: format!("`{url}` is no function of this tenant"),
        suggestion: Some(format!("write `http://NAME.{FUNCTION_DOMAIN}/path/...`, without a port")),
    }
}

/// Finds the line of an error that names a key or a value of the text.
fn locate(text: &str, mut error: ManifestError) -> ManifestError {
    let named = error.message.split('`').nth(1).unwrap_or_default();
    let last = named.rsplit('.').next().unwrap_or_default().split(' ').next().unwrap_or_default();
    let found = [named, last].into_iter().filter(|t| !t.is_empty()).find_map(|t| text.find(t));
    error.at = found.map(|offset| position(text, offset));
    error
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
