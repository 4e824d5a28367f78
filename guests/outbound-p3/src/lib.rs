//! Calls the URL in its query, for WASI 0.3, and passes the answer's stream on. It never follows a redirect.
//!
//! `?url=…` (not percent-encoded, last in the query) is called with the method and the body of the request.
//! Where the call fails, so does the function, with the same `wasi:http` error.

use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::wit_future;

wasip3::http::service::export!(Outbound);

struct Outbound;

impl wasip3::exports::http::handler::Guest for Outbound {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (_, url) = target.split_once("url=").ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let (scheme, rest) = url.split_once("://").ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let method = request.get_method();

        let (_, received) = wit_future::new(|| Ok(()));
        let (body, trailers) = Request::consume_body(request, received);
        let body = matches!(method, Method::Post | Method::Put | Method::Patch).then_some(body);
        let (outgoing, _sent) = Request::new(Fields::new(), body, trailers, None);
        let invalid = |()| ErrorCode::HttpRequestUriInvalid;
        outgoing.set_method(&method).map_err(|()| ErrorCode::HttpRequestMethodInvalid)?;
        outgoing.set_scheme(Some(&scheme)).map_err(invalid)?;
        outgoing.set_authority(Some(authority)).map_err(invalid)?;
        outgoing.set_path_with_query(Some(path)).map_err(invalid)?;
        let answer = client::send(outgoing).await?;

        let status = answer.get_status_code();
        let (_, taken) = wit_future::new(|| Ok(()));
        let (body, trailers) = Response::consume_body(answer, taken);
        let (response, _sent) = Response::new(Fields::new(), Some(body), trailers);
        response.set_status_code(status).map_err(|()| ErrorCode::HttpProtocolError)?;
        Ok(response)
    }
}
