//! Kinds of requests that are timed, and hostile ones of 128 KB.

use waf::ftw::Raw;

use crate::requests::Request;

const PROSE: &str = "The quick brown fox jumps over the lazy dog while seven wizards quietly brew a potion, and then \
    everyone in the village comes to see what the fuss was about. It was a fine day for a walk along the river. ";

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

fn request(name: &str, method: &str, uri: &str, content_type: &str, body: Vec<u8>) -> Request {
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
    let raw = Raw {
        method: method.into(),
        uri: uri.into(),
        protocol: b"HTTP/1.1".to_vec(),
        headers,
        body,
        has_bare_return: false,
    };
    Request { name: name.to_owned(), raw, answer: None }
}

fn get(name: &str, uri: &str) -> Request {
    request(name, "GET", uri, "", Vec::new())
}

fn post(name: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Request {
    request(name, "POST", "/items", content_type, body.into())
}

/// What is timed beside libmodsecurity.
pub(crate) fn kinds() -> Vec<Request> {
    let piece = |from: usize, length: usize| PROSE.get(from..from + length).unwrap();
    let fields = (0..12)
        .map(|n| format!("\"field_{n}\":{{\"id\":{n},\"label\":\"{}\",\"on\":true}}", piece(n, 40)))
        .collect::<Vec<_>>();
    let form = (0..20)
        .map(|n| format!("field_{n}={}", piece(n, 180).replace(' ', "+").replace(',', "%2C")))
        .collect::<Vec<_>>();
    vec![
        get("get", "/products/list?category=garden+tools&page=2&sort=price_asc&q=watering+can"),
        post("json", JSON, format!("{{{}}}", fields.join(","))),
        post("form", FORM, form.join("&")),
        get("attack", "/products?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20-"),
        get("attack", "/search?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E"),
        get("attack", "/download?file=../../../../etc/passwd&run=;cat%20/etc/shadow"),
    ]
}

const LENGTH: usize = 128 << 10;

fn fill(begin: &str, unit: &str, end: &str) -> Vec<u8> {
    let times = (LENGTH - begin.len() - end.len()) / unit.len();
    [begin, &unit.repeat(times), end].concat().into_bytes()
}

/// What texts without any order are made of: they lead automatons to more states than repetitions do, and hold much of what
/// patterns look for.
fn random() -> [(&'static str, Vec<String>); 6] {
    let bytes = |range: std::ops::RangeInclusive<u8>| range.map(|byte| format!("%{byte:02x}")).collect();
    let listed = |words: &str| words.split(' ').map(str::to_owned).collect();
    let printable = (b'!'..=b'~').filter(|byte| !b"&=%+".contains(byte)).map(|byte| char::from(byte).into());
    [
        ("random-printable", printable.collect()),
        ("random-letters", ('a'..='z').chain(['+']).map(String::from).collect()),
        ("random-bytes", bytes(0..=255)),
        (
            "random-shell",
            listed(
                "$ { } | %26 ; ` ' \" \\ / ( ) * ? [ ] < > + ! ~ @ ^ - _ 0 1 a b c e r s u cat ls sh id nc curl python \
                 perl echo base64",
            ),
        ),
        (
            "random-sql",
            listed(
                "select union from where and or xor like between div sleep ( ) ' \" ` , -- /* */ # + + + 1 a @ ! < > %3d || \
                 %26%26 end then when if in char having order by insert into 0x31",
            ),
        ),
        (
            "random-html",
            listed(
                "< > a img svg onload %3d javascript: alert ( ) ' \" ` / + style x : %26 # ; data: src href eval . [ ] \
                 document cookie script xlink",
            ),
        ),
    ]
}

/// A form of these words in an order that is the same each time (xorshift64, Marsaglia 2003).
fn scattered(words: &[String]) -> Vec<u8> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut body = b"text=".to_vec();
    while body.len() < LENGTH - 16 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let at = usize::try_from(seed >> 20).unwrap() % words.len();
        body.extend_from_slice(words.get(at).unwrap().as_bytes());
    }
    body
}

/// Whose cost is to be bounded: 128 KB each, of what patterns, parsers and transformations like least.
pub(crate) fn hostile() -> Vec<Request> {
    let mut all = Vec::new();
    for (name, unit) in [
        ("prose", PROSE.replace(' ', "+")),
        ("tags", "<a+b=x>".into()),
        ("open-tags", "<a<".into()),
        ("quotes", "'or+1-(".into()),
        ("backslashes", "\\".into()),
        ("percent", "%2525".into()),
        ("entities", "&lt%3b&%2361%3b".into()),
        ("unicode", "%5cu0061".into()),
        ("dots", "../".into()),
        ("spaces", "+".into()),
        ("letters", "a".into()),
        ("digits", "1".into()),
        ("brackets", "(".into()),
        ("braces", "${".into()),
        ("dollars", "$(".into()),
        ("semicolons", ";".into()),
        ("pipes", "a|b".into()),
        ("comments", "/*+*/".into()),
        ("dashes", "--+".into()),
        ("commas", "a,".into()),
        ("equals", "a=".into()),
        ("words", "select+".into()),
        ("sql", "union+select+'a'+from+b+where+1=1;--+".into()),
        ("shell", ";cat+/etc/passwd|ls+-la+`id`".into()),
        ("javascript", "alert(document.cookie);onload=eval(".into()),
        ("php", "<?php+system($_GET['a']);".into()),
        ("java", "java.lang.Runtime.getRuntime().exec(".into()),
        ("nul", "%00".into()),
        ("high", "%c3%a9".into()),
        ("bad-utf8", "%ff%c0".into()),
        ("newlines", "%0d%0aa:".into()),
        ("base64", "QWxhZGRpbjpvcGVuIHNlc2FtZQ".into()),
        ("hex", "0x41".into()),
        ("carets", "c^a^t".into()),
        ("urls", "http://127.0.0.1/+".into()),
    ] {
        all.push(post(name, FORM, fill("text=", &unit, "")));
    }
    for (name, words) in random() {
        all.push(post(name, FORM, scattered(&words)));
    }
    all.push(post("parameters", FORM, fill("a=1", "&b=c", "")));
    all.push(post(
        "long-parameters",
        FORM,
        fill("a=1", &format!("&parameter_name=%27{}", "x".repeat(110)), ""),
    ));
    all.push(post("attack-parameters", FORM, fill("a=1", "&b[]='or+1=1--+<a+onload=x>;cat+/etc/passwd", "")));
    all.push(post("json-array", JSON, fill("[1", ",\"ab 'or c\"", "]")));
    all.push(post("json-numbers", JSON, fill("[1", ",1", "]")));
    all.push(post("json-keys", JSON, fill("{\"a\":1", ",\"b\":\"c d\"", "}")));
    all.push(post("json-deep", JSON, fill("", "[", "")));
    all.push(post("json-deep-objects", JSON, fill("", "{\"a\":", "")));
    all.push(post("json-escapes", JSON, fill("{\"a\":\"", "\\u0027", "\"}")));
    all.push(post("xml", "text/xml", fill("<a>", "<b c='d'>e f</b>", "</a>")));
    all.push(post("xml-deep", "text/xml", fill("<a>", "<b>", "</a>")));
    let part = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb c\r\n";
    all.push(post("multipart", "multipart/form-data; boundary=x", fill("", part, "--x--\r\n")));
    let dashes = fill("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n", "\r\n--", "\r\n--x--\r\n");
    all.push(post("multipart-dashes", "multipart/form-data; boundary=x", dashes));
    all.push(get("long-uri", &format!("/{}", "a/../%27".repeat(1024))));
    all.push(get("long-query", &format!("/?{}", "a%27=<b&".repeat(1024))));
    all
}
