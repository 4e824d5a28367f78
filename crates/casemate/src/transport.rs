//! How the command line reaches a node: TLS, checked against one authority. It never follows a redirect and
//! never speaks in the clear.

use std::time::Duration;

use bytes::Bytes;
use cell::BodyStream;
use egress::EgressError;
use http::{Request, Response};
use model::limits;

use crate::exit::{Exit, Failure};

/// How long a node may take to begin an answer: a deploy compiles in the meantime, a call may take as long as
/// a function may.
const ANSWER_WITHIN: Duration = Duration::from_millis(limits::COMPILE_WALL_MS + 900_000);

/// A client of one node's listeners.
#[derive(Debug)]
pub(crate) struct Transport(egress::Client);

impl Transport {
    /// Makes a client that trusts `ca` (PEM) alone, or the web's own roots where there is none; connects to
    /// nothing yet.
    ///
    /// # Errors
    /// If the certificate cannot be read.
    pub(crate) fn new(ca: Option<&str>) -> Result<Self, Failure> {
        let roots = ca.map(|pem| pem.as_bytes().to_vec()).into_iter().collect();
        let config = egress::ClientConfig { roots, answer_within: ANSWER_WITHIN, plain: false };
        let client = egress::Client::new(&config).map_err(|e| {
            Failure::new(Exit::Usage, format!("the certificate cannot be used: {e}"))
                .next("give the node's `ca.pem` with `--ca`; `casemate up` prints where it lies")
        })?;
        Ok(Self(client))
    }

    /// One request and the head of its answer; `sent` is told how much of the body is on its way.
    ///
    /// # Errors
    /// Why there is no answer, with what to do about it.
    pub(crate) async fn call(
        &self,
        request: Request<Bytes>,
        sent: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Response<BodyStream>, Failure> {
        let uri = request.uri();
        let node = format!("https://{}", uri.authority().map_or("", |a| a.as_str()));
        self.0.call_telling(request, sent).await.map_err(|error| failure(&node, &error))
    }
}

fn failure(node: &str, error: &EgressError) -> Failure {
    let next = match error {
        EgressError::Tls(_) => "give the node's `ca.pem` with `--ca`, or log in again with `casemate login`",
        EgressError::Denied { .. } => "write the node as `https://HOST:PORT`",
        EgressError::Protocol(_) => {
            "see that the address is a node's, and whether `casemate doctor` reaches it"
        }
        _ => "start a node with `casemate up`, or name another with `--node`",
    };
    Failure::new(Exit::Unreachable, format!("cannot reach `{node}`: {error}")).next(next)
}
