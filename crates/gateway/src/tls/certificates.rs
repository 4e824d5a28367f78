//! The certificates that a node shows, each for the names that stand in it. They may change while it serves: handshakes
//! that follow have the new ones. It never shows one for a name that it does not have.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use rustls::{
    CertificateError, RootCertStore, ServerConfig,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier, verify_server_name},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    NodeCertificates, TlsError, builder, challenges::Challenges, finish, read, tenants::Tenants,
    tickets::Tickets,
};

/// TLS of both planes: the protocol's settings, which stay, and the certificates, which change.
#[derive(Clone)]
pub struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) certificates: Arc<Certificates>,
}

/// The certificates that a node shows.
pub struct Certificates {
    provider: Arc<CryptoProvider>,
    /// What the node's own authority vouches for.
    own: Option<Tenants>,
    /// What the operator brought, or an authority issued. It goes first.
    brought: RwLock<Option<Arc<Pair>>>,
    /// The addresses that the node is known by.
    addresses: Vec<IpAddr>,
    challenges: Arc<Challenges>,
    tickets: Arc<Tickets>,
    changes: AtomicU64,
}

/// A chain of certificates with the key of the first, proved to belong together.
pub struct Pair {
    shown: Arc<CertifiedKey>,
    /// When it begins, in seconds since 1970.
    begins_unix_s: u64,
    /// When it ends, in seconds since 1970.
    ends_unix_s: u64,
}

impl Pair {
    /// Reads a chain (PEM, the node's own first) and its key (PEM, PKCS #8).
    ///
    /// # Errors
    /// [`TlsError`] if they cannot be read, or are not each other's.
    pub fn read(chain: &str, key: &str) -> Result<Self, TlsError> {
        let (chain, key) = read(chain, key)?;
        let shown = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
        let first = shown.cert.first().ok_or_else(|| TlsError::Read("there is no certificate".into()))?;
        let (begins_unix_s, ends_unix_s) = lasts(first)?;
        Ok(Self { shown: Arc::new(shown), begins_unix_s, ends_unix_s })
    }

    /// From when to when it holds, in seconds since 1970.
    pub const fn lasts_unix_s(&self) -> (u64, u64) {
        (self.begins_unix_s, self.ends_unix_s)
    }

    /// Whether a client that asks for `name` would take it, as far as the name goes.
    pub fn is_for(&self, name: &str) -> bool {
        ServerName::try_from(name).is_ok_and(|name| names(&self.shown, &name))
    }
}

/// Whether the first certificate has a name (RFC 9525 §6).
pub(super) fn names(shown: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = shown.cert.first().map(ParsedCertificate::try_from);
    matches!(parsed, Some(Ok(parsed)) if verify_server_name(&parsed, name).is_ok())
}

/// When a certificate begins and ends. The verifier looks at the time before all else, and says what it compared: asked
/// at the first second of time it has not begun, asked at the last it has ended.
fn lasts(certificate: &CertificateDer<'_>) -> Result<(u64, u64), TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|error| TlsError::Read(error.to_string()))?;
    let name = ServerName::try_from("localhost").map_err(|error| TlsError::Read(error.to_string()))?;
    let asked_at = |seconds: u64| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        verifier.verify_server_cert(certificate, &[], &name, &[], time).err()
    };
    let invalid = rustls::Error::InvalidCertificate;
    let begins = match asked_at(0) {
        Some(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before, ..
        })) => not_before.as_secs(),
        Some(error @ rustls::Error::InvalidCertificate(CertificateError::BadEncoding)) => {
            return Err(error.into());
        }
        _ => 0,
    };
    match asked_at(u64::from(u32::MAX) << 8) {
        Some(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Ok((begins, not_after.as_secs()))
        }
        other => Err(other.unwrap_or(invalid(CertificateError::BadEncoding)).into()),
    }
}

impl Certificates {
    /// Those of the node's own authority: its names, and each tenant's right below `domain`.
    ///
    /// # Errors
    /// [`TlsError`] if the texts hold no certificate and keys that belong together.
    pub fn own(made: &NodeCertificates, domain: &str) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let own = Tenants::new(made, domain, provider.clone())?;
        let addresses = made.names.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(Self::new(provider, Some(own), None, addresses))
    }

    /// Those that the operator brought, and no others. `addresses` are those that the node is known by.
    pub fn brought(pair: Pair, addresses: Vec<IpAddr>) -> Arc<Self> {
        Self::new(Arc::new(aws_lc_rs::default_provider()), None, Some(pair), addresses)
    }

    fn new(
        provider: Arc<CryptoProvider>,
        own: Option<Tenants>,
        pair: Option<Pair>,
        addresses: Vec<IpAddr>,
    ) -> Arc<Self> {
        let (brought, tickets) = (RwLock::new(pair.map(Arc::new)), Arc::new(Tickets::new()));
        let (challenges, changes) = (Arc::default(), AtomicU64::new(0));
        Arc::new(Self { provider, own, brought, addresses, challenges, tickets, changes })
    }

    /// Shows another pair from the next handshake on. Connections stay; sessions are resumed no more, so that whoever
    /// comes back sees the new certificate.
    pub fn replace(&self, pair: Pair) {
        *self.brought.write() = Some(Arc::new(pair));
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.tickets.forget();
    }

    /// What an authority is shown while an order is under way.
    pub const fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// The settings of both planes: TLS 1.3 (and 1.2 only if asked for), X25519MLKEM768 first, ALPN `h2` and
    /// `http/1.1` and nothing else.
    ///
    /// # Errors
    /// [`TlsError`] if the protocol cannot be set up.
    pub fn tls(self: &Arc<Self>, tls12: bool) -> Result<Tls, TlsError> {
        let builder = builder(tls12, Arc::clone(&self.provider))?;
        let config = builder.with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        Ok(Tls { config: finish(config, &self.tickets), certificates: Arc::clone(self) })
    }

    /// How often other certificates were shown.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether there is a certificate for a client that asks for `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.of(name).is_some()
    }

    /// Whether there is one for a client that asks for no name, since it has but an address (RFC 6066 §3), on a
    /// connection to this address of the node. Where addresses are translated on the way, it asked for another one
    /// than the node sees: for one of those that the node is known by and that are not this machine's alone.
    pub(crate) fn has_address(&self, local: IpAddr) -> bool {
        let (local, Some(shown)) = (local.to_canonical(), self.of_address()) else { return false };
        let has = |address: IpAddr| names(&shown, &ServerName::IpAddress(address.into()));
        let known = |address: &IpAddr| !address.is_loopback() && has(*address);
        has(local) || (!local.is_loopback() && self.addresses.iter().any(known))
    }

    fn of_address(&self) -> Option<Arc<CertifiedKey>> {
        match &self.own {
            Some(own) => Some(own.node()),
            None => self.brought.read().as_ref().map(|pair| Arc::clone(&pair.shown)),
        }
    }

    fn of(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let brought = self.brought.read().clone();
        if let Some(pair) = brought.filter(|pair| pair.is_for(name)) {
            return Some(Arc::clone(&pair.shown));
        }
        self.own.as_ref()?.of_name(name)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.server_name() {
            Some(name) => self.of(name),
            None => self.of_address(),
        }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("own", &self.own).finish_non_exhaustive()
    }
}
