//! The checks in their order, and the proof that a request passed them. It never identifies anyone.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderMap, request::Parts};
use model::{Limits, TenantId, limits};
use parking_lot::RwLock;

use crate::{
    Blocked, ForwardHeader, ForwardedMalformed,
    firewall::{Lists, source},
    head,
    own::{Own, OwnTable, Scope},
    rate::{Limiter, Rate},
};

/// The other end of a connection, as the transport knows it. Nothing of it comes from a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address and port.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The name that it asked for in the TLS handshake (SNI, RFC 6066 §3).
    pub server_name: Option<Arc<str>>,
    /// The certificate that it proved itself by in the TLS handshake, if it did.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// A client's certificate, of which TLS proved the chain and that the client holds its key.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    der: Vec<u8>,
    tenant: TenantId,
    vouched: Vec<Arc<str>>,
    over: Arc<AtomicBool>,
}

impl ClientCertificate {
    /// A certificate in DER that the named entries' authorities of a tenant vouch for, until `over` turns true.
    pub const fn new(der: Vec<u8>, tenant: TenantId, vouched: Vec<Arc<str>>, over: Arc<AtomicBool>) -> Self {
        Self { der, tenant, vouched, over }
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whose authorities they are.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The entries of that tenant's configuration whose authorities vouch for it.
    pub fn vouched(&self) -> &[Arc<str>] {
        &self.vouched
    }

    /// Whether the tenant trusts others by now.
    pub fn is_ended(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        (&self.der, &self.tenant, &self.vouched) == (&other.der, &other.tenant, &other.vouched)
    }
}

impl Eq for ClientCertificate {}

/// A request whose source may ask at all. Only [`Shield`] makes one.
#[derive(Debug)]
pub struct Admitted {
    peer: Peer,
}

/// A request that passed the screen. Only [`Shield`] makes one.
///
/// ```compile_fail
/// # fn forged(head: http::request::Parts, peer: shield::Peer) {
/// let screened = shield::Screened { head, body: (), peer };
/// # }
/// ```
#[derive(Debug)]
pub struct Screened<B> {
    head: Parts,
    body: B,
    peer: Peer,
    /// Whether rules have looked at it with this body.
    looked_at: bool,
}

impl<B> Screened<B> {
    /// The request without its body.
    pub const fn head(&self) -> &Parts {
        &self.head
    }

    /// The body.
    pub const fn body(&self) -> &B {
        &self.body
    }

    /// Who is at the other end.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The same with another body, at which rules have to look anew.
    pub fn with_body<C>(self, body: C) -> (Screened<C>, B) {
        (Screened { head: self.head, body, peer: self.peer, looked_at: false }, self.body)
    }

    pub(crate) const fn looked_at(head: Parts, body: B, peer: Peer) -> Self {
        Self { head, body, peer, looked_at: true }
    }

    pub(crate) const fn is_looked_at(&self) -> bool {
        self.looked_at
    }

    pub(crate) const fn set_looked_at(&mut self) {
        self.looked_at = true;
    }

    /// Takes it apart. It cannot be put together again.
    pub fn into_parts(self) -> (Parts, B, Peer) {
        (self.head, self.body, self.peer)
    }
}

/// What a [`Shield`] holds requests to. The default is the bounds of `model::limits` and no firewall.
#[derive(Debug, Clone)]
pub struct ShieldConfig {
    /// Connections a second of one source address, and how many at once.
    pub connection_rate: (u32, u32),
    /// Requests a second of one source address, and how many at once.
    pub source_rate: (u32, u32),
    /// Requests a second of one caller, and how many at once.
    pub caller_rate: (u32, u32),
    /// Refused proofs of identity a minute of one source address.
    pub failed_proofs_per_minute: u32,
    /// Sources, and callers, that are remembered.
    pub keys_max: usize,
    /// A target (path and query), in bytes.
    pub target_bytes_max: usize,
    /// Header lines.
    pub headers_max: usize,
    /// Header names and values, in bytes. A function's own bound may be lower.
    pub header_bytes_max: usize,
    /// Who may speak to the node at all, until others are put in their place.
    pub lists: Lists,
}

impl Default for ShieldConfig {
    fn default() -> Self {
        Self {
            connection_rate: limits::CONNECTION_RATE,
            source_rate: limits::SOURCE_RATE,
            caller_rate: limits::CALLER_RATE,
            failed_proofs_per_minute: limits::FAILED_PROOFS_PER_MINUTE,
            keys_max: limits::RATE_KEYS_MAX,
            target_bytes_max: limits::REQUEST_TARGET_BYTES_MAX,
            headers_max: limits::REQUEST_HEADERS_MAX,
            header_bytes_max: usize::try_from(Limits::CEILING.request_header_bytes).unwrap_or(usize::MAX),
            lists: Lists::default(),
        }
    }
}

/// A port that connections come in by. Those of one are never kept waiting by those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    /// Requests for functions.
    Data,
    /// Requests of operators and developers.
    Control,
}

/// The screen of one node. All times are milliseconds of a clock that never goes back.
#[derive(Debug)]
pub struct Shield {
    connections: Limiter<(Port, IpAddr)>,
    pushes: Limiter<IpAddr>,
    sources: Limiter<IpAddr>,
    callers: Limiter<String>,
    failed_proofs: Limiter<IpAddr>,
    failed_claims: Limiter<String>,
    logins: Limiter<IpAddr>,
    own: OwnTable,
    lists: RwLock<Arc<Lists>>,
    config: ShieldConfig,
}

impl Shield {
    /// A screen that remembers nobody yet.
    pub fn new(config: ShieldConfig) -> Self {
        let asks = limits::LOGIN_ASKS_PER_MINUTE;
        let (failed, claims) = (config.failed_proofs_per_minute, limits::FAILED_CLAIMS_PER_MINUTE);
        Self {
            connections: Limiter::new(Rate::per_second(config.connection_rate), config.keys_max),
            pushes: Limiter::new(Rate::per_second(config.connection_rate), config.keys_max),
            sources: Limiter::new(Rate::per_second(config.source_rate), config.keys_max),
            callers: Limiter::new(Rate::per_second(config.caller_rate), config.keys_max),
            failed_proofs: Limiter::new(Rate::new(failed, 60_000, failed), config.keys_max),
            failed_claims: Limiter::new(Rate::new(claims, 60_000, claims), config.keys_max),
            logins: Limiter::new(Rate::new(asks, 60_000, asks), config.keys_max),
            own: OwnTable::default(),
            lists: RwLock::new(Arc::new(config.lists.clone())),
            config,
        }
    }

    /// The lists that are in force.
    pub fn lists(&self) -> Arc<Lists> {
        self.lists.read().clone()
    }

    /// Puts other lists in force, all at once. Who is connected and is not let in by them is refused with the next
    /// request.
    pub fn replace_lists(&self, lists: Lists) {
        *self.lists.write() = Arc::new(lists);
    }

    /// Whether a peer may speak at a port at all: for the moment of accepting a connection, before any byte is read.
    ///
    /// # Errors
    /// [`Blocked::Firewall`].
    pub fn admit_peer(&self, port: Port, address: IpAddr, now_ms: u64) -> Result<(), Blocked> {
        let lists = self.lists.read();
        let at = |firewall: &crate::Firewall| firewall.permits(address, now_ms, &lists.sets);
        let is_let_in = at(&lists.node) && (port == Port::Data || at(&lists.control));
        if is_let_in { Ok(()) } else { Err(Blocked::Firewall) }
    }

    /// Where a request came from, and the header that said so, where its peer is a forwarder of requests.
    ///
    /// # Errors
    /// [`ForwardedMalformed`].
    pub fn source_of(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        now_ms: u64,
    ) -> Result<Option<(IpAddr, ForwardHeader)>, ForwardedMalformed> {
        let lists = self.lists.read();
        let found = lists.forwarders.source(peer, headers, now_ms)?;
        Ok(found.map(|source| (source, lists.forwarders.header)))
    }

    /// Something new that is counted for itself: a function, or a tenant.
    pub fn scope(&self) -> Scope {
        self.own.scope()
    }

    /// Asks a tenant and a function of it whether they take a source's request, by their lists and their rates of one
    /// source.
    ///
    /// # Errors
    /// [`Blocked::SourceDenied`], [`Blocked::OwnRate`].
    pub fn admit_source(&self, owns: [&Own; 2], address: IpAddr, now_ms: u64) -> Result<(), Blocked> {
        let lists = self.lists.read();
        self.own.admit_source(owns, address, &lists.sets, now_ms)
    }

    /// Counts a permitted request of a caller, or of one without a name, by the other rates of a tenant and a function.
    ///
    /// # Errors
    /// [`Blocked::OwnRate`].
    pub fn admit_own_caller(
        &self,
        owns: [&Own; 2],
        caller: Option<&str>,
        now_ms: u64,
    ) -> Result<(), Blocked> {
        self.own.admit_caller(owns, caller, now_ms)
    }

    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers) of an answer, which may be a refusal
    /// with a code; none where neither the tenant nor the function has a rate.
    pub fn rates_told(
        &self,
        owns: [&Own; 2],
        address: IpAddr,
        caller: Option<&str>,
        refused: Option<&'static str>,
        now_ms: u64,
    ) -> Option<(String, String)> {
        self.own.told(owns, address, caller, refused, now_ms)
    }

    /// How many sources and callers the rates of functions and tenants remember.
    #[cfg(test)]
    pub(crate) fn own_remembered(&self) -> usize {
        self.own.len()
    }

    /// Counts a connection on which a client has begun to speak, and says in how many milliseconds it is answered:
    /// whoever opens them faster than the rate waits for itself, and not at the other port. Those that say nothing
    /// cost little, and take nothing from others of their address.
    ///
    /// # Errors
    /// [`Blocked::ConnectionRate`] for one that would wait longer than `CONNECTION_WAIT_MS`.
    pub fn admit_connection(&self, port: Port, address: IpAddr, now_ms: u64) -> Result<u64, Blocked> {
        let booked = self.connections.book(&(port, source(address)), now_ms, limits::CONNECTION_WAIT_MS);
        booked.map_err(|wait| Blocked::ConnectionRate { retry_after_ms: wait })
    }

    /// Counts a connection for which, where as many are open as may be, another one would have to end: those of a source
    /// that pushes all the time are not worth that.
    ///
    /// # Errors
    /// [`Blocked::ConnectionRate`].
    pub fn admit_push(&self, address: IpAddr, now_ms: u64) -> Result<(), Blocked> {
        let counted = self.pushes.take(&source(address), now_ms);
        counted.map_err(|wait| Blocked::ConnectionRate { retry_after_ms: wait })
    }

    /// Looks at a request before anything else does: the firewall, the source's rate, then method, target,
    /// headers, host and framing.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn screen<B>(&self, head: Parts, body: B, peer: &Peer, now_ms: u64) -> Result<Screened<B>, Blocked> {
        let admitted = self.admit_request(peer, now_ms)?;
        self.screen_admitted(head, body, admitted)
    }

    /// The first part of it, for the moment when no more than a request's head is read: the firewall and the source's
    /// rate.
    ///
    /// # Errors
    /// [`Blocked::Firewall`], [`Blocked::SourceRate`].
    pub fn admit_request(&self, peer: &Peer, now_ms: u64) -> Result<Admitted, Blocked> {
        self.admit_peer(Port::Data, peer.address.ip(), now_ms)?;
        let source = source(peer.address.ip());
        self.sources.take(&source, now_ms).map_err(|wait| Blocked::SourceRate { retry_after_ms: wait })?;
        Ok(Admitted { peer: peer.clone() })
    }

    /// The rest of it: method, target, headers, host and framing.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn screen_admitted<B>(
        &self,
        head: Parts,
        body: B,
        admitted: Admitted,
    ) -> Result<Screened<B>, Blocked> {
        self.check(&head)?;
        Ok(Screened { head, body, peer: admitted.peer, looked_at: false })
    }

    /// Looks at a request that one function makes of another and that never was on a network: as
    /// [`Shield::screen`], without the firewall and the source's rate, which the request that `peer` began its chain
    /// with has passed.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn screen_within<B>(&self, head: Parts, body: B, peer: &Peer) -> Result<Screened<B>, Blocked> {
        self.check(&head)?;
        Ok(Screened { head, body, peer: peer.clone(), looked_at: false })
    }

    fn check(&self, head: &Parts) -> Result<(), Blocked> {
        head::method(head.method.as_str())?;
        head::target(&head.uri, self.config.target_bytes_max)?;
        head::headers(&head.headers, self.config.headers_max, self.config.header_bytes_max)?;
        head::host(head)?;
        head::framing(head)
    }

    /// Counts a request of an identified caller. `key` names the caller, not its credential, so that a
    /// caller with ten tokens has one rate (`Caller::key` in `identity`).
    ///
    /// # Errors
    /// [`Blocked::CallerRate`].
    pub fn admit_caller(&self, key: &str, now_ms: u64) -> Result<(), Blocked> {
        self.callers.take(key, now_ms).map_err(|wait| Blocked::CallerRate { retry_after_ms: wait })
    }

    /// Counts a credential that did not hold. A source that presents too many is told to wait; one that holds
    /// is taken all the same, so that nobody can lock out those who share his address.
    ///
    /// # Errors
    /// [`Blocked::FailedProofs`].
    pub fn failed_proof(&self, address: IpAddr, now_ms: u64) -> Result<(), Blocked> {
        let counted = self.failed_proofs.take(&source(address), now_ms);
        counted.map_err(|wait| Blocked::FailedProofs { retry_after_ms: wait })
    }

    /// Counts a credential that did not hold by whom it says it is, wherever it comes from. As with sources, one
    /// that holds is taken all the same: nobody locks another out.
    ///
    /// # Errors
    /// [`Blocked::FailedClaims`].
    pub fn failed_claim(&self, name: &str, now_ms: u64) -> Result<(), Blocked> {
        let counted = self.failed_claims.take(name, now_ms);
        counted.map_err(|wait| Blocked::FailedClaims { retry_after_ms: wait })
    }

    /// Counts somebody who asks how to log in, or logs in: both without a credential.
    ///
    /// # Errors
    /// [`Blocked::SourceRate`].
    pub fn login_asked(&self, address: IpAddr, now_ms: u64) -> Result<(), Blocked> {
        let counted = self.logins.take(&source(address), now_ms);
        counted.map_err(|wait| Blocked::SourceRate { retry_after_ms: wait })
    }

    /// How many sources and callers are remembered, for the metrics.
    pub fn remembered(&self) -> (usize, usize) {
        (self.sources.len(), self.callers.len())
    }
}

#[cfg(test)]
mod tests;
