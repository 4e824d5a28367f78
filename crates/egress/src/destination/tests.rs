use super::*;

fn grants(rows: &[(&str, &[&str])]) -> Result<Destinations, GrantError> {
    let grant = |(url, methods): &(&str, &[&str])| OutboundGrant {
        url: (*url).to_owned(),
        methods: methods.iter().map(|m| (*m).to_owned()).collect(),
    };
    Destinations::parse(&rows.iter().map(grant).collect::<Vec<_>>())
}

const ROWS: &[(&str, &[&str])] = &[
    ("https://api.example.com/v1/...", &["GET", "POST"]),
    ("https://api.example.com/exact", &[]),
    ("https://all.example.com", &["PUT"]),
    ("http://plain.example.com:8080/...", &[]),
    ("https://10.0.0.1/a", &[]),
    ("https://[fd00::1]:8443/...", &[]),
];

fn check(method: &str, url: &str, expect: Result<&str, &str>) {
    let uri: Uri = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
    let found = grants(ROWS).unwrap().cover(&method.parse().unwrap(), &uri);
    let found = found.map(|place| format!("{}{}", if place.tls { "tls " } else { "" }, place.authority()));
    assert_eq!(found.as_deref().map_err(|e| *e), expect, "{method} {url}");
}

#[test]
fn covered() {
    for (method, url, expect) in [
        ("GET", "https://api.example.com/v1", "tls api.example.com"),
        ("POST", "https://api.example.com/v1/users?q=../..", "tls api.example.com"),
        ("GET", "https://API.Example.COM:443/v1/", "tls api.example.com"),
        ("GET", "https://api.example.com/v1/a%20b".replace("%20", "%c3%a9").as_str(), "tls api.example.com"),
        ("GET", "https://api.example.com/v1/...", "tls api.example.com"),
        ("HEAD", "https://api.example.com/exact", "tls api.example.com"),
        ("PUT", "https://all.example.com", "tls all.example.com"),
        ("PUT", "https://all.example.com/any/../thing", "tls all.example.com"),
        ("GET", "http://plain.example.com:8080/x", "plain.example.com:8080"),
        ("GET", "https://10.0.0.1/a", "tls 10.0.0.1"),
        ("GET", "https://[fd00::1]:8443/", "tls [fd00::1]:8443"),
    ] {
        check(method, url, Ok(expect));
    }
}

#[test]
fn not_covered() {
    let (host, path, method) =
        ("no grant names this host", "no grant names this path", "no grant names this method");
    for (verb, url, why) in [
        ("GET", "http://api.example.com/v1/", host),
        ("GET", "https://api.example.com:8443/v1/", host),
        ("GET", "https://example.com/v1/", host),
        ("GET", "https://x.api.example.com/v1/", host),
        ("GET", "https://api.example.com.evil.example/v1/", host),
        ("GET", "https://plain.example.com:8080/x", host),
        ("GET", "http://plain.example.com/x", host),
        ("GET", "https://10.0.0.2/a", host),
        ("GET", "https://api.example.com/v2", path),
        ("GET", "https://api.example.com/v1x", path),
        ("GET", "https://api.example.com/V1/", path),
        ("GET", "https://api.example.com/%76%31/", path),
        ("GET", "https://api.example.com/", path),
        ("GET", "https://api.example.com", path),
        ("GET", "https://api.example.com/exact/", path),
        ("GET", "https://api.example.com//v1/", path),
        ("DELETE", "https://api.example.com/v1/", method),
        ("POST", "https://api.example.com/exact", method),
        ("GET", "https://all.example.com/", method),
        ("TRACE", "https://api.example.com/v1/", method),
        ("GET", "https://api.example.com/v1/../admin", "a dot segment in the path"),
        ("GET", "https://api.example.com/v1/./admin", "a dot segment in the path"),
        ("GET", "https://api.example.com/v1/..", "a dot segment in the path"),
        ("GET", "https://api.example.com/v1/..;a/admin", "a dot segment in the path"),
        ("GET", "https://api.example.com/v1/%2e%2e/admin", "a disguised character"),
        ("GET", "https://api.example.com/v1/.%2E/admin", "a disguised character"),
        ("GET", "https://api.example.com/v1/..%2fadmin", "a disguised character"),
        ("GET", "https://api.example.com/v1/..%5cadmin", "a disguised character"),
        ("GET", "https://api.example.com/v1/%252e%252e/admin", "a disguised character"),
        ("GET", "https://api.example.com/v1/a%00", "a disguised character"),
        ("GET", "https://api.example.com/v1/a%0d%0a", "a disguised character"),
        ("GET", "https://api.example.com/v1/%zz", "a `%` without two hex digits"),
        ("GET", "https://api.example.com/v1/%", "a `%` without two hex digits"),
        ("GET", "https://api.example.com/v1//admin", "an empty segment in the path"),
        ("GET", "/v1/", "the scheme is neither `https` nor `http`"),
        ("GET", "ftp://api.example.com/v1/", "the scheme is neither `https` nor `http`"),
        ("GET", "https://a@api.example.com/v1/", "a user name in the target"),
        ("GET", "https://api.example.com@evil.example/v1/", "a user name in the target"),
        ("GET", "https://api.example.com./v1/", "the host is no name"),
        ("GET", "https://api_x.example.com/v1/", "the host is no name"),
        ("GET", "https://api.example.com:0443/v1/", "the port is no number in its plain form"),
        ("GET", "https://api.example.com:0/v1/", "the port is no number in its plain form"),
    ] {
        check(verb, url, Err(why));
    }
}

#[test]
fn hosts() {
    let address = |text: &str| Ok(Host::Address(text.parse().unwrap()));
    let check = |text: &str, expect: Result<Host, &str>| assert_eq!(Host::parse(text), expect, "{text}");
    check("Example.COM", Ok(Host::Name("example.com".into())));
    check("localhost", Ok(Host::Name("localhost".into())));
    check("1and1.example", Ok(Host::Name("1and1.example".into())));
    check("127.0.0.1", address("127.0.0.1"));
    check("[::1]", address("::1"));
    check("[FD00::1]", address("fd00::1"));
    let odd = "an address in an odd form";
    for text in [
        "2130706433",
        "127.1",
        "127.0.1",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "0x7f.0x0.0x0.0x1",
        "127.0.0.0x1",
        "256.0.0.1",
        "1.2.3.4.5",
        "[::0001]",
        "[0:0:0:0:0:0:0:1]",
        "a.0x1",
    ] {
        check(text, Err(odd));
    }
    for text in
        ["", ".", "a..b", "-a", "a-", "a b", "a%b", "a_b", "münchen.example", "a.", "::1", "a/b", "a\\b"]
    {
        assert!(Host::parse(text).is_err(), "{text}");
    }
    for text in ["[::1", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[127.0.0.1]", "[]", "[::1]x"] {
        assert!(Host::parse(text).is_err(), "{text}");
    }
}

#[test]
fn grants_that_are_none() {
    for url in [
        "",
        "api.example.com",
        "/v1",
        "ftp://a/",
        "https://",
        "https:///x",
        "https://*.example.com",
        "https://a@b/",
        "https://a/?q",
        "https://a/#f",
        "https://a/../b",
        "https://a/%2e%2e/b",
        "https://a//b",
        "https://a/.../b",
        "https://a/b.../...",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://[fe80::1%25eth0]/",
        "https://a:/x",
        "https://a:0/x",
        "https://a:99999/x",
        "https://a_b/",
    ] {
        assert!(grants(&[(url, &[])]).is_err(), "{url}");
    }
    for method in ["", "get", "CONNECT", "TRACE", "G ET", "*"] {
        assert!(grants(&[("https://a/", &[method])]).is_err(), "{method}");
    }
    assert!(grants(&[]).unwrap().cover(&Method::GET, &"https://a/".parse().unwrap()).is_err());
}

#[test]
fn functions_of_the_tenant() {
    let check = |url: &str, expect: Option<Result<&str, &str>>| {
        let found = function(&url.parse().unwrap()).map(|named| named.map(|name| name.to_string()));
        let expect = expect.map(|named| named.map(str::to_owned));
        assert_eq!(found, expect, "{url}");
    };
    check("http://orders.function.internal", Some(Ok("orders")));
    check("http://orders.function.internal:80/a?b", Some(Ok("orders")));
    check("http://ORDERS.function.Internal/", Some(Ok("orders")));
    let odd = Some(Err("a function is called with `http` and without a port"));
    check("https://orders.function.internal/", odd);
    check("http://orders.function.internal:8080/", odd);
    let nobody = Some(Err("it names no function of the tenant"));
    check("http://function.internal/", nobody);
    check("http://orders.other.function.internal/", nobody);
    check("http://0rders.function.internal/", nobody);
    check("http://orders.example.com/", None);
    check("http://orders.function.internal.example.com/", None);

    let granted = grants(&[("http://orders.function.internal/open/...", &["POST"])]).unwrap();
    let permits = |method: &str, url: &str| {
        granted.permits(&method.parse().unwrap(), &url.parse().unwrap()).map_err(str::to_owned)
    };
    assert_eq!(permits("POST", "http://orders.function.internal/open/1"), Ok(()));
    assert!(permits("GET", "http://orders.function.internal/open/1").is_err());
    assert!(permits("POST", "http://orders.function.internal/closed").is_err());
    assert!(permits("POST", "http://orders.function.internal/open/../closed").is_err());
    assert!(permits("POST", "http://others.function.internal/open/1").is_err());
    for wrong in
        ["https://a.function.internal/", "http://a.function.internal:81/", "http://a.b.function.internal/"]
    {
        assert!(grants(&[(wrong, &[])]).is_err(), "{wrong}");
    }
}
