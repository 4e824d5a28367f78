//! The node's certificates: the operator's own, or those that the node makes and keeps sealed in its store. It
//! never writes a private key in the clear.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gateway::tls::{NodeCertificates, server_config};
use rustls::{
    CertificateError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use store::{Batch, Space, SystemStore};
use zeroize::Zeroizing;

use crate::{
    clock,
    config::Config,
    exit::{Exit, Failure},
    node::unstarted,
    session::read_private,
};

/// System: the node's own certificates, under [`CURRENT`].
const CERTIFICATES: Space = Space::new("certificates");
const CURRENT: &[u8] = b"current";

/// What the listeners use, and what clients are to trust.
pub(crate) struct Certificates {
    /// Of both listeners.
    pub(crate) server: Arc<rustls::ServerConfig>,
    /// The certificate (PEM) that signs the node's.
    pub(crate) ca: String,
    /// Where it lies.
    pub(crate) ca_file: PathBuf,
}

/// Reads the operator's certificate and key; or the node's own, made anew where they are for other names or
/// end within a month.
///
/// # Errors
/// If a file or a row cannot be read, or certificate and key do not fit together.
pub(crate) async fn certificates(config: &Config, store: &SystemStore) -> Result<Certificates, Failure> {
    let tls12 = config.dangerous.tls12;
    if let Some((certificate, key)) = &config.certificate {
        let chain =
            fs::read_to_string(certificate).map_err(|e| unstarted(Failure::file("read", certificate, &e)))?;
        let key = read_private(key).map_err(unstarted)?;
        let server = server_config(&chain, &key, tls12).map_err(|e| {
            let next = "`tls.key` must be the private key (PEM, PKCS#8) of the first certificate in `tls.certificate`";
            wrong(&e).next(next)
        })?;
        in_time(&chain, clock::now().unix_ms() / 1000)
            .map_err(|why| wrong(&why).next(format!("renew `{}`", certificate.display())))?;
        return Ok(Certificates { server, ca: chain, ca_file: certificate.clone() });
    }
    let now = i64::try_from(clock::now().unix_ms() / 1000).unwrap_or(i64::MAX);
    let kept = store.get(CERTIFICATES, CURRENT).await.map_err(|e| wrong(&e))?;
    let kept = kept.and_then(|entry| serde_json::from_slice::<NodeCertificates>(&entry.value).ok());
    let own = match kept {
        Some(kept) if kept.serves(&config.tls_names, now) => kept,
        Some(_) => {
            tracing::warn!("the node's certificates are made anew: clients need the new `ca.pem`");
            make(config, store, now).await?
        }
        None => make(config, store, now).await?,
    };
    let server = own.server_config(&config.domain, tls12).map_err(|e| wrong(&e));
    let _wiped = (Zeroizing::new(own.key), Zeroizing::new(own.ca_key));
    let ca_file = config.data.join("ca.pem");
    publish(&ca_file, &own.ca)?;
    Ok(Certificates { server: server?, ca: own.ca, ca_file })
}

/// Whether the first certificate of a chain holds at a time, in seconds since 1970. Of the checks that a client makes
/// that of the time comes first, so that what it says of anything else is of no interest here.
fn in_time(chain: &str, now_unix_s: u64) -> Result<(), String> {
    let unread = |e: &dyn std::fmt::Display| format!("the certificate cannot be read: {e}");
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|e| unread(&e))?;
    let mut roots = RootCertStore::empty();
    roots.add(leaf.clone()).map_err(|e| unread(&e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|e| unread(&e))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now_unix_s));
    let name = ServerName::try_from("localhost").map_err(|e| unread(&e))?;
    let day = |time: UnixTime| model::Timestamp::from_unix_ms(time.as_secs().saturating_mul(1000));
    match verifier.verify_server_cert(&leaf, &[], &name, &[], now) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Err(format!("the certificate ended at {}", day(not_after)))
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before, ..
        })) => Err(format!("the certificate begins at {}", day(not_before))),
        Err(rustls::Error::InvalidCertificate(
            e @ (CertificateError::Expired | CertificateError::NotValidYet),
        )) => Err(e.to_string()),
        _ => Ok(()),
    }
}

async fn make(config: &Config, store: &SystemStore, now: i64) -> Result<NodeCertificates, Failure> {
    let made = NodeCertificates::generate(&config.tls_names, now).map_err(|e| wrong(&e))?;
    let row = serde_json::to_vec(&made).map_err(|e| wrong(&e))?;
    let batch = Batch::new().put(CERTIFICATES, CURRENT, row);
    store.commit(batch).await.map_err(|e| wrong(&e))?;
    tracing::info!(names = %made.names.join(", "), "made the node's certificates");
    Ok(made)
}

/// The authority's certificate is no secret; only the change of it is worth a write.
fn publish(path: &Path, ca: &str) -> Result<(), Failure> {
    if fs::read_to_string(path).is_ok_and(|there| there == ca) {
        return Ok(());
    }
    fs::write(path, ca).map_err(|e| Failure::file("write", path, &e))
}

fn wrong(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::NotStarted, format!("the node's certificates: {why}"))
}
