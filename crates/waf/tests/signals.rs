//! What of a request cannot be inspected as a whole is told to the rules, wherever it stands and whatever follows it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{net::SocketAddr, sync::Arc};

use waf::{Decision, Head, NoFiles, Plan, Report, Rules, Settings, Source, World};

const RULES: &str = "SecRule REQBODY_ERROR \"@eq 1\" \"id:1,phase:2,deny,msg:'%{REQBODY_ERROR_MSG}'\"";

fn run(rules: &str, uri: &str, headers: &[(&str, &str)], body: &[u8]) -> Report {
    let clock = || 0;
    let rules = Rules::load(&[Source { name: "own.conf", text: rules }], &NoFiles).unwrap();
    let plan = Plan::new(&Arc::new(rules), &Settings::default()).unwrap();
    let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let mut transaction = plan.transaction(World { clock: &clock, epoch_s: 1, memory: None });
    let address = SocketAddr::from(([192, 0, 2, 7], 4000));
    let (method, protocol) = (b"POST".as_slice(), b"HTTP/1.1".as_slice());
    let head = Head {
        method,
        uri: uri.as_bytes(),
        protocol,
        headers: &headers,
        peer: address,
        server: address,
        id: "one",
    };
    if transaction.request_head(&head) == Decision::Pass {
        transaction.request_body(body);
    }
    transaction.finish()
}

/// A body of each kind with that many arguments.
fn of(kind: &str, count: usize) -> (&'static str, Vec<u8>) {
    let list = |each: &str, between: &str| vec![each; count].join(between);
    match kind {
        "form" => ("application/x-www-form-urlencoded", list("b=1", "&").into_bytes()),
        "json" => ("application/json", format!("{{\"z\":[{}]}}", list("1", ",")).into_bytes()),
        "xml" => ("text/xml", b"<a b='1'>c</a>".to_vec()),
        "sniffed" => ("text/plain", format!("[{}]", list("1", ",")).into_bytes()),
        "parts" => {
            let part = "--x\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n1\r\n";
            ("multipart/form-data; boundary=x", format!("{}--x--\r\n", list(part, "")).into_bytes())
        }
        _ => ("text/plain", Vec::new()),
    }
}

/// 1,000 arguments are read. Those over it are a fault of the request, be they in its query, its body, or both.
#[test]
fn arguments_over_the_bound_are_a_fault_wherever_they_stand() {
    let sniff = format!("SecAction \"id:9,phase:1,pass,nolog,ctl:requestBodyProcessor=SNIFF\"\n{RULES}");
    for (query, kind, inside, faulty) in [
        (4000, "none", 0, true),
        (4000, "form", 1, true),
        (4000, "json", 1, true),
        (4000, "xml", 1, true),
        (4000, "parts", 1, true),
        (4000, "sniffed", 1, true),
        (600, "form", 600, true),
        (600, "json", 600, true),
        (600, "parts", 600, true),
        (600, "sniffed", 600, true),
        (0, "form", 1001, true),
        (0, "json", 1001, true),
        (0, "parts", 1001, true),
        (0, "sniffed", 1001, true),
        (400, "form", 500, false),
        (400, "json", 500, false),
        (400, "parts", 500, false),
        (400, "sniffed", 500, false),
        (1000, "none", 0, false),
    ] {
        let uri = format!("/s?{}", "a&".repeat(query));
        let (media, body) = of(kind, inside);
        let rules = if kind == "sniffed" { sniff.as_str() } else { RULES };
        let report = run(rules, &uri, &[("Content-Type", media)], &body);
        let told = report.matches.first().map(|one| one.message.as_str());
        assert_eq!(told.is_some(), faulty, "{query} in the query, {inside} in {kind}: {told:?}");
        assert_eq!(report.decision != Decision::Pass, faulty, "{query} {kind} {inside}");
    }
}

/// What is read well later does not take back what was wrong before.
#[test]
fn a_fault_stays() {
    let json = b"{\"a\":1}".as_slice();
    let cookies = "c=1;".repeat(1001);
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("x", "1"), 1001).collect();
    let typed = ("Content-Type", "application/json");
    for (headers, expect) in [
        (vec![typed, ("Content-Encoding", "none-such")], "the content encoding"),
        (vec![typed, ("Cookie", cookies.as_str())], "more than 1000 cookies"),
        ([vec![typed], many].concat(), "more than 1000 headers"),
    ] {
        let report = run(RULES, "/", &headers, json);
        let told = report.matches.first().map(|one| one.message.clone()).unwrap_or_default();
        assert!(told.starts_with(expect), "{told}, not {expect}");
    }
}

/// Two media types, or a list of them, are read otherwise by whoever comes next.
#[test]
fn a_media_type_that_two_readers_take_differently_is_a_fault() {
    for (types, faulty) in [
        (vec!["image/png", "application/json"], true),
        (vec!["image/png, application/json"], true),
        (vec!["application/json", "application/json"], true),
        (vec!["image/png"], false),
        (vec!["image/png; a=b , application/json; q=1"], true),
        (vec!["multipart/form-data; boundary=a,b"], false),
        (vec!["multipart/mixed; boundary= gc0p4Jq0M2Yt,08/jU534c0p?==:test"], false),
        (vec!["multipart/mixed; boundary=\"a,b/c\""], true),
        (vec!["text/plain, application/json=1"], true),
        (vec!["text/plain,\"application/json\""], true),
        (vec!["text/plain; charset=utf-8"], false),
    ] {
        let headers: Vec<(&str, &str)> = types.iter().map(|value| ("Content-Type", *value)).collect();
        assert_eq!(!run(RULES, "/", &headers, b"").matches.is_empty(), faulty, "{types:?}");
    }
}

/// XML of any family is XML; documents in wide letters are a fault, since nothing in them is seen.
#[test]
fn xml_is_read_as_such_and_wide_letters_are_a_fault() {
    let rules = format!("SecRule XML:/*|XML://@* \"@rx attack\" \"id:2,phase:2,pass,msg:'seen'\"\n{RULES}");
    let wide = |text: &str, big: bool| -> Vec<u8> {
        let letters = text.encode_utf16();
        letters.flat_map(|letter| if big { letter.to_be_bytes() } else { letter.to_le_bytes() }).collect()
    };
    let marked = [&[0xff, 0xfe][..], &wide("<a>attack</a>", false)].concat();
    let wider: Vec<u8> = "<a/>".chars().flat_map(|letter| u32::from(letter).to_be_bytes()).collect();
    for (media, body, expect) in [
        ("image/svg+xml", b"<svg>attack</svg>".to_vec(), "seen"),
        ("model/x3d+xml; a=b", b"<x a='attack'/>".to_vec(), "seen"),
        ("application/soap+xml", b"<x>attack</x>".to_vec(), "seen"),
        ("text/xml", marked.clone(), "the body is a document in UTF-16"),
        ("image/svg+xml", marked, "the body is a document in UTF-16"),
        ("text/xml", wide("<a>attack</a>", true), "the body is a document in UTF-16"),
        ("text/xml", wider, "the body is a document in UTF-16"),
    ] {
        let report = run(&rules, "/", &[("Content-Type", media)], &body);
        let told: Vec<&str> = report.matches.iter().map(|one| one.message.as_str()).collect();
        assert!(told.iter().any(|told| told.starts_with(expect)), "{media}: {told:?}");
    }
    let sniff = format!("SecAction \"id:9,phase:1,pass,nolog,ctl:requestBodyProcessor=SNIFF\"\n{RULES}");
    for (body, faulty) in
        [(wide("<a/>", false), true), (wide("{\"a\":1}", true), true), (b"<a/>".to_vec(), false)]
    {
        assert_eq!(!run(&sniff, "/", &[], &body).matches.is_empty(), faulty, "{body:?}");
    }
}

/// What is uploaded is there for rules that ask for it, and only then.
#[test]
fn contents_of_uploads_and_heads_of_parts_are_seen() {
    let rules = "SecRule FILES_TMP_CONTENT \"@rx <script\" \"id:1,phase:2,pass,msg:'%{MATCHED_VAR_NAME}'\"\n\
         SecRule MULTIPART_PART_HEADERS \"@rx (?i)^content-transfer-encoding:\" \"id:2,phase:2,pass,msg:'encoded'\"";
    let body = b"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.svg\"\r\n\
        Content-Type: image/svg+xml\r\nContent-Transfer-Encoding: base64\r\n\r\n<svg><script>1</script></svg>\r\n--x--\r\n";
    let report = run(rules, "/", &[("Content-Type", "multipart/form-data; boundary=x")], body);
    let told: Vec<&str> = report.matches.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(told, ["FILES_TMP_CONTENT:f", "encoded"]);
}

/// Variables that once were always empty.
#[test]
fn the_user_the_application_and_tags_with_macros_are_told() {
    let rules = "SecWebAppId shop\nSecDefaultAction \"phase:2,pass,log,tag:'Host: %{request_headers.host}'\"\n\
         SecRule REMOTE_USER \"@streq ann\" \"id:1,phase:2,tag:'own',msg:'%{WEBAPPID}'\"";
    let headers = [("Host", "h"), ("Authorization", "Basic YW5uOnNlY3JldA==")];
    let report = run(rules, "/", &headers, b"");
    let told: Vec<(&str, Vec<String>)> =
        report.matches.iter().map(|one| (one.message.as_str(), one.tags.clone())).collect();
    assert_eq!(told, [("shop", vec!["Host: h".to_owned(), "own".to_owned()])]);
}

/// The pattern is made of what a request or a set-up says; no text matches what is none.
#[test]
fn patterns_with_macros_are_compiled_when_they_are_known() {
    let rules = "SecAction \"id:9,phase:1,nolog,pass,setvar:'tx.allowed=utf-8|ascii'\"\n\
         SecRule ARGS:c \"!@rx ^(?:%{tx.allowed})$\" \"id:1,phase:1,pass,msg:'not allowed'\"\n\
         SecRule ARGS:t \"@rx ^%{ARGS.p}$\" \"id:2,phase:1,pass,msg:'made'\"\n\
         SecRule ARGS:t \"!@rx %{ARGS.p}\" \"id:3,phase:1,pass,msg:'negated'\"";
    for (query, expect) in [
        ("c=utf-8", vec![]),
        ("c=latin1", vec!["not allowed"]),
        ("t=abc&p=a.c", vec!["made"]),
        ("t=abc&p=b%2bd", vec!["negated"]),
        ("t=abc&p=(", vec!["negated"]),
    ] {
        let report = run(rules, &format!("/?{query}"), &[], b"");
        let told: Vec<&str> = report.matches.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(told, expect, "{query}");
    }
}

/// All matches of `@rxGlobal` are captured, not the first alone.
#[test]
fn every_match_of_a_global_pattern_is_captured() {
    let rules = "SecRule ARGS \"@rxGlobal ([a-z])(\\d)\" \"id:1,phase:1,pass,capture,msg:'%{tx.0} %{tx.2} %{tx.3} %{tx.5}'\"";
    let report = run(rules, "/?q=a1-b2-c", &[], b"");
    assert_eq!(report.matches.first().map(|one| one.message.as_str()), Some("a1 1 b2 2"));
}

/// A search that goes back too often uses up the budget, which refuses.
#[test]
fn a_pattern_that_backtracks_too_long_exhausts_the_request() {
    let rules = "SecRule ARGS \"@rx (a|a)*(?=b)c\" \"id:1,phase:1,pass\"";
    let report = run(rules, &format!("/?q={}", "a".repeat(5000)), &[], b"");
    assert!(report.exhausted);
    assert_ne!(report.decision, Decision::Pass);
}
