//! Clients' certificates (RFC 5280, RFC 6960 is not spoken): a server configuration for each tenant that trusts
//! somebody, made of what it trusts now. A client is asked for a certificate and need not have one. It never says
//! whose certificate it is: `identity` does.

use std::{collections::HashMap, fmt, io, sync::Arc};

use identity::Trusted;
use model::TenantId;
use parking_lot::Mutex;
use platform::{Platform, Trust};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};
use shield::ClientCertificate;

use super::{Tls, tickets::Sessions};

/// What asks the clients of each tenant for their certificates.
pub(crate) struct Clients {
    platform: Arc<Platform>,
    /// What speaks to everyone else.
    plain: Tls,
    made: Mutex<HashMap<TenantId, Arc<Made>>>,
}

/// What was made of one tenant's trust.
pub(crate) struct Made {
    pub(crate) trust: Arc<Trust>,
    pub(crate) config: Arc<ServerConfig>,
    verifiers: Arc<Verifiers>,
    /// How often the node had shown other certificates before.
    changes: u64,
}

/// One verifier for each entry. A certificate passes where one of them takes it.
struct Verifiers {
    entries: Vec<(Arc<str>, Arc<dyn ClientCertVerifier>)>,
    hints: Vec<DistinguishedName>,
}

/// Whether certificates and lists of revoked ones hold, as far as can be said before any client comes.
pub(crate) fn check(bundles: &[Trusted]) -> Result<(), String> {
    if bundles.is_empty() {
        return Ok(());
    }
    Verifiers::new(bundles, &Arc::new(aws_lc_rs::default_provider())).map(drop)
}

impl Clients {
    pub(crate) fn new(platform: Arc<Platform>, plain: Tls) -> Self {
        Self { platform, plain, made: Mutex::default() }
    }

    /// Whether anyone is to be asked for a certificate at all.
    pub(crate) fn are_asked(&self) -> bool {
        self.platform.trusts_anyone()
    }

    /// What speaks to a client that asks for this name (SNI), where its tenant trusts somebody.
    pub(crate) fn of(&self, name: Option<&str>) -> Option<Arc<Made>> {
        let trust = self.platform.trust_of(name.unwrap_or_default())?;
        let known = self.made.lock().get(trust.tenant()).cloned();
        let changes = self.plain.certificates.changes();
        if let Some(made) = known.filter(|made| Arc::ptr_eq(&made.trust, &trust) && made.changes == changes) {
            return Some(made);
        }
        match self.make(Arc::clone(&trust), changes) {
            Ok(made) => {
                let made = Arc::new(made);
                self.made.lock().insert(trust.tenant().clone(), Arc::clone(&made));
                Some(made)
            }
            Err(error) => {
                // It held when it was set. Without it, nobody's certificate proves anything.
                tracing::error!(tenant = %trust.tenant(), error, "what a tenant trusts cannot be used");
                None
            }
        }
    }

    /// The same certificates as everyone sees, in TLS 1.3 alone (where a client's certificate is encrypted), with a
    /// memory of sessions of its own and no tickets that hold one: no session outlives the trust that it began with,
    /// or the certificate that the node showed.
    fn make(&self, trust: Arc<Trust>, changes: u64) -> Result<Made, String> {
        let plain = &self.plain.config;
        let provider = Arc::clone(plain.crypto_provider());
        let verifiers = Arc::new(Verifiers::new(trust.bundles(), &provider)?);
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
        let builder = builder.map_err(|error| error.to_string())?;
        let builder =
            builder.with_client_cert_verifier(Arc::clone(&verifiers) as Arc<dyn ClientCertVerifier>);
        let mut config = builder.with_cert_resolver(Arc::clone(&plain.cert_resolver));
        config.alpn_protocols.clone_from(&plain.alpn_protocols);
        config.send_tls13_tickets = plain.send_tls13_tickets;
        config.session_storage = Arc::new(Sessions::new());
        Ok(Made { trust, config: Arc::new(config), verifiers, changes })
    }
}

impl Made {
    /// The certificate that a handshake proved, and whose authorities vouch for it.
    pub(crate) fn proved(&self, chain: Option<&[CertificateDer<'_>]>) -> Option<Arc<ClientCertificate>> {
        let (own, above) = chain?.split_first()?;
        let vouched = self.verifiers.vouch(own, above, UnixTime::now());
        let (tenant, over) = (self.trust.tenant().clone(), Arc::clone(self.trust.over()));
        Some(Arc::new(ClientCertificate::new(own.to_vec(), tenant, vouched, over)))
    }
}

impl Verifiers {
    fn new(bundles: &[Trusted], provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let (mut entries, mut hints) = (Vec::new(), Vec::new());
        for bundle in bundles {
            let verifier = verifier(bundle, provider).map_err(|why| format!("`{}`: {why}", bundle.entry))?;
            hints.extend_from_slice(verifier.root_hint_subjects());
            entries.push((Arc::clone(&bundle.entry), verifier));
        }
        if entries.is_empty() { Err("there is no entry".into()) } else { Ok(Self { entries, hints }) }
    }

    /// The entries whose authorities vouch for a certificate.
    fn vouch(&self, own: &CertificateDer<'_>, above: &[CertificateDer<'_>], now: UnixTime) -> Vec<Arc<str>> {
        let holds =
            |verifier: &Arc<dyn ClientCertVerifier>| verifier.verify_client_cert(own, above, now).is_ok();
        self.entries.iter().filter(|(_, one)| holds(one)).map(|(name, _)| Arc::clone(name)).collect()
    }

    fn first(&self) -> Result<&Arc<dyn ClientCertVerifier>, rustls::Error> {
        let first = self.entries.first().map(|(_, verifier)| verifier);
        first.ok_or_else(|| rustls::Error::General("there is no entry".into()))
    }
}

/// With a list of revoked ones, all of a chain must be covered by a list that has not ended.
fn verifier(bundle: &Trusted, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.ca.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("`ca` cannot be read: {error}"))?;
        roots.add(certificate).map_err(|error| format!("`ca` holds what is no authority: {error}"))?;
    }
    if roots.is_empty() {
        return Err("`ca` holds no certificate".into());
    }
    let lists = bundle.crl.as_deref().unwrap_or_default();
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(lists.as_bytes()).collect();
    let lists = lists.map_err(|error| format!("`crl` cannot be read: {error}"))?;
    if bundle.crl.is_some() && lists.is_empty() {
        return Err("`crl` holds no list".into());
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = builder.with_crls(lists).enforce_revocation_expiration().allow_unauthenticated();
    builder.build().map_err(|error| format!("`ca` and `crl`: {error}"))
}

impl fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifiers").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Verifiers {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let mut nearest: Option<rustls::Error> = None;
        for (_, verifier) in &self.entries {
            match verifier.verify_client_cert(own, above, now) {
                Ok(verified) => return Ok(verified),
                Err(error) if nearest.as_ref().is_none_or(|other| telling(&error) > telling(other)) => {
                    nearest = Some(error);
                }
                Err(_) => {}
            }
        }
        Err(nearest.unwrap_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.first()?.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.first()?.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first().map(|first| first.supported_verify_schemes()).unwrap_or_default()
    }
}

/// The code of a refused certificate, by what is told of it.
fn code_of(error: &CertificateError) -> &'static str {
    use CertificateError as Error;
    match error {
        Error::Revoked => "client-certificate-revoked",
        Error::Expired | Error::ExpiredContext { .. } => "client-certificate-expired",
        Error::NotValidYet | Error::NotValidYetContext { .. } => "client-certificate-not-yet",
        Error::UnknownRevocationStatus
        | Error::ExpiredRevocationList
        | Error::ExpiredRevocationListContext { .. } => "client-certificate-revocation-unknown",
        Error::UnknownIssuer => "client-certificate-unknown-authority",
        _ => "client-certificate-invalid",
    }
}

/// How much an error says: what one authority knows of a certificate counts for more than that another does not
/// know it.
fn telling(error: &rustls::Error) -> u8 {
    let rustls::Error::InvalidCertificate(error) = error else { return 0 };
    match code_of(error) {
        "client-certificate-revoked" => 4,
        "client-certificate-expired" | "client-certificate-not-yet" => 3,
        "client-certificate-unknown-authority" => 1,
        _ => 2,
    }
}

/// The code of a handshake that failed. Only a client's certificate can be invalid to a server.
pub(crate) fn handshake_code(error: &io::Error) -> &'static str {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(error)) => code_of(error),
        Some(rustls::Error::NoApplicationProtocol) => "no-application-protocol",
        _ => "handshake-failed",
    }
}
