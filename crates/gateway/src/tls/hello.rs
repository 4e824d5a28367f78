//! What a client says first (RFC 8446 §4.1.2): for which name it asks, for which protocol, and what speaks to it then.
//! It never reads or writes a byte.

use std::{net::IpAddr, sync::Arc};

use rustls::{ServerConfig, server::ClientHello};

use super::{
    Tls,
    challenges::ACME_TLS,
    clients::{Clients, Made},
};

/// The fatal alert `unrecognized_name` (RFC 6066 §3, RFC 8446 §6.2), as a record of its own: nothing is encrypted yet.
pub(crate) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What becomes of a handshake.
pub(crate) enum Choice {
    /// It goes on, and may ask for a client's certificate.
    Serve(Arc<ServerConfig>, Option<Arc<Made>>),
    /// An authority looks whether the name is the node's. That is all that it gets.
    Challenge(Arc<ServerConfig>),
    /// It ends with [`UNRECOGNIZED_NAME`].
    Refuse(NameError),
}

/// The node does not answer by what a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// By address, and no certificate has it.
    #[error("it asks for no name, and no certificate has the address `{0}`")]
    Absent(IpAddr),
    /// By a name that no certificate has, or that is no tenant's.
    #[error("it asks for `{0}`, which is none of the node's names")]
    Unknown(Box<str>),
}

impl NameError {
    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Absent(_) => "server-name-absent",
            Self::Unknown(_) => "server-name-unknown",
        }
    }
}

impl Tls {
    /// What speaks to a client that says this on a connection to the address `local`. `is_known` says whether anyone
    /// answers by a name.
    pub(crate) fn choose(
        &self,
        hello: &ClientHello<'_>,
        local: IpAddr,
        clients: Option<&Clients>,
        is_known: impl FnOnce(&str) -> bool,
    ) -> Choice {
        let name = hello.server_name();
        //= RFC 8737 §4: an authority offers this protocol and no other
        let by_authority =
            hello.alpn().is_some_and(|mut offered| offered.all(|protocol| protocol == ACME_TLS));
        let challenges = self.certificates.challenges();
        if let Some(config) = name.filter(|_| by_authority).and_then(|name| challenges.of_name(name)) {
            return Choice::Challenge(config);
        }
        let refused = match name {
            Some(name) if !is_known(name) || !self.certificates.has(name) => {
                Some(NameError::Unknown(name.into()))
            }
            None if !self.certificates.has_address(local) => Some(NameError::Absent(local)),
            _ => None,
        };
        if let Some(refused) = refused {
            return Choice::Refuse(refused);
        }
        let made = clients.and_then(|clients| clients.of(name));
        let config = made.as_ref().map_or(&self.config, |made| &made.config);
        Choice::Serve(Arc::clone(config), made)
    }
}
