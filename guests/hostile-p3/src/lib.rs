//! Every misbehaviour that a function of WASI 0.3 can show, as far as it may go another way than in 0.2, one
//! for each path. It never does two at once.
//!
//! The last part of the path names the attack; `/` lists them. `?n=` sets the size or the milliseconds where
//! one is said below.

mod attacks;

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::StreamWriter;
use wasip3::{wit_future, wit_stream};

wasip3::http::service::export!(Hostile);

struct Hostile;

impl wasip3::exports::http::handler::Guest for Hostile {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let n = query.strip_prefix("n=").and_then(|text| text.parse().ok());
        let name = path.rsplit('/').next().unwrap_or_default();
        attacks::run(name, n).await
    }
}

/// An answer whose body is still to be written. Its trailers come when the first value is dropped or written.
fn start(headers: &[(String, Vec<u8>)]) -> Result<(Response, StreamWriter<u8>), ErrorCode> {
    let headers = Fields::from_list(headers)
        .map_err(|error| ErrorCode::InternalError(Some(format!("headers refused: {error:?}"))))?;
    let (body, body_read) = wit_stream::new();
    let (_, trailers_read) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(body_read), trailers_read);
    Ok((response, body))
}

/// A whole answer.
fn send(text: String) -> Result<Response, ErrorCode> {
    let (response, mut body) = start(&[("content-type".into(), b"text/plain".to_vec())])?;
    wasip3::spawn_local(async move {
        body.write_all(text.into_bytes()).await;
    });
    Ok(response)
}
