//! What the base rules say to texts, and what they cost: `rules lines LEVEL FILE` tells which lines of a file match in a
//! parameter; `rules time LEVEL` times requests. It judges nothing.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "a measurement, not a product")]

use std::{sync::Arc, time::Instant};

use waf::{Plan, Report, Settings, ftw::Raw};

fn request(method: &str, uri: &str, content_type: &str, body: &[u8]) -> Raw {
    let header = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let mut headers = vec![
        header("Host", "shop.example.org"),
        header("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        header("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        header("Accept-Language", "en-US,en;q=0.5"),
        header("Accept-Encoding", "gzip, deflate, br"),
        header("Cookie", "session=2b1f7c9a8e4d4b0c9f6e; theme=dark"),
    ];
    if !content_type.is_empty() {
        headers.push(header("Content-Type", content_type));
        headers.push(header("Content-Length", &body.len().to_string()));
    }
    let (method, uri, protocol) = (method.into(), uri.into(), b"HTTP/1.1".to_vec());
    Raw { method, uri, protocol, headers, body: body.to_vec(), has_bare_return: false }
}

fn send(plan: &Plan, raw: &Raw) -> Report {
    let start = Instant::now();
    let clock = || u64::try_from(start.elapsed().as_nanos()).unwrap();
    waf::ftw::examine(plan, raw, ([172, 18, 0, 1], 40_000).into(), &clock, None)
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn lines(plan: &Plan, path: &str) {
    let bytes = std::fs::read(path).unwrap();
    for line in String::from_utf8_lossy(&bytes).lines() {
        let report = send(plan, &request("GET", &format!("/?q={}", encoded(line)), "", b""));
        let rules: Vec<String> = report.matches.iter().map(|one| one.rule.to_string()).collect();
        if report.inbound_score > 0 {
            println!("{}\t{line}", rules.join(","));
        }
    }
}

fn time(plan: &Plan, name: &str, raw: &Raw, rounds: u32) {
    let mut best = f64::MAX;
    let mut score = 0;
    for _ in 0..9 {
        let start = Instant::now();
        for _ in 0..rounds {
            score = std::hint::black_box(send(plan, raw)).inbound_score;
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
    }
    println!("{name:24} {best:10.1} us  score {score}");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let start = Instant::now();
    let rules = Arc::new(shield::base_rules().unwrap_or_else(|e| panic!("{e}")));
    let loaded = start.elapsed();
    let [what, level, more @ ..] = arguments.as_slice() else { panic!("rules lines|time LEVEL …") };
    let plan = Plan::new(&rules, &Settings::paranoia(level.parse().unwrap())).unwrap();
    if *what == "lines" {
        return more.iter().for_each(|path| lines(&plan, path));
    }
    let planned = start.elapsed().saturating_sub(loaded);
    println!("load {loaded:?}, plan {planned:?}, {} rules, {} steps", rules.len(), plan.len());
    time(&plan, "hello", &request("GET", "/hello", "", b""), 5000);
    let query = "/products/list?category=garden+tools&page=2&sort=price_asc&q=watering+can";
    time(&plan, "get, 4 parameters", &request("GET", query, "", b""), 5000);
    let fields: Vec<String> = (0..12)
        .map(|n| {
            format!("\"field_{n}\":{{\"id\":{n},\"label\":\"the quick brown fox jumps over\",\"on\":true}}")
        })
        .collect();
    let json = format!("{{{}}}", fields.join(","));
    time(&plan, "json, 1 KB", &request("POST", "/items", "application/json", json.as_bytes()), 1000);
    let attack = "/products?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20-";
    time(&plan, "attack", &request("GET", attack, "", b""), 1000);
}
