//! What rules cost: time to load, memory, and time per request of several kinds, on one thread. It prints figures and
//! judges none: `cargo run --release -p waf --example cost -- CRS_FOLDER`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a product")]

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use waf::{Files, Head, Plan, Rules, Settings, Source, World};

struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, _from: &str, name: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.0.join(name)).map_err(|e| e.to_string())
    }
    fn expand(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

struct Kind {
    name: &'static str,
    method: &'static str,
    uri: String,
    content_type: &'static str,
    body: String,
}

const PROSE: &str = "The quick brown fox jumps over the lazy dog while seven wizards quietly brew a potion, and then \
    everyone in the village comes to see what the fuss was about. It was a fine day for a walk along the river. ";

fn kinds() -> Vec<Kind> {
    let json: Vec<String> = (0..12)
        .map(|n| {
            format!(
                "\"field_{n}\":{{\"id\":{n},\"label\":\"{}\",\"on\":true}}",
                PROSE.get(n..n + 40).unwrap()
            )
        })
        .collect();
    let form: Vec<String> = (0..20)
        .map(|n| {
            format!("field_{n}={}", PROSE.get(n..n + 180).unwrap().replace(' ', "+").replace(',', "%2C"))
        })
        .collect();
    let get = |name, uri: &str| Kind {
        name,
        method: "GET",
        uri: uri.to_owned(),
        content_type: "",
        body: String::new(),
    };
    let post = |name, content_type, body| Kind {
        name,
        method: "POST",
        uri: "/items".to_owned(),
        content_type,
        body,
    };
    vec![
        get("get", "/products/list?category=garden+tools&page=2&sort=price_asc&q=watering+can"),
        post("json", "application/json", format!("{{{}}}", json.join(","))),
        post("form", "application/x-www-form-urlencoded", form.join("&")),
        post(
            "prose 128k",
            "application/x-www-form-urlencoded",
            format!("text={}", PROSE.repeat(640).replace(' ', "+")),
        ),
        post("tags 128k", "application/x-www-form-urlencoded", format!("text={}", "<a+b=x>".repeat(18_000))),
        post(
            "quotes 128k",
            "application/x-www-form-urlencoded",
            format!("text={}", "'or+1-(".repeat(18_000)),
        ),
        post("json 128k", "application/json", format!("[{}]", "\"ab 'or c\",".repeat(900) + "1")),
        get("attack sql", "/products?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20-"),
        get("attack xss", "/search?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E"),
        get("attack path", "/download?file=../../../../etc/passwd&run=;cat%20/etc/shadow"),
    ]
}

fn once(plan: &Plan, kind: &Kind) -> usize {
    let start = Instant::now();
    let clock = || u64::try_from(start.elapsed().as_nanos()).unwrap();
    let length = kind.body.len().to_string();
    let mut headers: Vec<(&[u8], &[u8])> = vec![
        (b"host", b"shop.example.org"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        (b"accept-language", b"en-US,en;q=0.5"),
        (b"accept-encoding", b"gzip, deflate, br"),
        (b"cookie", b"session=2b1f7c9a8e4d4b0c9f6e; theme=dark"),
    ];
    if !kind.body.is_empty() {
        headers.push((b"content-type", kind.content_type.as_bytes()));
        headers.push((b"content-length", length.as_bytes()));
    }
    let address = SocketAddr::from(([192, 0, 2, 1], 443));
    let mut transaction = plan.transaction(World { clock: &clock, epoch_s: 1_700_000_000, memory: None });
    let head = Head {
        method: kind.method.as_bytes(),
        uri: kind.uri.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &headers,
        peer: address,
        server: address,
        id: "id",
    };
    transaction.request_head(&head);
    transaction.request_body(kind.body.as_bytes());
    transaction.finish().matches.len()
}

fn main() {
    let root = PathBuf::from(std::env::args().nth(1).unwrap());
    let only = std::env::args().nth(2);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root.join("rules")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "conf"));
    files.sort();
    files.insert(0, root.join("crs-setup.conf.example"));
    let before = resident_kib();
    let start = Instant::now();
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect();
    let sources: Vec<Source<'_>> = texts.iter().map(|(name, text)| Source { name, text }).collect();
    let rules = Arc::new(Rules::load(&sources, &Folder(root.join("rules"))).unwrap());
    println!("load    {:7.1} ms {:6} KiB", start.elapsed().as_secs_f64() * 1e3, resident_kib() - before);
    for level in [1, 4] {
        let (before, start) = (resident_kib(), Instant::now());
        let plan = Plan::new(&rules, &Settings::paranoia(level)).unwrap();
        println!(
            "plan {level}  {:7.1} ms {:6} KiB",
            start.elapsed().as_secs_f64() * 1e3,
            resident_kib() - before
        );
        for kind in kinds() {
            if only.as_ref().is_some_and(|only| *only != format!("{}{level}", kind.name)) {
                continue;
            }
            let first = Instant::now();
            let matches = once(&plan, &kind);
            let first = first.elapsed();
            let mut best = f64::MAX;
            let repeat = if kind.body.len() > 10_000 { 1 } else { 100 };
            for _ in 0..if only.is_some() { 200 } else { 20 } {
                let start = Instant::now();
                for _ in 0..repeat {
                    std::hint::black_box(once(&plan, &kind));
                }
                best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(repeat));
            }
            println!(
                "  {:12} {best:8.1} us  first {:8.1} us  {matches} matches",
                kind.name,
                first.as_secs_f64() * 1e6
            );
        }
        println!("  resident {} KiB", resident_kib());
    }
}
