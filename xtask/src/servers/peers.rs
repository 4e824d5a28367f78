//! The peers: what they are, how they come, how they are started. One that cannot be had is absent, never an
//! error.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Pins, Process, Tools, pinned, there, wait_for};
use crate::test::cargo;

/// wasmtime of the line that Casemate is built on.
const WASMTIME: &str = "48.0.8";
/// The JavaScript servers, as npm names them.
const NPM: [&str; 2] = ["workerd@1.20261117.1", "deno@2.9.6"];
/// The same function for servers that run JavaScript themselves.
const HELLO: &str = "export default {\n  async fetch() {\n    return new Response(\"Hello, world!\\n\", { headers: { \
                     \"content-type\": \"text/plain\" } });\n  },\n};\n";

/// A peer that runs.
pub struct Peer {
    /// The process.
    pub process: Process,
    /// Where it answers.
    pub url: String,
}

/// How `wasmtime serve` is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serve {
    /// A component for WASI 0.3.
    pub p3: bool,
    /// Its default for 0.3: an instance serves many requests. Else a fresh one for each.
    pub reuse: bool,
}

/// `wasmtime` of our line, installed once into the target folder.
pub fn wasmtime(root: &Path) -> Result<PathBuf> {
    let peers = root.join("target/peers");
    let tool = peers.join("bin/wasmtime");
    if !tool.exists() {
        eprintln!("── install wasmtime-cli {WASMTIME}, once");
        let mut install = cargo(root);
        install.args(["install", "--quiet", "--locked", "wasmtime-cli", "--version", WASMTIME]);
        install.arg("--root").arg(&peers).env("CARGO_TARGET_DIR", peers.join("build"));
        if !install.status()?.success() {
            bail!("`cargo install wasmtime-cli --version {WASMTIME}` failed");
        }
        let _room = fs::remove_dir_all(peers.join("build"));
    }
    Ok(tool)
}

/// `wasmtime serve` over plain HTTP, with the pooling allocator.
pub fn serve(exe: &Path, component: &Path, pins: &Pins, how: Serve) -> Result<Peer> {
    let port = port()?;
    let mut serve = pinned(&pins.server, exe);
    serve.args(["serve", "-Scli", "-Opooling-allocator", "--addr", &format!("127.0.0.1:{port}")]);
    if how.p3 {
        serve.args(["-Sp3", "-Wcomponent-model-async"]);
    }
    if !how.reuse {
        serve.args(["--max-instance-reuse-count", "1"]);
    }
    started(serve.arg(component), port)
}

/// Nothing but hyper, with the same bytes.
pub fn hyper(tools: &Tools, pins: &Pins) -> Result<Peer> {
    let mut command = pinned(&pins.server, &tools.load);
    command.arg(r#"{"order":"hyper"}"#).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Process::start(&mut command)?;
    let out = process.child.stdout.take().context("stdout")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    let said: Value = serde_json::from_str(&line)?;
    let url = format!("http://127.0.0.1:{}/", said["port"].as_u64().context("no port")?);
    Ok(Peer { process, url })
}

/// workerd and Deno from npm, installed once into the target folder; what keeps them away is an error.
pub fn javascript(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/peers/npm");
    if !folder.join("node_modules/deno").exists() || !folder.join("node_modules/workerd").exists() {
        if !there("npm") {
            bail!("npm is not there");
        }
        eprintln!("── install {} from npm, once", NPM.join(" and "));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("package.json"), "{\"private\":true}\n")?;
        let mut install = Command::new("npm");
        install.current_dir(&folder).args(["install", "--no-audit", "--no-fund", "--silent"]).args(NPM);
        if !install.stdout(Stdio::null()).status()?.success() {
            bail!("`npm install` failed");
        }
    }
    fs::write(folder.join("hello.mjs"), HELLO)?;
    Ok(folder)
}

/// workerd with the function as its only worker.
pub fn workerd(folder: &Path, pins: &Pins) -> Result<Peer> {
    let port = port()?;
    let config = format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\nconst config :Workerd.Config = (\n  services = [(name = \
         \"main\", worker = .hello)],\n  sockets = [(name = \"http\", address = \"127.0.0.1:{port}\", http = (), service \
         = \"main\")]\n);\nconst hello :Workerd.Worker = (\n  modules = [(name = \"hello\", esModule = embed \
         \"hello.mjs\")],\n  compatibilityDate = \"2026-01-01\",\n);\n"
    );
    let name = format!("hello-{}.capnp", std::process::id());
    fs::write(folder.join(&name), config)?;
    let exe = executable(folder, "workerd")?;
    let peer = started(pinned(&pins.server, &exe).current_dir(folder).args(["serve", &name]), port);
    let _gone = fs::remove_file(folder.join(&name));
    peer
}

/// Deno serving the same module.
pub fn deno(folder: &Path, pins: &Pins) -> Result<Peer> {
    let port = port()?;
    let exe = executable(folder, "deno")?;
    let mut command = pinned(&pins.server, &exe);
    command.current_dir(folder).args([
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "hello.mjs",
    ]);
    started(command.env("DENO_NO_UPDATE_CHECK", "1"), port)
}

/// The native executable behind npm's name for it: a script in front would be another process to pay for.
fn executable(folder: &Path, name: &str) -> Result<PathBuf> {
    let places = [format!("node_modules/{name}/{name}"), format!("node_modules/{name}/bin/{name}")];
    let found = places.iter().map(|place| folder.join(place)).find(|path| is_native(path));
    found.with_context(|| format!("npm installed no `{name}` for this machine"))
}

fn is_native(path: &Path) -> bool {
    fs::File::open(path).is_ok_and(|mut file| {
        let mut magic = [0; 4];
        std::io::Read::read_exact(&mut file, &mut magic).is_ok() && magic == *b"\x7fELF"
    })
}

/// Starts a server that answers on a port, and waits until it does.
fn started(command: &mut Command, port: u16) -> Result<Peer> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process::start(command)?;
    let url = format!("http://127.0.0.1:{port}/");
    wait_for(&url, || !process.runs() || answers(port))?;
    if !process.runs() {
        bail!("{:?} ended at once", command.get_args().collect::<Vec<_>>());
    }
    Ok(Peer { process, url })
}

fn answers(port: u16) -> bool {
    let call = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line.contains(" 200 "))
    };
    call().unwrap_or(false)
}

fn port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
