//! Clients' certificates: who is vouched for, who is not, and what a list of revoked ones changes at once.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject},
};

use crate::{
    caller::accept,
    support::{TestNode, guest},
};

/// Somebody who vouches for clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

type Identity = (Vec<CertificateDer<'static>>, Vec<u8>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn client(&self, id: &str, serial: u64, last_year: i32) -> Identity {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (vec![certificate.der().clone()], key.serialize_der())
    }

    fn revoked(&self, serials: &[u64]) -> String {
        let one = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2049, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(one).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A connection as a client with or without a certificate.
struct Line(StreamOwned<ClientConnection, TcpStream>);

impl Line {
    fn open(node: &TestNode, identity: Option<&Identity>) -> Self {
        Self::of(node, &Self::client(node, identity))
    }

    /// A client, which remembers its sessions.
    fn client(node: &TestNode, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let ca = std::fs::read(node.info["ca"].as_str().unwrap()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
        let builder = builder.unwrap().with_root_certificates(roots);
        Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone()));
                builder.with_client_auth_cert(chain.clone(), key).unwrap()
            }
        })
    }

    fn of(node: &TestNode, client: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(client), name).unwrap();
        let address = node.functions().trim_start_matches("https://").replace("localhost", "127.0.0.1");
        Self(StreamOwned::new(connection, TcpStream::connect(address).unwrap()))
    }

    /// The answer's head and body as text; none where the node ended the connection.
    fn get(&mut self) -> Option<String> {
        let request = b"GET /mesh HTTP/1.1\r\nhost: localhost\r\n\r\n";
        self.0.write_all(request).ok()?;
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if length
                    .and_then(|length| length.parse().ok())
                    .is_none_or(|length: usize| body.len() >= length)
                {
                    return Some(text);
                }
            }
            match self.0.read(&mut piece) {
                Ok(read) if read > 0 => bytes.extend_from_slice(&piece[..read]),
                _ => return None,
            }
        }
    }
}

#[track_caller]
fn asked(node: &TestNode, identity: Option<&Identity>, expect: &str) {
    let answer = Line::open(node, identity).get();
    let said = answer.clone().unwrap_or_default();
    assert!(said.starts_with(expect) && (answer.is_some() || expect.is_empty()), "{expect}: {answer:?}");
}

#[track_caller]
fn recorded(node: &TestNode, code: &str) {
    let events = node.records(&["--of-node", "--limit", "200"]);
    assert!(events.iter().any(|event| event["code"] == code), "`{code}` is not in {events:?}");
}

#[test]
fn who_is_vouched_for() {
    let node = TestNode::start();
    let manifest = "[access]\naccept = [\"token\", \"mesh\"]\npolicy = '''\n\
        permit (principal == Service::\"default/mesh:ns/web\", action == Action::\"invoke\", resource)\n\
        when { context.token.bound };\n'''\n";
    node.deploy("mesh", &guest("echo"), manifest);
    let (mesh, other, foreign) = (Authority::new("mesh"), Authority::new("other"), Authority::new("mesh"));
    let web = mesh.client("spiffe://prod.example/ns/web", 7, 2049);
    let db = mesh.client("spiffe://prod.example/ns/db", 8, 2049);
    let old = mesh.client("spiffe://prod.example/ns/web", 9, 2021);
    let by_other = other.client("spiffe://prod.example/ns/web", 7, 2049);
    let by_foreign = foreign.client("spiffe://prod.example/ns/web", 7, 2049);
    let config = |crl: Option<String>| {
        let crl = crl.map(|crl| format!("crl = '''{crl}'''\n")).unwrap_or_default();
        format!(
            "[[certificates]]\nname = \"mesh\"\nspiffe_trust_domain = \"prod.example\"\nca = '''{}'''\n{crl}\
             [[certificates]]\nname = \"edge\"\ndns = [\"edge.example\"]\nca = '''{}'''\n",
            mesh.pem, other.pem
        )
    };
    asked(&node, Some(&web), "HTTP/1.1 401");
    let broken = node.home.path().join("broken.toml");
    std::fs::write(&broken, config(None).replace("BEGIN CERT", "BEGIN")).unwrap();
    node.run(&["identity", "set", broken.to_str().unwrap()]).fails(1, "identity-invalid");

    accept(&node, "default", &config(None));
    asked(&node, Some(&web), "HTTP/1.1 200");
    asked(&node, Some(&db), "HTTP/1.1 403");
    asked(&node, None, "HTTP/1.1 401");
    // What one entry's authority says counts for that entry alone.
    asked(&node, Some(&by_other), "HTTP/1.1 401");
    asked(&node, Some(&old), "");
    recorded(&node, "client-certificate-expired");
    asked(&node, Some(&by_foreign), "");

    // A connection that stands when its certificate is revoked is of no use afterwards, nor is a new one.
    let mut standing = Line::open(&node, Some(&web));
    assert!(standing.get().unwrap().starts_with("HTTP/1.1 200"));
    accept(&node, "default", &config(Some(mesh.revoked(&[7]))));
    let answer = standing.get().unwrap_or_default();
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    asked(&node, Some(&web), "");
    recorded(&node, "client-certificate-revoked");
    asked(&node, Some(&db), "HTTP/1.1 403");
    accept(&node, "default", &config(Some(mesh.revoked(&[8]))));
    asked(&node, Some(&web), "HTTP/1.1 200");
}

/// Whether a client came back without a whole handshake, and what it was answered.
fn back(node: &TestNode, client: &Arc<ClientConfig>) -> (bool, String) {
    let mut line = Line::of(node, client);
    let answer = line.get().unwrap_or_default();
    let resumed = line.0.conn.handshake_kind() == Some(HandshakeKind::Resumed);
    (resumed, answer.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn a_session_ends_with_the_trust_that_it_began_with() {
    let node = TestNode::start();
    let manifest = "[access]\naccept = [\"token\", \"mesh\"]\npolicy = '''\n\
        permit (principal == Service::\"default/mesh:ns/web\", action == Action::\"invoke\", resource);\n'''\n";
    let mesh = Authority::new("mesh");
    let web = mesh.client("spiffe://prod.example/ns/web", 7, 2049);
    let config = |revoked: &[u64]| {
        let (ca, crl) = (&mesh.pem, mesh.revoked(revoked));
        format!(
            "[[certificates]]\nname = \"mesh\"\nspiffe_trust_domain = \"prod.example\"\nca = '''{ca}'''\n\
             crl = '''{crl}'''\n"
        )
    };
    let stranger = Line::client(&node, None);
    node.deploy("mesh", &guest("echo"), manifest);
    let unknown = "HTTP/1.1 401 Unauthorized".to_owned();
    assert_eq!(back(&node, &stranger), (false, unknown.clone()));
    assert_eq!(back(&node, &stranger), (true, unknown.clone()), "where nobody is asked for a certificate");

    accept(&node, "default", &config(&[8]));
    assert_eq!(back(&node, &stranger), (false, unknown), "one from before anyone was asked is none");
    let client = Line::client(&node, Some(&web));
    let good = "HTTP/1.1 200 OK".to_owned();
    assert_eq!(back(&node, &client), (false, good.clone()));
    assert_eq!(back(&node, &client), (true, good.clone()), "the certificate is the session's");
    accept(&node, "default", &config(&[7]));
    assert_eq!(back(&node, &client), (false, String::new()), "it is revoked, and its session is gone");
    accept(&node, "default", &config(&[8, 9]));
    assert_eq!(back(&node, &client), (false, good.clone()), "no session comes back");
    assert_eq!(back(&node, &client), (true, good));
}
