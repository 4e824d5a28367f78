//! Bytes of a connection of HTTP/1.1: the same ones get the same answer however they are cut, and what passes is
//! what the parser behind sees. It never speaks to one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shield::http1::{Framer, Step};

const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The lengths of heads and bodies, and how it ended; windows grow by `cut` bytes.
fn judge(bytes: &[u8], cut: usize) -> (Vec<(usize, usize)>, Step) {
    let (mut framer, mut messages) = (Framer::new(HEAD_BYTES_MAX), Vec::new());
    let (mut from, mut upto) = (0, 0);
    loop {
        match framer.step(&bytes[from..upto]) {
            Step::Head(length) => {
                messages.push((length, 0));
                from += length;
            }
            Step::Body(length) => {
                messages.last_mut().expect("a body has a head").1 += length;
                from += length;
            }
            Step::More if upto < bytes.len() => upto = (upto + cut).min(bytes.len()),
            ended => return (messages, ended),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let whole = judge(bytes, bytes.len().max(1));
    assert_eq!(judge(bytes, usize::from(*cut).max(1)), whole);
    let mut rest = bytes;
    for (head, body) in whole.0 {
        let mut lines = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut lines);
        assert_eq!(request.parse(&rest[..head]), Ok(httparse::Status::Complete(head)));
        request.path.expect("a target").parse::<http::Uri>().expect("a target that everyone reads");
        http::Method::from_bytes(request.method.expect("a method").as_bytes()).expect("a method");
        for line in request.headers.iter() {
            http::HeaderName::from_bytes(line.name.as_bytes()).expect("a name");
            http::HeaderValue::from_bytes(line.value).expect("a value");
        }
        rest = &rest[head + body..];
    }
});
