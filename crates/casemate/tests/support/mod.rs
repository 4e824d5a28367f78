//! A node as a child process, and the two ways to talk to it: the command line and HTTP over TLS. It never
//! shares a folder, a port or a login with another test.
//!
//! Take it into a test with `mod support;` (or `#[path = "../support/mod.rs"] mod support;` one folder down).
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "each test takes what it needs of this file"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;

/// The executable under test.
pub(crate) const CASEMATE: &str = env!("CARGO_BIN_EXE_casemate");
/// How long a node may take to start, or to stop.
const WAIT: Duration = Duration::from_secs(60);
/// After which a line that was logged is written, on a busy machine, too.
const GATHERED: Duration = Duration::from_millis(300);

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code.
    pub(crate) code: i32,
    /// All of stdout.
    pub(crate) out: String,
    /// All of stderr.
    pub(crate) err: String,
}

impl Ran {
    /// Fails the test unless the command ended with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Fails the test unless the command ended with this code and said this on stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(says), "`{says}` is not in {self:?}");
        self
    }

    /// Stdout as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// An answer of a node.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: http::HeaderMap,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// A folder in which commands run that know of no node and no login but their own.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A command with nothing of this machine's environment but `PATH`.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(CASEMATE);
        command.args(args).env_clear().current_dir(self.path()).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path()).env("XDG_CONFIG_HOME", self.path().join("config"));
        command.env("XDG_DATA_HOME", self.path().join("share"));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    /// Writes a function's folder: a manifest that begins with name and component, and the component.
    pub(crate) fn function(&self, name: &str, component: &[u8], manifest: &str) -> PathBuf {
        let folder = self.path().join("functions").join(name);
        fs::create_dir_all(&folder).unwrap();
        let text = format!("name = \"{name}\"\ncomponent = \"{name}.wasm\"\n{manifest}");
        fs::write(folder.join("casemate.toml"), text).unwrap();
        fs::write(folder.join(format!("{name}.wasm")), component).unwrap();
        folder
    }
}

/// A node of one test, stopped with it.
pub(crate) struct TestNode {
    /// Its user's folder, in which the login of the first start lies.
    pub(crate) home: Home,
    /// What `node.json` says.
    pub(crate) info: Value,
    /// Where it keeps everything.
    pub(crate) data: PathBuf,
    child: Child,
}

impl TestNode {
    /// A node with no configuration but ports that the system chooses.
    pub(crate) fn start() -> Self {
        Self::start_with(Home::new(), "")
    }

    /// A node with a configuration, in a folder that may hold another node's data already. A login that the
    /// node before it made is good for it too, wherever it listens now.
    pub(crate) fn start_with(home: Home, config: &str) -> Self {
        Self::start_as(home, config, |_| {})
    }

    /// The same, with something changed of the command that starts it.
    pub(crate) fn start_as(home: Home, config: &str, change: impl Fn(&mut Command)) -> Self {
        let again = home.path().join("data/store").exists();
        let node = Self::started(home, config, change);
        let login = node.home.path().join("config/casemate/login.toml");
        if again && let Ok(text) = fs::read_to_string(&login) {
            let mut saved: toml::Table = toml::from_str(&text).unwrap();
            saved.insert("node".into(), node.control().into());
            fs::write(&login, toml::to_string(&saved).unwrap()).unwrap();
        }
        node
    }

    fn started(home: Home, config: &str, change: impl Fn(&mut Command)) -> Self {
        let mut child = Self::spawn(&home, config, change);
        let data = home.path().join("data");
        let start = Instant::now();
        loop {
            if let Ok(text) = fs::read_to_string(data.join("node.json"))
                && let Ok(info) = serde_json::from_str::<Value>(&text)
                && info["pid"] == child.id()
            {
                return Self { home, info, data, child };
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the node ended with {status}:\n{}", log(&home));
            }
            if start.elapsed() > WAIT {
                let _ = child.kill();
                panic!("the node did not start:\n{}", log(&home));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts a node in a folder and kills it, ready or not.
    pub(crate) fn killed_in_its_start(home: &Home, after: Duration) {
        let mut child = Self::spawn(home, "", |_| {});
        std::thread::sleep(after);
        assert!(child.try_wait().unwrap().is_none(), "the node ended by itself:\n{}", log(home));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Kills the node, as a lack of memory or a hand would, and gives back its folder.
    pub(crate) fn kill(mut self) -> Home {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.home, Home::new())
    }

    fn spawn(home: &Home, config: &str, change: impl Fn(&mut Command)) -> Child {
        fs::write(home.path().join("node.toml"), config).unwrap();
        let log = fs::File::create(home.path().join("node.log")).unwrap();
        let data = home.path().join("data");
        let args = ["up", "--config", "node.toml", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];
        let mut command = home.command(&args);
        command.arg("--data").arg(data).stdout(log.try_clone().unwrap()).stderr(log);
        change(&mut command);
        command.spawn().unwrap()
    }

    /// Runs a command as the administrator of the first start.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.home.run(args)
    }

    /// Deploys a component with a manifest that begins with name and component; whom it lets in is meant.
    #[track_caller]
    pub(crate) fn deploy(&self, name: &str, component: &[u8], manifest: &str) -> Value {
        let folder = self.home.function(name, component, manifest);
        let folder = folder.to_str().unwrap();
        self.run(&["deploy", folder, "--no-build", "--accept-widening", "--output", "json"]).ok().json()
    }

    /// Makes a token (`--name ci --scope invoke`) and gives its text.
    #[track_caller]
    pub(crate) fn token(&self, args: &[&str]) -> String {
        let made = self.run(&[&["token", "create", "--output", "json"], args].concat()).ok().json();
        made["secret"].as_str().unwrap().to_owned()
    }

    /// The administrator's token, from the login of the first start.
    pub(crate) fn admin(&self) -> String {
        let text = fs::read_to_string(self.home.path().join("config/casemate/login.toml")).unwrap();
        let login: toml::Table = toml::from_str(&text).unwrap();
        login["token"].as_str().unwrap().to_owned()
    }

    /// `https://…` where functions answer.
    pub(crate) fn functions(&self) -> &str {
        self.info["functions"].as_str().unwrap()
    }

    /// `https://…` where the control API answers.
    pub(crate) fn control(&self) -> &str {
        self.info["control"].as_str().unwrap()
    }

    /// Calls a function's path over TLS.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, token: Option<&str>, body: &[u8]) -> Answer {
        self.request(&format!("{}{path}", self.functions()), method, token, body)
    }

    /// Calls the control API over TLS.
    #[track_caller]
    pub(crate) fn api(&self, method: &str, path: &str, token: Option<&str>, body: &[u8]) -> Answer {
        let media = if path.contains("/components/") { "application/wasm" } else { "application/json" };
        let media = Some(media).filter(|_| !body.is_empty());
        self.send(&format!("{}{path}", self.control()), method, token, media, body)
    }

    /// One request to an absolute URL of this node, whose certificate alone is trusted.
    #[track_caller]
    pub(crate) fn request(&self, url: &str, method: &str, token: Option<&str>, body: &[u8]) -> Answer {
        self.send(url, method, token, None, body)
    }

    fn send(&self, url: &str, method: &str, token: Option<&str>, media: Option<&str>, body: &[u8]) -> Answer {
        let ca = fs::read(self.info["ca"].as_str().unwrap()).unwrap();
        let config = egress::ClientConfig { roots: vec![ca], ..egress::ClientConfig::default() };
        let headers: Vec<(&str, &str)> = media.map(|media| ("content-type", media)).into_iter().collect();
        self.sent(&config, url, method, token, &headers, body).unwrap()
    }

    /// Calls a function's path with headers of its own.
    #[track_caller]
    pub(crate) fn call_with(
        &self,
        (method, path): (&str, &str),
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let ca = fs::read(self.info["ca"].as_str().unwrap()).unwrap();
        let config = egress::ClientConfig { roots: vec![ca], ..egress::ClientConfig::default() };
        self.sent(&config, &format!("{}{path}", self.functions()), method, token, headers, body).unwrap()
    }

    /// A call that may come to nothing, since the node cuts it off or takes no connection.
    pub(crate) fn try_call(&self, path: &str, token: Option<&str>) -> Result<Answer, egress::EgressError> {
        let ca = fs::read(self.info["ca"].as_str().unwrap()).unwrap();
        let config = egress::ClientConfig { roots: vec![ca], ..egress::ClientConfig::default() };
        self.sent(&config, &format!("{}{path}", self.functions()), "GET", token, &[], b"")
    }

    fn sent(
        &self,
        config: &egress::ClientConfig,
        url: &str,
        method: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, egress::EgressError> {
        let client = egress::Client::new(config).unwrap();
        let mut request = http::Request::builder().method(method).uri(url);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::copy_from_slice(body)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (head, mut stream) = client.call(request).await?.into_parts();
            let mut body = Vec::new();
            while let Some(piece) = stream.next().await {
                body.extend_from_slice(&piece.map_err(|_| egress::EgressError::Protocol("cut off".into()))?);
            }
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        })
    }

    /// The record's events, the newest first; `args` as `casemate records` takes them.
    #[track_caller]
    pub(crate) fn records(&self, args: &[&str]) -> Vec<Value> {
        let found = self.run(&[&["records", "--output", "json"], args].concat()).ok().json();
        let records = found["records"].as_array().unwrap();
        records.iter().map(|record| record["event"].clone()).collect()
    }

    /// What the node wrote to its log so far, with what it gathered until now.
    pub(crate) fn log(&self) -> String {
        std::thread::sleep(GATHERED);
        log(&self.home)
    }

    /// Stops the node as an operator does, and gives back its folder. Fails the test unless it ends with 0.
    #[track_caller]
    pub(crate) fn stop(self) -> Home {
        self.terminate();
        self.ended()
    }

    /// Asks the node to stop, and goes on.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Asks the node to read its configuration again.
    pub(crate) fn hang_up(&self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    /// Waits until a node that was asked to stop has ended, and gives back its folder. Fails the test unless it ends
    /// with 0.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Home {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "the node ended with {status}:\n{}", self.log());
                return std::mem::replace(&mut self.home, Home::new());
            }
            assert!(start.elapsed() < WAIT, "the node did not stop:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ran(command: &mut Command) -> Ran {
    let done = command.output().unwrap();
    Ran {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

/// A token that is one character off.
pub(crate) fn altered(token: &str) -> String {
    let (rest, last) = token.split_at(token.len() - 1);
    format!("{rest}{}", if last == "x" { "y" } else { "x" })
}

/// A built guest of `guests/built/`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/built").join(format!("{name}.wasm"));
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn log(home: &Home) -> String {
    fs::read_to_string(home.path().join("node.log")).unwrap_or_default()
}

/// The solver of `cargo xtask test`, or the one that `CVC5` names; none where there is none.
pub(crate) fn solver() -> Option<String> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/cvc5/bin/cvc5-smt");
    let named = std::env::var("CVC5").ok().filter(|name| !name.is_empty());
    let found = named.or_else(|| built.exists().then(|| built.to_str().unwrap().to_owned()));
    if found.is_none() {
        eprintln!("skipped: no cvc5 is there; `cargo xtask test` fetches one, and `CVC5` names one");
    }
    found
}
