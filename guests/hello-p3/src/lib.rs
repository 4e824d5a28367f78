//! The smallest function for WASI 0.3: `Hello, world!`. It never reads its request.

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};

wasip3::http::service::export!(Hello);

struct Hello;

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::from_list(&[("content-type".into(), b"text/plain".to_vec())]).unwrap();
        let (mut body, body_read) = wit_stream::new();
        let (trailers, trailers_read) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(body_read), trailers_read);
        drop(trailers);
        wasip3::spawn_local(async move {
            // What is left over is of no interest: then nobody reads any more.
            body.write_all(b"Hello, world!\n".to_vec()).await;
        });
        Ok(response)
    }
}
