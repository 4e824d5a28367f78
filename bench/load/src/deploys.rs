//! Many functions, deployed one after the other. It never deploys the same bytes twice.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    Wrong,
    line::{Line, request},
    order::{Deploys, To},
};

/// Milliseconds of each deploy, upload included.
pub(crate) async fn run(to: &To, run: &Deploys) -> Result<Value, Wrong> {
    let component = std::fs::read(&run.component)?;
    let mut line = Line::open(to, 0, b"http/1.1").await?;
    let mut took = Vec::with_capacity(run.count);
    for n in run.first..run.first + run.count {
        let name = format!("{}{n}", run.prefix);
        let bytes = distinct(&component, &name);
        let digest = keyring::sha256(&bytes).to_string();
        let manifest = format!("name = \"{name}\"\ncomponent = \"f.wasm\"\n[access]\nallow = \"tenant\"\n");
        let order = json!({ "manifest": manifest, "component": digest }).to_string();
        let start = Instant::now();
        put(&mut line, to, &format!("components/{digest}"), "PUT", "application/wasm", &bytes).await?;
        let path = format!("functions/{name}/revisions");
        put(&mut line, to, &path, "POST", "application/json", order.as_bytes()).await?;
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(json!({ "ms": took }))
}

async fn put(
    line: &mut Line,
    to: &To,
    path: &str,
    method: &str,
    media: &str,
    body: &[u8],
) -> Result<(), Wrong> {
    let path = format!("/v1/tenants/default/{path}");
    let more = format!("content-type: {media}\r\ncontent-length: {}\r\n", body.len());
    let mut bytes = request(to, method, &path, 0, &more);
    bytes.extend_from_slice(body);
    line.send(&bytes).await?;
    let mut said = Vec::new();
    let answer = line.answer(1 << 20, Some(&mut said)).await?;
    if !(200..300).contains(&answer.status) {
        return Err(format!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&said)).into());
    }
    Ok(())
}

/// The component with a custom section at its end (Wasm binary format §5.5.3), which changes nothing but its
/// digest.
fn distinct(component: &[u8], text: &str) -> Vec<u8> {
    let name = b"load";
    let mut section = vec![name.len() as u8];
    section.extend_from_slice(name);
    section.extend_from_slice(text.as_bytes());
    let mut bytes = component.to_vec();
    bytes.extend_from_slice(&[0, section.len() as u8]);
    bytes.extend_from_slice(&section);
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_custom_section_is_well_formed() {
        assert_eq!(super::distinct(b"\0asm", "f12"), b"\0asm\x00\x08\x04loadf12");
    }
}
