//! Answers what it was asked, for WASI 0.2. It never keeps a whole body in memory.
//!
//! - `POST`, `PUT`, `PATCH`: the body comes back as a stream, with its `content-type`.
//! - `/status/NNN`: that status, without a body where HTTP forbids one.
//! - anything else: method, scheme, authority, path, query and headers as JSON.

use answer::{Body, json};
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam, Scheme};

wasip2::http::proxy::export!(Echo);

struct Echo;

impl wasip2::exports::http::incoming_handler::Guest for Echo {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (path, _) = answer::target(&request);
        let status = path.strip_prefix("/status/").or(path.split_once("/status/").map(|(_, rest)| rest));
        if let Some(status) = status.and_then(|text| text.parse().ok()) {
            return answer_status(out, status, &request);
        }
        match request.method() {
            Method::Post | Method::Put | Method::Patch => stream_back(&request, out),
            _ => answer::send(out, 200, "application/json", describe(&request).as_bytes()),
        }
    }
}

fn answer_status(out: ResponseOutparam, status: u16, request: &IncomingRequest) {
    if matches!(status, 204 | 304) {
        if let Ok(body) = Body::start(out, status, &[]) {
            body.finish();
        }
        return;
    }
    answer::send(out, status, "application/json", describe(request).as_bytes());
}

fn stream_back(request: &IncomingRequest, out: ResponseOutparam) {
    let content_type = request.headers().get("content-type").into_iter().next();
    let content_type = content_type.unwrap_or_else(|| b"application/octet-stream".to_vec());
    let incoming = request.consume().unwrap();
    let stream = incoming.stream().unwrap();
    let Ok(mut body) = Body::start(out, 200, &[("content-type".into(), content_type)]) else { return };
    if body.copy(&stream).is_ok() {
        body.finish();
    }
}

fn describe(request: &IncomingRequest) -> String {
    let (path, query) = answer::target(request);
    let method = format!("{:?}", request.method());
    let method = match request.method() {
        Method::Other(name) => name,
        _ => method.rsplit(':').next().unwrap_or_default().to_uppercase(),
    };
    let scheme = match request.scheme() {
        Some(Scheme::Http) => json("http"),
        Some(Scheme::Https) => json("https"),
        Some(Scheme::Other(name)) => json(&name),
        None => "null".into(),
    };
    let authority = request.authority().map_or("null".into(), |authority| json(&authority));
    let headers = request.headers().entries();
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("[{},{}]", json(name), json(&String::from_utf8_lossy(value))))
        .collect();
    format!(
        "{{\"method\":{},\"scheme\":{scheme},\"authority\":{authority},\"path\":{},\"query\":{},\
        \"headers\":[{}]}}\n",
        json(&method),
        json(&path),
        json(&query),
        headers.join(",")
    )
}
