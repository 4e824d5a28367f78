//! The operator's certificate and key, changed under a node that serves.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gateway::tls::NodeCertificates;
use serde_json::Value;

use crate::{
    handshake::{Client, ask},
    support::{Home, TestNode},
    until,
};

fn made(days_ago: i64) -> NodeCertificates {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    NodeCertificates::generate(&names, now - days_ago * 86_400).unwrap()
}

/// What the command line of the first start trusts has to be in it.
fn chain(made: &NodeCertificates) -> String {
    format!("{}{}", made.certificate, made.ca)
}

fn write(home: &Home, certificate: &str, key: &str) {
    fs::write(home.path().join("chain.pem"), certificate).unwrap();
    fs::write(home.path().join("key.pem"), key).unwrap();
    fs::set_permissions(home.path().join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// Events about the files, the oldest first.
fn events(node: &TestNode) -> Vec<Value> {
    let mut all = node.records(&["--of-node"]);
    all.retain(|event| event["action"] == "replace-certificate");
    all.reverse();
    all
}

fn hang_up(node: &TestNode) {
    let pid =
        rustix::process::Pid::from_raw(i32::try_from(node.info["pid"].as_i64().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
}

#[test]
fn another_pair_is_shown_and_no_connection_ends() {
    let (first, second, third) = (made(0), made(0), made(0));
    let home = Home::new();
    write(&home, &chain(&first), &first.key);
    let node = TestNode::start_with(home, "[tls]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n");
    let client = |made: &NodeCertificates| Client::of(&node, &made.ca);
    let mut line = client(&first).shake("localhost", &["http/1.1"]).unwrap();
    assert_eq!(ask(&mut line, "localhost", "/nothing").unwrap(), 404);

    write(&node.home, &chain(&second), &second.key);
    until("the second pair", || client(&second).shown("localhost"));
    assert_eq!(client(&first).shown("localhost"), None, "the first is shown no more");
    assert_eq!(ask(&mut line, "localhost", "/nothing").unwrap(), 404, "the connection goes on");

    // At once, for whoever asks for it.
    write(&node.home, &chain(&third), &third.key);
    hang_up(&node);
    until("the third pair", || client(&third).shown("localhost"));
    assert_eq!(ask(&mut line, "localhost", "/nothing").unwrap(), 404);
}

#[test]
fn a_pair_that_does_not_hold_changes_nothing() {
    let (first, other, old, soon) = (made(0), made(0), made(500), made(-500));
    let home = Home::new();
    write(&home, &chain(&first), &first.key);
    let node = TestNode::start_with(home, "[tls]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n");
    let client = Client::of(&node, &first.ca);
    let shown = client.shown("localhost").unwrap();
    let key = node.home.path().join("key.pem");
    let wrong: [(&str, &dyn Fn()); 7] = [
        ("TLS cannot be set up", &|| write(&node.home, &chain(&first), &other.key)),
        ("TLS cannot be set up", &|| write(&node.home, &chain(&other), &first.key)),
        ("ended at", &|| write(&node.home, &chain(&old), &old.key)),
        ("begins at", &|| write(&node.home, &chain(&soon), &soon.key)),
        ("there is no certificate", &|| write(&node.home, "", &first.key)),
        ("is open to others", &|| {
            write(&node.home, &chain(&first), &first.key);
            fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("cannot read", &|| fs::remove_file(&key).unwrap()),
    ];
    for (index, (says, break_it)) in wrong.iter().enumerate() {
        break_it();
        hang_up(&node);
        let found = until(says, || {
            (client.shown("localhost")? == shown).then(|| events(&node)).filter(|all| all.len() > index)
        });
        assert_eq!(found.len(), index + 1, "one event for each change: {found:?}");
        let last = &found[index];
        assert_eq!(
            (last["allowed"].as_bool(), last["code"].as_str()),
            (Some(false), Some("certificate-refused"))
        );
        assert!(last["detail"].as_str().unwrap().contains(says), "{says}: {last}");
        assert_eq!(client.shown("localhost").as_ref(), Some(&shown));
    }
    // What is wrong once is told once, however often it is looked at.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(events(&node).len(), wrong.len());
    write(&node.home, &chain(&other), &other.key);
    let client = Client::of(&node, &other.ca);
    until("a pair that holds", || client.shown("localhost"));
}
