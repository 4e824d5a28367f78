//! JavaScript, Python and the templates of `casemate new`. It never commits what it builds: those components have
//! 12 MB and more.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use model::{Limits, Manifest};

use super::{command, files, say, there};

const COMPONENTIZE_JS: &str = "@bytecodealliance/componentize-js@0.23.0";
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// Builds `guests/hello-js` into `target/guests/hello-js.wasm`.
pub(super) fn javascript(root: &Path) -> Result<()> {
    if !(there("node") && there("npm")) {
        say("hello-js", "skipped: node or npm is not there");
        return Ok(());
    }
    let tools = root.join("target/guest-tools/js");
    let tool = tools.join("node_modules/.bin/componentize-js");
    if !tool.exists() {
        fs::create_dir_all(&tools)?;
        fs::write(tools.join("package.json"), "{\"private\":true}\n")?;
        let install = ["install", "--no-audit", "--no-fund", "--silent", COMPONENTIZE_JS];
        command(Command::new("npm").current_dir(&tools).args(install))?;
    }
    let out = out(root, "hello-js.wasm")?;
    let source = root.join("guests/hello-js/hello.js");
    command(
        Command::new(&tool)
            .arg("-w")
            .arg(root.join("wit"))
            .args(["-n", "function", "-o"])
            .arg(&out)
            .arg(source),
    )?;
    built(&out)
}

/// Builds `guests/hello-py` into `target/guests/hello-py.wasm`.
pub(super) fn python(root: &Path) -> Result<()> {
    if !there("python3") {
        say("hello-py", "skipped: python3 is not there");
        return Ok(());
    }
    let tools = root.join("target/guest-tools/py");
    let tool = tools.join("bin/componentize-py");
    if !tool.exists() {
        command(Command::new("python3").args(["-m", "venv"]).arg(&tools))?;
        command(Command::new(tools.join("bin/pip")).args(["install", "--quiet", COMPONENTIZE_PY]))?;
    }
    let out = out(root, "hello-py.wasm")?;
    let mut build = Command::new(&tool);
    build.current_dir(root.join("guests/hello-py")).arg("-d").arg(root.join("wit"));
    command(build.args(["-w", "function", "componentize", "app", "-o"]).arg(&out))?;
    built(&out)
}

fn out(root: &Path, name: &str) -> Result<PathBuf> {
    let folder = root.join("target/guests");
    fs::create_dir_all(&folder)?;
    Ok(folder.join(name))
}

fn built(path: &Path) -> Result<()> {
    let bytes = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    say("built", &format!("{} ({bytes} bytes)", path.display()));
    Ok(())
}

/// Does with each template what a user does after `casemate new`: builds and tests it by its own manifest.
pub(super) fn templates(root: &Path, env: &[(String, String)]) -> Result<()> {
    for (language, wanted) in [("rust", "cargo"), ("js", "npm"), ("py", "python3")] {
        if !there(wanted) {
            say(language, &format!("skipped: {wanted} is not there"));
            continue;
        }
        let name = format!("my-{language}");
        let folder = root.join("target/guests/templates").join(&name);
        render(&root.join("crates/casemate/templates").join(language), &folder, &name)?;
        let text = fs::read_to_string(folder.join("casemate.toml"))?;
        let manifest = Manifest::parse(&text, &Limits::CEILING)?;
        for line in [&manifest.build.command, &manifest.build.test] {
            let line = line.as_deref().context("a template says how it is built and tested")?;
            let mut shell = Command::new("sh");
            shell.current_dir(&folder).args(["-c", line]);
            // A user's shell knows nothing of the toolchain that runs this.
            for name in ["CARGO", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"] {
                shell.env_remove(name);
            }
            command(shell.envs(env.iter().map(|(name, value)| (name, value))))?;
        }
        built(&folder.join(&manifest.component))?;
    }
    Ok(())
}

fn render(from: &Path, to: &Path, name: &str) -> Result<()> {
    fs::create_dir_all(to)?;
    for path in files(from)? {
        let text = fs::read_to_string(&path)?;
        let file = path.file_name().context("a template's file has a name")?;
        fs::write(to.join(file), text.replace("{{name}}", name))?;
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            render(&entry.path(), &to.join(entry.file_name()), name)?;
        }
    }
    Ok(())
}
