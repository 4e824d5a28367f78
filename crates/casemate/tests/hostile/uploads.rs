//! Components that are none, that are too much, or that do not arrive as they were sent: each is refused with
//! its own code and recorded, and the revision that answers stays.

use std::io::{Read, Write};

use model::{Digest, limits};
use serde_json::{Value, json};

use crate::{
    support::{Answer, guest},
    town::{TENANT, Town, header},
};

fn upload(town: &Town, digest: &Digest, bytes: &[u8]) -> Answer {
    town.node.api("PUT", &place(digest), Some(&town.node.admin()), bytes)
}

fn place(digest: &Digest) -> String {
    format!("/v1/tenants/default/components/{digest}")
}

fn deploy(town: &Town, name: &str, digest: &Digest) -> Answer {
    let manifest = format!("name = \"{name}\"\ncomponent = \"{name}.wasm\"\n{TENANT}");
    let body = json!({ "manifest": manifest, "component": digest }).to_string();
    let path = format!("/v1/tenants/default/functions/{name}/revisions");
    town.node.api("POST", &path, Some(&town.node.admin()), body.as_bytes())
}

/// The answer is a problem of this code, and so is the record.
#[track_caller]
fn refused(town: &Town, what: &str, answer: &Answer, status: u16, kind: &str, code: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert_eq!(answer.json()["code"], code, "{what}: {}", answer.text());
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let event = town.has_record(id, kind, code);
    assert_eq!(event["allowed"], false, "{what}: {event}");
    let still = town.call("GET", "/f", b"");
    assert_eq!((still.status, still.text().as_str()), (200, "Hello, world!\n"), "after {what}");
}

fn town(config: &str) -> Town {
    let town = Town::with(config);
    town.node.deploy("f", &guest("hello"), TENANT);
    town
}

#[test]
fn what_is_no_function() {
    let town = town("");
    let precompiled = [b"\x7fELF".as_slice(), &[0; 64]].concat();
    let cut = guest("hello")[..5_000].to_vec();
    for (what, component, code) in [
        ("not Wasm", b"hello".to_vec(), "component-not-wasm"),
        ("not Wasm either", guest("not-wasm"), "component-not-wasm"),
        ("compiled code", precompiled, "component-precompiled"),
        ("cut off", cut, "component-invalid"),
        ("a core module", guest("core-module"), "component-core-module"),
        ("without a handler", guest("no-handler"), "component-no-handler"),
        ("an import that nobody grants", guest("import-ungranted"), "import-refused"),
        ("a handler of another shape", guest("wrong-handler"), "compile-failed"),
        ("a memory of 4 GiB", guest("memory-huge"), "compile-failed"),
        ("a table of 10 million", guest("table-huge"), "compile-failed"),
        ("a memory of threads", guest("shared-memory"), "component-invalid"),
    ] {
        let digest = keyring::sha256(&component);
        assert!(upload(&town, &digest, &component).status < 300, "{what}");
        refused(&town, what, &deploy(&town, "f", &digest), 422, "deploy", code);
    }
    // It takes all memory of a compiler, or its time: longer than a plain client waits.
    let folder = town.node.home.function("bomb", &guest("compile-bomb"), TENANT);
    let bomb = town.node.run(&["deploy", folder.to_str().unwrap(), "--no-build", "--output", "json"]);
    assert!(bomb.code != 0 && bomb.err.contains("compile-limit"), "{bomb:?}");
    let events = town.node.records(&["--function", "bomb"]);
    assert!(events.iter().any(|e| e["code"] == "compile-limit"), "{events:?}");
    town.is_well("what is no function");
}

#[test]
fn what_does_not_arrive_as_it_was_sent() {
    let town = town("");
    let component = guest("echo");
    let digest = keyring::sha256(&component);
    let cut = upload(&town, &digest, &component[..50_000]);
    refused(&town, "cut", &cut, 422, "deploy", "wrong-digest");
    let other = upload(&town, &digest, &guest("counter"));
    refused(&town, "another component", &other, 422, "deploy", "wrong-digest");
    let never = deploy(&town, "f", &digest);
    refused(&town, "never uploaded", &never, 404, "deploy", "not-found");

    let admin = town.node.admin();
    let start = |framing: &str| {
        format!(
            "PUT {} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {admin}\r\n\
             content-type: application/wasm\r\n{framing}\r\n\r\n",
            place(&digest)
        )
    };
    // Too large as it says, too large as it comes, and broken.
    let large = limits::COMPONENT_BYTES_MAX + 1;
    let said = control(&town, start(&format!("content-length: {large}")).as_bytes());
    told(&town, &said, 413, "too-large");
    let mut flood = start("transfer-encoding: chunked").into_bytes();
    let mib = vec![b'x'; 1 << 20];
    for _ in 0..=limits::COMPONENT_BYTES_MAX >> 20 {
        flood.extend_from_slice(b"100000\r\n");
        flood.extend_from_slice(&mib);
        flood.extend_from_slice(b"\r\n");
    }
    let said = control(&town, &flood);
    told(&town, &said, 413, "too-large");
    let said =
        control(&town, format!("{}5\r\nhello\r\nzz\r\n", start("transfer-encoding: chunked")).as_bytes());
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    // One that breaks off leaves nothing that could be deployed.
    let mut connection = town.connect_to(town.node.control());
    let begun =
        [start(&format!("content-length: {}", component.len())).as_bytes(), &component[..50_000]].concat();
    connection.write_all(&begun).unwrap();
    connection.conn.send_close_notify();
    let _sent = connection.flush();
    drop(connection);
    refused(&town, "broken off", &deploy(&town, "f", &digest), 404, "deploy", "not-found");
    assert_eq!(upload(&town, &digest, &component).status, 201);
    town.is_well("uploads");
}

/// Sends bytes to the control API and reads what it says. What it does not want to read any more may end with
/// a reset.
fn control(town: &Town, bytes: &[u8]) -> String {
    let mut connection = town.connect_to(town.node.control());
    let _all = connection.write_all(bytes);
    let mut answer = Vec::new();
    let _ended = connection.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn told(town: &Town, said: &str, status: u16, code: &str) {
    assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    assert!(said.contains(&format!("\"code\":\"{code}\"")), "{said}");
    town.has_record(header(said, "x-request-id"), "refusal", code);
}

/// A component that holds an unused module of many large functions.
fn slow(name: &str, functions: u32) -> Vec<u8> {
    let number = |mut n: u32| {
        let mut bytes = Vec::new();
        loop {
            let byte = (n & 0x7f) as u8;
            n >>= 7;
            if n == 0 {
                bytes.push(byte);
                return bytes;
            }
            bytes.push(byte | 0x80);
        }
    };
    let length = |bytes: &[u8]| number(u32::try_from(bytes.len()).unwrap());
    let section = |id: u8, content: &[u8]| [&[id][..], &length(content), content].concat();
    // local.get 0, i32.const 5, i32.mul, local.get 1, i32.xor, local.set 0
    let step: &[u8] = &[0x20, 0, 0x41, 5, 0x6c, 0x20, 1, 0x73, 0x21, 0];
    let body = [&[0][..], &step.repeat(6_000), &[0x20, 0, 0x0b]].concat();
    let body = [length(&body), body].concat();
    let count = number(functions);
    let module = [
        b"\0asm\x01\0\0\0".as_slice(),
        // (func (param i32 i32) (result i32))
        &section(1, &[1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]),
        &section(3, &[count.clone(), vec![0; functions as usize]].concat()),
        &section(10, &[count, body.repeat(functions as usize)].concat()),
    ]
    .concat();
    [guest(name), section(1, &module)].concat()
}

#[test]
fn what_takes_too_long_to_compile_is_given_up() {
    let town = town("[compile]\nwall_ms = 1500\n");
    let component = slow("loop", 400);
    let digest = keyring::sha256(&component);
    assert_eq!(upload(&town, &digest, &component).status, 201);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| deploy(&town, "f", &digest));
        // Nobody waits for it: neither who calls nor who deploys.
        town.is_well("while something large is compiled");
        town.node.deploy("other", &guest("counter"), TENANT);
        refused(&town, "a large module", &slow.join().unwrap(), 422, "deploy", "compile-limit");
    });
    let compilers = || {
        let of = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let node = town.node.info["pid"].as_u64().unwrap();
        let lines = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| {
                stat.rsplit(") ").next().unwrap().split(' ').nth(1) == Some(&node.to_string())
            })
        });
        lines.map(of).filter(|line| line.windows(7).any(|part| part == b"compile")).count()
    };
    let mut patience = 100;
    while compilers() > 0 {
        patience -= 1;
        assert!(patience > 0, "a compiler goes on");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn the_same_revision_never_comes_twice() {
    let town = town("");
    let components = [guest("hello"), guest("counter")];
    let digests = components.each_ref().map(|component| keyring::sha256(component));
    for (digest, component) in digests.iter().zip(&components) {
        assert!(upload(&town, digest, component).status < 300);
    }
    for round in 0..5 {
        let both: Vec<Answer> = std::thread::scope(|scope| {
            let town = &town;
            let each = digests.iter().map(|digest| scope.spawn(move || deploy(town, "twice", digest)));
            each.collect::<Vec<_>>().into_iter().map(|one| one.join().unwrap()).collect()
        });
        let numbers: Vec<Value> = both
            .iter()
            .map(|answer| match answer.status {
                201 => answer.json()["revision"].clone(),
                409 => Value::Null,
                status => panic!("round {round}: {status}: {}", answer.text()),
            })
            .collect();
        assert!(numbers.iter().any(Value::is_number), "round {round}: nobody won");
        assert!(numbers[0] != numbers[1], "round {round}: {numbers:?}");
        // The higher number answers, with its own code.
        let winner = usize::from(numbers[1].as_u64() > numbers[0].as_u64());
        let expect = ["Hello, world!\n", "1\n"][winner].trim();
        assert_eq!(town.call("GET", "/twice", b"").text().trim(), expect, "round {round}: {numbers:?}");
    }
    town.is_well("deploys at once");
}

/// Clients that keep their connections call all the while: each answer is of the one revision or the other.
#[test]
fn no_call_fails_while_others_deploy() {
    let town = town("");
    let over = std::sync::atomic::AtomicBool::new(false);
    let calls: u64 = std::thread::scope(|scope| {
        let (town, over) = (&town, &over);
        let client = move || {
            let (mut connection, mut calls) = (town.connect(), 0);
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let (status, body) = town.on(&mut connection, "/f");
                assert_eq!(status, 200, "{body}");
                assert!(["Hello, world!", "1"].contains(&body.trim()), "{body}");
                calls += 1;
            }
            calls
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for round in 0..20 {
            let component = if round % 2 == 0 { "counter" } else { "hello" };
            town.node.deploy("f", &guest(component), TENANT);
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(calls > 20, "{calls} calls");
    let inspected = town.node.run(&["inspect", "f", "--output", "json"]).ok().json();
    assert_eq!(inspected["function"]["newest"], 21, "{inspected}");
}
