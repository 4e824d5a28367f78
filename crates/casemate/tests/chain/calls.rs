//! Calls as they are meant: who the callee is told calls for whom, bodies, policies, and answers that are errors.

use std::time::{Duration, Instant};

use crate::{
    support::guest,
    village::{PATIENCE, TENANT, Village, granted, header, through, url},
};

#[test]
fn the_callee_and_the_record_know_who_acts_and_for_whom() {
    let village = Village::start();
    village.caller("front", "", &["http://middle.function.internal/..."]);
    village.caller("middle", "", &["http://echo.function.internal/..."]);
    let answer = village.get(&through(&["front", "middle"], &url("echo", "/echo/a")));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let echoed = answer.json();
    let id = answer.headers["x-request-id"].to_str().unwrap();
    for (name, value) in [
        ("casemate-caller", "Function::\"default/middle\""),
        ("casemate-actor", "spiffe://localhost/default/middle"),
        ("casemate-on-behalf-of", "User::\"default/alice\""),
        ("casemate-chain", "default/front@r1, default/middle@r1"),
        ("casemate-request-id", id),
    ] {
        assert_eq!(header(&echoed, name).as_deref(), Some(value), "{name} of {echoed}");
    }
    assert_eq!((echoed["scheme"].as_str(), echoed["path"].as_str()), (Some("http"), Some("/echo/a")));
    assert_eq!(echoed["authority"], "echo.function.internal");

    let events = village.records(&answer);
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let chain = event["chain"].as_array().into_iter().flatten();
            let chain: Vec<_> = chain.map(|link| link.as_str().unwrap()).collect();
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            assert!(event["kind"] == "decision" && event["allowed"] == true, "{event}");
            (text("principal"), text("resource"), text("on_behalf_of"), chain.join(" "), text("detail"))
        })
        .collect();
    let row = |texts: [&str; 5]| {
        let [principal, resource, for_whom, chain, detail] = texts.map(str::to_owned);
        (principal, resource, for_whom, chain, detail)
    };
    let (alice, front, middle, echo) = (
        "User::\"default/alice\"",
        "Function::\"default/front\"",
        "Function::\"default/middle\"",
        "Function::\"default/echo\"",
    );
    let both = "default/front@r1 default/middle@r1";
    assert_eq!(
        told,
        [
            row([alice, front, "", "", ""]),
            row([front, middle, alice, "default/front@r1", "spiffe://localhost/default/front"]),
            row([middle, echo, alice, both, "spiffe://localhost/default/middle"]),
        ]
    );
    let said = village.node.run(&["records", "--request", id]).ok().out;
    assert!(said.contains("through default/front@r1, default/middle@r1"), "{said}");
    let seen = village.node.run(&["inspect", "middle"]).ok().out;
    assert!(seen.contains("spiffe://localhost/default/middle"), "{seen}");

    let direct = village.get("/echo").json();
    assert_eq!(header(&direct, "casemate-caller").as_deref(), Some(alice));
    for name in ["casemate-actor", "casemate-on-behalf-of", "casemate-chain"] {
        assert_eq!(header(&direct, name), None, "{direct}");
    }
}

#[test]
fn bodies_go_both_ways() {
    let village = Village::start();
    village.caller("front", "", &["http://echo.function.internal/..."]);
    let manifest = format!("{TENANT}{}", granted(&["http://echo.function.internal"]));
    village.node.deploy("newer", &guest("outbound-p3"), &manifest);
    // The older one sends all before it reads anything; what it sends must fit on the way.
    for (function, bytes) in [("front", 64 << 10), ("newer", 3 << 20)] {
        let body: Vec<u8> = (0..bytes).map(|n: u32| (n % 251) as u8).collect();
        let path = format!("/{function}?url={}", url("echo", "/echo"));
        let answer = village.node.call("POST", &path, Some(&village.token), &body);
        assert_eq!(answer.status, 200, "{function}");
        assert!(answer.body == body, "{function}: {} of {} bytes", answer.body.len(), body.len());
        let empty = village.node.call("POST", &path, Some(&village.token), b"");
        assert_eq!((empty.status, empty.body.len()), (200, 0), "{function}");
    }
    let head =
        village.node.call("HEAD", "/front?url=http://echo.function.internal/echo", Some(&village.token), b"");
    assert_eq!(head.status, 502, "`HEAD` is not granted");
}

#[test]
fn a_policy_asks_for_whom_and_through_whom() {
    let village = Village::start();
    let policy = "[access]\npolicy = '''\n\
        permit (principal == Function::\"default/front\", action == Action::\"invoke\", resource)\n\
        when { context.onBehalfOf == \"User::\\\"default/alice\\\"\" && context.chain.depth == 1 };\n'''\n";
    village.node.deploy("vault", &guest("hello"), policy);
    for name in ["front", "gate"] {
        village.caller(
            name,
            "",
            &["http://vault.function.internal/...", "http://front.function.internal/..."],
        );
    }
    let vault = url("vault", "/vault");
    let bob = village.node.token(&["--name", "bob", "--scope", "invoke"]);
    for (who, token, path, status) in [
        ("alice, herself", &village.token, "/vault".to_owned(), 403),
        ("front for alice", &village.token, through(&["front"], &vault), 200),
        ("front for bob", &bob, through(&["front"], &vault), 403),
        ("gate for alice", &village.token, through(&["gate"], &vault), 403),
        ("front for alice through gate", &village.token, through(&["gate", "front"], &vault), 403),
        ("front for alice, again", &village.token, through(&["front"], &vault), 200),
    ] {
        let answer = village.node.call("GET", &path, Some(token), b"");
        assert_eq!(answer.status, status, "{who}: {}", answer.text());
        if status == 403 {
            let denied = village.left(&answer, "no-permit");
            assert_eq!(denied["resource"], "Function::\"default/vault\"", "{who}");
        }
    }
}

#[test]
fn what_a_callee_does_is_a_status() {
    let village = Village::start();
    village.node.deploy("hostile", &guest("hostile"), &format!("{TENANT}[limits]\ncpu_ms = 250\n"));
    village.node.deploy("nobodys", &guest("hello"), "");
    let narrow = format!("{TENANT}[[route]]\npath = \"/narrow\"\nmethods = [\"PUT\"]\n");
    village.node.deploy("narrow", &guest("hello"), &narrow);
    village.node.deploy("small", &guest("echo"), &format!("{TENANT}[limits]\nrequest_body_bytes = 10\n"));
    let callees = ["hostile", "nobodys", "narrow", "small", "echo", "absent"];
    let grants = callees.map(|name| url(name, "/..."));
    village.caller("front", "", &grants.each_ref().map(String::as_str));
    for (method, function, path, status, code) in [
        ("GET", "hostile", "/hostile/trap", 502, "trap"),
        ("GET", "hostile", "/hostile/loop", 504, "cpu-limit"),
        ("GET", "hostile", "/hostile/no-answer", 502, "no-answer"),
        ("GET", "nobodys", "/nobodys", 403, "no-permit"),
        ("GET", "narrow", "/narrow", 405, "method-not-allowed"),
        ("GET", "echo", "/elsewhere", 404, "no-route"),
        ("GET", "absent", "/absent", 404, "no-route"),
        ("GET", "echo", "/echo/../front", 400, "target-ambiguous"),
        ("POST", "small", "/small", 413, "request-body-limit"),
    ] {
        let mut path = format!("/front?url={}", url(function, path).replace("..", "%2e%2e"));
        if method == "POST" {
            // Where nobody says the length, the callee may have begun to answer before it is known.
            path.push_str("&header=content-length:15");
        }
        let answer = village.node.call(method, &path, Some(&village.token), b"longer than ten");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let event = village.left(&answer, code);
        assert_eq!(event["principal"], "Function::\"default/front\"", "{event}");
        assert_eq!(event["on_behalf_of"], "User::\"default/alice\"", "{event}");
        assert_eq!(event["chain"][0], "default/front@r1", "{event}");
        assert_eq!(event["resource"], format!("Function::\"default/{function}\""), "{event}");
    }
    let told = village.node.run(&["logs", "front"]).ok().out;
    assert!(told.contains("call of `absent`: 404 no-route"), "{told}");
    let teapot = village.get(&format!("/front?url={}", url("echo", "/echo/status/418")));
    assert_eq!(teapot.status, 418, "a status of the callee's own");
}

#[test]
fn what_the_caller_began_ends_with_it() {
    let village = Village::start();
    let long = "[limits]\nwall_ms = 600000\nfirst_byte_ms = 600000\n";
    village.node.deploy("hostile", &guest("hostile"), &format!("{TENANT}{long}"));
    village.caller("front", "[limits]\nwall_ms = 700\n", &["http://hostile.function.internal/..."]);
    let ask = |attack: &str| {
        let path = format!("/front?url={}", url("hostile", &format!("/hostile/{attack}")));
        village.node.try_call(&path, Some(&village.token))
    };
    let answer = ask("sleep").unwrap();
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(ask("idle-after-head").is_err(), "an answer that had begun breaks off");
    let begun = Instant::now();
    let ended = loop {
        let events = village.node.records(&["--function", "hostile"]);
        let gone: Vec<_> = events.into_iter().filter(|event| event["code"] == "caller-gone").collect();
        if gone.len() == 2 {
            break gone;
        }
        assert!(begun.elapsed() < PATIENCE, "the callees' runs did not end: {gone:?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    for event in ended {
        assert_eq!(event["principal"], "Function::\"default/front\"", "{event}");
        assert_eq!(event["chain"][0], "default/front@r1", "{event}");
    }
    village.is_well();
}
