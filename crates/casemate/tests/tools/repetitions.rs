//! Parameters, documents and headers of long repetitions, made so that patterns which go back would never end. Rules answer
//! in time, whatever they answer, and others are served meanwhile.

use std::time::{Duration, Instant};

use crate::{
    friend, node, public,
    support::{TestNode, guest},
};

const BYTES: usize = 100 << 10;
/// For one request, its connection's handshake included, on a machine that does much else. Rules have 18 ms of it.
const TAKES_MAX: Duration = Duration::from_secs(1);

/// What patterns with nested or neighbouring repetitions are slow on.
const UNITS: &[&str] = &[
    "a",
    "aA1",
    " ",
    "\t \n",
    "(",
    "((",
    "{{",
    "%",
    "%25",
    "'",
    "\"",
    "\\\\",
    "../",
    "..;/",
    "<",
    "<a ",
    "<!--",
    "/*",
    "/**/",
    "-",
    "--",
    "'-'",
    "' or ",
    "1 or ",
    "select ",
    "union all ",
    "and(",
    "x=",
    "=",
    "&#x",
    "&lt;",
    "$(",
    "${",
    "`",
    "|",
    ";",
    "; ",
    "@",
    "a@",
    "a.",
    "1.",
    "0x",
    "0,",
    ",",
    "on a=",
    "javascript:",
    "\u{e9}",
    "\u{0}",
    "\u{ff}a",
    "http://a",
    "a:b:",
];

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[test]
fn repetitions_cost_little() {
    let node = node();
    node.deploy("echo", &guest("echo"), &public());
    friend::asks_on(&node, "/echo/friend", "repetitions", || attack(&node));
}

fn attack(node: &TestNode) {
    let mut slowest = (Duration::ZERO, String::new());
    let mut ask = |what: String, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let begun = Instant::now();
        let answer = node.call_with((method, path), None, headers, body);
        let taken = begun.elapsed();
        assert!(
            [200, 400, 403, 413, 414, 429, 431, 503].contains(&answer.status),
            "{what}: {}",
            answer.text()
        );
        assert!(taken < TAKES_MAX, "{what} took {taken:?} and is answered {}", answer.status);
        slowest = std::mem::take(&mut slowest).max((taken, what));
    };
    for unit in UNITS {
        let text = unit.repeat(BYTES / unit.len());
        let form = format!("v={}", encoded(&text[..text.floor_char_boundary(BYTES / 3)]));
        ask(format!("a form of {unit:?}"), "/echo/x", FORM, form.as_bytes());
        let json = serde_json::json!({ "v": text, "w": [unit] }).to_string();
        ask(format!("JSON of {unit:?}"), "/echo/x", JSON, json.as_bytes());
        ask(format!("text of {unit:?}"), "/echo/x", TEXT, text.as_bytes());
        let short = &text[..text.floor_char_boundary(2_000)];
        ask(format!("a query of {unit:?}"), &format!("/echo/x?v={}", encoded(short)), &[], b"");
        if unit.bytes().all(|byte| (b' '..127).contains(&byte)) {
            ask(format!("a header of {unit:?}"), "/echo/x", &[("x-note", short.trim())], b"");
        }
    }
    let names: String = (0..4_000).map(|n| format!("a{n}[b][c]=1&")).collect();
    ask("4,000 parameters".to_owned(), "/echo/x", FORM, names.as_bytes());
    ask("deep JSON".to_owned(), "/echo/x", JSON, "[".repeat(BYTES).as_bytes());
    eprintln!("the slowest of them: {} took {:?}", slowest.1, slowest.0);
}

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const TEXT: &[(&str, &str)] = &[("content-type", "text/plain")];
