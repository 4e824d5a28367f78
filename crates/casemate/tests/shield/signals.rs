//! What is a signal and what is none, of those who ask.

use std::time::{Duration, Instant};

use crate::{
    sources::{Client, TENANT, detail, node, node_in, signals, status, the_signal},
    support::{altered, guest},
};

#[test]
fn honest_people_are_no_signal() {
    let node = node("");
    node.deploy("hello", &guest("hello"), TENANT);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let client = Client::at(&node, [127, 1, 1, 1]);
    client.many("/hello", &token, 3_000);
    for n in 0..3 {
        let wrong = format!("{}{n}", altered(&token));
        assert_eq!(client.get("/hello", Some(&wrong)).status, 401);
    }
    for n in 0..12 {
        assert_eq!(client.get(&format!("/old/{n}"), None).status, 404, "a crawler");
    }
    for _ in 0..100 {
        assert_eq!(client.get("/hello", None).status, 401, "a client that lost its token");
        assert_eq!(client.get("/favicon.ico", None).status, 404);
    }
    for at in [[127, 1, 1, 1], [127, 2, 1, 1], [127, 3, 1, 1]] {
        assert_eq!(Client::at(&node, at).get("/hello", Some(&token)).status, 200, "at home and on the way");
    }
    let found = status(&node);
    let none = serde_json::json!([]);
    assert!(found["signals"] == none && found["actions"] == none, "{found}");
}

#[test]
fn who_probes_is_told_of_once_and_answered_late() {
    let node = node("");
    node.deploy("hello", &guest("hello"), TENANT);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let (scanner, neighbour) = (Client::at(&node, [127, 9, 9, 9]), Client::at(&node, [127, 9, 9, 8]));
    for n in 0..40 {
        assert_eq!(scanner.get(&format!("/scan/{n}"), None).status, 404);
    }
    // Of many paths two may be taken for one.
    let more = (40..60).find(|n| {
        scanner.get(&format!("/scan/{n}"), None);
        !signals(&node, "probing").is_empty()
    });
    assert!(more.is_some() || !signals(&node, "probing").is_empty());
    let signal = the_signal(&node, "probing");
    assert_eq!(signal["source"], "127.9.9.9");
    let action = signal["action"].as_str().unwrap();
    let late = Instant::now();
    assert_eq!(scanner.get("/scan/x", None).status, 404);
    assert!(late.elapsed() >= Duration::from_secs(2), "its refusals are answered late");
    let soon = Instant::now();
    assert_eq!(scanner.get("/hello", Some(&token)).status, 200, "who proves who they are is answered");
    assert_eq!(neighbour.get("/scan/x", None).status, 404);
    assert!(soon.elapsed() < Duration::from_secs(2), "and nobody else is kept waiting");

    // The story of the signal, of the action and of the request.
    for id in [signal["id"].as_str().unwrap(), action, signal["request"].as_str().unwrap()] {
        let story = node.run(&["shield", "why", id, "--output", "json"]).ok().json();
        assert_eq!(story["signals"][0]["code"], "probing", "{id}: {story}");
        let events = story["events"].as_array().unwrap();
        let of = |kind: &str| events.iter().any(|record| record["event"]["kind"] == kind);
        assert!(of("signal") && of("refusal"), "{id}: {story}");
    }
    node.run(&["shield", "why", "s000000000000"]).fails(1, "s000000000000");
    let events = node.records(&["--limit", "1000"]);
    let acted = events.iter().find(|event| event["kind"] == "action").unwrap();
    assert_eq!(
        (acted["action"].as_str(), acted["resource"].as_str()),
        (Some("slow-source"), Some("127.9.9.9/32"))
    );
    node.run(&["shield", "unblock", "127.9.9.9"]).ok();
    let soon = Instant::now();
    assert_eq!(scanner.get("/scan/y", None).status, 404);
    assert!(soon.elapsed() < Duration::from_secs(2));
    assert_eq!(signals(&node, "probing").len(), 1, "once");

    // Shown after a restart too.
    let node = node_in(node.stop(), "");
    assert_eq!(the_signal(&node, "probing")["source"], "127.9.9.9");
    let known =
        ["/.env", "/.git/config", "/wp-login.php", "/xmlrpc.php", "/phpinfo.php", "/hudson", "/admin.php"];
    for path in known {
        Client::at(&node, [127, 9, 9, 7]).get(path, None);
    }
    assert_eq!(
        signals(&node, "probing").len(),
        2,
        "a handful of those that every scanner asks for is enough"
    );
}

#[test]
fn who_tries_credentials_is_told_of() {
    let node = node("");
    node.deploy("hello", &guest("hello"), TENANT);
    let thief = Client::at(&node, [127, 8, 8, 8]);
    for n in 0..25 {
        assert_eq!(thief.get("/hello", Some(&format!("guess-{n}"))).status, 401);
    }
    assert_eq!(the_signal(&node, "credential-stuffing")["source"], "127.8.8.8");
    assert!(signals(&node, "probing").is_empty());
}

#[test]
fn a_token_in_many_places_is_told_of_and_suspended_where_that_is_wanted() {
    let node = node("[shield.response]\ntoken_places = \"suspend\"\nminutes = 60\n");
    node.deploy("hello", &guest("hello"), TENANT);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    let from = |n: u8, token: &str| Client::at(&node, [127, n, 0, 1]).get("/hello", Some(token));
    for n in 1..=4 {
        assert_eq!(from(n, &token).status, 200, "{n}");
    }
    assert_eq!(from(5, &token).status, 200, "what was let through is");
    let signal = the_signal(&node, "token-places");
    assert_eq!(signal["principal"], "User::\"default/caller\"");
    let refused = from(1, &token);
    assert_eq!(refused.status, 401);
    let events = node.records(&["--request", &refused.id()]);
    assert!(events.iter().any(|event| event["code"] == "token-suspended"), "{events:?}");
    node.run(&["shield", "undo", signal["action"].as_str().unwrap()]).ok();
    assert_eq!(from(1, &token).status, 200);

    // An administrator's is told of and goes on: nobody is locked out by a machine.
    let admin = node.admin();
    for n in 1..=6 {
        from(n, &admin);
    }
    assert_eq!(signals(&node, "token-places").len(), 2);
    assert_eq!(status(&node)["actions"], serde_json::json!([]));
    node.run(&["whoami"]).ok();
}

#[test]
fn bait_is_told_of_at_the_first_touch() {
    let node = node("");
    let open = "[access]\nallow = \"public\"\n[access.waiver]\nreason = \"a greeting for everybody\"\n\
                until = \"2027-06-30\"\n[[route]]\npath = \"/...\"\n";
    node.deploy("hello", &guest("hello"), open);
    let client = Client::at(&node, [127, 7, 7, 7]);
    assert_eq!(client.get("/backup.zip", None).status, 200, "the function takes all paths");
    node.run(&["shield", "honey", "route", "/backup.zip"]).ok();
    for wrong in ["backup.zip", "/", "/a?b", "/a%20b"] {
        node.run(&["shield", "honey", "route", wrong]).fails(1, "shield-bait");
    }
    let touched = client.get("/backup.zip", None);
    assert_eq!(touched.status, 404);
    let miss = touched.text.split("\r\n\r\n").nth(1).unwrap().replace(&touched.id(), "");
    assert!(miss.contains("\"no-route\"") && !miss.contains("bait"), "as any path that is not there: {miss}");
    client.get("/backup.zip", None);
    let signal = the_signal(&node, "honey-route");
    assert_eq!(signal["source"], "127.7.7.7");
    assert_eq!(client.get("/hello", None).status, 403, "strangers there are blocked");
    assert_eq!(Client::at(&node, [127, 7, 7, 6]).get("/hello", None).status, 200);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    assert_eq!(
        client.get("/hello", Some(&token)).status,
        200,
        "who proves who they are is answered there too"
    );

    // A token that lies somewhere. It looks like any other, is in no list of tokens, and proves nobody.
    let made = node.run(&["shield", "honey", "token", "wiki-page", "--output", "json"]).ok().json();
    let (id, bait) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!((bait.len(), &bait[..4]), (token.len(), &token[..4]));
    assert!(!node.run(&["token", "list"]).ok().out.contains(id));
    let thief = Client::at(&node, [127, 6, 6, 6]);
    let touched = thief.get("/hello", Some(bait));
    assert_eq!(touched.status, 401);
    let events = node.records(&["--request", &touched.id()]);
    assert!(events.iter().any(|event| event["code"] == "token-bait"), "{events:?}");
    assert!(the_signal(&node, "honey-token")["said"].as_str().unwrap().contains(id));
    assert_eq!(node.api("GET", "/v1/whoami", Some(bait), b"").status, 401, "nor at the control API");

    // It outlives a restart, and is taken away again.
    let node = node_in(node.stop(), "");
    let listed = node.run(&["shield", "honey", "list", "--output", "json"]).ok();
    assert!(listed.out.contains("/backup.zip") && listed.out.contains(id) && !listed.out.contains(bait));
    let client = Client::at(&node, [127, 7, 7, 5]);
    assert_eq!(client.get("/backup.zip", None).status, 404);
    assert_eq!(signals(&node, "honey-route").len(), 2);
    node.run(&["shield", "honey", "remove", "/backup.zip"]).ok();
    node.run(&["shield", "honey", "remove", id]).ok();
    node.run(&["shield", "honey", "remove", id]).fails(1, id);
    let events = node.records(&["--limit", "1000"]);
    assert!(events.iter().any(|event| detail(event).contains("was taken away")), "{events:?}");
    assert_eq!(Client::at(&node, [127, 7, 7, 4]).get("/backup.zip", None).status, 200);
}

#[test]
fn a_bait_token_is_seen_wherever_it_is_presented() {
    let node = node("");
    let sessions = "[access]\nallow = \"tenant\"\naccept = [\"session\"]\n";
    node.deploy("hello", &guest("hello"), TENANT);
    let bait = |name: &str| {
        let made = node.run(&["shield", "honey", "token", name, "--output", "json"]).ok().json();
        (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    };
    let (id, secret) = bait("wiki-page");
    let (other, other_secret) = bait("mail");
    let requests = [
        format!("GET /hello HTTP/1.1\r\nauthorization: Bearer  {secret}\r\n"),
        format!("GET /hello HTTP/1.1\r\nauthorization: DPoP {secret}\r\n"),
        format!("GET /hello HTTP/1.1\r\nx-api-key: {secret}\r\n"),
        format!("GET /hello?access_token={secret} HTTP/1.1\r\n"),
        format!("GET /nothing-is-here HTTP/1.1\r\nauthorization: Bearer {secret}\r\n"),
        format!("GET /hello?q=%27%20or%201=1--%20- HTTP/1.1\r\nauthorization: Bearer {secret}\r\n"),
    ];
    for (n, request) in requests.iter().enumerate() {
        let thief = Client::at(&node, [127, 40, 0, u8::try_from(n + 1).unwrap()]);
        let heard = thief.raw(request);
        assert!(heard.status >= 400, "{request}: {heard:?}");
        let found = signals(&node, "honey-token");
        assert_eq!(found.len(), n + 1, "{request}: {found:?}");
        assert!(found[0]["said"].as_str().unwrap().contains(&id), "{request}");
    }
    node.deploy("hello", &guest("hello"), sessions);
    let thief = Client::at(&node, [127, 40, 1, 1]);
    assert_eq!(thief.get("/hello", Some(&secret)).status, 401);
    assert_eq!(signals(&node, "honey-token").len(), requests.len() + 1);
    thief.get("/hello", Some(&secret));
    assert_eq!(signals(&node, "honey-token").len(), requests.len() + 1, "each once");
    thief.get("/hello", Some(&other_secret));
    assert!(
        signals(&node, "honey-token")[0]["said"].as_str().unwrap().contains(&other),
        "another is another"
    );
}

#[test]
fn a_bait_route_is_one_however_it_is_spelt_and_no_function_is_deployed_there() {
    let node = node("");
    let open = "[access]\nallow = \"public\"\n[access.waiver]\nreason = \"a greeting for everybody\"\n\
                until = \"2027-06-30\"\n[[route]]\npath = \"/...\"\n";
    node.deploy("hello", &guest("hello"), open);
    for path in ["/backup.zip", "/dump.sql"] {
        node.run(&["shield", "honey", "route", path]).ok();
    }
    let client = |n: u8| Client::at(&node, [127, 41, 0, n]);
    for (n, path) in ["/backup.zip", "/backup%2ezip", "/%62ackup.zip", "/backup.zip;a=b"].iter().enumerate() {
        let touched = client(u8::try_from(n + 1).unwrap()).get(path, None);
        assert_eq!(touched.status, 404, "{path}");
        assert_eq!(signals(&node, "honey-route").len(), n + 1, "{path}");
    }
    client(1).get("/backup%2ezip", None);
    assert_eq!(signals(&node, "honey-route").len(), 4, "the same bait, and the same source");
    client(1).get("/dump.sql", None);
    assert_eq!(signals(&node, "honey-route").len(), 5, "another bait");
    let route = "[access]\nallow = \"tenant\"\n[[route]]\npath = \"/dump.sql\"\n";
    let folder = node.home.function("late", &guest("hello"), route);
    let late = ["deploy", folder.to_str().unwrap(), "--no-build", "--accept-widening"];
    node.run(&late).fails(1, "/dump.sql");
    node.run(&["shield", "honey", "remove", "/dump.sql"]).ok();
    node.deploy("late", &guest("hello"), route);
}

#[test]
fn why_has_times_and_says_what_a_request_was_counted_with() {
    let node = node("");
    node.deploy("hello", &guest("hello"), TENANT);
    let client = Client::at(&node, [127, 42, 0, 1]);
    let ids: Vec<String> = (0..5).map(|n| client.get(&format!("/old/{n}"), None).id()).collect();
    let first = node.run(&["shield", "why", &ids[0], "--of-node"]).ok().out;
    let year = node.records(&["--limit", "1"])[0]["time"].as_str().unwrap()[..4].to_owned();
    assert!(first.lines().any(|line| line.trim_start().starts_with(&year)), "{first}");
    std::thread::sleep(Duration::from_secs(13));
    let last = node.run(&["shield", "why", &ids[4], "--of-node"]).ok().out;
    assert!(last.contains("counted together") && last.contains("more like the one before"), "{last}");
    let last = node.run(&["shield", "why", &ids[4], "--of-node", "--output", "json"]).ok().json();
    assert_eq!(last["gathered"], true, "{last}");
}
