//! SecLang text: refused, or a plan that answers a request the same with and without its prefilter. What follows a zero
//! byte is the request's query, and what follows a second one its body. It reads no files.

use std::sync::Arc;

use waf::{Head, NoFiles, Plan, Rules, Settings, Source, World};

fn told(rules: &Arc<Rules>, (query, body): (&[u8], &[u8]), unfiltered: bool) -> Option<Vec<u64>> {
    let plan = Plan::new(rules, &Settings { unfiltered, ..Settings::default() }).ok()?;
    let mut transaction = plan.transaction(World { clock: &|| 0, epoch_s: 0, memory: None });
    let headers: [(&[u8], &[u8]); 2] =
        [(b"host", b"a.example"), (b"content-type", b"application/x-www-form-urlencoded")];
    let address = ([192, 0, 2, 1], 80).into();
    transaction.request_head(&Head {
        method: b"POST",
        uri: &[b"/a/../b?", query].concat(),
        protocol: b"HTTP/1.1",
        headers: &headers,
        peer: address,
        server: address,
        id: "1",
    });
    transaction.request_body(body);
    Some(transaction.finish().matches.iter().map(|one| one.rule).collect())
}

/// What must hold of any bytes.
pub(crate) fn holds(input: &[u8]) {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let text = parts.next().and_then(|text| std::str::from_utf8(text).ok());
    let query = parts.next().unwrap_or(b"c=%27or+1&d=<e>");
    let body = parts.next().unwrap_or(b"f=select+1&g=../..");
    let Some(Ok(rules)) = text.map(|text| Rules::load(&[Source { name: "a.conf", text }], &NoFiles)) else {
        return;
    };
    let rules = Arc::new(rules);
    assert_eq!(told(&rules, (query, body), false), told(&rules, (query, body), true));
}
