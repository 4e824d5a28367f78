//! Answers what it was asked, for WASI 0.3: `POST` streams the body back through its own memory, anything
//! else gets method and target as text. It never keeps a whole body in memory.

use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response};
use wasip3::wit_bindgen::StreamResult;
use wasip3::{wit_future, wit_stream};

wasip3::http::service::export!(Echo);

struct Echo;

impl wasip3::exports::http::handler::Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (mut body, body_read) = wit_stream::new();
        let (trailers, trailers_read) = wit_future::new(|| Ok(None));
        let headers = Fields::from_list(&[("content-type".into(), b"text/plain".to_vec())]).unwrap();
        let (response, _sent) = Response::new(headers, Some(body_read), trailers_read);
        if !matches!(request.get_method(), Method::Post) {
            let target = request.get_path_with_query().unwrap_or_default();
            let text = format!("{:?} {target}\n", request.get_method());
            wasip3::spawn_local(async move {
                body.write_all(text.into_bytes()).await;
            });
            return Ok(response);
        }
        let (_, received) = wit_future::new(|| Ok(()));
        let (mut stream, ended) = Request::consume_body(request, received);
        wasip3::spawn_local(async move {
            loop {
                let (result, piece) = stream.read(Vec::with_capacity(64 * 1024)).await;
                if !piece.is_empty() && !body.write_all(piece).await.is_empty() {
                    return;
                }
                if matches!(result, StreamResult::Dropped | StreamResult::Cancelled) {
                    break;
                }
            }
            drop(body);
            // How the request's body ended is how the answer's ends: broken off in the middle, or well.
            let _ = trailers.write(ended.await).await;
        });
        Ok(response)
    }
}
