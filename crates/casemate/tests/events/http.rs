//! HTTP: a receiver that fails, asks for patience, takes, and refuses for good; and what is no valid sink.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    node, parsed,
    receiver::{Asked, Receiver, Tls, answers, certificate},
    refused, report, sequences, tells_of, wait_for,
};
use crate::support::Home;

const TAKEN: &str = "HTTP/1.1 204 No Content\r\n\r\n";

type Heard = Arc<Mutex<Vec<(Instant, Asked)>>>;

/// A receiver that gives these answers one after the other, and takes all after them.
fn receiver(home: &Home, script: &[&str]) -> (Receiver, Heard) {
    let tls = certificate(home.path(), "receiver", "localhost");
    let heard = Heard::default();
    let script = Arc::new(Mutex::new(script.iter().rev().map(|s| (*s).to_owned()).collect::<Vec<_>>()));
    let kept = heard.clone();
    let serve = move |stream: Tls| {
        answers(stream, |asked| {
            kept.lock().unwrap().push((Instant::now(), asked));
            script.lock().unwrap().pop().unwrap_or_else(|| TAKEN.to_owned())
        });
    };
    (Receiver::start(0, tls, serve), heard)
}

fn config(port: u16, more: &str) -> String {
    format!(
        "[[events.sink]]\nkind = \"http\"\nname = \"siem\"\nurl = \"https://localhost:{port}/ingest?source=node\"\n\
         ca = \"receiver.pem\"\n{more}"
    )
}

#[test]
fn a_receiver_that_fails_and_asks_for_patience_gets_all_in_order() {
    let home = Home::new();
    fs::write(home.path().join("token"), "s3cret\n").unwrap();
    fs::set_permissions(home.path().join("token"), fs::Permissions::from_mode(0o600)).unwrap();
    let (receiver, heard) = receiver(
        &home,
        &[
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy",
        ],
    );
    let more = "what = [\"all\"]\ntoken_file = \"token\"\n";
    let node = node(home, &config(receiver.port, more));
    let id = refused(&node);
    let taken = || -> Vec<Value> {
        let heard = heard.lock().unwrap();
        heard.iter().skip(3).flat_map(|(_, asked)| parsed(&asked.body)).collect()
    };
    let all = wait_for("the refusal", || Some(taken()).filter(|all| all.iter().any(|e| tells_of(e, &id))));
    let numbers = sequences(&all);
    let (low, high) = (numbers[0], *numbers.last().unwrap());
    assert_eq!(numbers, (low..=high).collect::<Vec<_>>(), "in order, and no gap");
    let heard = heard.lock().unwrap();
    let (_, asked) = &heard[0];
    for part in ["POST /ingest?source=node HTTP/1.1", "application/x-ndjson", "authorization: Bearer s3cret"]
    {
        assert!(asked.head.contains(part), "`{part}` is not in\n{}", asked.head);
    }
    // The same begins each batch that was not taken, and is not sent before its time.
    let first = |n: usize| parsed(&heard[n].1.body)[0]["metadata"]["uid"].clone();
    assert!((1..4).all(|n| first(n) == first(0)));
    assert!(heard[2].0 - heard[1].0 >= Duration::from_secs(2), "`Retry-After` is not honoured");
    drop(heard);
    assert!(!node.log().contains("s3cret"));
}

#[test]
fn a_batch_that_is_refused_for_good_is_counted_and_the_next_goes_on() {
    let home = Home::new();
    let (receiver, heard) = receiver(&home, &["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"]);
    let node = node(home, &config(receiver.port, "format = \"json\"\n"));
    wait_for("the refusal of a batch", || (!report(&node, "siem").contains(" 0 refused")).then_some(()));
    let id = refused(&node);
    let all = wait_for("the next", || {
        let heard = heard.lock().unwrap();
        let batches: Vec<Value> =
            heard.iter().skip(1).map(|(_, asked)| serde_json::from_str(&asked.body).unwrap()).collect();
        let all: Vec<Value> = batches.iter().flat_map(|batch| batch.as_array().unwrap().clone()).collect();
        all.iter().any(|e| tells_of(e, &id)).then_some(all)
    });
    assert!(!all.iter().any(|e| e["type_uid"] == 600_203), "what was refused is not sent again");
    assert!(heard.lock().unwrap()[0].1.head.contains("application/json"));
}

#[test]
fn a_batch_that_is_too_large_is_sent_in_parts() {
    let home = Home::new();
    let tls = certificate(home.path(), "receiver", "localhost");
    let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = taken.clone();
    // It takes one event at a time.
    let serve = move |stream: Tls| {
        answers(stream, |asked| {
            let events = parsed(&asked.body);
            if events.len() > 1 {
                return "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n".to_owned();
            }
            kept.lock().unwrap().extend(events);
            TAKEN.to_owned()
        });
    };
    let receiver = Receiver::start(0, tls, serve);
    let node = node(home, &config(receiver.port, "what = [\"all\"]\n"));
    let id = refused(&node);
    let all = wait_for("the refusal", || {
        let taken = taken.lock().unwrap().clone();
        taken.iter().any(|e| tells_of(e, &id)).then_some(taken)
    });
    let numbers = sequences(&all);
    let (low, high) = (numbers[0], *numbers.last().unwrap());
    assert_eq!(numbers, (low..=high).collect::<Vec<_>>(), "in order, and no gap");
    assert!(report(&node, "siem").contains(" 0 refused"));
}

#[test]
fn a_node_does_not_start_on_a_sink_that_is_none() {
    let home = Home::new();
    fs::write(home.path().join("open"), "s3cret").unwrap();
    fs::set_permissions(home.path().join("open"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(home.path().join("no.pem"), "no certificate").unwrap();
    let http = "[[events.sink]]\nkind = \"http\"\nurl = \"https://localhost:1/\"\n";
    for (config, code, says) in [
        (format!("{http}token_file = \"open\"\n"), 8, "open to others"),
        (format!("{http}token_file = \"none\"\n"), 8, "No such file"),
        (format!("{http}ca = \"no.pem\"\n"), 8, "no certificate in it"),
        ("[[events.sink]]\nkind = \"http\"\nurl = \"http://localhost/\"\n".to_owned(), 2, "https"),
    ] {
        fs::write(home.path().join("node.toml"), &config).unwrap();
        let data = home.path().join("data");
        let args =
            ["up", "--config", "node.toml", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let ran = home.run(&[&args[..], &["--control", "127.0.0.1:0"]].concat());
        assert!(ran.err.contains(says), "`{says}` is not in {ran:?}");
        assert!(ran.code != 0, "{code}: {ran:?}");
    }
}
