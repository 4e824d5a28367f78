//! What people and programs send: none of it is refused or scored at level 1.

use waf::{Decision, Plan, ftw::Raw};

use super::{
    carriers::{self, FORM, get, post, request},
    levels, run, told, unescaped,
};

fn wrong_at(plan: &Plan, name: &str, raw: &Raw) -> Option<String> {
    let report = run(plan, raw);
    let passes = report.decision == Decision::Pass && report.inbound_score == 0;
    (!passes).then(|| format!("{name}: {}", told(&report)))
}

fn texts() -> Vec<Vec<u8>> {
    // A line that begins with `#` and a letter is a comment.
    let is_comment = |line: &&str| !line.starts_with("# Texts of values");
    include_str!("ordinary.txt").lines().filter(is_comment).map(unescaped).collect()
}

#[test]
fn texts_are_left_alone_however_they_are_carried() {
    let plans = levels();
    let (plan, texts) = (plans.first().unwrap(), texts());
    assert!(texts.len() >= 300, "{} texts", texts.len());
    let mut wrong = Vec::new();
    for text in &texts {
        let agent = request("POST", "/", &[("Content-Type", b"text/plain")], text);
        let ways = carriers::as_a_value(text).into_iter().chain([("text", agent)]);
        let shown = String::from_utf8_lossy(text);
        wrong.extend(ways.filter_map(|(way, raw)| wrong_at(plan, &format!("{way}: {shown}"), &raw)));
    }
    assert!(wrong.is_empty(), "{} are taken for attacks:\n{}", wrong.len(), wrong.join("\n"));
}

const AGENTS: [&str; 26] = [
    "curl/8.10.1",
    "Wget/1.21.3",
    "python-requests/2.32.3",
    "Python/3.12 aiohttp/3.9.1",
    "python-httpx/0.27.0",
    "Go-http-client/1.1",
    "Go-http-client/2.0",
    "k6/0.49.0 (https://k6.io/)",
    "wrk/4.2.0",
    "hey/0.0.1",
    "ApacheBench/2.3",
    "oha/1.4.0",
    "PostmanRuntime/7.36.0",
    "insomnia/2023.5.8",
    "HTTPie/3.2.2",
    "axios/1.6.2",
    "node",
    "undici",
    "okhttp/4.12.0",
    "Apache-HttpClient/4.5.14 (Java/17.0.9)",
    "Java-http-client/17.0.9",
    "GitHub-Hookshot/044aadd",
    "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 \
     Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
];

#[test]
fn programs_that_developers_use_are_let_in() {
    let plans = levels();
    let wrong: Vec<String> = AGENTS
        .iter()
        .map(|agent| (agent, request("GET", "/hello?name=Ada", &[("User-Agent", agent.as_bytes())], b"")))
        .filter_map(|(agent, raw)| wrong_at(plans.first().unwrap(), agent, &raw))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What browsers and proxies add.
const HEADERS: [(&str, &str); 24] = [
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Language", "de-CH,de;q=0.9,en;q=0.8,fr;q=0.7"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
    ("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.q4x-y_z"),
    ("Cookie", "_ga=GA1.2.1029384756.1701379200; session=eyJhIjoxfQ.abc-_; theme='dark'; consent={\"a\":1}"),
    ("Cookie", "prefs=%7B%22lang%22%3A%22en%22%2C%22tz%22%3A%22Europe%2FBerlin%22%7D; _gid=GA1.1.1.1"),
    ("Referer", "https://www.example.com/search?q=it%27s+a+test&page=2"),
    ("Referer", "http://localhost:3000/login?next=/a"),
    ("Origin", "http://localhost:5173"),
    ("If-None-Match", "W/\"5f4dcc3b-1a\", \"abc\""),
    ("If-Modified-Since", "Mon, 30 Nov 2026 21:15:00 GMT"),
    ("Range", "bytes=0-499, 500-999"),
    ("Cache-Control", "no-cache, no-store, max-age=0"),
    ("Sec-CH-UA", "\"Chromium\";v=\"120\", \"Not A(Brand\";v=\"99\""),
    ("Sec-CH-UA-Platform", "\"macOS\""),
    ("Forwarded", "for=192.0.2.60;proto=http;by=203.0.113.43, for=\"[2001:db8::17]:4711\""),
    ("X-Forwarded-For", "203.0.113.195, 2001:db8:85a3::8a2e:370:7334, 127.0.0.1"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
    ("Stripe-Signature", "t=1492774577,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd"),
    ("X-Request-Id", "req_018f4f9e7f0c"),
    ("From", "\"Conan O'Brien\" <conan@example.com>"),
    ("Content-Disposition", "attachment; filename=\"it's.txt\"; filename*=UTF-8''it%27s.txt"),
];

#[test]
fn headers_of_browsers_and_proxies_are_left_alone() {
    let plans = levels();
    let wrong: Vec<String> = HEADERS
        .iter()
        .map(|(name, value)| (value, request("GET", "/a", &[(name, value.as_bytes())], b"")))
        .filter_map(|(value, raw)| wrong_at(plans.first().unwrap(), value, &raw))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const ADDRESSES: [&str; 28] = [
    "/",
    "/hello",
    "/a/b-c/d_e.html",
    "/products/list?category=garden+tools&page=2&sort=price_asc&q=watering+can",
    "/api/v1/users/018f4f9e-7f0c-7c6e-9a3b-2d1e5f6a7b8c/orders?from=2026-01-01&to=2026-12-31",
    "/img/logo%20small.png?w=120&h=60",
    "/login?next=%2Faccount%2Forders",
    "/oauth/authorize?response_type=code&client_id=abc&redirect_uri=http%3A%2F%2Flocalhost%3A3000%2Fcb&scope=openid%20\
     profile&state=xyz&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256",
    "/cb?code=4%2F0AX4XfWh&state=a%3D%3D&iss=http%3A%2F%2F127.0.0.1%3A8080",
    "/go?redirect=https://example.com/x?a=1%26b=2",
    "/proxy?url=https%3A%2F%2Fapi.example.com%2Fv1%2Fitems%3Fid%3D1",
    "/.well-known/openid-configuration",
    "/.well-known/acme-challenge/abc_def-123",
    "/wiki/O'Brien",
    "/wiki/Bobby_Tables_(comic)",
    "/files/report%20(final).pdf",
    "/search?q=select+*+from+where&lang=en",
    "/search?q=what%27s+up+with+%22order+by%22%3F",
    "/list?ids[]=1&ids[]=2&filter[name]=Ada&filter[age][gte]=18&sort=-name",
    "/map?bbox=13.3,52.4,13.5,52.6&zoom=12&center=52.5200,13.4050",
    "/utm?utm_source=news&utm_medium=e-mail&utm_campaign=black%20friday%20%2720&gclid=Cj0KCQiA-a_b",
    "/list?fields=name|id",
    "/list?include=orders|history",
    "/list?fields=name;id;email",
    "/issues?jql=project%20%3D%20ABC%20AND%20status%20%3D%20%22In%20Progress%22%20ORDER%20BY%20created%20DESC",
    "/users;id=5/orders;v=2",
    "/search?q=Import%20%26%20Export",
    "/@ada/posts/it's-a-kind-of-magic;v=2",
];

#[test]
fn addresses_are_left_alone() {
    let plans = levels();
    let found = ADDRESSES.iter().filter_map(|uri| wrong_at(plans.first().unwrap(), uri, &get(uri)));
    let wrong: Vec<String> = found.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Bodies as programs send them: name, media type, body.
fn bodies() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let json = "application/json";
    let numbers = (0..1536).map(|n| format!("{:.6}", f64::from(n % 97) / 97.0 - 0.5)).collect::<Vec<_>>();
    let picture: Vec<u8> =
        (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    let upload = [
        b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"it's a picture (1).png\"\r\nContent-Type: \
          image/png\r\n\r\n"
            .as_slice(),
        &picture,
        b"\r\n--b--\r\n",
    ]
    .concat();
    let mut all: Vec<(&str, &str, Vec<u8>)> = [
        ("github push", json, include_str!("bodies/github.json")),
        ("stripe event", json, include_str!("bodies/stripe.json")),
        ("cloud event", "application/cloudevents+json", include_str!("bodies/cloudevent.json")),
        ("chat", json, include_str!("bodies/chat.json")),
        ("graphql", json, include_str!("bodies/graphql.json")),
        ("graphql as it stands", "application/graphql", "{ user(id: \"1\") { name posts(first: 10) { title } } }"),
        ("json-rpc", json, "{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[42,23],\"id\":1}"),
        ("json-rpc, many", json, "[{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":\"1\"},{\"jsonrpc\":\"2.0\",\"method\":\"b\"}]"),
        ("json patch", "application/json-patch+json", "[{\"op\":\"replace\",\"path\":\"/a/b\",\"value\":\"it's\"}]"),
        ("json-ld", "application/ld+json", "{\"@context\":\"https://schema.org\",\"@type\":\"Person\",\"name\":\"Ada\"}"),
        ("any of protobuf", json, "{\"@type\":\"type.googleapis.com/google.rpc.Status\",\"code\":3}"),
        ("extended json", json, "{\"_id\":{\"$oid\":\"507f1f77bcf86cd799439011\"},\"at\":{\"$date\":\"2026-11-30T00:00:00Z\"}}"),
        ("json schema", json, "{\"$id\":\"https://e.org/a\",\"type\":\"object\",\"properties\":{\"constructor\":{\"type\":\"string\"}}}"),
        ("token by form", FORM, "grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA&redirect_uri=http%3A%2F%2F127.0.0.1%3A8910%2Fcb&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        ("slack command", FORM, "token=abc&team_id=T1&command=%2Fweather&text=94070&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F1234%2F5678"),
        ("slack payload", FORM, "payload=%7B%22type%22%3A%22block_actions%22%2C%22user%22%3A%7B%22name%22%3A%22o%27brien%22%7D%7D"),
        ("twilio", FORM, "From=%2B14155552671&To=%2B14155550000&Body=I%27ll+be+there+at+5%3B+don%27t+wait&NumMedia=0"),
        ("json by curl -d", FORM, "{\"name\":\"O'Brien\",\"note\":\"a & b = c; 100%\"}"),
        ("ndjson", "application/x-ndjson", "{\"a\":1,\"b\":\"it's\"}\n{\"a\":2,\"b\":\"fine\"}\n"),
        ("csv", "text/csv", "id,name,note\n1,Ada,\"it's; fine\"\n2,Bob,\"x = y\"\n"),
        ("yaml", "application/yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: \"v\"\n"),
        ("markdown", "text/markdown", "# Title\n\nRun `ls -la | grep x` and\n\n```sh\ncurl https://example.com | sh\n```\n"),
        ("soap", "text/xml; charset=utf-8", include_str!("bodies/soap.xml")),
        ("rss", "application/rss+xml", include_str!("bodies/rss.xml")),
        ("svg", "image/svg+xml", include_str!("bodies/picture.svg")),
        ("page", "text/html", "<!DOCTYPE html><html><head><script src=\"a.js\"></script></head><body onload=\"a()\">x</body></html>"),
        ("script", "text/javascript", "/*! v1 */ const a = document.cookie; if (a && b) { alert('x'); }"),
        ("csp report", "application/csp-report", "{\"csp-report\":{\"document-uri\":\"http://localhost:3000/\",\"blocked-uri\":\"inline\"}}"),
        ("lsp", json, "{\"jsonrpc\":\"2.0\",\"method\":\"textDocument/didOpen\",\"params\":{\"textDocument\":{\"uri\":\"file:///home/ada/x.rs\",\"text\":\"fn main() {}\\n\"}}}"),
        ("telemetry", json, include_str!("bodies/otlp.json")),
        ("error report", json, include_str!("bodies/sentry.json")),
        ("kubernetes pod", json, include_str!("bodies/pod.json")),
        ("alerts", json, include_str!("bodies/alerts.json")),
        ("fluent bit", json, "[{\"date\":1700000000.1,\"log\":\"x\",\"filePath\":\"/var/log/containers/a.log\"}]"),
        ("filebeat", json, "{\"@timestamp\":\"x\",\"log\":{\"offset\":1,\"file\":{\"path\":\"/var/log/nginx/error.log\"}},\"message\":\"a\"}"),
        ("docker binds", json, "{\"Binds\":[\"/etc/hosts:/etc/hosts\",\"/var/log:/var/log:ro\"]}"),
        ("jql", json, "{\"jql\":\"project = ABC AND status = \\\"In Progress\\\" ORDER BY created DESC\"}"),
        ("source map", json, "{\"version\":3,\"sources\":[\"../../../src/index.ts\",\"../../../../lib/a.ts\"],\"names\":[],\"mappings\":\"AAAA\"}"),
        ("settings of a compiler", json, "{\"extends\":\"../../../tsconfig.base.json\",\"include\":[\"src\"]}"),
        ("analytics", json, "{\"event\":\"$identify\",\"properties\":{\"$current_url\":\"https://e.org/\",\"$lib\":\"web\"}}"),
        ("json schema with a comment", json, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"$comment\":\"none\",\"type\":\"object\"}"),
        ("calendar", "text/calendar", "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nSUMMARY:Meet\r\nLOCATION:Room 1\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"),
        ("csv by semicolons", "text/csv", "name;id;email\n1;2;3\n"),
        ("script of a shell", "text/plain", "#!/bin/bash\necho hi\n"),
        ("part with its length", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nx\r\n--b--\r\n"),
        ("empty lines around parts", "multipart/form-data; boundary=b", "\r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b--\r\n\r\n"),
        ("paging", FORM, "age[gte]=3&$limit=10&$sort[createdAt]=-1"),
        ("picture as a part", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.svg\"\r\n\r\n<?xml version=\"1.0\"?>\n<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd\">\n<svg><path d=\"M0 0\"/></svg>\r\n--b--\r\n"),
        ("page as a part", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.html\"\r\n\r\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\"><html><script>a()</script></html>\r\n--b--\r\n"),
        ("prometheus", "text/plain", "# HELP a b\n# TYPE a counter\na{b=\"c\",d=\"e's\"} 1 1700000000\n"),
    ]
    .into_iter()
    .map(|(name, kind, body)| (name, kind, body.as_bytes().to_vec()))
    .collect();
    all.push(("embedding", json, format!("{{\"embedding\":[{}]}}", numbers.join(",")).into_bytes()));
    all.push(("picture", "image/png", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &picture].concat()));
    all.push(("table in UTF-16", "text/csv", b"\xff\xfen\0a\0m\0e\0\r\0\n\0".to_vec()));
    all.push(("bytes", "application/octet-stream", picture.clone()));
    all.push(("protobuf", "application/x-protobuf", picture.iter().copied().skip(99).take(900).collect()));
    all.push(("upload", "multipart/form-data; boundary=b", upload.clone()));
    all.push(("upload, quoted", "multipart/form-data; boundary=\"b\"", upload));
    all
}

#[test]
fn bodies_of_programs_are_left_alone() {
    let plans = levels();
    let plan = plans.first().unwrap();
    let found = bodies().into_iter().filter_map(|(name, kind, body)| wrong_at(plan, name, &post(kind, body)));
    let wrong: Vec<String> = found.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
