//! Functions of both worlds that misbehave, by every means that a language or plain WebAssembly has.

use std::{io::Read, time::Duration};

use model::{Digest, Fault};
use serde_json::{Value, json};

use crate::{
    support::guest,
    town::{TENANT, Town, header},
};

/// Short limits, but for what a loaded machine could mistake for another.
const LIMITS: &str = r#"
[[route]]
path = "/NAME/..."
[access]
allow = "tenant"
[[shield.exclude]]
tags = ["attack-ssrf"]
variables = ["ARGS:url"]
reason = "the test says whom it calls"
[limits]
cpu_ms = 300
wall_ms = 9000
memory_bytes = 67108864
first_byte_ms = 5000
idle_ms = 2000
host_calls = 20000
log_bytes = 4096
response_body_bytes = 1048576
response_header_bytes = 4096
outbound_calls = 5
"#;

const WORLDS: [&str; 2] = ["hostile", "hostile-p3"];

fn town() -> Town {
    let town = Town::new();
    for name in WORLDS {
        town.node.deploy(name, &guest(name), &LIMITS.replace("NAME", name));
    }
    town
}

/// A call over TLS ends with this status and code, for its caller, in the record and in the function's log.
fn check(town: &Town, function: &str, target: &str, status: u16, code: &str) {
    let answer = town.call("GET", target, b"");
    assert_eq!(answer.status, status, "{function} {target}: {}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{function} {target}: {problem}");
    assert!(
        problem.get("detail").is_none() && !answer.text().contains("s3cret"),
        "{function} {target}: {problem}"
    );
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let run = town.has_record(id, "run", code);
    assert!(run["usage"].is_object(), "{function} {target}: {run}");
    town.has_line(function, id, code);
}

#[test]
fn before_the_answer_begins() {
    let town = town();
    let of = |fault: Fault| (fault.status(), fault.code());
    for (what, fault) in [
        ("loop", Fault::CpuLimit),
        ("hostcall-loop", Fault::HostCallLimit),
        ("memory-bomb", Fault::MemoryLimit),
        ("recursion", Fault::StackLimit),
        ("trap", Fault::Trap),
        ("panic", Fault::Trap),
        ("exit", Fault::Exit),
        ("exit?n=0", Fault::Exit),
        ("error-code", Fault::GuestError),
        ("headers-10000", Fault::ResponseHeaderLimit),
        ("headers-10000?n=1000", Fault::ResponseHeaderLimit),
        ("header-big", Fault::ResponseHeaderLimit),
        ("header-big?n=5000", Fault::ResponseHeaderLimit),
        ("header-big?n=3000000", Fault::HostCallBytesLimit),
        ("fields-bomb", Fault::ResponseHeaderLimit),
        ("resource-bomb", Fault::HandleLimit),
    ] {
        let (status, code) = of(fault);
        for name in WORLDS {
            check(&town, name, &format!("/{name}/{what}"), status, code);
        }
        town.is_well(what);
    }
    for (name, what, fault) in [
        ("hostile", "no-answer", Fault::NoAnswer),
        // Its interface lets nobody return without an answer: there it waits for what never comes.
        ("hostile-p3", "no-answer", Fault::FirstByteLimit),
        ("hostile", "pollable-bomb", Fault::HandleLimit),
        ("hostile", "random-huge", Fault::RandomLimit),
        ("hostile", "status-odd", Fault::GuestError),
        ("hostile", "status-odd?n=199", Fault::GuestError),
        ("hostile-p3", "task-bomb", Fault::HandleLimit),
        ("hostile-p3", "stream-bomb", Fault::HandleLimit),
        ("hostile-p3", "future-bomb", Fault::HandleLimit),
        ("hostile-p3", "waitable-bomb", Fault::HandleLimit),
    ] {
        let (status, code) = of(fault);
        check(&town, name, &format!("/{name}/{what}"), status, code);
        town.is_well(what);
    }
    // Where the interface lets a host give less, it does.
    let answer = town.call("GET", "/hostile-p3/random-huge", b"");
    let most = model::limits::RANDOM_BYTES_MAX.to_string();
    assert_eq!((answer.status, answer.text()), (200, most));
}

/// What takes its time, all of it at once.
#[test]
fn too_late() {
    let town = town();
    std::thread::scope(|scope| {
        for name in WORLDS {
            for what in ["sleep", "slow-first-byte"] {
                let town = &town;
                let fault = Fault::FirstByteLimit;
                let target = format!("/{name}/{what}");
                scope.spawn(move || check(town, name, &target, fault.status(), fault.code()));
            }
            for (what, code) in [("drip", "wall-limit"), ("idle-after-head", "idle-limit")] {
                let town = &town;
                scope.spawn(move || after_the_head(town, name, what, code));
            }
        }
        std::thread::sleep(Duration::from_millis(500));
        town.is_well("while others take their time");
    });
    town.is_well("what came too late");
}

/// An answer that began breaks off for its caller; the code is in the record and in the log.
fn after_the_head(town: &Town, name: &str, what: &str, code: &str) {
    let said = town
        .raw(format!("{}connection: close\r\n\r\n", town.head("GET", &format!("/{name}/{what}"))).as_bytes());
    // Where it ended before its head had left the node, it is a problem like any other.
    let problem = said.starts_with("HTTP/1.1 5") && said.contains(&format!("\"code\":\"{code}\""));
    assert!(problem || said.starts_with("HTTP/1.1 200 "), "{name} {what}: {}", &said[..said.len().min(400)]);
    assert!(problem || !said.ends_with("\r\n0\r\n\r\n"), "{name} {what}: the answer seems whole");
    let id = header(&said, "x-request-id");
    town.has_record(id, "run", code);
    town.has_line(name, id, code);
    // Whoever asks through the control API is told how it ended.
    let ended = invoked(town, name, what);
    assert_eq!(ended["fault"], code, "{name} {what}: {ended}");
}

fn invoked(town: &Town, name: &str, what: &str) -> Value {
    let path = format!("/v1/tenants/default/functions/{name}/invoke");
    let body = json!({ "path": format!("/{name}/{what}") }).to_string();
    let answer = town.node.api("POST", &path, Some(&town.node.admin()), body.as_bytes());
    assert_eq!(answer.status, 200, "{name} {what}: {}", answer.text());
    answer.json()
}

#[test]
fn after_the_answer_began() {
    let town = town();
    for (what, code) in [
        ("endless-answer", "response-body-limit"),
        ("gigabyte", "response-body-limit"),
        ("trap-after-head", "trap"),
    ] {
        for name in WORLDS {
            after_the_head(&town, name, what, code);
        }
        town.is_well(what);
    }
    after_the_head(&town, "hostile", "broken-off", "trap");
    after_the_head(&town, "hostile-p3", "error-trailers", "guest-error");
    town.is_well("answers that end badly");
}

/// What ends no run, or none whose answer is not whole already.
#[test]
fn cuts_and_afterthoughts() {
    let town = town();
    let url = "http://127.0.0.1:9/";
    for (name, target, code) in [
        ("hostile", "log-flood?n=40960".to_owned(), "log-limit"),
        ("hostile-p3", "log-flood?n=40960".to_owned(), "log-limit"),
        ("hostile", format!("outbound-flood?n=9&url={url}"), "outbound-limit"),
        ("hostile", "loop-after-answer".to_owned(), "cpu-limit"),
        ("hostile-p3", "loop-after-answer".to_owned(), "cpu-limit"),
    ] {
        let answer = town.call("GET", &format!("/{name}/{target}"), b"");
        assert_eq!(answer.status, 200, "{name} {target}: {}", answer.text());
        let id = answer.headers["x-request-id"].to_str().unwrap();
        // It may go on for a while after its answer.
        let recorded = || town.node.records(&["--request", id]).iter().any(|e| e["code"] == code);
        let mut patience = 100;
        while !recorded() {
            patience -= 1;
            assert!(patience > 0, "{name} {target}: no `{code}` in the record");
            std::thread::sleep(Duration::from_millis(50));
        }
        town.has_record(id, "run", code);
        town.has_line(name, id, code);
        town.is_well(&target);
    }
    let answer = town.call("GET", &format!("/hostile/outbound-flood?n=9&url={url}"), b"");
    assert_eq!(answer.text(), "answered 0, refused 9\n");
}

/// A log line cannot pretend to be another's, and a header cannot end the head.
#[test]
fn what_pretends() {
    let town = town();
    let answer = town.call("GET", "/hostile/log-line", b"");
    assert_eq!(answer.status, 200);
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let path = "/v1/tenants/default/functions/hostile/logs";
    let log = town.node.api("GET", path, Some(&town.node.admin()), b"").text();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["request_id"], id, "a line that nobody wrote: {line}");
        assert_eq!(line["source"], "stderr", "{line}");
    }
    // The host refuses the value; what the function makes of that is its own.
    let answer = town.call("GET", "/hostile/header-split", b"");
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert!(!format!("{:?}", answer.headers).contains("stolen"), "{answer:?}");
    check(&town, "hostile-p3", "/hostile-p3/header-split", 502, "guest-error");
    let mut connection = town.connect();
    let head = format!("{}connection: close\r\n\r\n", town.head("GET", "/hostile/header-trusted"));
    std::io::Write::write_all(&mut connection, head.as_bytes()).unwrap();
    let mut said = String::new();
    let _ended = connection.read_to_string(&mut said);
    assert!(!said.contains("forged") && !said.contains("not-casemate") && !said.contains("evil"), "{said}");
    town.is_well("pretences");
}

/// Plain WebAssembly, below what any language does.
#[test]
fn what_is_hostile_below_any_language() {
    let town = Town::new();
    for (name, fault) in [
        ("loop", Fault::CpuLimit),
        ("start-loop", Fault::CpuLimit),
        ("recursion", Fault::StackLimit),
        ("memory-bomb", Fault::MemoryLimit),
        ("table-bomb", Fault::TableLimit),
    ] {
        town.node.deploy(name, &guest(name), &LIMITS.replace("NAME", name));
        check(&town, name, &format!("/{name}/x"), fault.status(), fault.code());
        town.is_well(name);
    }
}

/// What the record calls a component is what was sent.
#[test]
fn the_record_names_what_was_deployed() {
    let town = Town::new();
    let component = guest("loop");
    town.node.deploy("loop", &component, TENANT);
    let digest: Digest = keyring::sha256(&component);
    let deploys = town.node.records(&["--function", "loop"]);
    let told = |event: &Value| {
        event["kind"] == "deploy" && event["detail"].as_str().unwrap().contains(&digest.to_string())
    };
    assert!(deploys.iter().any(told), "{deploys:?}");
}
