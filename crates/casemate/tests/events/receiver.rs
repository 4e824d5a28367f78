//! Receivers on loopback, with a certificate of their own: they answer as they are told, go away and come back.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// A stream that was accepted.
pub(crate) type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A certificate for `localhost` in a folder, as `NAME.pem`, and what serves with it.
pub(crate) fn certificate(folder: &Path, name: &str, host: &str) -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
    let pem = made.cert.pem();
    std::fs::write(folder.join(format!("{name}.pem")), &pem).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

/// A listener that hands each connection to `serve`, until it is dropped.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    pub(crate) connections: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Listens on a port, or on one of the system's choice.
    pub(crate) fn start(
        port: u16,
        tls: Arc<ServerConfig>,
        serve: impl Fn(Tls) + Send + Sync + Clone + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (over, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (ends, count, all) = (over.clone(), connections.clone(), open.clone());
        let accepting = std::thread::spawn(move || {
            while !ends.load(SeqCst) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                };
                count.fetch_add(1, SeqCst);
                stream.set_nonblocking(false).unwrap();
                all.lock().unwrap().push(stream.try_clone().unwrap());
                let (tls, serve) = (tls.clone(), serve.clone());
                std::thread::spawn(move || {
                    serve(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream));
                });
            }
        });
        Self { port, connections, over, open, accepting: Some(accepting) }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Messages of RFC 5424 in frames of RFC 5425, as they come.
pub(crate) fn messages(stream: Tls, heard: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = Vec::new();
        match reader.read_until(b' ', &mut length) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let length: usize = std::str::from_utf8(&length).unwrap().trim().parse().expect("a length");
        let mut message = vec![0; length];
        if reader.read_exact(&mut message).is_err() {
            return;
        }
        heard.lock().unwrap().push(String::from_utf8(message).expect("utf-8"));
    }
}

/// A request as it came: its head and its body.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Answers requests of HTTP/1.1 on one connection.
pub(crate) fn answers(stream: Tls, answer: impl Fn(Asked) -> String) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match reader.read_line(&mut head) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.and_then(|text| text.parse().ok()).unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let text = answer(Asked { head, body: String::from_utf8(body).expect("utf-8") });
        if reader.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}
