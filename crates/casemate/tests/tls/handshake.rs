//! One handshake with a node, by a client that says exactly what a test wants it to.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use crate::support::TestNode;

/// A client that trusts one authority.
pub(crate) struct Client {
    address: SocketAddr,
    roots: Arc<RootCertStore>,
}

/// Takes any certificate.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A connection after its handshake.
pub(crate) type Line = StreamOwned<ClientConnection, TcpStream>;

impl Client {
    /// Of the node's functions, trusting what this certificate (PEM) vouches for.
    pub(crate) fn of(node: &TestNode, ca: &str) -> Self {
        Self::at(address(node.functions()), ca)
    }

    pub(crate) fn at(address: SocketAddr, ca: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        Self { address, roots: Arc::new(roots) }
    }

    /// Shakes hands for a name, or for an address, for which no name is sent.
    pub(crate) fn shake(&self, name: &str, alpn: &[&str]) -> io::Result<Line> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(Arc::clone(&self.roots)).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self.shake_as(config, name)
    }

    fn shake_as(&self, config: ClientConfig, name: &str) -> io::Result<Line> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(session, stream))
    }

    /// The same, whoever vouches for it and however old it is.
    pub(crate) fn blind(&self, name: &str) -> Option<Vec<u8>> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
        let config = builder.with_custom_certificate_verifier(Arc::new(Anyone)).with_no_client_auth();
        let line = self.shake_as(config, name).ok()?;
        Some(line.conn.peer_certificates().unwrap()[0].to_vec())
    }

    /// The certificate that is shown for a name.
    pub(crate) fn shown(&self, name: &str) -> Option<Vec<u8>> {
        let line = self.shake(name, &["http/1.1"]).ok()?;
        Some(line.conn.peer_certificates().unwrap()[0].to_vec())
    }
}

/// Asks for a path on an open connection, and gives the answer's status.
pub(crate) fn ask(line: &mut Line, host: &str, path: &str) -> io::Result<u16> {
    write!(line, "GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = line.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.is_none_or(|length| body.len() >= length.parse().unwrap()) {
            return Ok(head[9..12].parse().unwrap());
        }
    }
}

/// The address in a URL.
pub(crate) fn address(url: &str) -> SocketAddr {
    url.split_once("://").unwrap().1.parse().unwrap()
}
