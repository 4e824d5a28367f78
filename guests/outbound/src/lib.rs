//! Calls the URL in its query, for WASI 0.2. It never follows a redirect.
//!
//! `?url=…` is called with the method and the body of the request; its status and body are the answer.
//! `&times=N` calls it N times and answers the last. `&header=NAME:VALUE` adds a header.
//! Where a call fails, the answer is 502 and the name of the `wasi:http` error (`HTTP-request-denied`).

use answer::Body;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    ResponseOutparam, Scheme,
};
use wasip2::io::streams::StreamError;

wasip2::http::proxy::export!(Outbound);

struct Outbound;

impl wasip2::exports::http::incoming_handler::Guest for Outbound {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (_, query) = answer::target(&request);
        let Some(url) = answer::parameter(&query, "url") else {
            return answer::send(out, 400, "text/plain", b"ask with ?url=https://host/path\n");
        };
        let mut got = call(&url, &query, &request);
        for _ in 1..answer::number(&query, "times", 1) {
            if got.is_err() {
                break;
            }
            got = call(&url, &query, &request);
        }
        match got {
            Ok(response) => pass_on(&response, out),
            Err(name) => answer::send(out, 502, "text/plain", format!("{name}\n").as_bytes()),
        }
    }
}

fn call(url: &str, query: &str, from: &IncomingRequest) -> Result<IncomingResponse, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no-scheme")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let headers = Fields::new();
    if let Some((name, value)) = answer::parameter(query, "header").as_deref().and_then(|h| h.split_once(':'))
    {
        headers.append(name, value.as_bytes()).map_err(|_| "header-refused")?;
    }
    let request = OutgoingRequest::new(headers);
    let method = from.method();
    let sends_body = matches!(method, Method::Post | Method::Put | Method::Patch);
    request.set_method(&method).map_err(|()| "method-refused")?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => Scheme::Other(other.into()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme-refused")?;
    request.set_authority(Some(authority)).map_err(|()| "authority-refused")?;
    request.set_path_with_query(Some(path)).map_err(|()| "path-refused")?;
    let body = request.body().map_err(|()| "no-body")?;
    let answer = outgoing_handler::handle(request, None).map_err(|error| name(&error))?;
    if sends_body {
        send_body(from, &body);
    }
    let _ = OutgoingBody::finish(body, None);
    answer.subscribe().block();
    answer.get().ok_or("no-answer")?.map_err(|()| "asked-twice")?.map_err(|error| name(&error))
}

/// Sends the request's own body on. A destination that stops reading is no error: it may have answered.
fn send_body(from: &IncomingRequest, body: &OutgoingBody) {
    let Ok(incoming) = from.consume() else { return };
    let (input, output) = (incoming.stream().unwrap(), body.write().unwrap());
    loop {
        match output.blocking_splice(&input, 64 * 1024) {
            Ok(_) => {}
            Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => break,
        }
    }
    let _ = output.blocking_flush();
}

fn pass_on(response: &IncomingResponse, out: ResponseOutparam) {
    let content_type = response.headers().get("content-type").into_iter().next();
    let headers: Vec<_> = content_type.map(|value| ("content-type".into(), value)).into_iter().collect();
    let incoming = response.consume().unwrap();
    let stream = incoming.stream().unwrap();
    let Ok(mut body) = Body::start(out, response.status(), &headers) else { return };
    if body.copy(&stream).is_ok() {
        body.finish();
    }
}

/// The error's name as WIT writes it: `HttpRequestDenied` is `HTTP-request-denied`.
fn name(error: &ErrorCode) -> String {
    let debug = format!("{error:?}");
    let variant = debug.trim_start_matches("ErrorCode::").split('(').next().unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    for c in variant.chars() {
        match words.last_mut() {
            Some(word) if !c.is_uppercase() => word.push(c),
            _ => words.push(c.into()),
        }
    }
    let words = words.into_iter().map(|word| match word.as_str() {
        "Http" | "Dns" | "Tls" | "Ip" | "Uri" => word.to_uppercase(),
        _ => word.to_lowercase(),
    });
    words.collect::<Vec<_>>().join("-")
}
