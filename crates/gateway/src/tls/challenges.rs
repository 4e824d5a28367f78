//! What a certificate authority is shown to prove that names are the node's (RFC 8555 §8.3, RFC 8737): while an order is
//! under way, and not after. It never answers for a name or a token that no order has.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use super::TlsError;

/// The protocol that alone is spoken to an authority that looks (RFC 8737 §4).
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";
/// Where an authority asks over HTTP (RFC 8555 §8.3).
const PATH: &str = "/.well-known/acme-challenge/";

/// Answers to an authority's questions.
#[derive(Default)]
pub struct Challenges {
    names: RwLock<HashMap<Box<str>, Arc<ServerConfig>>>,
    tokens: RwLock<HashMap<Box<str>, Arc<str>>>,
}

/// One answer, until it is dropped.
pub struct Challenge {
    all: Arc<Challenges>,
    key: Box<str>,
    is_name: bool,
}

impl Challenges {
    /// Answers a handshake for `name` and [`ACME_TLS`] with a certificate that has this digest of the key
    /// authorization (RFC 8737 §3).
    ///
    /// # Errors
    /// [`TlsError`] if no certificate can be made for the name.
    pub fn show_certificate(self: &Arc<Self>, name: &str, digest: [u8; 32]) -> Result<Challenge, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
        let certificate = params.self_signed(&key)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        //= RFC 8737 §5: validation servers speak TLS 1.2 or later
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])?;
        // Nobody but an authority knows the critical extension: here it is not looked at.
        let shown =
            CertifiedKey::new(vec![certificate.der().clone()], provider.key_provider.load_private_key(key)?);
        let builder = builder.with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        config.alpn_protocols = vec![ACME_TLS.to_vec()];
        config.send_tls13_tickets = 0;
        let name: Box<str> = name.to_ascii_lowercase().into();
        self.names.write().insert(name.clone(), Arc::new(config));
        Ok(Challenge { all: Arc::clone(self), key: name, is_name: true })
    }

    /// Answers a request for `token` with this key authorization.
    pub fn show_text(self: &Arc<Self>, token: &str, authorization: &str) -> Challenge {
        self.tokens.write().insert(token.into(), authorization.into());
        Challenge { all: Arc::clone(self), key: token.into(), is_name: false }
    }

    /// What speaks to an authority that asks for this name.
    pub(crate) fn of_name(&self, name: &str) -> Option<Arc<ServerConfig>> {
        self.names.read().get(name).cloned()
    }

    /// What is told to an authority that asks for this path.
    pub(crate) fn of_path(&self, path: &str) -> Option<Arc<str>> {
        self.tokens.read().get(path.strip_prefix(PATH)?).cloned()
    }
}

impl Drop for Challenge {
    fn drop(&mut self) {
        if self.is_name {
            self.all.names.write().remove(&self.key);
        } else {
            self.all.tokens.write().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_lasts_as_long_as_its_order() {
        let all = Arc::new(Challenges::default());
        let text = all.show_text("token", "token.thumbprint");
        let certificate = all.show_certificate("A.example.com", [7; 32]).unwrap();
        assert_eq!(all.of_path("/.well-known/acme-challenge/token").as_deref(), Some("token.thumbprint"));
        assert_eq!(all.of_name("a.example.com").unwrap().alpn_protocols, [ACME_TLS]);
        for path in
            ["", "/", "/token", "token", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/tokens"]
        {
            assert_eq!(all.of_path(path), None, "{path}");
        }
        assert!(all.of_name("b.example.com").is_none() && all.of_name("").is_none());
        drop((text, certificate));
        assert_eq!(all.of_path("/.well-known/acme-challenge/token"), None);
        assert!(all.of_name("a.example.com").is_none());
        assert!(all.show_certificate("no name\u{0}é", [7; 32]).is_err());
    }
}
