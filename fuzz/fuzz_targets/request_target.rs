//! A request's target as the screen sees it: what passes has one reading. It never identifies anyone.
#![no_main]

use http::{Request, Uri};
use libfuzzer_sys::fuzz_target;
use shield::{Peer, Shield, ShieldConfig};

fuzz_target!(|data: &[u8]| {
    let Ok(uri) = Uri::try_from(data) else { return };
    let request = Request::get(uri).header("host", "localhost").body(()).expect("a request");
    let address = "192.0.2.7:5000".parse().expect("an address");
    let peer = Peer { address, tls: true, server_name: None };
    let (head, body) = request.into_parts();
    if let Ok(screened) = Shield::new(ShieldConfig::default()).screen(head, body, &peer, 0) {
        let path = screened.head().uri.path();
        assert!(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
        let mut parts = path.split('/').skip(1).peekable();
        while let Some(part) = parts.next() {
            assert!(!matches!(part, "." | ".."), "a dot segment in {path:?}");
            assert!(!part.is_empty() || parts.peek().is_none(), "an empty segment in {path:?}");
        }
    }
});
