//! `casemate dev` and `casemate logs -f`: commands that go on until they are stopped.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::Value;
use support::{TestNode, guest};

/// A command that goes on, and what it says, line by line.
struct Going {
    child: Child,
    lines: mpsc::Receiver<Value>,
}

impl Going {
    fn start(node: &TestNode, args: &[&str]) -> Self {
        let mut child =
            node.home.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = said.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Self { child, lines }
    }

    #[track_caller]
    fn next(&mut self) -> Value {
        match self.lines.recv_timeout(Duration::from_secs(30)) {
            Ok(line) => line,
            Err(_) => {
                let _ = self.child.kill();
                let mut said = String::new();
                let _ = self.child.stderr.take().unwrap().read_to_string(&mut said);
                panic!("it said nothing more; on stderr: {said}");
            }
        }
    }

    fn interrupt(mut self) -> i32 {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

const MANIFEST: &str = "name = \"hello\"\ncomponent = \"out/hello.wasm\"\n[access]\nallow = \"tenant\"\n\
    [build]\ncommand = \"sh build.sh\"\nwatch = [\"src.wasm\", \"build.sh\"]\n";

/// All of it at once, as editors do: whoever watches never finds half a file.
fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let aside = folder.with_extension("aside");
    fs::write(&aside, bytes).unwrap();
    fs::rename(aside, folder.join(name)).unwrap();
}

#[test]
fn dev_deploys_what_builds_and_keeps_what_answers() {
    let node = TestNode::start();
    let folder = node.home.path().join("hello");
    fs::create_dir_all(folder.join("out")).unwrap();
    write(&folder, "casemate.toml", MANIFEST);
    write(&folder, "build.sh", "cp src.wasm out/hello.wasm");
    write(&folder, "src.wasm", guest("hello"));
    let mut dev = Going::start(&node, &["dev", "hello", "--output", "json"]);

    let first = dev.next();
    assert_eq!((&first["event"], &first["result"]["revision"]), (&"deployed".into(), &1.into()), "{first}");
    write(&folder, "src.wasm", guest("echo"));
    let second = dev.next();
    assert_eq!(second["result"]["revision"], 2, "{second}");
    assert!(second["deploy_ms"].as_u64().is_some());

    // Each of these fails at another step, and none of them changes what answers.
    write(&folder, "build.sh", "echo no >&2; exit 1");
    let failed = dev.next();
    assert_eq!((&failed["event"], &failed["kept"]), (&"failed".into(), &2.into()), "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("no"), "{failed}");
    write(&folder, "build.sh", "echo nothing > out/hello.wasm");
    assert!(dev.next()["error"].as_str().unwrap().contains("no WebAssembly"));
    write(&folder, "src.wasm", guest("import-ungranted"));
    assert!(dev.next()["error"].as_str().unwrap().contains("no WebAssembly"));
    write(&folder, "build.sh", "cp src.wasm out/hello.wasm");
    let failed = dev.next();
    assert!(failed["error"].as_str().unwrap().contains("acme:thing/do"), "the node's own check: {failed}");
    write(&folder, "casemate.toml", "name = 1");
    assert!(dev.next()["error"].as_str().unwrap().contains("casemate.toml:1"));
    assert_eq!(node.run(&["invoke", "hello", "-d", "still"]).ok().out, "still");

    write(&folder, "src.wasm", guest("hello"));
    write(&folder, "casemate.toml", MANIFEST);
    let mut last = dev.next();
    while last["event"] == "failed" {
        last = dev.next();
    }
    assert!(last["result"]["revision"].as_u64().unwrap() > 2, "{last}");
    assert_eq!(dev.interrupt(), 0);
}

#[test]
fn logs_follow() {
    let node = TestNode::start();
    node.deploy("kitchen", &guest("kitchen"), "[access]\nallow = \"tenant\"\n");
    let mut logs = Going::start(&node, &["logs", "kitchen", "-f", "--output", "json"]);
    for _ in 0..2 {
        let answer = node.call("GET", "/kitchen", Some(&node.admin()), b"");
        assert_eq!(answer.status, 200);
        let lines = [logs.next(), logs.next()];
        assert!(
            lines.iter().all(|line| line["text"].as_str().unwrap().starts_with("kitchen says")),
            "{lines:?}"
        );
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert!(lines.iter().all(|line| line["request_id"] == id), "{lines:?}");
    }
    assert_eq!(logs.interrupt(), 0);
}
