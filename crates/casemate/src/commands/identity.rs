//! `identity`: whom a tenant accepts; and who one request would be from, by such a configuration, which opens no
//! connection and remembers nothing from one run to the next.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use gateway::api::IdentityText;
use identity::{Identity, IdentityConfig, Nobody, Proved, RawRequest, TokenBook};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use zeroize::Zeroizing;

use super::Context;
use crate::{
    cli, clock,
    exit::{Exit, Failure},
    output::{Ink, Output, harmless},
};

/// More than any request that is read.
const REQUEST_BYTES_MAX: u64 = 17 * 1024 * 1024;

/// `identity …`
pub(super) async fn identity(context: &Context, args: cli::Identity) -> Result<(), Failure> {
    let out = &context.out;
    match args {
        cli::Identity::Check(args) => return check(context, &args),
        cli::Identity::Show => {
            let found = context.client()?.identity().await?;
            out.answer(&found, |found| found.text.clone());
        }
        cli::Identity::Set { file } => {
            let text = with_files(&super::read_text(&file)?, &file)?;
            let client = context.client()?;
            let set = client.set_identity(&IdentityText { text: text.to_string() }).await?;
            let tenant = &client.session().tenant;
            out.answer(&set, |_| format!("{tenant} accepts it from the next request on"));
        }
    }
    Ok(())
}

/// The same text with what its `…_file` keys point to in place: a node reads no files of its callers.
fn with_files(text: &str, file: &Path) -> Result<Zeroizing<String>, Failure> {
    let invalid = |why: &dyn std::fmt::Display| {
        let failure = Failure::new(Exit::Invalid, format!("`{}`: {why}", file.display()));
        failure.next("docs/identity.md says what each key takes")
    };
    // It says which line is wrong, and never what stands there.
    IdentityConfig::parse(text).map_err(|e| invalid(&e))?;
    let mut table: toml::Table = toml::from_str(text).map_err(|e| invalid(&e.message()))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    fill(&mut table, folder)?;
    toml::to_string(&table).map(Zeroizing::new).map_err(|e| invalid(&e))
}

fn fill(table: &mut toml::Table, folder: &Path) -> Result<(), Failure> {
    let read = |path: &toml::Value| {
        let path = folder.join(path.as_str().unwrap_or_default());
        let text = fs::read_to_string(&path).map_err(|e| Failure::file("read", &path, &e))?;
        Ok::<_, Failure>(toml::Value::String(text.trim_end_matches(['\r', '\n']).to_owned()))
    };
    let pointing = |name: &String| name.ends_with("_file") || name.ends_with("_files");
    let names: Vec<String> = table.keys().filter(|name| pointing(name)).cloned().collect();
    for name in names {
        match (table.remove(&name), name.strip_suffix("_file")) {
            (Some(path), Some(place)) => {
                // What stands in both places is the node's to refuse: it says which key it is.
                let found = read(&path)?;
                if table.insert(place.to_owned(), found).is_some() {
                    let why = format!("`{place}` and `{name}` exclude each other");
                    return Err(Failure::new(Exit::Invalid, why));
                }
            }
            (Some(toml::Value::Array(paths)), None) => {
                let place = format!("{}s", name.strip_suffix("_files").unwrap_or(&name));
                let found = paths.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                let list = table.entry(place).or_insert_with(|| toml::Value::Array(Vec::new()));
                list.as_array_mut().into_iter().for_each(|list| list.extend(found.iter().cloned()));
            }
            _ => {}
        }
    }
    for value in table.iter_mut().map(|(_, value)| value) {
        match value {
            toml::Value::Table(inner) => fill(inner, folder)?,
            toml::Value::Array(list) => {
                list.iter_mut()
                    .filter_map(toml::Value::as_table_mut)
                    .try_for_each(|one| fill(one, folder))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// `identity check`
fn check(context: &Context, args: &cli::IdentityCheck) -> Result<(), Failure> {
    let identity = open(context, &args.config)?;
    let bytes = read_request(args.request.as_deref())?;
    let request = RawRequest::parse(&bytes).map_err(|e| {
        Failure::new(Exit::Invalid, e).next("write it as it is sent: `casemate identity check --help`")
    })?;
    let certificate = args.certificate.as_deref().map(read_certificate).transpose()?;
    let now = args.at.unwrap_or_else(clock::now);
    let asked = request.request(certificate.as_deref());
    match identity.prove(&asked, &TokenBook::new(), now) {
        Ok(proved) => {
            context.out.answer(&proved, |proved| text(&context.out, proved));
            Ok(())
        }
        Err(nobody) => Err(refused(&nobody)),
    }
}

/// Entries without a tenant are those of the one to act in.
fn open(context: &Context, file: &Path) -> Result<Identity, Failure> {
    let invalid =
        |why: &dyn std::fmt::Display| Failure::new(Exit::Invalid, format!("`{}`: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|e| Failure::file("read", file, &e))?;
    let config = IdentityConfig::parse(&text).map_err(|e| invalid(&e))?;
    let tenant = match &context.global.tenant {
        Some(tenant) => tenant.clone(),
        None => "default".parse().map_err(|e: model::IdError| invalid(&e))?,
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    let files = |path: &str| fs::read(folder.join(path)).map_err(|e| e.to_string());
    let identity = Identity::new(config.in_tenant(&tenant), &files);
    identity.map_err(|e| invalid(&e).next("docs/identity.md says what each key takes"))
}

fn read_request(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match file.filter(|file| *file != Path::new("-")) {
        Some(file) => {
            fs::File::open(file).and_then(|open| open.take(REQUEST_BYTES_MAX).read_to_end(&mut bytes))
        }
        None => io::stdin().take(REQUEST_BYTES_MAX).read_to_end(&mut bytes),
    };
    read.map_err(|e| Failure::file("read", file.unwrap_or(Path::new("-")), &e))?;
    Ok(bytes)
}

fn read_certificate(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = fs::read(file).map_err(|e| Failure::file("read", file, &e))?;
    let der = CertificateDer::from_pem_slice(&bytes)
        .map_err(|_| Failure::new(Exit::Invalid, format!("`{}` is no certificate in PEM", file.display())))?;
    Ok(der.to_vec())
}

fn text(out: &Output, proved: &Proved) -> String {
    let mut fields = vec![
        ("principal", out.paint(Ink::Good, &proved.principal().to_string())),
        ("proof", proved.kind().as_str().to_owned()),
        ("entry", proved.entry().to_owned()),
        ("bound", proved.bound().as_str().to_owned()),
        ("scopes", proved.principal().scopes.join(", ")),
        ("since", proved.authenticated_at().to_string()),
    ];
    fields.extend(proved.key_id().map(|key| ("key", key.to_owned())));
    fields.extend(proved.expires_at().map(|at| ("until", at.to_string())));
    if !proved.groups().is_empty() {
        fields.push(("groups", harmless(&proved.groups().join(", "))));
    }
    for (name, values) in proved.attributes() {
        fields.push(("attribute", harmless(&format!("{name} = {}", values.join(", ")))));
    }
    out.fields(&fields)
}

fn refused(nobody: &Nobody) -> Failure {
    let entry = nobody.entry.as_ref().map(|entry| format!(" (entry `{entry}`)")).unwrap_or_default();
    let next = if nobody.is_anonymous() {
        "the caller would be anonymous: a function answers it only where a policy permits that"
    } else {
        "the caller would be told 401 and one sentence, and the record this code"
    };
    let mut failure = Failure::new(Exit::Unauthenticated, format!("{}{entry}", nobody.reason.sentence()));
    failure.code = Some(nobody.code().to_owned());
    failure.message = format!("{}: {}", nobody.code(), failure.message);
    failure.next(next)
}
