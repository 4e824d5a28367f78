//! TLS for servers: the node's own certificates, and the configuration that uses them. It never stores a key.

mod certificates;
mod challenges;
pub(crate) mod clients;
pub(crate) mod hello;
mod tenants;
mod tickets;

use std::{net::IpAddr, sync::Arc};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ConfigBuilder, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ProducesTickets, WantsServerCert},
    version::{TLS12, TLS13},
};
use serde::{Deserialize, Serialize};

pub use certificates::{Certificates, Pair, Tls};
pub use challenges::{Challenge, Challenges};
use tickets::Tickets;

/// Days that a node's own certificates last.
const DAYS: i64 = 397;
/// Session tickets handed out with a handshake.
const TICKETS: usize = 2;

/// Certificates that a node makes for itself: an authority that can vouch for the node's names and nothing else
/// (RFC 5280 §4.2.1.10), and one certificate signed by it. Keep all of it sealed but `ca`.
#[derive(Serialize, Deserialize)]
pub struct NodeCertificates {
    /// The authority's certificate (PEM), for clients to trust.
    pub ca: String,
    /// The authority's private key (PEM, PKCS #8), for the names of tenants to come.
    pub ca_key: String,
    /// The node's certificate (PEM).
    pub certificate: String,
    /// The node's private key (PEM, PKCS #8).
    pub key: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub made_unix_s: i64,
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
        let (ca, expires) = authority(names, now_unix_s)?;
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);
        let (certificate, key) = leaf(names, expires, &issuer)?;
        Ok(Self {
            ca: ca_certificate.pem(),
            ca_key: issuer.key().serialize_pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            names: names.to_vec(),
            made_unix_s: now_unix_s,
            expires_unix_s: expires,
        })
    }

    /// Whether it is for these names and lasts another 30 days.
    pub fn serves(&self, names: &[String], now_unix_s: i64) -> bool {
        self.names == names && self.expires_unix_s - now_unix_s > 30 * 86_400
    }
}

/// The authority's certificate before it is signed, and when it ends. The same names and time give the same.
fn authority(names: &[String], now_unix_s: i64) -> Result<(CertificateParams, i64), TlsError> {
    let mut ca = CertificateParams::new(Vec::<String>::new())?;
    ca.distinguished_name = named("Casemate node authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    if let Some(name) = names.iter().find(|name| !name.is_ascii()) {
        return Err(TlsError::Read(format!("`{name}` is no host name")));
    }
    let permitted = names.iter().map(|name| match name.parse::<IpAddr>() {
        Ok(address) => {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, bits))
        }
        Err(_) => GeneralSubtree::DnsName(name.strip_prefix("*.").unwrap_or(name).to_owned()),
    });
    let permitted_subtrees = permitted.collect();
    ca.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    let expires = now_unix_s + DAYS * 86_400;
    lasts(&mut ca, expires)?;
    Ok((ca, expires))
}

/// A server's certificate and its fresh key.
fn leaf(
    names: &[String],
    expires_unix_s: i64,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(Certificate, KeyPair), TlsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut leaf = CertificateParams::new(names.to_vec())?;
    leaf.distinguished_name = named("Casemate node");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    lasts(&mut leaf, expires_unix_s)?;
    let certificate = leaf.signed_by(&key, issuer)?;
    Ok((certificate, key))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From a day before it was made (clocks differ) until it ends.
fn lasts(params: &mut CertificateParams, expires_unix_s: i64) -> Result<(), TlsError> {
    let at = |seconds: i64| -> Result<(i32, u8, u8), TlsError> {
        let time = jiff::Timestamp::from_second(seconds).map_err(|_| TlsError::Time)?;
        let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
        let part = |n: i8| u8::try_from(n).map_err(|_| TlsError::Time);
        Ok((i32::from(date.year()), part(date.month())?, part(date.day())?))
    };
    let (year, month, day) = at(expires_unix_s - (DAYS + 1) * 86_400)?;
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = at(expires_unix_s)?;
    params.not_after = rcgen::date_time_ymd(year, month, day);
    Ok(())
}

fn read(
    certificates: &str,
    key: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
    let chain = chain.map_err(|e| TlsError::Read(e.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::Read("there is no certificate".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| TlsError::Read(e.to_string()))?;
    Ok((chain, key))
}

fn builder(
    tls12: bool,
    provider: Arc<CryptoProvider>,
) -> Result<ConfigBuilder<ServerConfig, WantsServerCert>, TlsError> {
    let versions = if tls12 { &[&TLS13, &TLS12][..] } else { &[&TLS13][..] };
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    Ok(builder.with_no_client_auth())
}

fn finish(mut config: ServerConfig, tickets: &Arc<Tickets>) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = TICKETS;
    config.ticketer = Arc::clone(tickets) as Arc<dyn ProducesTickets>;
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use rustls::{
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::aws_lc_rs,
        pki_types::{ServerName, UnixTime},
    };

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn names() -> Vec<String> {
        ["localhost", "*.localhost", "127.0.0.1", "::1"].map(String::from).to_vec()
    }

    #[test]
    fn what_is_made_serves() {
        let made = NodeCertificates::generate(&names(), NOW).unwrap();
        let tls = Certificates::own(&made, "localhost").unwrap().tls(false).unwrap();
        assert_eq!(tls.config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        let first = tls.config.crypto_provider().kx_groups[0].name();
        assert_eq!(first, rustls::NamedGroup::X25519MLKEM768);
        assert_eq!(tls.config.max_early_data_size, 0, "what comes early can be sent twice");
        assert!(made.serves(&names(), NOW));
        assert!(!made.serves(&names(), NOW + 370 * 86_400), "too old");
        assert!(!made.serves(&["other".into()], NOW), "for other names");
    }

    /// Whoever has the authority's key still cannot speak for names that are not the node's.
    #[test]
    fn the_authority_vouches_for_nothing_else() {
        let made = NodeCertificates::generate(&names(), NOW).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(made.ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let (params, expires) = authority(&made.names, made.made_unix_s).unwrap();
        let issuer = Issuer::new(params, KeyPair::from_pem(&made.ca_key).unwrap());
        let check = |name: &str, expect: bool| {
            let (certificate, _) = leaf(&[name.to_owned()], expires, &issuer).unwrap();
            let server = ServerName::try_from(name).unwrap();
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW as u64));
            let found = verifier.verify_server_cert(certificate.der(), &[], &server, &[], now);
            assert_eq!(found.is_ok(), expect, "{name}: {found:?}");
        };
        for own in ["localhost", "acme.localhost", "127.0.0.1", "::1"] {
            check(own, true);
        }
        for other in ["example.com", "localhost.example.com", "127.0.0.2", "10.0.0.1", "::2"] {
            check(other, false);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (one, two) = (
            NodeCertificates::generate(&names(), NOW).unwrap(),
            NodeCertificates::generate(&names(), NOW).unwrap(),
        );
        let wrong = |chain: &str, key: &str| Pair::read(chain, key).is_err();
        assert!(wrong(&one.certificate, &two.key), "another's key");
        assert!(wrong("", &one.key) && wrong(&one.certificate, ""));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(wrong(broken, &one.key));
        assert!(wrong(&format!("{broken}{}", one.certificate), &one.key), "the node's own is first");
        let pair = Pair::read(&one.certificate, &one.key).unwrap();
        let (begins, ends) = pair.lasts_unix_s();
        assert_eq!(
            ends.div_ceil(86_400),
            one.expires_unix_s as u64 / 86_400,
            "a certificate ends with a day"
        );
        assert!(begins < NOW as u64 && begins > NOW as u64 - 3 * 86_400, "{begins}");
        assert!(pair.is_for("localhost") && pair.is_for("127.0.0.1") && pair.is_for("::1"));
        assert!(!pair.is_for("acme.localhost"), "no wildcard right below a name without a dot");
        assert!(!pair.is_for("a.b.localhost") && !pair.is_for("127.0.0.2") && !pair.is_for("no name"));
        assert!(NodeCertificates::generate(&["bad name\u{0}é".into()], NOW).is_err());
        let own = |made: &NodeCertificates| Certificates::own(made, "localhost");
        assert!(own(&one).is_ok());
        let mixed = NodeCertificates { key: two.key, ..one };
        assert!(own(&mixed).is_err(), "another's key");
        let mut broken = NodeCertificates::generate(&names(), NOW).unwrap();
        broken.ca_key.clear();
        assert!(own(&broken).is_err(), "no authority");
    }
}
