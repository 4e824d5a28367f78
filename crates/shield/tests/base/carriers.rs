//! Ways to carry a text into a function.

use waf::ftw::Raw;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

pub(crate) fn request(method: &str, uri: &str, more: &[(&str, &[u8])], body: &[u8]) -> Raw {
    let header = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
    let mut headers = vec![header("Host", b"shop.example.org"), header("Accept", b"*/*")];
    if !more.iter().any(|(name, _)| *name == "User-Agent") {
        headers.push(header("User-Agent", BROWSER.as_bytes()));
    }
    headers.extend(more.iter().map(|(name, value)| header(name, value)));
    if method != "GET" {
        headers.push(header("Content-Length", body.len().to_string().as_bytes()));
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

pub(crate) fn get(uri: &str) -> Raw {
    request("GET", uri, &[], b"")
}

pub(crate) fn post(content_type: &str, body: impl AsRef<[u8]>) -> Raw {
    request("POST", "/items", &[("Content-Type", content_type.as_bytes())], body.as_ref())
}

/// Every byte that is no letter or digit as `%HH`.
pub(crate) fn encoded(text: &[u8]) -> String {
    let each = |byte: &u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    text.iter().map(each).collect()
}

pub(crate) fn parts(name: &str, value: &[u8]) -> Vec<u8> {
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
    [head.as_bytes(), value, b"\r\n--b--\r\n"].concat()
}

/// The text as a value in a query, a form, JSON (as it stands, and all of it escaped), a part, XML and a body that says
/// nothing of itself.
pub(crate) fn as_a_value(text: &[u8]) -> Vec<(&'static str, Raw)> {
    let quoted = serde_json::json!({ "item": { "list": [1, String::from_utf8_lossy(text)] } }).to_string();
    let letters: Vec<char> = String::from_utf8_lossy(text).chars().collect();
    let escaped: String = letters.iter().map(|letter| format!("\\u{:04x}", u32::from(*letter))).collect();
    let entities: String = letters.iter().map(|letter| format!("&#{};", u32::from(*letter))).collect();
    let form = format!("id=7&item={}", encoded(text));
    let in_json = format!("{{\"item\":\"{escaped}\"}}");
    vec![
        ("query", get(&format!("/list?id=7&item={}", encoded(text)))),
        ("form", post(FORM, &form)),
        ("form that says nothing", request("POST", "/", &[], form.as_bytes())),
        ("json", post("application/json", &quoted)),
        ("json that says text", post("text/plain", &quoted)),
        ("json that says form", post(FORM, &quoted)),
        ("json of escapes", post("application/vnd.api+json", &in_json)),
        ("multipart", post("multipart/form-data; boundary=b", parts("item", text))),
        ("xml", post("application/xml", format!("<r><a>{entities}</a></r>"))),
        ("attribute", post("text/xml", format!("<r a=\"{entities}\"/>"))),
    ]
}

/// More of them, which only an attack takes.
pub(crate) fn in_disguise(text: &[u8]) -> Vec<(&'static str, Raw)> {
    let every: String = text.iter().map(|byte| format!("%{byte:02X}")).collect();
    let wide: String = text.iter().map(|byte| format!("%u00{byte:02x}")).collect();
    let twice = encoded(encoded(text).as_bytes());
    let cookie = format!("theme=dark; item={}", encoded(text));
    vec![
        ("every byte encoded", get(&format!("/?item={every}"))),
        ("%u", get(&format!("/?item={wide}"))),
        ("encoded twice", get(&format!("/?item={twice}"))),
        ("second of a name", get(&format!("/?item=1&item={}", encoded(text)))),
        ("cookie", request("GET", "/", &[("Cookie", cookie.as_bytes())], b"")),
        ("text", post("text/plain", text)),
        ("no type", request("POST", "/", &[], text)),
    ]
}
