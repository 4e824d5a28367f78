//! Counts its own calls in a static, for WASI 0.3. It never answers but `1` where instances are fresh.

use std::sync::atomic::{AtomicU64, Ordering};

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};

wasip3::http::service::export!(Counter);

struct Counter;

static CALLS: AtomicU64 = AtomicU64::new(0);

impl wasip3::exports::http::handler::Guest for Counter {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let headers = Fields::from_list(&[("content-type".into(), b"text/plain".to_vec())]).unwrap();
        let (mut body, body_read) = wit_stream::new();
        let (_, trailers_read) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(body_read), trailers_read);
        wasip3::spawn_local(async move {
            body.write_all(calls.to_string().into_bytes()).await;
        });
        Ok(response)
    }
}
