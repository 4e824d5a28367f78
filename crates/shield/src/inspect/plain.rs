//! Requests that everybody sends: rules that refuse one of them are of no use to a node. It never looks at a real one.

use http::Request;

use super::{Asked, Finding, Guard, Now};
use crate::Peer;

/// Method, target, media type and body.
const PLAIN: [(&str, &str, &str, &str); 4] = [
    ("GET", "/", "", ""),
    ("GET", "/orders/17?page=2&sort=name", "", ""),
    ("POST", "/orders", "application/json", "{\"name\":\"a lamp\",\"count\":2}"),
    ("POST", "/login", "application/x-www-form-urlencoded", "name=ada&remember=on"),
];

/// What rules find in the first plain request that they refuse.
pub fn refuses_everybody(guard: &Guard) -> Option<Finding> {
    PLAIN.iter().find_map(|(method, target, media, body)| {
        let mut request = Request::builder().method(*method).uri(*target).header("host", "example.com");
        request = request.header("user-agent", "curl/8.9.1").header("accept", "*/*");
        if !body.is_empty() {
            request = request.header("content-type", *media).header("content-length", body.len());
        }
        let (head, ()) = request.body(()).ok()?.into_parts();
        let address = std::net::SocketAddr::from(([192, 0, 2, 1], 40_000));
        let peer = Peer { address, tls: true, server_name: None, certificate: None };
        let asked = Asked::of(&head, &peer, bytes::Bytes::from_static(body.as_bytes()), true);
        let now = Now { clock: &|| 0, epoch_s: 0, memory: None };
        guard.ask_again(&asked, "plain", now).filter(|finding| finding.refused.is_some())
    })
}
