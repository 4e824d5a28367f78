//! `invoke`: one call, its answer and what it cost. It never follows, repeats or changes a call.

use std::io::Read;

use data_encoding::BASE64;
use gateway::api::{Header, InvokeRequest, InvokeResult};

use super::Context;
use crate::{
    cli::Invoke,
    exit::{Exit, Failure},
    output::{Ink, Output, micros, size},
};

/// `invoke`
pub(super) async fn invoke(context: &Context, args: Invoke) -> Result<(), Failure> {
    let out = &context.out;
    let request = request(&args)?;
    let client = context.client()?;
    let progress = out.spinner(format!("calling {}", args.name));
    let result = client.invoke(&args.name, &request).await?;
    drop(progress);
    if out.is_json() {
        out.json(&result);
    } else {
        show(out, &result)?;
    }
    judge(&result)
}

fn request(args: &Invoke) -> Result<InvokeRequest, Failure> {
    let body = match (&args.data, &args.data_file) {
        (Some(data), _) => data.clone().into_bytes(),
        (None, Some(file)) if file == std::path::Path::new("-") => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().read_to_end(&mut bytes);
            read.map_err(|e| Failure::file("read", file, &e))?;
            bytes
        }
        (None, Some(file)) => std::fs::read(file).map_err(|e| Failure::file("read", file, &e))?,
        (None, None) => Vec::new(),
    };
    let has_body = args.data.is_some() || args.data_file.is_some();
    let method = args.method.clone().unwrap_or_else(|| if has_body { "POST" } else { "GET" }.to_owned());
    let headers = args.headers.iter().map(|text| header(text)).collect::<Result<_, _>>()?;
    if !args.path.starts_with('/') {
        return Err(
            Failure::new(Exit::Usage, format!("`{}` is no path", args.path)).next("begin it with `/`")
        );
    }
    let method = method.to_ascii_uppercase();
    Ok(InvokeRequest { method, path: args.path.clone(), headers, body_base64: BASE64.encode(&body) })
}

fn header(text: &str) -> Result<Header, Failure> {
    let wrong =
        || Failure::new(Exit::Usage, format!("`{text}` is no header")).next("write it as `name: value`");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
    let holds =
        http::HeaderName::from_bytes(name.as_bytes()).is_ok() && http::HeaderValue::from_str(&value).is_ok();
    if holds { Ok(Header { name, value }) } else { Err(wrong()) }
}

fn show(out: &Output, result: &InvokeResult) -> Result<(), Failure> {
    let body = BASE64
        .decode(result.body_base64.as_bytes())
        .map_err(|e| Failure::new(Exit::Failed, format!("the answer's body cannot be read: {e}")))?;
    out.bytes(&body);
    if result.body_cut {
        out.note(out.paint(Ink::Warn, "the body was cut here; call the function's URL to have all of it"));
    }
    let usage = &result.usage;
    let mut parts = vec![
        format!("status {}", result.status),
        format!("cpu {}", micros(usage.cpu_us)),
        format!("wall {}", micros(usage.wall_us)),
        format!("memory {}", size(usage.memory_bytes_peak)),
        format!("{} host calls", usage.host_calls),
    ];
    if usage.outbound_calls > 0 {
        parts.push(format!("{} outbound", usage.outbound_calls));
    }
    parts.push(result.revision.to_string());
    parts.push(result.request_id.to_string());
    out.note(parts.join(" · "));
    Ok(())
}

/// A function that answered with an error, or was stopped, is a failure of its own.
fn judge(result: &InvokeResult) -> Result<(), Failure> {
    let failure = match result.fault {
        Some(fault) => {
            let detail = result.fault_detail.as_deref().unwrap_or_default();
            let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
            let message = format!("{} ({}){detail}", fault.sentence(), fault.code());
            Failure { code: Some(fault.code().to_owned()), ..Failure::new(Exit::FunctionFailed, message) }
        }
        None if result.status >= 400 => {
            Failure::new(Exit::FunctionFailed, format!("the function answered with status {}", result.status))
        }
        None => return Ok(()),
    };
    let failure = Failure { request_id: Some(result.request_id.to_string()), ..failure };
    Err(failure.next("`casemate logs` shows what the function wrote"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Result<InvokeRequest, Failure> {
        let words = format!("casemate invoke hello {line}");
        match Cli::try_parse_from(words.split_whitespace()).unwrap().command {
            Command::Invoke(args) => request(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests() {
        let plain = parse("").unwrap();
        assert_eq!(plain, InvokeRequest::default());
        let post = parse("-d Ada -H X-Name:v").unwrap();
        assert_eq!((post.method.as_str(), post.body_base64.as_str()), ("POST", "QWRh"));
        assert_eq!(post.headers, [Header { name: "x-name".into(), value: "v".into() }]);
        assert_eq!(parse("-X put -d Ada --path /a?b=c").unwrap().method, "PUT");
    }

    #[test]
    fn what_is_refused() {
        let check = |line: &str, part: &str| {
            let failure = parse(line).unwrap_err();
            assert!(failure.message.contains(part), "{failure}");
            assert!(failure.next.is_some() || part == "cannot read");
        };
        check("-H novalue", "is no header");
        check("-H :v", "is no header");
        check("-H a@b:v", "is no header");
        check("--path hello", "is no path");
        check("--data-file /nowhere/at/all", "cannot read");
    }
}
