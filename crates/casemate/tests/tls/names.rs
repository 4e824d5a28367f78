//! By which names a node answers (RFC 6066 §3, RFC 7301 §3.2): by those in its certificates that are somebody's.

use std::fs;

use crate::{
    handshake::{Client, address, ask},
    support::TestNode,
    until,
};

fn own(node: &TestNode) -> String {
    fs::read_to_string(node.info["ca"].as_str().unwrap()).unwrap()
}

#[test]
fn a_node_answers_by_its_names_and_its_tenants() {
    let node = TestNode::start();
    node.run(&["tenant", "create", "acme"]).ok();
    let ca = own(&node);
    for url in [node.functions(), node.control()] {
        let client = Client::at(address(url), &ca);
        for name in ["localhost", "LOCALHOST", "acme.localhost", "default.localhost", "127.0.0.1"] {
            for alpn in [&["h2", "http/1.1"][..], &["http/1.1"], &["x", "h2"], &[]] {
                let line = client.shake(name, alpn);
                assert!(line.is_ok(), "{url} {name} {alpn:?}: {line:?}");
            }
        }
        for name in [
            "nobody.localhost",
            "a.acme.localhost",
            "acme.example.com",
            "example.com",
            "localhost.example.com",
        ] {
            let said = client.shake(name, &["h2"]).expect_err(name).to_string();
            assert!(said.contains("UnrecognisedName"), "{url} {name}: {said}");
        }
        for alpn in [&["h3"][..], &["spdy/3", "http/1.0"], &["acme-tls/1"]] {
            let said = client.shake("localhost", alpn).expect_err("no protocol").to_string();
            assert!(said.contains("NoApplicationProtocol"), "{url} {alpn:?}: {said}");
        }
    }
    // The record has it, of the node: no tenant was asked for.
    for code in ["server-name-unknown", "no-application-protocol"] {
        until(code, || {
            let events = node.records(&["--of-node"]);
            events.into_iter().find(|event| event["code"] == code && event["kind"] == "refusal")
        });
    }
    // A name is good for what it is a name of: another host on the connection is another's.
    let mut line = Client::of(&node, &ca).shake("acme.localhost", &["http/1.1"]).unwrap();
    assert_eq!(ask(&mut line, "localhost", "/").unwrap(), 421);
}
