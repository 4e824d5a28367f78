//! What runs do is learned, approved and then told of or refused, on a node whose functions call two places.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
};

use crate::{
    sources::{Client, TENANT, detail, node, node_by, node_in, signals, status, the_signal},
    stepping::SteppingClock,
    support::{TestNode, guest},
};

/// Something that answers every request with `ok`, until the test ends.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

fn manifest(profile: &str, places: &[SocketAddr]) -> String {
    let grants = places.iter().map(|place| format!("[[capabilities.http]]\nurl = \"http://{place}/...\"\n"));
    // Rules would refuse an address in a parameter, which is what these functions are asked with.
    format!("{TENANT}[shield]\nmode = \"off\"\n[shield.profile]\n{profile}{}", grants.collect::<String>())
}

fn profile(node: &TestNode, what: &str) -> serde_json::Value {
    node.run(&["shield", "profile", what, "outbound", "--output", "json"]).ok().json()
}

#[test]
fn what_was_never_seen_is_refused_where_that_is_wanted() {
    let (one, two) = (upstream(), upstream());
    let node = node("");
    node.deploy(
        "outbound",
        &guest("outbound"),
        &manifest("mode = \"enforce\"\napprove = true\n", &[one, two]),
    );
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let client = Client::at(&node, [127, 0, 0, 1]);
    let call = |client: &Client, place: SocketAddr| {
        client.get(&format!("/outbound?url=http://{place}/x"), Some(&token))
    };
    node.run(&["shield", "profile", "approve", "outbound"]).fails(1, "nothing was learned");
    client.many(&format!("/outbound?url=http://{one}/x"), &token, 20);
    let shown = profile(&node, "show");
    assert_eq!((shown["stage"].as_str(), shown["runs"].as_u64()), (Some("learning"), Some(20)), "{shown}");
    let steps = shown["steps"].to_string();
    assert!(steps.contains(&format!("GET http://{one}")) && steps.contains("end"), "{steps}");
    assert_eq!(profile(&node, "approve")["stage"], "in-force");
    assert_eq!(call(&client, one).status, 200);
    assert!(signals(&node, "transition-unseen").is_empty());

    let refused = call(&client, two);
    assert_eq!(refused.status, 502, "a grant covers it, and no run was seen to do it: {refused:?}");
    // To answer without having called is new as well.
    let told = signals(&node, "transition-unseen");
    let said: Vec<&str> = told.iter().map(|signal| signal["said"].as_str().unwrap()).collect();
    assert!(said.len() == 2 && said[0].contains("`end` after `start`"), "{said:?}");
    assert!(said[1].contains(&format!("`GET http://{two}` after `start`")), "{said:?}");
    assert_eq!(told[1]["resource"], "Function::\"default/outbound\"");
    let events = node.records(&["--request", &refused.id()]);
    let why = events.iter().find(|event| event["code"] == "outbound-denied").unwrap();
    assert!(detail(why).contains("not in the function's profile"), "{events:?}");
    assert_eq!(call(&client, two).status, 502, "refused each time, told once");
    assert_eq!(signals(&node, "transition-unseen").len(), 2);

    // It is still so after a restart, and for the same component in another revision; another one is learned anew.
    let node = node_in(node.stop(), "");
    let client = Client::at(&node, [127, 0, 0, 1]);
    assert_eq!((call(&client, one).status, call(&client, two).status), (200, 502));
    let again = manifest("mode = \"enforce\"\napprove = false\n", &[one, two]);
    node.deploy("outbound", &guest("outbound"), &again);
    assert_eq!((call(&client, one).status, call(&client, two).status), (200, 502));
    assert_eq!(profile(&node, "reset")["stage"], "learning");
    assert_eq!(call(&client, two).status, 200);
    node.deploy("outbound", &guest("outbound"), &manifest("mode = \"alert\"\n", &[one]));
    let shown = profile(&node, "show");
    assert_eq!(
        (shown["stage"].as_str(), shown["runs"].as_u64()),
        (Some("learning"), Some(0)),
        "other grants"
    );
    assert_eq!(status(&node)["profiles"][0]["stage"], "learning");
}

#[test]
fn what_was_never_seen_is_told_of() {
    let one = upstream();
    let node = node("[shield.response]\nprofile = \"quarantine\"\n");
    node.deploy("outbound", &guest("outbound"), &manifest("", &[one]));
    node.deploy("echo", &guest("echo"), TENANT);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let client = Client::at(&node, [127, 0, 0, 1]);
    client.many(&format!("/outbound?url=http://{one}/x"), &token, 5);
    profile(&node, "approve");
    let twice = client.get(&format!("/outbound?url=http://{one}/x&times=2"), Some(&token));
    assert_eq!(twice.status, 200, "a signal tells of it, and it goes on");
    let signal = the_signal(&node, "transition-unseen");
    assert_eq!(signal["request"].as_str(), Some(&*twice.id()));
    let after = client.get(&format!("/outbound?url=http://{one}/x"), Some(&token));
    assert_eq!(after.status, 503, "the operator wants a quarantine: {after:?}");
    let action = signal["action"].as_str().unwrap();
    node.run(&["shield", "undo", action]).ok();
    assert_eq!(client.get(&format!("/outbound?url=http://{one}/x"), Some(&token)).status, 200);
}

#[test]
fn numbers_that_drift_are_told_of() {
    let node = node("");
    node.deploy("echo", &guest("echo"), TENANT);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let client = Client::at(&node, [127, 0, 0, 1]);
    client.many("/echo", &token, 200);
    node.run(&["shield", "profile", "approve", "echo"]).ok();
    client.many("/echo", &token, 300);
    let drift = || {
        let found = signals(&node, "drift");
        found.into_iter().filter(|signal| signal["said"].as_str().unwrap().contains("response_bytes")).count()
    };
    assert_eq!(drift(), 0, "{}", status(&node));
    // One large answer is an outlier; a hundred are a leak.
    let large = "x".repeat(100_000);
    for n in 0..100 {
        assert_eq!(client.ask("POST", "/echo", Some(&token), &large).status, 200);
        if n == 0 {
            client.many("/echo", &token, 100);
            assert_eq!(drift(), 0);
        }
    }
    assert_eq!(drift(), 1, "{}", status(&node));
}

#[test]
fn what_was_learned_is_in_force_when_its_time_is_over() {
    let (one, two, clock) = (upstream(), upstream(), SteppingClock::new());
    let node = node_by(&clock);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let client = Client::at(&node, [127, 0, 0, 1]);
    let path = |place: SocketAddr| format!("/outbound?url=http://{place}/x");
    let call = |place: SocketAddr| client.get(&path(place), Some(&token)).status;
    for (approve, stage, after) in [(false, "in-force", 502), (true, "waiting", 200)] {
        let learns = format!("mode = \"enforce\"\nlearn_minutes = 60\napprove = {approve}\n");
        node.deploy("outbound", &guest("outbound"), &manifest(&learns, &[one, two]));
        profile(&node, "reset");
        client.many(&path(one), &token, 99);
        clock.step(if approve { 3 } else { 1 } * 3_660);
        assert_eq!(profile(&node, "show")["stage"], "learning", "too few runs, however long it takes");
        assert_eq!((call(one), call(one)), (200, 200));
        assert_eq!(profile(&node, "show")["stage"], stage);
        assert_eq!((call(one), call(two)), (200, after), "{}", status(&node));
    }
}

#[test]
fn sudden_egress_is_told_of() {
    let one = upstream();
    let node = node("");
    node.deploy("outbound", &guest("outbound"), &manifest("", &[one]));
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let client = Client::at(&node, [127, 0, 0, 1]);
    let path = format!("/outbound?url=http://{one}/x&times=2");
    client.many(&path, &token, 10);
    profile(&node, "approve");
    client.many(&path, &token, 20);
    assert!(signals(&node, "egress").is_empty(), "{}", status(&node));
    client.many(&path, &token, 200);
    let signal = the_signal(&node, "egress");
    assert_eq!(signal["resource"], "Function::\"default/outbound\"");
    assert_eq!(signals(&node, "transition-unseen").len(), 0, "each run does what it always did");
}
