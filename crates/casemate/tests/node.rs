//! A node as a child process: its first start, its commands, its end, and what it refuses to start on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use support::{Home, TestNode, guest};

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
    assert!(said.contains("casemate records --request"), "{said}");

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
}
