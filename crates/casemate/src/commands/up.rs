//! `up`: a node in the foreground, from its configuration to its end. It never prints a token.

use std::{
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
};

use model::ManifestError;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use crate::{
    cli::Up,
    config::{Config, Overrides, Surroundings},
    descriptors,
    exit::{Exit, Failure},
    node::Node,
    output::{Ink, Output},
    session::{Session, login_path, write_private, xdg},
    telemetry,
};

/// What a running node says of itself in `node.json` in its data folder; the file goes when the node stops.
#[derive(Debug, Clone, Serialize)]
struct NodeFile {
    version: &'static str,
    pid: u32,
    /// Where functions answer.
    functions: String,
    /// Where the control API answers.
    control: String,
    /// Where functions answer without TLS, if `dangerous` says so.
    plain_http: Option<String>,
    /// Where certificate authorities look whether names are the node's, if `tls.acme` has them do it over HTTP.
    challenges: Option<String>,
    /// The certificate (PEM) that signs the node's.
    ca: PathBuf,
    walls: Vec<&'static str>,
    walls_missing: Vec<&'static str>,
    workers: usize,
    data: PathBuf,
    /// The file with the first token, if this start made it and no login was saved.
    token_file: Option<PathBuf>,
    /// The login that was saved, if this start made the first token.
    login: Option<PathBuf>,
}

/// `up`
pub(super) async fn up(context: &Context, args: Up) -> Result<(), Failure> {
    let out = &context.out;
    let Up { config: file, data, listen, control, accept_clock } = args;
    let over = Overrides { data, listen, control, accept_clock };
    let config = read_config(file.as_deref(), &over)?;
    let _log = telemetry::start(config.log_format, &config.log_level, std::io::stderr().is_terminal())?;
    let descriptors = descriptors::raise();
    if descriptors < descriptors::WANTED {
        let wanted = descriptors::WANTED;
        tracing::warn!(
            descriptors,
            wanted,
            "fewer files may be open than a full node wants: raise the hard limit (`ulimit -Hn`, or `LimitNOFILE=` of \
             systemd)"
        );
    }
    for warning in config.dangerous.warnings() {
        tracing::warn!("{warning}");
    }
    // Both are asked for before anything runs, so that no signal comes too early.
    let not_heard = |e: std::io::Error| Failure::new(Exit::NotStarted, format!("cannot hear signals: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(not_heard)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(not_heard)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(not_heard)?;

    let mut node = Node::start(&config).await?;
    let said = describe(&config, &node)?;
    let path = config.data.join("node.json");
    let text = serde_json::to_vec_pretty(&said).unwrap_or_default();
    write_private(&path, &text)?;
    if out.is_json() {
        out.json_line(&said);
    } else {
        out.say(banner(out, &said));
    }
    // Not before it was said where the token is: whoever was not told has no token.
    node.first_token_kept().await?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = hangup.recv() => {
                let again = read_config(file.as_deref(), &over);
                node.reload(again.map(|config| config.network).map_err(|failure| failure.to_string())).await;
            }
        }
    }
    out.note("draining; once more to end at once");
    tracing::info!("draining");
    let _ = fs::remove_file(&path);
    tokio::select! {
        () = node.stop() => {
            tracing::info!("stopped");
            Ok(())
        }
        _ = interrupt.recv() => Err(Failure::new(Exit::Failed, "ended before all requests were answered")),
        _ = terminate.recv() => Err(Failure::new(Exit::Failed, "ended before all requests were answered")),
    }
}

/// Reads and proves a node's configuration; without a file, all defaults.
///
/// # Errors
/// If the file cannot be read or does not hold.
pub(super) fn read_config(file: Option<&Path>, over: &Overrides) -> Result<Config, Failure> {
    let text = match file {
        Some(file) => fs::read_to_string(file).map_err(|e| {
            Failure::new(Exit::Invalid, format!("cannot read `{}`: {e}", file.display()))
                .next("every key has a default: an empty file, or none, is a whole configuration")
        })?,
        None => String::new(),
    };
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let base = file.and_then(|file| absolute(file).parent().map(Path::to_owned));
    let around = Surroundings {
        base: base.unwrap_or_else(|| absolute(Path::new("."))),
        data: xdg("XDG_DATA_HOME", ".local/share")?.join("casemate"),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    Config::parse(&text, over, &around).map_err(|error| wrong(file, error))
}

fn wrong(file: Option<&Path>, error: ManifestError) -> Failure {
    let place = match (file, error.at) {
        (Some(file), Some((line, column))) => format!("{}:{line}:{column}: ", file.display()),
        (Some(file), None) => format!("{}: ", file.display()),
        (None, _) => String::new(),
    };
    let failure = Failure::new(Exit::Invalid, format!("{place}{}", error.message));
    match error.suggestion {
        Some(suggestion) => failure.next(suggestion),
        None => failure.next("`casemate config schema` has every key with its meaning"),
    }
}

/// What is to be known about the node; at the first start, also puts the first token where its user finds it.
fn describe(config: &Config, node: &Node) -> Result<NodeFile, Failure> {
    let (walls, missing) = node.walls();
    let control = format!("https://{}", node.control());
    let (mut login, mut token_file) = (None, None);
    if let Some((tenant, token)) = node.first_token() {
        let ca = Some(node.ca().to_owned());
        let session = Session {
            node: control.clone(),
            tenant,
            token: Some(token.clone()),
            bound: None,
            ca,
            is_saved: false,
        };
        if login_path()?.exists() {
            let path = config.data.join("first-token");
            write_private(&path, token.expose().as_bytes())?;
            token_file = Some(path);
        } else {
            login = Some(session.save()?);
        }
    }
    Ok(NodeFile {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        functions: format!("https://{}", node.functions()),
        control,
        plain_http: node.plain_http().map(|address| format!("http://{address}")),
        challenges: node.challenges().map(|address| format!("http://{address}")),
        ca: node.ca_file().to_owned(),
        walls,
        walls_missing: missing,
        workers: config.workers,
        data: config.data.clone(),
        token_file,
        login,
    })
}

fn banner(out: &Output, file: &NodeFile) -> String {
    let walls = if file.walls_missing.is_empty() {
        out.paint(Ink::Good, "all stand")
    } else {
        let missing = format!("missing: {}", file.walls_missing.join(", "));
        format!("{} · {}", file.walls.join(", "), out.paint(Ink::Warn, &missing))
    };
    let mut fields = vec![
        ("functions", out.paint(Ink::Strong, &file.functions)),
        ("control", file.control.clone()),
        ("certificate", file.ca.display().to_string()),
        ("workers", format!("{}, walls {walls}", file.workers)),
        ("data", file.data.display().to_string()),
    ];
    if let Some(address) = &file.plain_http {
        fields.push(("plain http", out.paint(Ink::Warn, address)));
    }
    let mut text = format!("casemate {}\n{}", file.version, out.fields(&fields));
    if let Some(login) = &file.login {
        text.push_str(&format!(
            "\n\nFirst start: made the tenant `default`, its root key, and an owner's token, good for this user:\n  \
             {}\nTry `casemate whoami` in another terminal, then `casemate new hello`.",
            login.display()
        ));
    }
    if let Some(token) = &file.token_file {
        text.push_str(&format!(
            "\n\nFirst start: made the tenant `default`, its root key, and an owner's token. You have another \
             login saved;\nto replace it with this one:\n  casemate login --node {} --ca {} --token-file {} \
             --consume",
            file.control,
            file.ca.display(),
            token.display()
        ));
    }
    text
}
