//! TLS for servers: the node's own certificates, and the configuration that uses them. It never stores a key.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use serde::{Deserialize, Serialize};

/// Days that a node's own certificates last.
const DAYS: i64 = 397;
/// Session tickets handed out with a handshake.
const TICKETS: usize = 2;

/// Certificates that a node makes for itself: an authority of its own, whose key is thrown away at once, and
/// one certificate signed by it.
#[derive(Serialize, Deserialize)]
pub struct NodeCertificates {
    /// The authority's certificate (PEM), for clients to trust.
    pub ca: String,
    /// The node's certificate (PEM).
    pub certificate: String,
    /// The node's private key (PEM, PKCS #8). Keep it sealed.
    pub key: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub expires_unix_s: i64,
}

/// Certificates or keys are not what they must be.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// One cannot be read.
    #[error("a certificate or key cannot be read: {0}")]
    Read(String),
    /// They do not fit together, or the protocol cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// The clock or a date is out of range.
    #[error("the time is out of range")]
    Time,
}

impl NodeCertificates {
    /// Makes an authority and a certificate for `names` (host names, `*.` names and IP addresses), ECDSA on
    /// P-256, from `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`TlsError`] if a name is none.
    pub fn generate(names: &[String], now_unix_s: i64) -> Result<Self, TlsError> {
        let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut ca = CertificateParams::new(Vec::<String>::new())?;
        ca.distinguished_name = named("Casemate node authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let expires = lasts(&mut ca, now_unix_s)?;
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut leaf = CertificateParams::new(names.to_vec())?;
        leaf.distinguished_name = named("Casemate node");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        lasts(&mut leaf, now_unix_s)?;
        let certificate = leaf.signed_by(&key, &issuer)?;
        Ok(Self {
            ca: ca_certificate.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            names: names.to_vec(),
            expires_unix_s: expires,
        })
    }

    /// Whether it is for these names and lasts another 30 days.
    pub fn serves(&self, names: &[String], now_unix_s: i64) -> bool {
        self.names == names && self.expires_unix_s - now_unix_s > 30 * 86_400
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From an hour ago (clocks differ) for [`DAYS`].
fn lasts(params: &mut CertificateParams, now_unix_s: i64) -> Result<i64, TlsError> {
    let at = |seconds: i64| -> Result<(i32, u8, u8), TlsError> {
        let time = jiff::Timestamp::from_second(seconds).map_err(|_| TlsError::Time)?;
        let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
        let part = |n: i8| u8::try_from(n).map_err(|_| TlsError::Time);
        Ok((i32::from(date.year()), part(date.month())?, part(date.day())?))
    };
    let (year, month, day) = at(now_unix_s - 86_400)?;
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let expires = now_unix_s + DAYS * 86_400;
    let (year, month, day) = at(expires)?;
    params.not_after = rcgen::date_time_ymd(year, month, day);
    Ok(expires)
}

/// The configuration of both planes: TLS 1.3 (and 1.2 only if asked for), X25519MLKEM768 first, ALPN `h2` and
/// `http/1.1` and nothing else.
///
/// # Errors
/// [`TlsError`] if the texts hold no certificate and key that belong together.
pub fn server_config(certificates: &str, key: &str, tls12: bool) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
    let chain = chain.map_err(|e| TlsError::Read(e.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::Read("there is no certificate".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| TlsError::Read(e.to_string()))?;
    let versions = if tls12 { &[&TLS13, &TLS12][..] } else { &[&TLS13][..] };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = TICKETS;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn names() -> Vec<String> {
        ["localhost", "*.localhost", "127.0.0.1", "::1"].map(String::from).to_vec()
    }

    #[test]
    fn what_is_made_serves() {
        let made = NodeCertificates::generate(&names(), NOW).unwrap();
        let config = server_config(&made.certificate, &made.key, false).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        let first = config.crypto_provider().kx_groups[0].name();
        assert_eq!(first, rustls::NamedGroup::X25519MLKEM768);
        assert!(made.serves(&names(), NOW));
        assert!(!made.serves(&names(), NOW + 370 * 86_400), "too old");
        assert!(!made.serves(&["other".into()], NOW), "for other names");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (one, two) = (
            NodeCertificates::generate(&names(), NOW).unwrap(),
            NodeCertificates::generate(&names(), NOW).unwrap(),
        );
        assert!(server_config(&one.certificate, &two.key, false).is_err(), "another's key");
        assert!(server_config("", &one.key, false).is_err());
        assert!(server_config(&one.certificate, "", false).is_err());
        assert!(
            server_config("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &one.key, false)
                .is_err()
        );
        assert!(NodeCertificates::generate(&["bad name\u{0}é".into()], NOW).is_err());
    }
}
