//! Who vouches for a destination's name. It never takes a certificate unverified.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Why a client could not be set up. The operator's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A root certificate cannot be read.
    #[error("a root certificate cannot be used: {0}")]
    Root(String),
    /// The client's own certificate or key cannot be read.
    #[error("the client's certificate or its key cannot be used: {0}")]
    Identity(String),
    /// The destination is none.
    #[error("no destination: {0}")]
    Destination(String),
    /// The cryptographic provider refuses.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Builds the client's side of TLS (1.2 and 1.3, X25519MLKEM768 first). `public` adds the web's roots.
pub(crate) fn client_config(public: bool, roots: &[Vec<u8>]) -> Result<Arc<ClientConfig>, SetupError> {
    let mut config = configured(public, roots, None)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The client's side of TLS for what is not HTTP. With a certificate and its key (PEM), the client proves itself too.
pub(crate) fn stream_config(
    roots: &[Vec<u8>],
    identity: Option<(&[u8], &[u8])>,
) -> Result<Arc<ClientConfig>, SetupError> {
    Ok(Arc::new(configured(roots.is_empty(), roots, identity)?))
}

fn configured(
    public: bool,
    roots: &[Vec<u8>],
    identity: Option<(&[u8], &[u8])>,
) -> Result<ClientConfig, SetupError> {
    let mut store = RootCertStore::empty();
    if public {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for bytes in roots {
        add(&mut store, bytes)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| SetupError::Tls(e.to_string()))?;
    let builder = builder.with_root_certificates(store);
    let Some((certificate, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let wrong = |e: &dyn std::fmt::Display| SetupError::Identity(e.to_string());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| wrong(&e))?;
    builder.with_client_auth_cert(chain.map_err(|e| wrong(&e))?, key).map_err(|e| wrong(&e))
}

/// Adds one certificate of DER, or all those of PEM; at least one.
fn add(store: &mut RootCertStore, bytes: &[u8]) -> Result<(), SetupError> {
    let wrong = |e: &dyn std::fmt::Display| SetupError::Root(e.to_string());
    if !bytes.starts_with(b"-----") && bytes.first() == Some(&0x30) {
        return store.add(CertificateDer::from(bytes.to_vec())).map_err(|e| wrong(&e));
    }
    let mut added = 0;
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        store.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
        added += 1;
    }
    if added == 0 { Err(SetupError::Root("no certificate in it".to_owned())) } else { Ok(()) }
}
