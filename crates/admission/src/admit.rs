//! The checks in their order, and the proof that a component passed them. It never grants what is not both
//! imported and in the manifest.

use bytes::Bytes;
use model::{Digest, Grants, Manifest, OutboundGrant, World, limits};
use serde::{Deserialize, Serialize};
use wasmparser::{Validator, WasmFeatures};

use crate::{
    Refusal,
    imports::{Import, WasiName, judge},
    outline::{self, Outline},
};

/// A component that may become a function, with what it may ask for. Only [`admit`] makes one.
///
/// ```compile_fail
/// # fn forged(bytes: bytes::Bytes, digest: model::Digest) {
/// let admitted = admission::Admitted { bytes, digest };
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Admitted {
    bytes: Bytes,
    digest: Digest,
    world: World,
    grants: Grants,
    findings: Vec<Finding>,
}

impl Admitted {
    /// The component.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// SHA-256 of the component, computed here.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Which world it exports.
    pub const fn world(&self) -> World {
        self.world
    }

    /// What it may ask for: its imports ∩ its manifest.
    pub const fn grants(&self) -> &Grants {
        &self.grants
    }

    /// What its owner should know.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// Something that is no reason to refuse, but that an owner should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Finding {
    /// The manifest grants what the component never asks for.
    UnusedGrant {
        /// The grant's destination.
        url: String,
    },
    /// The component imports outbound HTTP, and the manifest grants no destination: every call is refused.
    OutboundClosed {
        /// The import's name.
        import: String,
    },
    /// It exports the handlers of 0.2 and of 0.3; the one of 0.3 answers.
    BothWorlds,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnusedGrant { url } => {
                write!(f, "`capabilities.http` grants `{url}`, but the component makes no outbound calls")
            }
            Self::OutboundClosed { import } => {
                write!(f, "the component imports `{import}`, but no `capabilities.http` grants a destination")
            }
            Self::BothWorlds => f.write_str("the component has handlers of 0.2 and 0.3; that of 0.3 answers"),
        }
    }
}

/// Decides whether a component may become a function.
///
/// Takes time linear in the bytes (the validator's own promise) and memory of the same order, on whatever
/// thread calls it: for large components, not the one that serves requests.
///
/// # Errors
/// The first thing that is wrong: size, digest, kind, exports, imports, validity.
pub fn admit(bytes: Bytes, claimed: Option<Digest>, manifest: &Manifest) -> Result<Admitted, Refusal> {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > limits::COMPONENT_BYTES_MAX {
        return Err(Refusal::TooLarge { bytes: length, max: limits::COMPONENT_BYTES_MAX });
    }
    let digest = keyring::sha256(&bytes);
    if let Some(claimed) = claimed
        && claimed != digest
    {
        return Err(Refusal::DigestDiffers { claimed, found: digest });
    }
    outline::kind(&bytes)?;
    let outline = outline::read(&bytes)?;
    let (world, both) = world(&outline)?;
    let (grants, mut findings) = grants(&outline, world, &manifest.capabilities.http)?;
    findings.extend(both.then_some(Finding::BothWorlds));
    Validator::new_with_features(features(world))
        .validate_all(&bytes)
        .map_err(|error| outline::invalid(&error))?;
    Ok(Admitted { bytes, digest, world, grants, findings })
}

/// What the engine of a world takes: all of WebAssembly 3.0 but what this build of it leaves out (garbage
/// collection, exceptions, threads), the component model, and its asynchronous part in 0.3 alone.
fn features(world: World) -> WasmFeatures {
    let mut features = WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL;
    features.remove(WasmFeatures::GC_TYPES | WasmFeatures::EXCEPTIONS | WasmFeatures::THREADS);
    features.set(WasmFeatures::CM_ASYNC, world == World::P3);
    features
}

/// Which handler it exports. With both, 0.3 answers: it is the one that streams, and the newer intent.
fn world(outline: &Outline) -> Result<(World, bool), Refusal> {
    let exports = |interface: &str, minor: u8| {
        outline.exports.iter().any(|(name, is_instance)| {
            let wanted = WasiName { package: "http", interface, minor };
            *is_instance && WasiName::parse(name) == Some(wanted)
        })
    };
    match (exports("incoming-handler", 2), exports("handler", 3)) {
        (true, false) => Ok((World::P2, false)),
        (p2, true) => Ok((World::P3, p2)),
        (false, false) => Err(no_handler(outline)),
    }
}

fn no_handler(outline: &Outline) -> Refusal {
    let any = |part: &str| outline.exports.iter().any(|(name, _)| name.starts_with(part));
    let hint = if any("wasi:cli/run@") {
        Some("this is a command (it has a `main`): build it as a library with an HTTP handler")
    } else if any("wasi:http/incoming-handler") || any("wasi:http/handler") {
        Some("its handler is of another version: build with current bindings")
    } else {
        None
    };
    let plain = |(name, _): &(String, bool)| name.chars().filter(|c| !c.is_control()).take(120).collect();
    Refusal::NoHandler { exports: outline.exports.iter().take(8).map(plain).collect(), hint }
}

/// Imports ∩ manifest. Only what the component itself imports counts: a component inside it gets what its
/// parent passes on, and nothing of its own.
fn grants(
    outline: &Outline,
    world: World,
    wanted: &[OutboundGrant],
) -> Result<(Grants, Vec<Finding>), Refusal> {
    let mut outbound = None;
    let mut closed = Vec::new();
    for (name, is_instance) in &outline.imports {
        let (import, minor) = judge(name, *is_instance)?;
        if world == World::P2 && minor == 3 {
            return Err(Refusal::MixedWorlds(name.clone()));
        }
        match import {
            Import::Open => {}
            Import::Closed => closed.push(name.clone()),
            Import::Outbound => {
                outbound = Some(name);
                if wanted.is_empty() {
                    closed.push(name.clone());
                }
            }
        }
    }
    closed.sort_unstable();
    closed.dedup();
    let unused = |grant: &OutboundGrant| Finding::UnusedGrant { url: grant.url.clone() };
    Ok(match outbound {
        None => (Grants { outbound: Vec::new(), closed }, wanted.iter().map(unused).collect()),
        Some(import) if wanted.is_empty() => {
            let findings = vec![Finding::OutboundClosed { import: import.clone() }];
            (Grants { outbound: Vec::new(), closed }, findings)
        }
        Some(_) => (Grants { outbound: wanted.to_vec(), closed }, Vec::new()),
    })
}

#[cfg(test)]
mod tests;
