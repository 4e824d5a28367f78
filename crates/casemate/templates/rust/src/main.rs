//! `{{name}}`: answers HTTP requests. What it says is in `greeting.rs`, which knows nothing of HTTP.

mod greeting;

#[cfg(target_family = "wasm")]
use wstd::http::{Body, Error, Request, Response};

#[cfg(target_family = "wasm")]
#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let text = greeting::greet(request.uri().query().unwrap_or_default());
    Ok(Response::builder().header("content-type", "text/plain; charset=utf-8").body(text.into())?)
}

#[cfg(not(target_family = "wasm"))]
fn main() {
    println!("{}", greeting::greet(""));
}
