//! A node of Casemate with everything on, as its users start it: by the command line, with a configuration, a
//! login of its own and a token. It never touches another node's folder.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Pins, Process, Tools, pinned, wait_for};

/// A running node.
pub struct Node {
    /// The node and its workers.
    pub process: Process,
    /// `https://…` where functions answer.
    pub functions: String,
    /// `http://…` where they answer without TLS.
    pub plain: String,
    /// A token that may invoke.
    pub token: String,
    ca: String,
    control: String,
    admin: String,
    exe: PathBuf,
    pins: Pins,
    log: Log,
    folder: PathBuf,
}

/// Where the line that a node writes for each run goes; it is made either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Nowhere, as what the peers say: a disk that fills up is not what is measured.
    Away,
    /// To `node.log` in the node's folder.
    Kept,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended = self.process.stop();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

impl Node {
    /// Starts one that keeps its data in a new folder below `target/bench`.
    pub fn start(tools: &Tools, pins: &Pins, log: Log) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let all = tools.root.join("target/bench");
        sweep(&all);
        let folder = all.join(format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed)));
        fs::create_dir_all(&folder)?;
        let ports = [port()?, port()?, port()?].map(|port| format!("127.0.0.1:{port}"));
        let [listen, control, plain] = &ports;
        let config = format!(
            "listen = \"{listen}\"\ncontrol = \"{control}\"\ndata = \"data\"\n[dangerous]\nplain_http = \
             \"{plain}\"\n"
        );
        fs::write(folder.join("node.toml"), config)?;
        let exe = tools.casemate.clone();
        let process = spawn(&exe, pins, log, &folder)?;
        let mut node = Self {
            process,
            functions: format!("https://{listen}"),
            plain: format!("http://{plain}"),
            token: String::new(),
            ca: String::new(),
            control: control.clone(),
            admin: String::new(),
            exe,
            pins: pins.clone(),
            log,
            folder,
        };
        node.came_up()?;
        let info: Value = serde_json::from_slice(&fs::read(node.folder.join("data/node.json"))?)?;
        node.ca = fs::read_to_string(info["ca"].as_str().context("node.json: no ca")?)?;
        let login: toml::Table =
            toml::from_str(&fs::read_to_string(node.folder.join("config/casemate/login.toml"))?)?;
        node.admin = login["token"].as_str().context("no token in the login")?.to_owned();
        node.token = node.make_token("bench")?;
        Ok(node)
    }

    fn came_up(&mut self) -> Result<()> {
        let (file, id) = (self.folder.join("data/node.json"), self.process.id());
        let (mut ended, process) = (false, &mut self.process);
        wait_for("the node's start", || {
            ended = !process.runs();
            let info = fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            ended || info.is_some_and(|info| info["pid"] == id)
        })?;
        if ended {
            let log = fs::read_to_string(self.folder.join("node.log")).unwrap_or_default();
            bail!("the node did not start:\n{log}");
        }
        Ok(())
    }

    /// Stops it as an operator does, and starts it again on the same data and ports.
    pub fn restart(&mut self) -> Result<()> {
        self.process.stop()?;
        self.process = spawn(&self.exe, &self.pins, self.log, &self.folder)?;
        self.came_up()
    }

    /// Runs a command as the administrator; its JSON, or what it said on stderr.
    pub fn run(&self, args: &[&str]) -> Result<Value> {
        let text = self.text(&[args, &["--output", "json"]].concat())?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Runs a command as the administrator; what it said on stdout, or on stderr where it failed.
    pub fn text(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.exe);
        command.args(args).stdin(Stdio::null()).current_dir(&self.folder);
        let output = environment(&mut command, &self.folder).output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Another token that may invoke.
    pub fn make_token(&self, name: &str) -> Result<String> {
        let made =
            self.run(&["token", "create", "--name", name, "--kind", "service", "--scope", "invoke"])?;
        Ok(made["secret"].as_str().context("no token")?.to_owned())
    }

    /// Deploys a component that the tenant's callers may call; `more` goes on with the manifest.
    pub fn deploy(&self, name: &str, component: &Path, more: &str) -> Result<Value> {
        self.deploy_for(name, component, "tenant", more)
    }

    /// The same for callers of another preset.
    pub fn deploy_for(&self, name: &str, component: &Path, preset: &str, more: &str) -> Result<Value> {
        let folder = self.folder.join("functions").join(name);
        fs::create_dir_all(&folder)?;
        let manifest =
            format!("name = \"{name}\"\ncomponent = \"f.wasm\"\n[access]\nallow = \"{preset}\"\n{more}");
        fs::write(folder.join("casemate.toml"), manifest)?;
        fs::copy(component, folder.join("f.wasm")).with_context(|| component.display().to_string())?;
        self.run(&["deploy", "--no-build", &folder.display().to_string()])
    }

    /// What a load needs to call functions without TLS.
    pub fn to_plain(&self) -> Value {
        json!({ "address": self.plain.trim_start_matches("http://"), "tokens": [self.token] })
    }

    /// What a load needs to call functions over TLS, from the system's own source as one caller.
    pub fn to(&self) -> Value {
        let address = self.functions.trim_start_matches("https://");
        json!({ "address": address, "ca": self.ca, "tokens": [self.token] })
    }

    /// What a load needs to reach the listener from so many other sources.
    pub fn to_from(&self, sources: u8, tokens: &[String]) -> Value {
        let mut to = self.to();
        to["sources"] = sources.into();
        to["tokens"] = json!(tokens);
        to
    }

    /// What a load needs to deploy.
    pub fn to_control(&self) -> Value {
        json!({ "address": self.control, "ca": self.ca, "tokens": [self.admin] })
    }

    /// Runs of all functions so far and their CPU time in microseconds, as the node's own meter has them.
    pub fn metered(&self) -> Result<(u64, u64)> {
        let list = self.run(&["list"])?;
        let list = list["functions"].as_array().context("no functions")?;
        let mut sum = (0, 0);
        for function in list {
            let name = function["name"].as_str().context("a function's name")?;
            let detail = self.run(&["inspect", name])?;
            let (runs, cpu) = totals(&detail).with_context(|| format!("inspect: {detail}"))?;
            sum = (sum.0 + runs, sum.1 + cpu);
        }
        Ok(sum)
    }
}

/// The totals in what `inspect` says, wherever they stand in it.
fn totals(value: &Value) -> Option<(u64, u64)> {
    if let (Some(runs), Some(cpu)) = (value["runs"].as_u64(), value["cpu_us"].as_u64()) {
        return Some((runs, cpu));
    }
    value.as_object()?.values().find_map(totals)
}

fn spawn(exe: &Path, pins: &Pins, log: Log, folder: &Path) -> Result<Process> {
    let log: Stdio = match log {
        Log::Away => Stdio::null(),
        Log::Kept => fs::File::create(folder.join("node.log"))?.into(),
    };
    let mut up = pinned(&pins.server, exe);
    up.args(["up", "--config", "node.toml"]).current_dir(folder);
    environment(&mut up, folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Process::start(&mut up)
}

/// Nothing of this machine's environment but `PATH`.
fn environment<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder);
    command.env("XDG_CONFIG_HOME", folder.join("config")).env("XDG_DATA_HOME", folder.join("share"))
}

fn port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Removes the folders of runs that were killed.
fn sweep(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name.split('-').next().and_then(|id| id.parse::<u32>().ok());
        if id.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            let _removed = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn totals_are_found_where_they_stand() {
        let detail = json!({ "name": "f", "usage": { "runs": 7, "cpu_us": 90, "faults": 0 } });
        assert_eq!(super::totals(&detail), Some((7, 90)));
        assert_eq!(super::totals(&json!({ "runs": 1 })), None);
    }
}
