//! The limit of what hyper alone can do: the same bytes, and nothing else. It never looks at the request.

use std::{convert::Infallible, io::Write};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;

use crate::Wrong;

/// Serves on a port that the system chooses, and says which.
pub(crate) async fn serve() -> Result<serde_json::Value, Wrong> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", serde_json::json!({ "port": listener.local_addr()?.port() }));
    std::io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let hello = hyper::service::service_fn(|_| async {
            let mut answer = Response::new(Full::new(Bytes::from_static(b"Hello, world!\n")));
            answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            Ok::<_, Infallible>(answer)
        });
        tokio::task::spawn_local(async move {
            // A client that goes away is no matter.
            let _ended = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), hello)
                .await;
        });
    }
}
