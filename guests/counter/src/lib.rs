//! Counts its own calls in a static, for WASI 0.2. It never answers but `1` where instances are fresh.

use std::sync::atomic::{AtomicU64, Ordering};

use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wasip2::http::proxy::export!(Counter);

struct Counter;

static CALLS: AtomicU64 = AtomicU64::new(0);

impl wasip2::exports::http::incoming_handler::Guest for Counter {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        answer::send(out, 200, "text/plain", calls.to_string().as_bytes());
    }
}
