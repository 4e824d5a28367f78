//! Lists of addresses and what forwarders say of sources: nothing is taken that does not read back as itself. It never
//! reads a file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shield::{At, Cidr, Entry, ForwardHeader, Forwarders, Sets};

fuzz_target!(|text: &str| {
    if let Ok(entry) = text.parse::<Entry>() {
        assert_eq!(entry.to_string().parse::<Entry>().as_ref(), Ok(&entry));
    }
    let at = At { now: model::Timestamp::default(), now_ms: 0 };
    let mut sets = Sets::default();
    assert_eq!(sets.put("fuzzed", text, at).is_ok(), sets.has("fuzzed"));
    let inside: Cidr = "10.0.0.0/8".parse().expect("a range");
    let (peer, seen) = ([10, 0, 0, 1].into(), [203, 0, 113, 9].into());
    for header in [ForwardHeader::XForwardedFor, ForwardHeader::Forwarded] {
        let requests = [inside].into_iter().collect();
        let forwarders = Forwarders { requests, header, ..Forwarders::default() };
        let mut headers = http::HeaderMap::new();
        // What a forwarder adds at the right is who it was, whatever its client wrote before, or nobody is.
        let line = format!("{text}, {}", header.of(seen));
        let Ok(value) = http::HeaderValue::try_from(line) else { return };
        headers.insert(header.name(), value);
        if let Ok(found) = forwarders.source(peer, &headers, 0) {
            assert_eq!(found, Some(seen), "{text}");
        }
    }
});
