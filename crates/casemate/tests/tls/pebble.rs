//! A certificate authority as a process of a test's (Let's Encrypt's Pebble, Debian's `pebble`), with its names, and the way
//! from it to the node. All end with the test.

use std::{
    fs,
    io::{Read, Write, copy},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::StreamExt;
use gateway::tls::NodeCertificates;

use crate::until;

/// The authority.
pub(crate) struct Pebble {
    /// Its directory.
    pub(crate) directory: String,
    /// What vouches for the directory (PEM).
    pub(crate) directory_ca: String,
    management: String,
    children: Vec<Child>,
    _files: tempfile::TempDir,
}

/// A door that is open before it is known where it leads.
pub(crate) struct Passage {
    pub(crate) port: u16,
    to: Arc<Mutex<Option<SocketAddr>>>,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Passage {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let to: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let said: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (leads, hears) = (Arc::clone(&to), Arc::clone(&said));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (leads, hears) = (Arc::clone(&leads), Arc::clone(&hears));
                std::thread::spawn(move || {
                    let to = until("a passage that leads somewhere", || *leads.lock().unwrap());
                    let Ok(there) = TcpStream::connect(to) else { return };
                    let (mut here, mut beyond) = (stream.try_clone().unwrap(), there.try_clone().unwrap());
                    let back = std::thread::spawn(move || {
                        let _ended = copy(&mut beyond, &mut here);
                        let _ended = here.shutdown(Shutdown::Both);
                    });
                    let (mut here, mut there) = (stream, there);
                    let mut piece = [0; 4096];
                    while let Ok(read @ 1..) = here.read(&mut piece) {
                        hears.lock().unwrap().extend_from_slice(&piece[..read]);
                        if there.write_all(&piece[..read]).is_err() {
                            break;
                        }
                    }
                    let _ended = there.shutdown(Shutdown::Write);
                    back.join().unwrap();
                });
            }
        });
        Self { port, to, said }
    }

    /// What the authority said on its way to the node.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    pub(crate) fn leads_to(&self, address: SocketAddr) {
        *self.to.lock().unwrap() = Some(address);
    }
}

/// A port that nobody has, for a program that cannot say which one it got.
fn port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Pebble {
    /// An authority whose certificates last so long, and that looks for names at this port; none where there is no such
    /// program.
    pub(crate) fn start(passage: &Passage, seconds: u32) -> Option<Self> {
        let there = ["pebble", "pebble-challtestsrv"]
            .iter()
            .all(|name| Command::new(name).arg("-h").output().is_ok());
        if !there {
            eprintln!("skipped: no pebble; `cargo xtask test` fetches it, with apt-get");
            return None;
        }
        let files = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let made = NodeCertificates::generate(&["127.0.0.1".into()], now).unwrap();
        let (certificate, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
        fs::write(&certificate, &made.certificate).unwrap();
        fs::write(&key, &made.key).unwrap();
        let (own, management, dns, other) = (port(), port(), port(), port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{own}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": passage.port,
            "tlsPort": passage.port,
            "ocspResponderURL": "",
            "certificateValidityPeriod": seconds,
        }});
        let file = files.path().join("pebble.json");
        fs::write(&file, config.to_string()).unwrap();
        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        names.args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", &format!("127.0.0.1:{other}")]);
        let mut authority = Command::new("pebble");
        authority.args(["-strict", "-dnsserver", &format!("127.0.0.1:{dns}"), "-config"]).arg(&file);
        authority
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "5")
            .env("PEBBLE_AUTHZREUSE", "0");
        let mut children = Vec::new();
        for command in [&mut names, &mut authority] {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            children.push(command.spawn().unwrap());
        }
        for port in [own, management, other] {
            until("an authority", || TcpStream::connect(("127.0.0.1", port)).ok());
        }
        let directory = format!("https://127.0.0.1:{own}/dir");
        let management = format!("https://127.0.0.1:{management}");
        Some(Self { directory, directory_ca: made.ca, management, children, _files: files })
    }

    /// What vouches for the certificates that it issues (PEM).
    pub(crate) fn root(&self) -> String {
        let roots = vec![self.directory_ca.clone().into_bytes()];
        let config = egress::ClientConfig { roots, ..egress::ClientConfig::default() };
        let client = egress::Client::new(&config).unwrap();
        let request = http::Request::get(format!("{}/roots/0", self.management)).body(Bytes::new()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut body = client.call(request).await.unwrap().into_body();
            let mut text = Vec::new();
            while let Some(piece) = body.next().await {
                text.extend_from_slice(&piece.unwrap());
            }
            String::from_utf8(text).unwrap()
        })
    }

    /// Ends it before the test does.
    pub(crate) fn stop(&mut self) {
        for child in &mut self.children {
            let _gone = child.kill();
            let _gone = child.wait();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}
