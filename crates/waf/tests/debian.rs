//! CRS 3.3 as Debian's `modsecurity-crs` has it: it loads, and does what it is for. Where the package is not installed the
//! tests say so.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "tests")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Instant,
};

use waf::{Files, Limits, Plan, Report, Rules, Settings, Source, ftw};

const RULES: &str = "/usr/share/modsecurity-crs/rules";
const SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";

struct Folder;

impl Files for Folder {
    fn read(&self, _from: &str, name: &str) -> Result<Vec<u8>, String> {
        std::fs::read(Path::new(RULES).join(name)).map_err(|e| e.to_string())
    }
    fn expand(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }
}

fn rules() -> Option<Arc<Rules>> {
    if !Path::new(SETUP).is_file() {
        eprintln!("no {SETUP}: apt install modsecurity-crs");
        return None;
    }
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(RULES).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "conf"));
    files.sort();
    files.insert(0, PathBuf::from(SETUP));
    let read = |path: &PathBuf| (path.display().to_string(), std::fs::read_to_string(path).unwrap());
    let texts: Vec<(String, String)> = files.iter().map(read).collect();
    let sources: Vec<Source<'_>> = texts.iter().map(|(name, text)| Source { name, text }).collect();
    match Rules::load(&sources, &Folder) {
        Ok(rules) => Some(Arc::new(rules)),
        Err(e) => panic!("{e}"),
    }
}

fn clock() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap()
}

fn ask(plan: &Plan, request: &str) -> Report {
    let raw = ftw::parse_request(request.as_bytes());
    ftw::examine(plan, &raw, SocketAddr::from(([192, 0, 2, 1], 4000)), &clock, None)
}

const HEAD: &str = "Host: example.org\r\nUser-Agent: test\r\nAccept: */*\r\n";

#[test]
fn it_loads_tells_what_it_cannot_do_and_refuses_attacks() {
    let Some(rules) = rules() else { return };
    let told = rules.warnings().join("\n");
    assert!(told.contains("910") && told.contains("@rbl") && told.contains("@geoLookup"), "{told}");
    // Machines that run tests are slow at times.
    let limits = Limits { time_ns_max: 10_000_000_000, ..rules.limits() };
    // Level 4 takes no JSON as harmless.
    for level in 1..=3 {
        let settings = Settings { limits: Some(limits.clone()), ..Settings::paranoia(level) };
        let plan = Plan::new(&rules, &settings).unwrap();
        let form =
            "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nContent-Length: 3\r\n\r\na=1";
        let json = "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\":\"b\"}";
        for (line, rest, refused) in [
            ("GET /?a=1&b=word", "\r\n", false),
            ("POST /", form, false),
            ("POST /", json, false),
            ("GET /?q=1'+union+select+password+from+users--+-", "\r\n", true),
            ("GET /?q=%3Cscript%3Ealert(1)%3C/script%3E", "\r\n", true),
            ("GET /?q=../../../../etc/passwd", "\r\n", true),
            ("GET /?q=;cat+/etc/passwd", "\r\n", true),
        ] {
            let report = ask(&plan, &format!("{line} HTTP/1.1\r\n{HEAD}{rest}"));
            let ids: Vec<u64> = report.matches.iter().map(|one| one.rule).collect();
            assert!(!report.exhausted, "{line} at {level}");
            assert_eq!(report.would_refuse.is_some(), refused, "{line} {rest} at {level}: {ids:?}");
            assert_eq!(report.inbound_score > 0, refused, "{line} {rest} at {level}: {ids:?}");
        }
    }
}

/// Rules that only backtracking can match, and the one whose pattern has a macro.
#[test]
fn rules_with_lookaround_and_macros_do_what_they_say() {
    let Some(rules) = rules() else { return };
    let limits = Limits { time_ns_max: 10_000_000_000, ..rules.limits() };
    let settings = Settings { limits: Some(limits), ..Settings::paranoia(4) }.detection_only();
    let plan = Plan::new(&rules, &settings).unwrap();
    let typed =
        |kind: &str| format!("POST / HTTP/1.1\r\n{HEAD}Content-Type: {kind}\r\nContent-Length: 3\r\n\r\na=1");
    let form = "application/x-www-form-urlencoded; charset=";
    let accept =
        |value: &str| format!("GET / HTTP/1.1\r\nHost: e.org\r\nUser-Agent: t\r\nAccept: {value}\r\n\r\n");
    for (request, rule, expect) in [
        (typed(&format!("{form}utf-8")), 920_480, false),
        (typed(&format!("{form}utf-16")), 920_480, true),
        (accept("text/html ; charset=utf-8"), 920_600, false),
        (accept("text/html;charset=evil"), 920_600, true),
        (format!("GET /?q=1+or+2=2 HTTP/1.1\r\n{HEAD}\r\n"), 942_130, true),
    ] {
        let report = ask(&plan, &request);
        let told = report.matches.iter().any(|one| one.rule == rule);
        let ids: Vec<u64> = report.matches.iter().map(|one| one.rule).collect();
        assert_eq!(told, expect, "{rule}: {request}\n{ids:?}");
    }
}
