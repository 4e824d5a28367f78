//! A small service behind the real parser, shape and screen, talked to byte by byte.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use model::{RequestId, Timestamp};
use platform::RequestBody;
use rustls::{
    ClientConfig, NamedGroup, ProtocolVersion, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use shield::{Blocked, Port, Shield, ShieldConfig};
use tokio::net::TcpListener;
use tokio_rustls::{TlsConnector, client};

use super::*;
use crate::{
    problem::Problem,
    stage::{
        respond,
        shape::{settled, shape},
    },
    tls::{Certificates, NodeCertificates, Pair},
};

mod raw;
mod secure;

/// For tests that wait for it to end.
const SHORT: Duration = Duration::from_millis(400);
const IMPATIENT: Patience = Patience { handshake: SHORT, head: SHORT, idle: SHORT };

/// Tells what came through, in one line; `/slow` takes a second, the answer of `/broken` has no end, and
/// that of `/later` says to come back.
async fn echo(shield: Arc<Shield>, peer: Arc<Peer>, request: Request<Incoming>) -> Response<Body> {
    let id = RequestId::from_parts(Timestamp::default(), 1);
    let asked = respond::Asked::of(&request);
    let (broken, later) = (request.uri().path() == "/broken", request.uri().path() == "/later");
    let mut response = match read(&shield, &peer, request).await {
        Ok(_) if broken => {
            Response::new(Body::stream(futures_util::stream::iter([Err("it broke off".into())])))
        }
        Ok(_) if later => Problem::from(model::Fault::NodeBusy).respond(id),
        Ok(text) => Response::new(Body::full(text.into())),
        Err(problem) => problem.respond(id),
    };
    respond::finish(&mut response, asked, id, false);
    response
}

async fn read(shield: &Shield, peer: &Peer, request: Request<Incoming>) -> Result<String, Problem> {
    let (head, body) = settled(peer, request)?;
    let shaped = shape(head, body).await?;
    let upload = shaped.upload.clone();
    let screened = shield.screen(shaped.head, shaped.body, peer, 0).map_err(|b| Problem::from(&b))?;
    let (head, body, _) = screened.into_parts();
    let bytes = match body {
        RequestBody::Full(bytes) => bytes.len(),
        RequestBody::Stream(mut stream) => {
            let mut sum = 0;
            while let Some(piece) = futures_util::StreamExt::next(&mut stream).await {
                sum +=
                    piece.map_err(|_| upload.blame(Problem::new(500, "unblamed", "nobody knows why")))?.len();
            }
            sum
        }
    };
    if head.uri.path() == "/slow" {
        sleep(Duration::from_secs(1)).await;
    }
    let host = head.headers["host"].to_str().unwrap();
    Ok(format!("{} {} {host} {bytes}", head.method, head.uri))
}

/// What the connections of a test refused: the codes.
type Refusals = Arc<parking_lot::Mutex<Vec<&'static str>>>;

#[derive(Clone)]
struct Echo {
    shield: Arc<Shield>,
    refusals: Refusals,
}

impl Host for Echo {
    async fn answer(&self, peer: Arc<Peer>, request: Request<Incoming>) -> Response<Body> {
        echo(self.shield.clone(), peer, request).await
    }

    fn admit(&self, source: IpAddr) -> Result<Duration, Blocked> {
        self.shield.admit_connection(Port::Data, source, 0).map(Duration::from_millis)
    }

    fn is_known(&self, server_name: &str) -> bool {
        server_name != "nobody.localhost"
    }

    fn refused(&self, _source: IpAddr, code: &'static str, _detail: &str) -> RequestId {
        self.refusals.lock().push(code);
        RequestId::from_parts(Timestamp::default(), 2)
    }
}

struct Server {
    address: SocketAddr,
    close: watch::Sender<bool>,
    refusals: Refusals,
}

impl Server {
    async fn start(tls: Option<Tls>) -> Self {
        Self::start_with(tls, Patience::default()).await
    }

    async fn start_with(tls: Option<Tls>, patience: Patience) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (close, closing) = watch::channel(false);
        let later = Arc::new(Later::new());
        let turns = Arc::new(Turns::new(1));
        let line = Line { tls, clients: None, ended: None, closing, patience, later, turns };
        let refusals = Refusals::default();
        let host =
            Echo { shield: Arc::new(Shield::new(ShieldConfig::default())), refusals: refusals.clone() };
        tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                tokio::spawn(line.clone().serve(stream, peer, Arc::new(Activity::new()), host.clone()));
            }
        });
        Self { address, close, refusals }
    }

    /// Sends bytes and reads until the server ends the connection, or says nothing more.
    async fn exchange(&self, bytes: &[u8]) -> Heard {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (mut reads, mut writes) = stream.split();
        let (mut text, mut closed) = (Vec::new(), false);
        let listen = async {
            let mut buffer = [0; 4096];
            loop {
                match timeout(Duration::from_millis(400), reads.read(&mut buffer)).await {
                    Ok(Ok(0) | Err(_)) => break closed = true,
                    Ok(Ok(n)) => text.extend_from_slice(&buffer[..n]),
                    Err(_) => break,
                }
            }
        };
        // The server may refuse before it has read all of it.
        let (_, ()) = tokio::join!(writes.write_all(bytes), listen);
        Heard { text: String::from_utf8_lossy(&text).into_owned(), closed }
    }
}

/// What came back.
#[derive(Debug)]
struct Heard {
    text: String,
    closed: bool,
}

impl Heard {
    /// The status of each answer.
    fn statuses(&self) -> Vec<u16> {
        let heads = self.text.split("HTTP/1.").skip(1).filter_map(|head| head.get(2..));
        heads.map(|head| head.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default()).collect()
    }
}
