//! Syslog over TLS: frames, a receiver that goes away and comes back, one that never reads, and one that is not who
//! it should be.

use std::sync::{Arc, Mutex, atomic::Ordering::SeqCst};

use serde_json::Value;

use super::{
    node,
    receiver::{Receiver, Tls, certificate, messages},
    refused, report, sequences, tells_of, wait_for,
};
use crate::support::Home;

fn config(port: u16, more: &str) -> String {
    format!(
        "[[events.sink]]\nkind = \"syslog\"\naddress = \"localhost:{port}\"\nca = \"receiver.pem\"\n\
         what = [\"all\"]\n{more}"
    )
}

/// The events in messages, each of which is as RFC 5424 says.
fn events(heard: &Mutex<Vec<String>>) -> Vec<Value> {
    let heard = heard.lock().unwrap().clone();
    let event = |message: &String| {
        let fields: Vec<&str> = message.splitn(7, ' ').collect();
        let [first, time, host, app, process, id, rest] = fields.try_into().expect("seven fields");
        let priority: u32 = first.strip_prefix('<').unwrap().strip_suffix(">1").unwrap().parse().unwrap();
        assert!((104..=111).contains(&priority), "{message}");
        assert!(time.ends_with('Z') && host == "localhost" && app == "casemate", "{message}");
        assert!(process.parse::<u32>().is_ok() && !id.is_empty(), "{message}");
        let (data, json) = rest.split_once("] {").unwrap();
        assert!(data.starts_with("[meta sequenceId=\""), "{message}");
        let event: Value = serde_json::from_str(&format!("{{{json}")).unwrap();
        assert_eq!(event["metadata"]["event_code"], id);
        event
    };
    heard.iter().map(event).collect()
}

#[test]
fn a_receiver_that_goes_away_gets_all_when_it_is_back() {
    let home = Home::new();
    let tls = certificate(home.path(), "receiver", "localhost");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let serve = {
        let heard = heard.clone();
        move |stream: Tls| messages(stream, &heard)
    };
    let receiver = Receiver::start(0, tls.clone(), serve.clone());
    let port = receiver.port;
    let node = node(home, &config(port, ""));
    let first = refused(&node);
    wait_for("the first", || events(&heard).iter().any(|e| tells_of(e, &first)).then_some(()));

    drop(receiver);
    let away: Vec<String> = (0..20).map(|_| refused(&node)).collect();
    wait_for("the failure", || report(&node, "syslog").contains("; at ").then_some(()));
    let _back = Receiver::start(port, tls, serve);
    let last = refused(&node);
    let all =
        wait_for("the last", || Some(events(&heard)).filter(|all| all.iter().any(|e| tells_of(e, &last))));
    for id in &away {
        assert!(all.iter().any(|e| tells_of(e, id)), "{id} is lost");
    }
    let numbers = sequences(&all);
    let (low, high) = (numbers[0], *numbers.last().unwrap());
    assert_eq!(numbers, (low..=high).collect::<Vec<_>>(), "in order, and no gap");
    let uid = |e: &Value| e["metadata"]["uid"].as_str().unwrap().to_owned();
    assert!(all.iter().all(|e| uid(e).ends_with(&format!("-{}", e["metadata"]["sequence"]))));
    wait_for("good standing", || (!report(&node, "syslog").contains("; at ")).then_some(()));
}

#[test]
fn a_receiver_that_never_reads_holds_nobody_up_and_drops_are_counted_and_told() {
    let home = Home::new();
    let tls = certificate(home.path(), "receiver", "localhost");
    let (heard, reads) =
        (Arc::new(Mutex::new(Vec::new())), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let serve = {
        let (heard, reads) = (heard.clone(), reads.clone());
        move |stream: Tls| {
            // Not even the handshake is answered.
            while !reads.load(SeqCst) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            messages(stream, &heard);
        }
    };
    let receiver = Receiver::start(0, tls, serve);
    let node = node(home, &config(receiver.port, "behind_max = 20\n"));
    let start = std::time::Instant::now();
    let mut ids: Vec<String> = (0..60).map(|_| refused(&node)).collect();
    let took = start.elapsed();
    assert!(took.as_secs() < 30, "sixty refusals took {took:?}");
    wait_for("the failure", || report(&node, "syslog").contains("; at ").then_some(()));
    reads.store(true, SeqCst);
    ids.push(refused(&node));
    let told = |e: &Value| e["activity_name"] == "events-dropped";
    let all = wait_for("what was dropped", || Some(events(&heard)).filter(|all| all.iter().any(told)));
    let all = match all.iter().any(|e| tells_of(e, ids.last().unwrap())) {
        true => all,
        false => wait_for("the last", || {
            Some(events(&heard)).filter(|all| all.iter().any(|e| tells_of(e, ids.last().unwrap())))
        }),
    };
    assert!(!all.iter().any(|e| tells_of(e, &ids[0])), "the oldest are passed over");
    let dropped = all.iter().find(|e| told(e)).unwrap();
    assert_eq!(dropped["status_code"], "sink-behind", "{dropped:#}");
    let said = report(&node, "syslog");
    let number: u64 = said.split(", ").nth(3).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(number >= 40, "{said}");
    assert!(dropped["status_detail"].as_str().unwrap().contains(" records, "), "{dropped:#}");
}

#[test]
fn a_receiver_of_another_name_gets_nothing() {
    let home = Home::new();
    let tls = certificate(home.path(), "receiver", "elsewhere.example");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let serve = {
        let heard = heard.clone();
        move |stream: Tls| messages(stream, &heard)
    };
    let receiver = Receiver::start(0, tls, serve);
    let node = node(home, &config(receiver.port, ""));
    refused(&node);
    let said =
        wait_for("the failure", || Some(report(&node, "syslog")).filter(|said| said.contains("; at ")));
    assert!(said.contains("did not prove its name") && said.contains(" 0 delivered"), "{said}");
    assert!(receiver.connections.load(SeqCst) >= 1 && heard.lock().unwrap().is_empty());
}
