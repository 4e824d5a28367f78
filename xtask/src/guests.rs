//! `cargo xtask guests`: builds the functions under `guests/`, and says which of the committed ones are not what
//! `guests/DIGESTS` says. It never builds what a finished run before it has left in `target/`.

mod languages;
mod rust;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// What to build. Without a flag: the committed functions (Rust and the text format).
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Build nothing; compare the committed components with `guests/DIGESTS`.
    #[arg(long, conflicts_with_all = ["js", "py", "templates", "env"])]
    pub check: bool,
    /// Build `hello-js` into `target/guests` (wants node and npm).
    #[arg(long)]
    pub js: bool,
    /// Build `hello-py` into `target/guests` (wants python3).
    #[arg(long)]
    pub py: bool,
    /// Write, build and test each template of `casemate new` under `target/guests/templates`.
    #[arg(long)]
    pub templates: bool,
    /// Print the variables with which plain `cargo build --target wasm32-wasip2` works here, for a shell's `eval`.
    #[arg(long)]
    pub env: bool,
}

/// Does what `args` say in the work tree at `root`.
pub fn run(root: &Path, args: &Args) -> Result<()> {
    if args.check {
        return check(root);
    }
    if args.env {
        for (name, value) in rust::toolchain(root)?.env {
            println!("export {name}='{value}'");
        }
        return Ok(());
    }
    if args.js {
        languages::javascript(root)?;
    }
    if args.py {
        languages::python(root)?;
    }
    if args.templates {
        languages::templates(root, &rust::toolchain(root)?.env)?;
    }
    if !(args.js || args.py || args.templates) {
        let toolchain = rust::toolchain(root)?;
        rust::build(root, &toolchain)?;
        text_format(root)?;
        digests(root, &toolchain.name)?;
    }
    Ok(())
}

/// What tests want: the committed components as recorded, and those of other languages where their toolchains
/// are; without them the tests say what they skip.
pub fn for_tests(root: &Path) -> Result<()> {
    check(root)?;
    type Build = fn(&Path) -> Result<()>;
    let languages: [(&str, Build); 2] =
        [("hello-js", languages::javascript), ("hello-py", languages::python)];
    for (name, build) in languages {
        if root.join(format!("target/guests/{name}.wasm")).exists() {
            continue;
        }
        if let Err(error) = build(root) {
            say(name, &format!("skipped: {error:#}"));
        }
    }
    Ok(())
}

/// Turns each `guests/wat/NAME.wat` into a component, and copies what is no component on purpose.
fn text_format(root: &Path) -> Result<()> {
    let folder = root.join("guests/wat");
    say("guests/wat", "text format to binary");
    for path in files(&folder)? {
        let stem = path.file_stem().and_then(|s| s.to_str()).context("a guest's name")?.to_owned();
        let bytes = match path.extension().and_then(|e| e.to_str()) {
            Some("wat") => wat::parse_file(&path)?,
            Some("txt") => fs::read(&path)?,
            _ => bail!("{}: neither .wat nor .txt", path.display()),
        };
        if path.extension().is_some_and(|e| e == "wat") {
            let mut validator = wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all());
            validator.validate_all(&bytes).with_context(|| format!("{} is not valid", path.display()))?;
        }
        fs::write(root.join("guests/built").join(format!("{stem}.wasm")), bytes)?;
    }
    Ok(())
}

/// Writes `guests/DIGESTS`, and says which components have changed.
fn digests(root: &Path, toolchain: &str) -> Result<()> {
    let before = recorded(root).unwrap_or_default();
    let mut text = format!(
        "# sha256, bytes, component. All are rebuilt by `cargo xtask guests` and compared by `cargo xtask guests \
         --check`.\n# Rust: {toolchain}. Another compiler gives other digests.\n"
    );
    for (name, digest, size) in measured(root)? {
        if before.get(&name).is_none_or(|old| *old != digest) {
            say(&name, "changed");
        }
        text.push_str(&format!("{digest} {size:>7} {name}\n"));
    }
    fs::write(root.join("guests/DIGESTS"), text)?;
    Ok(())
}

/// Compares the committed components with `guests/DIGESTS`, and the templates' WIT with the one in `wit/`.
fn check(root: &Path) -> Result<()> {
    let mut recorded = recorded(root)?;
    let mut findings = Vec::new();
    let mut compared = 0;
    for (name, digest, _) in measured(root)? {
        match recorded.remove(&name) {
            Some(expected) if expected == digest => compared += 1,
            Some(expected) => findings.push(format!("{name}: is {digest}, but DIGESTS says {expected}")),
            None => findings.push(format!("{name}: not in DIGESTS")),
        }
    }
    findings.extend(recorded.keys().map(|name| format!("{name}: in DIGESTS, but not there")));
    for language in ["js", "py"] {
        for file in ["function.wit", "deps/clocks.wit", "deps/http.wit", "deps/io.wit"] {
            let copy = root.join("crates/casemate/templates").join(language).join("wit").join(file);
            if fs::read(root.join("wit").join(file))? != fs::read(&copy)? {
                findings.push(format!("{}: is not what wit/{file} is", copy.display()));
            }
        }
    }
    ensure!(findings.is_empty(), "guests:\n  {}", findings.join("\n  "));
    say("guests", &format!("{compared} components are what DIGESTS says"));
    Ok(())
}

fn recorded(root: &Path) -> Result<BTreeMap<String, String>> {
    rows(&fs::read_to_string(root.join("guests/DIGESTS")).context("guests/DIGESTS")?)
}

/// Component → digest.
fn rows(text: &str) -> Result<BTreeMap<String, String>> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [digest, _, name] => Ok((name.to_owned(), digest.to_owned())),
        _ => bail!("guests/DIGESTS: `{line}` is no row"),
    })
    .collect()
}

/// Name, SHA-256 in hexadecimal and size of each committed component.
fn measured(root: &Path) -> Result<Vec<(String, String, u64)>> {
    let mut rows = Vec::new();
    for path in files(&root.join("guests/built"))? {
        let output = Command::new("sha256sum").arg(&path).output().context("sha256sum")?;
        let text = String::from_utf8(output.stdout)?;
        let digest = text.split(' ').next().filter(|d| d.len() == 64).context("sha256sum gave no digest")?;
        let name = path.file_name().and_then(|n| n.to_str()).context("a component's name")?;
        rows.push((name.to_owned(), digest.to_owned(), fs::metadata(&path)?.len()));
    }
    Ok(rows)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

fn say(what: &str, how: &str) {
    println!("{what:>12}: {how}");
}

/// Runs a command, prints it, and fails where it does.
fn command(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    say("runs", &format!("{program} {}", arguments.join(" ")));
    let status = command.status().with_context(|| format!("`{program}` does not start"))?;
    ensure!(status.success(), "`{program}` ended with {status}");
    Ok(())
}

/// Says whether a program is there and answers `--version`.
fn there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn rows_are_read_and_what_is_no_row_is_refused() {
        let rows = super::rows("# a comment\nabc 12 one.wasm\ndef   345 two.wasm\n").unwrap();
        assert_eq!(rows["one.wasm"], "abc");
        assert_eq!(rows["two.wasm"], "def");
        for bad in ["abc one.wasm", "abc 12 one.wasm more", ""] {
            assert!(super::rows(&format!("{bad}\n")).is_err(), "`{bad}`");
        }
    }

    #[test]
    fn the_committed_components_are_what_they_are_said_to_be() {
        super::check(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).unwrap();
    }
}
