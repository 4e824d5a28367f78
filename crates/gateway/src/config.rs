//! What an operator decides about sockets. It never binds one.

use std::net::SocketAddr;

use model::limits;

use crate::tls::Tls;

/// Where a gateway listens and within which bounds.
#[derive(Clone)]
pub struct GatewayConfig {
    /// Functions, over TLS.
    pub listen: SocketAddr,
    /// The control API, over TLS.
    pub control: SocketAddr,
    /// Functions, without TLS: a loopback address, or binding fails. For measuring beside others.
    pub plain: Option<SocketAddr>,
    /// Where certificate authorities look whether names are the node's, over HTTP (RFC 8555 §8.3). Nothing else is
    /// answered there.
    pub challenges: Option<SocketAddr>,
    /// Certificates, versions and key exchange, from [`crate::tls::Certificates::tls`].
    pub tls: Tls,
    /// The name in URLs that the control API answers, with the port of [`GatewayConfig::listen`]: the domain.
    pub domain: String,
    /// Open connections of the node.
    pub connections_max: usize,
    /// Open connections of one source address.
    pub connections_per_source_max: u32,
    /// How long requests may go on when the node stops, in milliseconds.
    pub drain_ms: u64,
    /// What `doctor` is told about the node beside what the platform knows: version, data folder.
    pub about: About,
}

/// What a node is, for those who may ask.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The executable's version.
    pub version: String,
    /// Which store backend it uses.
    pub store: String,
    /// What its configuration has under `dangerous`.
    pub dangerous: Vec<String>,
}

impl GatewayConfig {
    /// Both listeners on loopback ports that the system chooses, with the bounds of `model::limits`.
    pub fn loopback(tls: Tls) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: any,
            control: any,
            plain: None,
            challenges: None,
            tls,
            domain: "localhost".into(),
            connections_max: usize::try_from(limits::CONNECTIONS_MAX).unwrap_or(usize::MAX),
            connections_per_source_max: u32::try_from(limits::CONNECTIONS_PER_SOURCE_MAX).unwrap_or(u32::MAX),
            drain_ms: limits::DRAIN_MS,
            about: About::default(),
        }
    }
}
