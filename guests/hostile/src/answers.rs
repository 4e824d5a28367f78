//! Attacks that answer badly: not at all, too much, too slowly, with what no answer may carry.

use answer::Body;
use wasip2::http::types::{ErrorCode, ResponseOutparam};

use crate::Call;
use crate::hogs::pause;

/// A text that stands for what must never leave a node: an inner error, a secret.
const INNER: &str = "s3cret-inner-detail at /srv/app/secret.rs:42";

/// Traps.
pub(crate) fn trap(_call: Call) {
    core::arch::wasm32::unreachable()
}

/// Panics with an inner detail in its message.
pub(crate) fn panic(_call: Call) {
    panic!("{INNER}")
}

/// Ends the program, with code `n` (1 by default), instead of answering.
pub(crate) fn exit(call: Call) {
    std::process::exit(call.n(1) as i32)
}

/// Returns without an answer.
pub(crate) fn none(_call: Call) {}

/// Answers with an error that holds an inner detail.
pub(crate) fn error_code(call: Call) {
    ResponseOutparam::set(call.out, Err(ErrorCode::InternalError(Some(INNER.into()))));
}

fn start(call: Call) -> Option<Body> {
    Body::start(call.out, 200, &[("content-type".into(), b"application/octet-stream".to_vec())]).ok()
}

/// An answer without end.
pub(crate) fn endless(call: Call) {
    let Some(mut body) = start(call) else { return };
    while body.write(&[b'x'; 16 * 1024]).is_ok() {}
}

/// A byte every `n` milliseconds (1,000 by default), without end.
pub(crate) fn drip(call: Call) {
    let every = call.n(1_000);
    let Some(mut body) = start(call) else { return };
    while body.write(b"x").is_ok() {
        pause(every);
    }
}

/// `n` bytes, a gigabyte by default.
pub(crate) fn gigabyte(call: Call) {
    let mut left = call.n(1 << 30);
    let Some(mut body) = start(call) else { return };
    let piece = vec![b'x'; 64 * 1024];
    while left > 0 {
        let now = left.min(piece.len() as u64);
        if body.write(&piece[..now as usize]).is_err() {
            return;
        }
        left -= now;
    }
    body.finish();
}

fn with_headers(call: Call, headers: &[(String, Vec<u8>)]) {
    if let Ok(mut body) = Body::start(call.out, 200, headers) {
        let _ = body.write(b"accepted\n");
        body.finish();
    }
}

/// `n` headers, 10,000 by default.
pub(crate) fn many_headers(call: Call) {
    let headers: Vec<_> = (0..call.n(10_000)).map(|n| (format!("x-{n}"), b"y".to_vec())).collect();
    with_headers(call, &headers);
}

/// One header with a value of `n` bytes, a megabyte by default.
pub(crate) fn big_header(call: Call) {
    let value = vec![b'x'; call.n(1 << 20) as usize];
    with_headers(call, &[("x-big".into(), value)]);
}

/// A header that tries to end the head and to begin another answer.
pub(crate) fn split_header(call: Call) {
    let value = b"a\r\nset-cookie: stolen=1\r\n\r\n<script>".to_vec();
    with_headers(call, &[("x-split".into(), value)]);
}

/// Headers that belong to the connection, not to the function.
pub(crate) fn hop_headers(call: Call) {
    let headers =
        [("connection", "keep-alive, x-secret"), ("transfer-encoding", "chunked"), ("upgrade", "h2c")];
    with_headers(call, &headers.map(|(name, value)| (name.into(), value.into())));
}

/// Headers by which a function would speak for the node: its name, its security promises, another's cookie.
pub(crate) fn trusted_headers(call: Call) {
    let headers = [
        ("server", "not-casemate"),
        ("x-request-id", "forged"),
        ("strict-transport-security", "max-age=0"),
        ("access-control-allow-origin", "*"),
        ("alt-svc", "h3=\"evil.example:443\""),
        ("set-cookie", "session=stolen; Domain=localhost"),
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ];
    with_headers(call, &headers.map(|(name, value)| (name.into(), value.into())));
}

/// Promises `n` bytes (10 by default) and sends 9 (`accepted` and a line's end).
pub(crate) fn wrong_length(call: Call) {
    let length = call.n(10).to_string().into_bytes();
    with_headers(call, &[("content-length".into(), length)]);
}

/// Status `n`, 101 by default.
pub(crate) fn odd_status(call: Call) {
    let status = call.n(101) as u16;
    answer::send(call.out, status, "text/plain", b"accepted\n");
}

/// Waits `n` milliseconds (20,000 by default), and then answers well.
pub(crate) fn slow_first_byte(call: Call) {
    pause(call.n(20_000));
    answer::send(call.out, 200, "text/plain", b"late\n");
}

/// Sends the head and a byte, and then stands still for `n` milliseconds (a day by default).
pub(crate) fn idle_after_head(call: Call) {
    let still = call.n(86_400_000);
    let Some(mut body) = start(call) else { return };
    if body.write(b"x").is_ok() {
        pause(still);
        let _ = body.write(b"y");
        body.finish();
    }
}

/// Sends the head and a byte, and traps.
pub(crate) fn trap_after_head(call: Call) {
    if let Some(mut body) = start(call) {
        let _ = body.write(b"x");
        core::arch::wasm32::unreachable()
    }
}

/// Sends the head and a byte, and returns without ending the answer.
pub(crate) fn broken_off(call: Call) {
    if let Some(mut body) = start(call) {
        let _ = body.write(b"x");
    }
}

/// Answers without reading the request's body.
pub(crate) fn ignore_body(call: Call) {
    answer::send(call.out, 200, "text/plain", b"ignored\n");
}

/// Reads at most 1,000 bytes of the request's body, drops the rest, and answers.
pub(crate) fn drop_body(call: Call) {
    let body = call.request.consume().unwrap();
    let stream = body.stream().unwrap();
    let _ = stream.blocking_read(1_000);
    drop((stream, body));
    answer::send(call.out, 200, "text/plain", b"dropped\n");
}
