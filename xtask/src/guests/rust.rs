//! The Rust functions: which toolchain builds them here, and the build. It never uses a network where the toolchain
//! is there already.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{command, say};

const TARGET: &str = "wasm32-wasip2";
const FLAGS: &str = "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS";

/// How components are built here.
pub(super) struct Toolchain {
    /// The compiler, as it names itself.
    pub(super) name: String,
    /// What has to be set so that plain `cargo build --target wasm32-wasip2` works.
    pub(super) env: Vec<(String, String)>,
}

/// rustup's target where it is installed, else the sysroot of `guests/toolchain`, made once.
pub(super) fn toolchain(root: &Path) -> Result<Toolchain> {
    let rustc_root = PathBuf::from(text(Command::new("rustc").args(["--print", "sysroot"]))?);
    if rustc_root.join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(Toolchain { name: text(Command::new("rustc").arg("--version"))?, env: Vec::new() });
    }
    let sysroot = root.join("target/guest-sysroot");
    let libc = sysroot.join("lib/rustlib").join(TARGET).join("lib/self-contained/libc.a");
    if !libc.exists() {
        say("sysroot", "rustup has no wasm32-wasip2 here (`rustup target add` it if you can); making one");
        command(Command::new("bash").arg(root.join("guests/toolchain/rust-sysroot.sh")).arg(&sysroot))?;
    }
    let tools = rustc_root.join("lib/rustlib/x86_64-unknown-linux-gnu/bin");
    let linker = tools.join("wasm-component-ld");
    ensure!(linker.exists(), "{} is not there: it comes with rustup's toolchain", linker.display());
    let path = std::env::var("PATH").unwrap_or_default();
    let env = [
        ("RUSTC", "/usr/bin/rustc".to_owned()),
        ("PATH", format!("{}:{path}", tools.join("gcc-ld").display())),
        ("CARGO_TARGET_WASM32_WASIP2_LINKER", linker.display().to_string()),
        (FLAGS, format!("--sysroot={}", sysroot.display())),
    ];
    Ok(Toolchain {
        name: text(Command::new("/usr/bin/rustc").arg("--version"))?,
        env: env.map(|(name, value)| (name.to_owned(), value)).to_vec(),
    })
}

/// Builds the workspace in `guests/` and puts its components into `guests/built`.
pub(super) fn build(root: &Path, toolchain: &Toolchain) -> Result<()> {
    say("guests", &toolchain.name);
    let target = root.join("target/guest-build");
    let flags = toolchain.env.iter().find(|(name, _)| name == FLAGS).map(|(_, value)| value.as_str());
    // No path of this machine in a component, and the same bytes wherever it is built.
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| home + "/.cargo"))?;
    let guests = root.join("guests");
    let flags = format!(
        "{} --remap-path-prefix={home}=/cargo --remap-path-prefix={}=/guests",
        flags.unwrap_or_default(),
        guests.display()
    );
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&guests).args(["build", "--release", "--locked", "--target", TARGET]);
    cargo.envs(toolchain.env.iter().map(|(name, value)| (name, value)));
    command(cargo.env("CARGO_TARGET_DIR", &target).env(FLAGS, flags.trim()).env_remove("RUSTFLAGS"))?;

    let built = guests.join("built");
    fs::create_dir_all(&built)?;
    for member in members(&guests)? {
        let file = target.join(TARGET).join("release").join(member.replace('-', "_") + ".wasm");
        if file.exists() {
            fs::copy(&file, built.join(member + ".wasm"))?;
        }
    }
    Ok(())
}

fn members(guests: &Path) -> Result<Vec<String>> {
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(guests.join("Cargo.toml"))?)?;
    let members = manifest.get("workspace").and_then(|w| w.get("members")).and_then(|m| m.as_array());
    let members = members.context("guests/Cargo.toml: no members")?;
    Ok(members.iter().filter_map(|m| m.as_str()).map(str::to_owned).collect())
}

fn text(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
