//! Certificates by ACME, from a node's first order to what it shows after a restart without its authority.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    handshake::{Client, address},
    pebble::{Passage, Pebble},
    support::{Home, TestNode},
    until,
};

const NAMES: [&str; 2] = ["api.example.com", "fn.example.com"];

fn config(home: &Home, pebble: &Pebble, more: &str) -> String {
    fs::write(home.path().join("directory.pem"), &pebble.directory_ca).unwrap();
    format!(
        "[tls.acme]\ndirectory = \"{}\"\ndirectory_ca = \"directory.pem\"\naccept_terms = true\n\
         contact = [\"mailto:ops@example.com\"]\nnames = [\"{}\", \"{}\"]\n{more}",
        pebble.directory, NAMES[1], NAMES[0]
    )
}

/// The node's events of an action.
fn events(node: &TestNode, action: &str) -> Vec<Value> {
    let mut all = node.records(&["--of-node"]);
    all.retain(|event| event["action"] == action);
    all
}

/// Whether any file below a folder holds a text.
fn holds(folder: &Path, text: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, text);
        }
        fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text))
    })
}

#[test]
fn in_a_handshake_from_the_first_order_to_a_renewal_and_a_restart() {
    let passage = Passage::new();
    let Some(mut pebble) = Pebble::start(&passage, 24) else { return };
    let home = Home::new();
    let config = config(&home, &pebble, "");
    let node = TestNode::start_with(home, &config);
    let own = Client::of(&node, &fs::read_to_string(node.info["ca"].as_str().unwrap()).unwrap());
    let before = own.shown("localhost").unwrap();
    passage.leads_to(address(node.functions()));

    let root = pebble.root();
    let issued = Client::of(&node, &root);
    let first = until("a certificate", || issued.shown(NAMES[0]));
    assert_eq!(issued.shown(NAMES[1]).as_ref(), Some(&first), "one certificate has all names");
    assert_eq!(own.shown("localhost"), Some(before), "for all else the node vouches itself");
    assert!(issued.shown("localhost").is_none() && own.shown("127.0.0.1").is_some());
    let said = issued.shake("other.example.com", &["h2"]).expect_err("no order has it").to_string();
    assert!(said.contains("UnrecognisedName"), "{said}");
    let obtained = until("an event", || events(&node, "obtain-certificate").pop());
    assert_eq!(obtained["allowed"], true, "{obtained}");
    assert!(obtained["detail"].as_str().unwrap().contains("api.example.com, fn.example.com"), "{obtained}");

    let second = until("a renewed certificate", || issued.shown(NAMES[0]).filter(|shown| *shown != first));
    let renewed = until("an event", || events(&node, "renew-certificate").pop());
    assert_eq!(renewed["allowed"], true, "{renewed}");
    assert_eq!(events(&node, "obtain-certificate").len(), 1);

    // From here on there is no authority: what it issued is shown on, after a restart too, however old it gets.
    pebble.stop();
    let last = issued.blind(NAMES[0]).unwrap();
    let data = node.data.clone();
    let home = node.stop();
    for secret in [&b"PRIVATE KEY"[..], b"key_pkcs8"] {
        assert!(!holds(&data, secret), "a key lies in the clear in {}", data.display());
    }
    let node = TestNode::start_with(home, &config);
    let issued = Client::of(&node, &root);
    assert_eq!(issued.blind(NAMES[0]).as_ref(), Some(&last));
    let failed = until("an order that fails", || {
        events(&node, "renew-certificate").into_iter().find(|event| event["allowed"] == false)
    });
    assert_eq!(failed["code"], "certificate-not-issued", "{failed}");
    assert_eq!(issued.blind(NAMES[0]), Some(last));
    assert_ne!(first, second);
}

#[test]
fn over_http_at_a_door_for_nothing_else() {
    let passage = Passage::new();
    let Some(pebble) = Pebble::start(&passage, 86_400) else { return };
    let home = Home::new();
    let config = config(&home, &pebble, "challenge = \"http-01\"\nhttp = \"127.0.0.1:0\"\n");
    let node = TestNode::start_with(home, &config);
    let door = node.info["challenges"].as_str().unwrap().to_owned();
    passage.leads_to(address(&door));
    let issued = Client::of(&node, &pebble.root());
    until("a certificate", || issued.shown(NAMES[0]));
    assert!(until("an event", || events(&node, "obtain-certificate").pop())["allowed"] == true);

    // It was told there, and is no more.
    let said = passage.said();
    let asked = said.split("GET ").filter_map(|rest| rest.split(' ').next()).find(|path| path.len() > 50);
    let asked = asked.unwrap_or_else(|| panic!("the authority asked for nothing: {said}")).to_owned();
    assert!(asked.starts_with("/.well-known/acme-challenge/"), "{asked}");
    for (method, path, status) in [
        ("GET", asked, 404),
        ("GET", "/".into(), 404),
        ("GET", "/healthz".into(), 404),
        ("POST", "/.well-known/acme-challenge/x".into(), 405),
    ] {
        let (found, head) = plain(&door, method, &path);
        assert_eq!(found, status, "{method} {path}: {head}");
        assert!(!head.to_lowercase().contains("location:"), "nothing is redirected: {head}");
    }
}

/// One request without TLS.
fn plain(door: &str, method: &str, path: &str) -> (u16, String) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address(door)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: api.example.com\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (text[9..12].parse().unwrap(), text)
}

#[test]
fn an_order_that_fails_changes_nothing() {
    let passage = Passage::new();
    let Some(pebble) = Pebble::start(&passage, 86_400) else { return };
    // The authority comes to a place where the node is not.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    passage.leads_to(nobody.local_addr().unwrap());
    drop(nobody);
    let home = Home::new();
    let config = config(&home, &pebble, "");
    let node = TestNode::start_with(home, &config);
    let own = Client::of(&node, &fs::read_to_string(node.info["ca"].as_str().unwrap()).unwrap());
    let failed = until("an event", || events(&node, "obtain-certificate").pop());
    assert_eq!(
        (failed["allowed"].as_bool(), failed["code"].as_str()),
        (Some(false), Some("certificate-not-issued"))
    );
    let detail = failed["detail"].as_str().unwrap();
    assert!(detail.contains("could not see that `") && detail.contains("tried again in "), "{detail}");
    assert!(own.shown("localhost").is_some() && own.shown("127.0.0.1").is_some());
    let said = own.shake(NAMES[0], &["h2"]).expect_err("there is no certificate").to_string();
    assert!(said.contains("UnrecognisedName"), "{said}");
    assert!(node.log().contains("no certificate was issued"), "{}", node.log());
}

#[test]
fn an_authority_that_is_not_the_one_that_is_trusted() {
    let passage = Passage::new();
    let Some(pebble) = Pebble::start(&passage, 86_400) else { return };
    let home = Home::new();
    let config = config(&home, &pebble, "").replace("directory_ca = \"directory.pem\"\n", "");
    let node = TestNode::start_with(home, &config);
    let failed = until("an event", || events(&node, "obtain-certificate").pop());
    assert_eq!(failed["allowed"], false);
    assert!(failed["detail"].as_str().unwrap().contains("did not prove its name"), "{failed}");
}
