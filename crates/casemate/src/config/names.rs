//! What a node calls itself: to callers, and as the root of its functions' identities. It never looks a name up.

use super::{Wrong, tls::is_host};

/// The domain below which tenants answer, and the trust domain, which is the same where none is typed.
pub(super) fn prove(domain: Option<String>, trust: Option<String>) -> Result<(String, String), Wrong> {
    let domain = domain.unwrap_or_else(|| "localhost".to_owned());
    if !is_host(&domain) {
        return Err(Wrong::new("domain", format!("`{domain}` is no host name")));
    }
    if model::function_host(&domain).is_some() {
        let message = format!("`{domain}` is where functions call each other");
        return Err(Wrong::new("domain", message).suggest("take a name that callers can look up"));
    }
    let trust = trust.unwrap_or_else(|| domain.clone());
    if let Err(error) = identity::Functions::new(&trust) {
        return Err(Wrong::new("trust_domain", error));
    }
    Ok((domain, trust))
}
