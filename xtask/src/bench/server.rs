//! The servers that are measured: started on the cores given, stopped when dropped. It never measures.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::test::{cargo, step};

/// wasmtime of the line that Casemate is built on.
const WASMTIME: &str = "48.0.8";

/// Which cores the server and the load have.
pub struct Pins {
    pub cores: u32,
    pub server: String,
    pub load: String,
}

impl Pins {
    /// One core each; or two for the server, which the load then shares where the machine has no more.
    pub fn new(cores: u32) -> Self {
        let all = std::thread::available_parallelism().map_or(2, |n| n.get() as u32);
        let server = if cores == 1 { "0".into() } else { format!("0-{}", cores - 1) };
        let load =
            if all >= 2 * cores { format!("{cores}-{}", 2 * cores - 1) } else { format!("0-{}", all - 1) };
        Self { cores, server, load }
    }
}

/// A running server.
pub struct Server {
    pub url: String,
    pub token: Option<String>,
    child: Child,
    folder: Option<PathBuf>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
        if let Some(folder) = &self.folder {
            let _removed = fs::remove_dir_all(folder);
        }
    }
}

/// Builds the executable in a profile: `release`, which everyone runs, or `dist`, which ships.
pub fn build_casemate(root: &Path, profile: &str) -> Result<PathBuf> {
    let mut build = cargo(root);
    build.args(["build", "--quiet", "--profile", profile, "-p", "casemate"]).stdout(Stdio::null());
    if !build.status()?.success() {
        bail!("casemate does not build");
    }
    Ok(root.join("target").join(profile).join("casemate"))
}

/// `wasmtime` with `serve`, installed once into the target folder.
pub fn wasmtime(root: &Path) -> Result<PathBuf> {
    let peers = root.join("target/peers");
    let tool = peers.join("bin/wasmtime");
    if !tool.exists() {
        let mut install = cargo(root);
        install.args(["install", "--quiet", "--locked", "wasmtime-cli", "--version", WASMTIME]);
        install.arg("--root").arg(&peers).env("CARGO_TARGET_DIR", peers.join("build"));
        step("install wasmtime-cli", &mut install)?;
    }
    Ok(tool)
}

impl Server {
    /// A node with everything on, one function and a token that may call it.
    pub fn casemate(root: &Path, exe: &Path, name: &str, component: &Path, pins: &Pins) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("casemate-bench-{}", std::process::id()));
        let _old = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("function"))?;
        let mut up = Command::new("taskset");
        up.args(["-c", &pins.server]).arg(exe).args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
        ]);
        up.arg("--data").arg(folder.join("data")).env("XDG_CONFIG_HOME", folder.join("config"));
        up.env_remove("RUST_BACKTRACE").stdout(Stdio::null()).stderr(Stdio::null()).current_dir(root);
        let child = up.spawn().context("casemate up")?;
        let mut server = Self { url: String::new(), token: None, child, folder: Some(folder.clone()) };
        let node = folder.join("data/node.json");
        wait_for(|| node.exists())?;
        let about: serde_json::Value = serde_json::from_slice(&fs::read(&node)?)?;
        let text =
            |key: &str| about[key].as_str().map(str::to_owned).with_context(|| format!("node.json: {key}"));
        server.url = format!("{}/{name}", text("functions")?);
        let manifest = format!("name = \"{name}\"\ncomponent = \"f.wasm\"\n[access]\nallow = \"tenant\"\n");
        fs::write(folder.join("function/casemate.toml"), manifest)?;
        fs::copy(component, folder.join("function/f.wasm"))?;
        let run = |args: &[&str]| -> Result<Vec<u8>> {
            let mut command = Command::new(exe);
            command.args(args).env("XDG_CONFIG_HOME", folder.join("config"));
            let output = command.output()?;
            if !output.status.success() {
                bail!("{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            }
            Ok(output.stdout)
        };
        run(&["deploy", "--no-build", &folder.join("function").display().to_string()])?;
        let token = run(&[
            "token", "create", "--name", "bench", "--kind", "service", "--scope", "invoke", "--output",
            "json",
        ])?;
        let token: serde_json::Value = serde_json::from_slice(&token)?;
        server.token = Some(token["secret"].as_str().context("no token")?.to_owned());
        Ok(server)
    }

    /// `wasmtime serve` with the pooling allocator; a fresh instance for each request unless `reuse`.
    pub fn wasmtime(exe: &Path, component: &Path, pins: &Pins, p3: bool, reuse: bool) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut serve = Command::new("taskset");
        serve.args(["-c", &pins.server]).arg(exe).args(["serve", "-Scli", "-Opooling-allocator"]);
        serve.args(["--addr", &format!("127.0.0.1:{port}")]);
        if p3 {
            serve.args(["-Sp3", "-Wcomponent-model-async"]);
        }
        if !reuse {
            serve.args(["--max-instance-reuse-count", "1"]);
        }
        serve.arg(component).env_remove("RUST_BACKTRACE").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = serve.spawn().context("wasmtime serve")?;
        let errors = child.stderr.take().context("stderr")?;
        let mut lines = BufReader::new(errors).lines();
        let said = lines.next().transpose()?.unwrap_or_default();
        std::thread::spawn(move || lines.for_each(drop));
        if !said.contains("http://") {
            bail!("wasmtime serve: {said}");
        }
        Ok(Self { url: format!("http://127.0.0.1:{port}/"), token: None, child, folder: None })
    }

    /// CPU time of the server and its children, in microseconds.
    pub fn cpu_us(&self) -> Result<u64> {
        let mut ticks = 0_u64;
        for pid in self.tree()? {
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let after = stat.rsplit(')').next().unwrap_or_default();
            let fields: Vec<&str> = after.split_whitespace().collect();
            let of = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
            ticks += of(11) + of(12);
        }
        Ok(ticks * 10_000)
    }

    /// Proportional memory of the server and its children, in MiB.
    pub fn rss_mib(&self) -> Result<f64> {
        let mut kib = 0_u64;
        for pid in self.tree()? {
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
            let line = text.lines().find(|l| l.starts_with("Pss:"));
            kib += line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(kib as f64 / 1024.0)
    }

    fn tree(&self) -> Result<Vec<u32>> {
        let mut found = vec![self.child.id()];
        let mut at = 0;
        while let Some(pid) = found.get(at).copied() {
            at += 1;
            for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                found.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
            }
        }
        Ok(found)
    }
}

fn wait_for(ready: impl Fn() -> bool) -> Result<()> {
    let started = Instant::now();
    while !ready() {
        if started.elapsed() > Duration::from_secs(20) {
            bail!("the server did not come up in 20 s");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
