//! A grant and a target, the grant on the first line: both refused, or read in one way. It never calls out.
#![no_main]

use egress::Destinations;
use http::{Method, Uri};
use libfuzzer_sys::fuzz_target;
use model::OutboundGrant;

fuzz_target!(|text: &str| {
    let (url, target) = text.split_once('\n').unwrap_or((text, text));
    let Ok(granted) = Destinations::parse(&[OutboundGrant { url: url.to_owned(), methods: Vec::new() }])
    else {
        return;
    };
    let Ok(uri) = target.parse::<Uri>() else { return };
    assert!(granted.permits(&Method::POST, &uri).is_err(), "a method that is not granted");
    if granted.permits(&Method::GET, &uri).is_ok() {
        let grant: Uri = url.parse().expect("a grant is a URL");
        let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
        assert_eq!((host(&uri), uri.scheme()), (host(&grant), grant.scheme()));
        assert!(egress::function(&uri).is_none_or(|name| name.is_ok()), "a function's name in an odd form");
        assert_eq!(egress::function(&uri), egress::function(&grant), "another function than was granted");
    }
});
