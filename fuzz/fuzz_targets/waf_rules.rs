//! SecLang text: refused, or a plan that answers a request the same with and without its prefilter. It reads no files.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use waf::{Head, NoFiles, Plan, Rules, Settings, Source, World};

fn told(rules: &Arc<Rules>, unfiltered: bool) -> Option<Vec<u64>> {
    let plan = Plan::new(rules, &Settings { unfiltered, ..Settings::default() }).ok()?;
    let mut transaction = plan.transaction(World { clock: &|| 0, epoch_s: 0, memory: None });
    let headers: [(&[u8], &[u8]); 2] =
        [(b"host", b"a.example"), (b"content-type", b"application/x-www-form-urlencoded")];
    let address = ([192, 0, 2, 1], 80).into();
    transaction.request_head(&Head {
        method: b"POST",
        uri: b"/a/../b?c=%27or+1&d=<e>",
        protocol: b"HTTP/1.1",
        headers: &headers,
        peer: address,
        server: address,
        id: "1",
    });
    transaction.request_body(b"f=select+1&g=../..");
    Some(transaction.finish().matches.iter().map(|one| one.rule).collect())
}

fuzz_target!(|text: &str| {
    if let Ok(rules) = Rules::load(&[Source { name: "a.conf", text }], &NoFiles) {
        let rules = Arc::new(rules);
        assert_eq!(told(&rules, false), told(&rules, true));
    }
});
