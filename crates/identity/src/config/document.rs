//! A tenant's own configuration as a text: read, held to that tenant, and shown without its secrets. It never
//! says what a secret is.

use model::TenantId;
use toml::Value;

use super::{ConfigError, IdentityConfig, Secret, check::wrong};
use crate::bounds::DOCUMENT_BYTES_MAX;

/// What stands in place of a secret where a configuration is shown.
const SEALED: &str = "(sealed)";

/// Why a text is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// More text than is read.
    #[error("a configuration has at most {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    /// No TOML, or with keys or values that there are not.
    #[error("line {line}: {message}")]
    Text {
        /// The line, from 1.
        line: usize,
        /// What is wrong, without what stands there: it may be a secret.
        message: String,
    },
    /// A key that does not hold.
    #[error(transparent)]
    Key(#[from] ConfigError),
}

impl IdentityConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        if text.len() > DOCUMENT_BYTES_MAX {
            return Err(DocumentError::TooLarge);
        }
        toml::from_str(text).map_err(|error| wrong_text(text, &error))
    }

    /// The same for entries that name no tenant: theirs is this one.
    #[must_use]
    pub fn in_tenant(mut self, tenant: &TenantId) -> Self {
        for (_, of) in self.tenants() {
            of.get_or_insert_with(|| tenant.clone());
        }
        self
    }

    /// As a tenant's own configuration on a node: no entry makes a principal of another tenant, each entry of
    /// certificates says who vouches for them, API tokens are the node's own, and no secret was left out.
    ///
    /// # Errors
    /// The first key that does not hold.
    pub fn of_tenant(mut self, tenant: &TenantId) -> Result<Self, ConfigError> {
        let other = self.tenants().into_iter().find(|(_, of)| of.as_ref().is_some_and(|of| of != tenant));
        if let Some((key, _)) = other {
            return wrong(
                &key,
                format!("the principals of this configuration are those of `{tenant}` alone"),
            );
        }
        if self.tokens.accept == Some(false) || !self.tokens.known.is_empty() {
            return wrong("tokens", "a node knows its tokens; which function takes them, its manifest says");
        }
        self.tokens.accept = Some(true);
        if let Some(at) = self.certificates.iter().position(|entry| entry.ca.is_none()) {
            return wrong(
                &format!("certificates[{at}].ca"),
                "name the certificates that vouch for its clients",
            );
        }
        let left_out = self.secrets().find(|(_, secret)| secret.bytes() == SEALED.as_bytes());
        if let Some(key) = left_out.map(|(key, _)| key) {
            return wrong(&key, "write the secret itself: what is shown in its place is none");
        }
        Ok(self.in_tenant(tenant))
    }

    /// A configuration's text without its secrets, and without its comments.
    ///
    /// # Errors
    /// [`DocumentError::Text`] if it is no TOML.
    pub fn shown(text: &str) -> Result<String, DocumentError> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| wrong_text(text, &error))?;
        table.iter_mut().for_each(|(name, value)| hide(name, value));
        toml::to_string(&table).map_err(|error| DocumentError::Text { line: 1, message: error.to_string() })
    }

    fn tenants(&mut self) -> Vec<(String, &mut Option<TenantId>)> {
        let named = |kind: &str, at: usize| format!("{kind}[{at}].tenant");
        let issuers =
            self.issuers.iter_mut().enumerate().map(|(at, e)| (named("issuers", at), &mut e.tenant));
        let certificates = self.certificates.iter_mut().enumerate();
        let certificates = certificates.map(|(at, e)| (named("certificates", at), &mut e.tenant));
        let webhooks = self.webhooks.iter_mut().enumerate();
        let webhooks = webhooks.map(|(at, e)| (named("webhooks", at), &mut e.tenant));
        let signatures = self.signatures.iter_mut().enumerate();
        let signatures = signatures.map(|(at, e)| (named("signatures", at), &mut e.tenant));
        let login = self.login.iter_mut().map(|login| ("login.tenant".to_owned(), &mut login.tenant));
        issuers.chain(certificates).chain(webhooks).chain(signatures).chain(login).collect()
    }

    fn secrets(&self) -> impl Iterator<Item = (String, &Secret)> {
        let nonce = self.dpop.iter().filter_map(|dpop| dpop.nonce_secret.as_ref());
        let nonce = nonce.map(|secret| ("dpop.nonce_secret".to_owned(), secret));
        let webhooks = self.webhooks.iter().enumerate().flat_map(|(at, entry)| {
            let secrets = entry.secrets.iter().enumerate();
            secrets.map(move |(n, secret)| (format!("webhooks[{at}].secrets[{n}]"), secret))
        });
        let signatures = self.signatures.iter().enumerate().filter_map(|(at, entry)| {
            entry.secret.as_ref().map(|secret| (format!("signatures[{at}].secret"), secret))
        });
        nonce.chain(webhooks).chain(signatures)
    }
}

/// Whether a key's value is a secret, or a list of them.
fn is_secret(name: &str) -> bool {
    matches!(name, "secret" | "secrets" | "nonce_secret")
}

fn hide(name: &str, value: &mut Value) {
    match value {
        Value::Table(table) => table.iter_mut().for_each(|(name, value)| hide(name, value)),
        Value::Array(list) => list.iter_mut().for_each(|value| hide(name, value)),
        value if is_secret(name) => *value = Value::String(SEALED.to_owned()),
        _ => {}
    }
}

/// The line and what is wrong. A reader's message may hold the value that it met, in quotes: it is cut out.
fn wrong_text(text: &str, error: &toml::de::Error) -> DocumentError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let message = error.message();
    let message = match (message.find('"'), message.rfind('"')) {
        (Some(from), Some(to)) if from < to => {
            let (head, tail) = (message.get(..from), message.get(to + 1..));
            format!("{}…{}", head.unwrap_or_default(), tail.unwrap_or_default())
        }
        _ => message.to_owned(),
    };
    let message = match nearest(&message) {
        Some(known) => format!("{message}; did you mean `{known}`?"),
        None => message,
    };
    DocumentError::Text { line: 1 + before.matches('\n').count(), message }
}

/// Of a message about an unknown word, the known one that is nearest.
fn nearest(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown").then(|| quoted.next()).flatten()?;
    let near = quoted.map(|known| (strsim::damerau_levenshtein(unknown, known), known)).min()?;
    (near.0 <= 3 && near.0 < unknown.len()).then(|| near.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    const WEBHOOK: &str = "[[webhooks]]\nname = \"orders\"\nscheme = \"github\"\npaths = [\"/h\"]\n\
                           secrets = [\"a-secret-of-twenty-some-characters\"]\n";

    /// The key that does not hold, or nothing.
    #[track_caller]
    fn check(text: &str, expect: &str) {
        let tenant: TenantId = "acme".parse().unwrap();
        let taken = IdentityConfig::parse(text).and_then(|config| Ok(config.of_tenant(&tenant)?));
        let taken = taken.and_then(|config| Ok(Identity::new(config, &|_| Err("no files".into()))?));
        let said = match taken {
            Ok(_) => String::new(),
            Err(DocumentError::Key(error)) => error.key,
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expect, "{text}");
    }

    #[test]
    fn a_tenant_speaks_for_itself_alone() {
        check("", "");
        check(WEBHOOK, "");
        check(&format!("{WEBHOOK}tenant = \"acme\""), "");
        check(&format!("{WEBHOOK}tenant = \"other\""), "webhooks[0].tenant");
        check("[tokens]\naccept = true", "");
        check("[tokens]\naccept = false", "tokens");
        check("[[certificates]]\nname = \"mesh\"\ndns = [\"a.example\"]", "certificates[0].ca");
        check("[[certificates]]\nname = \"mesh\"\ndns = [\"a.example\"]\nca = \"x\"\ncrl = \"y\"", "");
        check(&WEBHOOK.replace("secrets = [", "secret_files = ["), "webhooks[0].secret_files[0]");
    }

    #[test]
    fn what_is_wrong_is_told_without_what_stands_there() {
        check(
            "a = 1",
            "line 1: unknown field `a`, expected one of `tokens`, `issuers`, `dpop`, `certificates`, \
                         `webhooks`, `signatures`, `login`, `control`, `query_refused`, `replays_per_tenant`",
        );
        let said = |text: &str| IdentityConfig::parse(text).err().unwrap().to_string();
        assert!(said("[logn]\n").ends_with("did you mean `login`?"), "{}", said("[logn]\n"));
        assert!(said("[login]\nclient-id = \"x\"\n").ends_with("did you mean `client_id`?"));
        assert!(said("[login]\nflows = [\"devise\"]\n").ends_with("did you mean `device`?"));
        let error = IdentityConfig::parse("[[webhooks]]\nwindow_s = \"s3cret\"").err().unwrap();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(error.to_string().starts_with("line 2"), "{error}");
    }

    #[test]
    fn what_is_shown_has_no_secret_and_is_not_taken_back() {
        let text = format!(
            "{WEBHOOK}[[signatures]]\nname = \"p\"\nkeyid = \"k\"\nalgorithm = \"hmac-sha256\"\n\
             secret = \"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=\"\n[dpop]\nnonce_secret = \"c2VjcmV0\"\n"
        );
        let shown = IdentityConfig::shown(&text).unwrap();
        assert!(
            !shown.contains("secret-of") && !shown.contains("c2Vj") && shown.contains("orders"),
            "{shown}"
        );
        assert_eq!(shown.matches(SEALED).count(), 3);
        check(&shown, "dpop.nonce_secret");
    }
}
