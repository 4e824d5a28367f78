//! Bodies that are none, and that break off.

use std::{io::Write, time::Duration};

use crate::{
    support::guest,
    town::{TENANT, Town, header},
};

/// Nobody looks at bodies before the function does: it runs while they come.
const ECHO: &str = "[shield]\nmode = \"off\"\n[[route]]\npath = \"/echo/...\"\n";
const HOSTILE: &str = "[shield]\nmode = \"off\"\n[[route]]\npath = \"/hostile/...\"\n";

#[test]
fn a_body_that_breaks_its_framing_is_its_senders_fault() {
    let town = Town::new();
    town.node.deploy("echo", &guest("echo"), &format!("{TENANT}{ECHO}"));
    town.node.deploy("hostile", &guest("hostile"), &format!("{TENANT}{HOSTILE}"));
    for chunks in ["5\r\nhello\r\nzz\r\nx", "5\r\nhelloXX0\r\n\r\n", "fffffffffffffffff\r\nx"] {
        let post = |path| format!("{}transfer-encoding: chunked\r\n\r\n{chunks}", town.head("POST", path));
        // Before the answer began.
        let said = town.raw(post("/hostile/sleep?n=9000").as_bytes());
        assert!(said.starts_with("HTTP/1.1 400 "), "{chunks:?}: {said}");
        assert!(said.contains("\"code\":\"request-malformed\""), "{chunks:?}: {said}");
        let id = header(&said, "x-request-id");
        town.has_record(id, "run", "request-malformed");
        town.has_line("hostile", id, "request-malformed");
        // Afterwards: it breaks off.
        let said = town.raw(post("/echo/x").as_bytes());
        if said.starts_with("HTTP/1.1 200 ") {
            assert!(!said.ends_with("0\r\n\r\n"), "{chunks:?}: {said}");
        }
        town.has_record(header(&said, "x-request-id"), "run", "request-malformed");
    }
    town.is_well("malformed bodies");
}

#[test]
fn a_body_that_breaks_off_ends_its_run() {
    let town = Town::new();
    town.node.deploy("echo", &guest("echo"), &format!("{TENANT}{ECHO}"));
    let mut connection = town.connect();
    let head = format!("{}content-length: 100000\r\n\r\nhalf", town.head("POST", "/echo/x"));
    connection.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    drop(connection);
    for _ in 0..100 {
        let events = town.node.records(&["--function", "echo"]);
        if events.iter().any(|e| e["kind"] == "run" && e["code"] == "caller-gone") {
            return town.is_well("a body that broke off");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{:?}", town.node.records(&["--function", "echo"]));
}
