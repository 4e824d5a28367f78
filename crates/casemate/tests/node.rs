//! A node as a child process: its first start, its commands, its end, and what it refuses to start on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    time::{SystemTime, UNIX_EPOCH},
};

use support::{Home, TestNode, altered, guest};

const OPEN: &str = "[access]\nallow = \"tenant\"\n";

#[test]
fn the_first_start_logs_its_user_in_and_the_second_does_not() {
    let node = TestNode::start();
    let login = node.home.path().join("config/casemate/login.toml");
    assert_eq!(fs::metadata(&login).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&node.data).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(node.info["login"], login.to_str().unwrap());
    let me = node.run(&["whoami", "--output", "json"]).ok().json();
    assert_eq!(me["principal"]["tenant"], "default");
    assert!(!node.log().contains(&node.admin()), "the log has the token");

    let before = fs::read(node.info["ca"].as_str().unwrap()).unwrap();
    let data = node.data.clone();
    let home = node.stop();
    assert!(!data.join("node.json").exists(), "a node that stopped still says where it is");
    let node = TestNode::start_with(home, "");
    assert!(node.info["login"].is_null() && node.info["token_file"].is_null(), "a token was made again");
    assert_eq!(fs::read(node.info["ca"].as_str().unwrap()).unwrap(), before, "the authority changed");
    node.run(&["whoami"]).ok();

    // By another name it is another node to the saved login, whose token does not go there.
    let ca = node.info["ca"].as_str().unwrap();
    let name = node.control().replace("127.0.0.1", "localhost");
    node.run(&["whoami", "--node", &name, "--ca", ca]).fails(4, "casemate login");
}

#[test]
fn a_function_from_deploy_to_removal() {
    let node = TestNode::start();
    assert!(node.run(&["list"]).ok().out.contains("no functions yet"));
    let deployed = node.deploy("hello", &guest("hello"), OPEN);
    assert_eq!(deployed["revision"], 1);
    let folder = node.home.function("hello", &guest("echo"), OPEN);
    let said = node.run(&["deploy", folder.to_str().unwrap(), "--no-build"]).ok().out;
    for part in ["url", "https://", "r2 (was r1", "capabilities", "none", "policy"] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }

    let ran = node.run(&["invoke", "hello", "-d", "Ada"]).ok();
    assert_eq!(ran.out, "Ada");
    for part in ["status 200", "cpu ", "wall ", "memory ", "host calls", "r2"] {
        assert!(ran.err.contains(part), "`{part}` is not in {ran:?}");
    }
    let ran = node.run(&["invoke", "hello", "--path", "/hello/status/418", "--output", "json"]);
    assert_eq!((ran.code, ran.json()["status"].as_u64()), (6, Some(418)));

    node.run(&["invoke", "hello", "--path", "/elsewhere"]).fails(1, "casemate inspect NAME");

    assert!(node.run(&["list"]).ok().out.contains("r2"));
    node.run(&["rollback", "hello", "--to", "r1"]).ok();
    node.run(&["rollback", "hello", "--to", "r9"]).fails(1, "error:");
    let detail = node.run(&["inspect", "hello", "--output", "json"]).ok().json();
    assert_eq!(detail["function"]["active"]["number"], 1);
    assert_eq!(detail["revisions"].as_array().unwrap().len(), 2);
    assert!(node.run(&["inspect", "hello"]).ok().out.contains("cpu_ms"));
    node.run(&["remove", "hello", "--yes"]).ok();
    node.run(&["inspect", "hello"]).fails(1, "casemate list");
    let kinds: Vec<String> = node
        .records(&["--limit", "200"])
        .iter()
        .filter_map(|e| e["kind"].as_str().map(str::to_owned))
        .collect();
    for kind in ["deploy", "rollback", "remove", "decision"] {
        assert!(kinds.iter().any(|k| k == kind), "no `{kind}` in {kinds:?}");
    }
    assert!(node.run(&["records", "--function", "hello"]).ok().out.contains("deploy"));
}

#[test]
fn what_a_function_writes_and_why_it_failed_is_in_its_log() {
    let node = TestNode::start();
    node.deploy("kitchen", &guest("kitchen"), OPEN);
    node.deploy("hostile", &guest("hostile"), &format!("{OPEN}[limits]\ncpu_ms = 100\n"));
    node.run(&["invoke", "kitchen"]).ok();
    let lines = node.run(&["logs", "kitchen"]).ok().out;
    assert!(
        lines.contains("kitchen says this on stdout") && lines.contains("kitchen says this on stderr"),
        "{lines}"
    );
    node.run(&["invoke", "hostile", "--path", "/hostile/loop"]).fails(6, "cpu-limit");
    let first = node.run(&["logs", "hostile", "--output", "json"]).ok().out;
    assert!(first.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{first}");
    assert!(first.contains("cpu-limit"), "{first}");
    node.run(&["logs", "nothing"]).fails(1, "casemate list");
}

#[test]
fn tokens_tenants_and_policies() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), OPEN);
    let ada = node.token(&["--name", "ada", "--scope", "invoke"]);
    assert_eq!(node.call("GET", "/hello", Some(&ada), b"").status, 200);
    assert_eq!(node.call("GET", "/hello", None, b"").status, 401);
    let control = node.control().to_owned();
    let as_ada = |args: &[&str]| {
        let mut command = node.home.command(&[args, &["--node", &control]].concat());
        let done = command.env("CASEMATE_TOKEN", &ada).output().unwrap();
        (done.status.code().unwrap(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (code, said) = as_ada(&["list"]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("casemate policy explain"), "{said}");

    let listed = node.run(&["token", "list", "--output", "json"]).ok();
    assert!(!listed.out.contains(&ada), "a token's text is shown twice");
    let tokens = listed.json()["tokens"].clone();
    let id = tokens.as_array().unwrap().iter().find(|t| t["name"] == "ada").unwrap()["id"].clone();
    node.run(&["token", "revoke", id.as_str().unwrap()]).ok();
    assert_eq!(node.call("GET", "/hello", Some(&ada), b"").status, 401);
    assert_eq!(as_ada(&["list"]).0, 4);

    node.run(&["tenant", "create", "acme"]).ok();
    node.run(&["tenant", "create", "acme"]).fails(1, "error:");
    assert!(node.run(&["tenant", "list"]).ok().out.contains("acme"));

    let text = "@id(\"closed\")\nforbid (principal, action == Action::\"invoke\", resource);\n";
    fs::write(node.home.path().join("tenant.cedar"), text).unwrap();
    node.run(&["policy", "set", "tenant.cedar"]).ok();
    assert_eq!(node.run(&["policy", "get"]).ok().out.trim(), text.trim());
    let bob = node.token(&["--name", "bob"]);
    assert_eq!(node.call("GET", "/hello", Some(&bob), b"").status, 403);
    fs::write(node.home.path().join("wrong.cedar"), "permit (all);").unwrap();
    node.run(&["policy", "set", "wrong.cedar"]).fails(1, "error:");
    assert_eq!(node.run(&["policy", "get"]).ok().out.trim(), text.trim(), "a wrong policy took the place");
}

#[test]
fn a_node_for_a_user_with_another_login() {
    let home = Home::new();
    let folder = home.path().join("config/casemate");
    fs::create_dir_all(&folder).unwrap();
    let login = folder.join("login.toml");
    let other = "node = \"https://127.0.0.1:1\"\ntenant = \"default\"\ntoken = \"other\"\n";
    fs::write(&login, other).unwrap();
    fs::set_permissions(&login, fs::Permissions::from_mode(0o600)).unwrap();
    let node = TestNode::start_with(home, "");
    assert_eq!(fs::read_to_string(&login).unwrap(), other, "a login was replaced unasked");
    let token = node.info["token_file"].as_str().unwrap().to_owned();
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    let ca = node.info["ca"].as_str().unwrap().to_owned();
    node.run(&["login", "--node", node.control(), "--token-file", &token]).fails(3, "--ca");
    let args = ["login", "--node", node.control(), "--ca", &ca, "--token-file", &token, "--consume"];
    node.run(&args).ok();
    assert!(!fs::exists(&token).unwrap(), "the token's file is still there");
    node.run(&["list"]).ok();
}

#[test]
fn doctor_tries_every_wall() {
    let node = TestNode::start();
    let report = node.run(&["doctor", "--output", "json"]).ok().json();
    let names: Vec<&str> =
        report["machine"].as_array().unwrap().iter().filter_map(|check| check["name"].as_str()).collect();
    for wall in ["wall:landlock", "wall:seccomp", "wall:no-new-privs", "wall:rlimits"] {
        assert!(names.contains(&wall), "{names:?}");
    }
    assert!(report["node"]["workers"].as_u64().unwrap() > 0);
    assert!(node.run(&["doctor"]).ok().out.contains("engine"));
}

fn does_not_start(home: &Home, config: &str, code: i32, says: &str) {
    fs::write(home.path().join("node.toml"), config).unwrap();
    let (data, any) = (home.path().join("data"), "127.0.0.1:0");
    let mut args = vec!["up", "--config", "node.toml", "--data", data.to_str().unwrap()];
    if !config.contains("listen") {
        args.extend(["--listen", any, "--control", any]);
    }
    home.run(&args).fails(code, says);
}

#[test]
fn what_a_node_does_not_start_on() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new();
    let address = taken.local_addr().unwrap();
    let config = format!("listen = \"{address}\"\ncontrol = \"127.0.0.1:0\"\n");
    does_not_start(&home, &config, 8, "cannot be listened on");

    let node = TestNode::start();
    does_not_start(&node.home, "", 8, "error:");
    let data = node.data.clone();
    let home = node.stop();
    let key = data.join("root.key");
    let right = fs::read(&key).unwrap();
    let write = |bytes: &[u8]| {
        fs::write(&key, bytes).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(&[7; 32]);
    does_not_start(&home, "", 8, "not the root key of this data");
    fs::remove_file(&key).unwrap();
    does_not_start(&home, "", 8, "restore the root key from a backup");
    assert!(!key.exists(), "a new root key was made for old data");
    write(&right);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    does_not_start(&home, "", 8, "chmod 0600");
    write(&right);
    does_not_start(&home, "[root_key]\npassphrase_env = \"NOT_SET\"\n", 8, "`NOT_SET` is not set");
    TestNode::start_with(home, "").stop();
}

#[test]
fn what_is_dangerous_is_said_at_start() {
    let config = "[dangerous]\ntls12 = true\nplain_http = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n";
    let node = TestNode::start_with(Home::new(), config);
    let log = node.log();
    for entry in ["dangerous.tls12", "dangerous.plain_http"] {
        assert!(log.contains(entry), "`{entry}` is not in\n{log}");
    }
    assert!(node.info["plain_http"].as_str().unwrap().starts_with("http://127.0.0.1:"));
}

#[test]
fn a_root_key_of_a_passphrase() {
    let home = Home::new();
    let file = home.path().join("passphrase");
    let write = |text: &str, mode: u32| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    let config = "[root_key]\npassphrase_file = \"passphrase\"\n";
    write("correct horse battery staple\n", 0o600);
    let node = TestNode::start_with(home, config);
    node.deploy("hello", &guest("hello"), OPEN);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    assert!(!node.data.join("root.key").exists(), "a key file was made beside the passphrase");
    let home = node.stop();
    write("another horse\n", 0o600);
    does_not_start(&home, config, 8, "not the root key of this data");
    write("correct horse battery staple\n", 0o644);
    does_not_start(&home, config, 8, "chmod 600");
    write("correct horse battery staple\n", 0o600);
    does_not_start(&home, "", 8, "error:");
    let node = TestNode::start_with(home, config);
    assert!(node.run(&["list"]).ok().out.contains("hello"));
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").text(), "Hello, world!\n");
}

#[test]
fn an_operators_own_certificate() {
    let home = Home::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let make = |at| gateway::tls::NodeCertificates::generate(&names, at).unwrap();
    let (own, other, old) = (make(now), make(now), make(now - 500 * 86_400));
    let write = |certificate: &str, key: &str, mode: u32| {
        fs::write(home.path().join("chain.pem"), certificate).unwrap();
        fs::write(home.path().join("key.pem"), key).unwrap();
        fs::set_permissions(home.path().join("key.pem"), fs::Permissions::from_mode(mode)).unwrap();
    };
    let config = "[tls]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n";
    let chain = format!("{}{}", own.certificate, own.ca);
    write(&chain, &other.key, 0o600);
    does_not_start(&home, config, 8, "`tls.key` must be the private key");
    write(&chain, &own.key, 0o644);
    does_not_start(&home, config, 8, "chmod 600");
    write(&old.certificate, &old.key, 0o600);
    does_not_start(&home, config, 8, "the certificate ended at 20");
    let soon = make(now + 500 * 86_400);
    write(&soon.certificate, &soon.key, 0o600);
    does_not_start(&home, config, 8, "the certificate begins at 20");
    write("no certificate", &own.key, 0o600);
    does_not_start(&home, config, 8, "the node's certificates");
    does_not_start(&home, "[tls]\ncertificate = \"chain.pem\"\n", 7, "wants `tls.key` beside it");

    write(&chain, &own.key, 0o600);
    let node = TestNode::start_with(home, config);
    assert!(node.info["ca"].as_str().unwrap().ends_with("chain.pem"));
    assert!(!node.data.join("ca.pem").exists(), "an authority was made beside the operator's certificate");
    node.deploy("hello", &guest("hello"), OPEN);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").text(), "Hello, world!\n");
}

#[test]
fn every_administrators_token_is_lost() {
    let node = TestNode::start();
    node.run(&["tenant", "create", "acme"]).ok();
    node.token(&["--tenant", "acme", "--name", "second", "--role", "admin", "--scope", "listTenants"]);
    let before = node.admin();
    let data = node.data.to_str().unwrap().to_owned();
    let recover = ["token", "recover", "--data", &data];
    node.run(&recover).fails(8, "in use by another node");
    let home = node.stop();
    home.run(&["token", "recover", "--data", "nowhere"]).fails(8, "no node keeps its data in");
    let key = format!("{data}/root.key");
    let right = fs::read(&key).unwrap();
    fs::write(&key, [7; 32]).unwrap();
    home.run(&recover).fails(8, "not the root key of this data");
    fs::write(&key, right).unwrap();

    let said = home.run(&recover).ok();
    assert!(said.err.contains("casemate login"), "{said:?}");
    let first = said.out.trim().to_owned();
    let made = home.run(&[&recover[..], &["--revoke-others", "--output", "json"]].concat()).ok().json();
    let second = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(made["revoked"].as_array().unwrap().len(), 3, "{made}");

    let node = TestNode::start_with(home, "");
    let path = "/v1/tenants/default/functions";
    for (token, status) in [(&before, 401), (&first, 401), (&second, 200)] {
        assert_eq!(node.api("GET", path, Some(token), b"").status, status);
    }
    let file = node.home.path().join("token");
    fs::write(&file, &second).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let (ca, file) = (node.info["ca"].as_str().unwrap(), file.to_str().unwrap());
    node.run(&["login", "--node", node.control(), "--ca", ca, "--token-file", file]).ok();
    let events = node.records(&["--limit", "1000"]);
    let recovered = events.iter().filter(|e| e["kind"] == "token" && e["action"] == "recover").count();
    assert_eq!(recovered, 5, "two were made and three revoked: {events:?}");
}

#[test]
fn every_call_leaves_a_line_and_no_line_a_secret() {
    let node = TestNode::start_with(Home::new(), "[log]\nformat = \"json\"\n");
    node.deploy("hello", &guest("hello"), OPEN);
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    assert_eq!(node.call("GET", "/hello/there?key=s3cret", Some(&token), b"").status, 200);
    let wrong = altered(&token);
    assert_eq!(node.call("POST", "/hello/here?key=s3cret", Some(&wrong), b"").status, 401);
    assert_eq!(node.call("PUT", "/hello/where?key=s3cret", None, b"").status, 401);
    let owners = node.run(&["logs", "hello"]).ok().out;
    // A line takes a moment to be written; the end of the node writes the last.
    let log = fs::read_to_string(node.stop().path().join("node.log")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let about = |path: &str| {
        let found = lines.iter().find(|line| line["fields"]["path"] == path || line["path"] == path);
        found.unwrap_or_else(|| panic!("`{path}` is not in\n{log}")).to_string()
    };
    for (path, parts) in [
        ("/hello/there", &["casemate::run", "default/caller", "\"GET\"", "\"hello\"", "200", "cpu_us"][..]),
        ("/hello/here", &["casemate::refused", "token-checksum", "\"POST\"", "127.0.0.1"]),
        ("/hello/where", &["casemate::refused", "no-credential", "\"PUT\"", "request"]),
    ] {
        let line = about(path);
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} are not all in {line}");
    }
    for part in
        ["token-checksum: refused POST /hello/here from", "no-credential: refused PUT /hello/where by Anon"]
    {
        assert!(owners.contains(part), "`{part}` is not in\n{owners}");
    }
    for secret in ["s3cret", &token, &token[12..]] {
        assert!(!log.contains(secret) && !owners.contains(secret), "a log has `{secret}`");
    }
}

#[test]
fn a_revision_that_is_not_there() {
    let node = TestNode::start();
    node.deploy("hello", &guest("hello"), OPEN);
    node.run(&["rollback", "hello", "--to", "r77"]).fails(1, "casemate inspect hello");
    node.run(&["rollback", "hello"]).fails(1, "casemate inspect hello");
    node.run(&["rollback", "nothing"]).fails(1, "casemate list");
    node.run(&["tenant", "set", "nothing", "--concurrency", "5"]).fails(1, "casemate tenant list");
    node.run(&["token", "revoke", "nothing"]).fails(1, "casemate token list");
}
