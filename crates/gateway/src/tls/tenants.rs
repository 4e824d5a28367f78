//! Certificates for tenants' host names (`TENANT.<domain>`), made when they are first asked for: clients take
//! no wildcard right below a name without a dot, such as `*.localhost`. It never makes one for another name.

use std::{collections::HashMap, fmt, sync::Arc};

use model::TenantId;
use parking_lot::Mutex;
use rcgen::{Issuer, KeyPair};
use rustls::{
    crypto::CryptoProvider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    sign::CertifiedKey,
};

use super::{NodeCertificates, TlsError, authority, certificates::names, leaf};

/// Certificates that are remembered. When there are more, they are made anew: names are the client's to choose.
const NAMES_MAX: usize = 1_024;

/// The node's certificate, and one for each tenant's name.
pub(super) struct Tenants {
    own: Arc<CertifiedKey>,
    issuer: Issuer<'static, KeyPair>,
    provider: Arc<CryptoProvider>,
    /// The domain with a dot before it.
    below: String,
    expires_unix_s: i64,
    made: Mutex<HashMap<TenantId, Arc<CertifiedKey>>>,
}

impl Tenants {
    /// # Errors
    /// [`TlsError`] if the texts hold no certificate and keys.
    pub(super) fn new(
        certificates: &NodeCertificates,
        domain: &str,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let (chain, key) = super::read(&certificates.certificate, &certificates.key)?;
        let own = Arc::new(CertifiedKey::from_der(chain, key, &provider)?);
        let (params, expires_unix_s) = authority(&certificates.names, certificates.made_unix_s)?;
        let issuer = Issuer::new(params, KeyPair::from_pem(&certificates.ca_key)?);
        let below = format!(".{domain}");
        Ok(Self { own, issuer, provider, below, expires_unix_s, made: Mutex::default() })
    }

    /// The certificate of the node's own names.
    pub(super) fn node(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.own)
    }

    /// The certificate for a name of the node's, or of a tenant's.
    pub(super) fn of_name(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let server = ServerName::try_from(name).ok()?;
        if names(&self.own, &server) {
            return Some(self.node());
        }
        let tenant = name.strip_suffix(self.below.as_str())?.parse().ok()?;
        self.of(tenant)
            .inspect_err(|error| tracing::error!(%error, "a tenant's certificate could not be made"))
            .ok()
    }

    fn of(&self, tenant: TenantId) -> Result<Arc<CertifiedKey>, TlsError> {
        if let Some(made) = self.made.lock().get(&tenant) {
            return Ok(made.clone());
        }
        let name = format!("{tenant}{}", self.below);
        let (certificate, key) = leaf(&[name], self.expires_unix_s, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![certificate.der().clone()];
        let made = Arc::new(CertifiedKey::from_der(chain, key, &self.provider)?);
        let mut all = self.made.lock();
        if all.len() >= NAMES_MAX {
            all.clear();
        }
        all.insert(tenant, made.clone());
        Ok(made)
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").field("below", &self.below).finish_non_exhaustive()
    }
}
