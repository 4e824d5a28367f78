//! `identity check`: who one request would be from, by a configuration of what is accepted. It opens no
//! connection, and remembers nothing from one run to the next.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use identity::{Identity, IdentityConfig, Nobody, Proved, RawRequest, TokenBook};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::Context;
use crate::{
    cli, clock,
    exit::{Exit, Failure},
    output::{Ink, Output, harmless},
};

/// More than any request that is read.
const REQUEST_BYTES_MAX: u64 = 17 * 1024 * 1024;

/// `identity check`
pub(super) fn check(context: &Context, args: &cli::IdentityCheck) -> Result<(), Failure> {
    let identity = open(&args.config)?;
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

fn open(file: &Path) -> Result<Identity, Failure> {
    let invalid =
        |why: &dyn std::fmt::Display| Failure::new(Exit::Invalid, format!("`{}`: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|e| Failure::file("read", file, &e))?;
    // The text of an error of TOML repeats the line, which may hold a secret.
    let config: IdentityConfig = toml::from_str(&text).map_err(|e| {
        let line =
            e.span().map_or(1, |span| 1 + text.get(..span.start).unwrap_or_default().matches('\n').count());
        invalid(&format!("line {line}: {}", e.message()))
    })?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let files = |path: &str| fs::read(folder.join(path)).map_err(|e| e.to_string());
    Identity::new(config, &files).map_err(|e| invalid(&e).next("docs/identity.md says what each key takes"))
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
