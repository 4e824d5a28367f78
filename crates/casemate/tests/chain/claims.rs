//! Functions, and callers from outside, that claim to be what they are not.

use crate::{
    support::guest,
    village::{TENANT, Village, granted, header, url},
};

const FORGED: [(&str, &str); 5] = [
    ("casemate-caller", "User::\"default/root\""),
    ("casemate-actor", "spiffe://localhost/default/admin"),
    ("casemate-on-behalf-of", "User::\"default/root\""),
    ("casemate-chain", "default/trusted@r1"),
    ("Casemate-Request-Id", "00000000000000000000000000"),
];

#[test]
fn a_function_cannot_claim_another_identity_nor_forge_a_hop() {
    let village = Village::start();
    village.caller("front", "", &["http://echo.function.internal/..."]);
    for (name, value) in FORGED {
        let value = value.replace('"', "%22");
        let answer = village.get(&format!("/front?url={}&header={name}:{value}", url("echo", "/echo")));
        let echoed = answer.json();
        for (name, truth) in [
            ("casemate-caller", "Function::\"default/front\""),
            ("casemate-actor", "spiffe://localhost/default/front"),
            ("casemate-on-behalf-of", "User::\"default/alice\""),
            ("casemate-chain", "default/front@r1"),
            ("casemate-request-id", answer.headers["x-request-id"].to_str().unwrap()),
        ] {
            assert_eq!(header(&echoed, name).as_deref(), Some(truth), "{name} of {echoed}");
        }
        let names: Vec<_> = echoed["headers"].as_array().unwrap().iter().map(|pair| &pair[0]).collect();
        let of_the_node = names.iter().filter(|name| name.as_str().unwrap().starts_with("casemate-"));
        assert_eq!(of_the_node.count(), 5, "each once: {echoed}");
        let hop = village.records(&answer).pop().unwrap();
        assert_eq!(hop["principal"], "Function::\"default/front\"", "{hop}");
        assert_eq!(hop["chain"].as_array().unwrap().len(), 1, "{hop}");
    }
}

#[test]
fn a_function_with_a_token_of_somebody_calls_as_itself() {
    let village = Village::start();
    let only = "[access]\npolicy = '''\npermit (principal == User::\"default/admin\", \
                action == Action::\"invoke\", resource);\n'''\n";
    village.node.deploy("private", &guest("hello"), only);
    village.caller(
        "front",
        "",
        &["http://private.function.internal/...", "http://echo.function.internal/..."],
    );
    let admin = village.node.admin();
    assert_eq!(
        village.node.call("GET", "/private", Some(&admin), b"").status,
        200,
        "the token is good outside"
    );
    // The token's parts go apart, so that no target holds it whole.
    let bearer = format!("header=authorization:Bearer%20{}", admin.replacen("casemate", "casemat%65", 1));
    let answer = village.get(&format!("/front?url={}&{bearer}", url("private", "/private")));
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(village.left(&answer, "no-permit")["principal"], "Function::\"default/front\"");
    let echoed = village.get(&format!("/front?url={}&{bearer}", url("echo", "/echo"))).json();
    assert_eq!(header(&echoed, "authorization"), None, "nor does the callee see it");
}

#[test]
fn nobody_outside_sets_what_the_node_says() {
    let village = Village::start();
    let forged: String = FORGED.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let token = &village.token;
    let heard = village.raw(&format!(
        "GET /echo HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{forged}connection: close\r\n\r\n"
    ));
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    let echoed = &heard[heard.find('{').unwrap()..=heard.rfind('}').unwrap()];
    let echoed: serde_json::Value = serde_json::from_str(echoed).unwrap();
    assert_eq!(header(&echoed, "casemate-caller").as_deref(), Some("User::\"default/alice\""));
    for name in ["casemate-actor", "casemate-on-behalf-of", "casemate-chain"] {
        assert_eq!(header(&echoed, name), None, "{echoed}");
    }
    assert!(!heard.contains("default/root") && !heard.contains("00000000000000000000000000"), "{heard}");
}

#[test]
fn from_outside_no_host_is_a_functions() {
    let village = Village::start();
    for host in
        ["echo.function.internal", "ECHO.Function.Internal", "echo.function.internal:80", "function.internal"]
    {
        let heard = village.raw(&format!(
            "GET /echo HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            village.token
        ));
        assert!(heard.starts_with("HTTP/1.1 404 ") && heard.contains("no-route"), "{host}: {heard}");
    }
    let events = village.node.records(&["--of-node", "--limit", "100"]);
    assert!(events.iter().any(|event| event["code"] == "no-route"), "{events:?}");
    village.is_well();
}

#[test]
fn what_is_not_granted_is_refused() {
    let village = Village::start();
    village.node.deploy("other", &guest("hello"), TENANT);
    village.caller("none", "", &[]);
    let one = "[[capabilities.http]]\nurl = \"http://echo.function.internal/echo/open/...\"\n";
    village.node.deploy("front", &guest("outbound"), &format!("{TENANT}{one}"));
    let open = url("echo", "/echo/open/1");
    assert_eq!(village.get(&format!("/front?url={open}")).status, 200);
    for (method, caller, target) in [
        ("GET", "none", open.clone()),
        ("POST", "front", open.clone()),
        ("GET", "front", url("echo", "/echo/closed")),
        ("GET", "front", url("echo", "/echo/open/%252e%252e/closed")),
        ("GET", "front", url("other", "/other")),
        ("GET", "front", "http://function.internal/".to_owned()),
        ("GET", "front", "http://default.echo.function.internal/echo/open/1".to_owned()),
        ("GET", "front", "https://echo.function.internal/echo/open/1".to_owned()),
        ("GET", "front", "http://echo.function.internal:8080/echo/open/1".to_owned()),
        ("GET", "front", "http://echo.function.internal.example.com/echo/open/1".to_owned()),
    ] {
        let answer = village.node.call(method, &format!("/{caller}?url={target}"), Some(&village.token), b"");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (502, "HTTP-request-denied\n"),
            "{method} {target}"
        );
        let event = village.left(&answer, "outbound-denied");
        assert!(event["action"] == "call-out" && event["allowed"] == false, "{event}");
    }
    for grant in [
        "https://echo.function.internal/",
        "http://echo.function.internal:81/",
        "http://a.echo.function.internal/",
    ] {
        let folder = village.node.home.function("wrong", &guest("outbound"), &granted(&[grant]));
        let refused = village.node.run(&["deploy", folder.to_str().unwrap(), "--no-build"]);
        assert!(refused.code != 0 && refused.err.contains("is no "), "{grant}: {refused:?}");
    }
}

#[test]
fn a_name_of_another_tenant_is_nobodys() {
    let village = Village::start();
    village.node.run(&["tenant", "create", "acme"]).ok();
    let owner = village.node.run(&[
        "token", "create", "--tenant", "acme", "--name", "owner", "--role", "owner", "--scope", "*",
        "--output", "json",
    ]);
    let owner = owner.ok().json()["secret"].as_str().unwrap().to_owned();
    let folder = village.node.home.function("secret", &guest("hello"), TENANT);
    let mut deploy =
        village.node.home.command(&["deploy", folder.to_str().unwrap(), "--no-build", "--tenant", "acme"]);
    let done = deploy.env("CASEMATE_TOKEN", &owner).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    village.caller("front", "", &["http://secret.function.internal/..."]);
    let answer = village.get(&format!("/front?url={}", url("secret", "/secret")));
    assert_eq!(answer.status, 404, "{}", answer.text());
    let event = village.left(&answer, "no-route");
    assert_eq!(
        (event["tenant"].as_str(), event["resource"].as_str()),
        (Some("default"), Some("Function::\"default/secret\""))
    );
}
