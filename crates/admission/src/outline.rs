//! What a component imports and exports at its top, read without believing anything. It never judges it.

use wasmparser::{BinaryReaderError, ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload};

use crate::Refusal;

/// The top level of a component.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    /// Name, and whether it is an instance (an interface).
    pub(crate) imports: Vec<(String, bool)>,
    /// The same of the exports.
    pub(crate) exports: Vec<(String, bool)>,
}

/// Components within components, at most. The validator has a bound of its own; this one comes first.
const NESTING_MAX: usize = 64;
/// Imports and exports, at most, each.
const NAMES_MAX: usize = 1_000;

/// Tells apart what is often uploaded in place of a component.
pub(crate) fn kind(bytes: &[u8]) -> Result<(), Refusal> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if bytes.is_empty() {
        return Err(Refusal::NotWasm("an empty file"));
    }
    if starts(b"\x7fELF") {
        return Err(Refusal::Precompiled);
    }
    if !starts(b"\0asm") {
        let text = bytes.iter().take(512).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
        let trimmed = bytes.trim_ascii_start();
        return Err(Refusal::NotWasm(match bytes {
            _ if starts(b"\x1f\x8b") || starts(b"PK") => "an archive",
            _ if text && (trimmed.starts_with(b"(module") || trimmed.starts_with(b"(component")) => {
                "WebAssembly text"
            }
            _ if text => "text",
            _ => "other bytes",
        }));
    }
    if Parser::is_core_wasm(bytes) {
        return Err(Refusal::CoreModule);
    }
    if Parser::is_component(bytes) {
        return Ok(());
    }
    Err(Refusal::Invalid { message: "an unknown version of the format".into(), offset: 4 })
}

/// Reads the names at the top of a component.
///
/// # Errors
/// [`Refusal::Invalid`], [`Refusal::CoreModule`].
pub(crate) fn read(bytes: &[u8]) -> Result<Outline, Refusal> {
    let mut outline = Outline::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| invalid(&error))? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(Refusal::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(|error| invalid(&error))?;
                    let instance = matches!(import.ty, ComponentTypeRef::Instance(_));
                    outline.imports.push((import.name.name.to_owned(), instance));
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(|error| invalid(&error))?;
                    let instance = export.kind == ComponentExternalKind::Instance;
                    outline.exports.push((export.name.name.to_owned(), instance));
                }
            }
            _ => {}
        }
        if depth > NESTING_MAX {
            let message = format!("components are nested more than {NESTING_MAX} deep");
            return Err(Refusal::Invalid { message, offset: 0 });
        }
        if outline.imports.len() > NAMES_MAX || outline.exports.len() > NAMES_MAX {
            let message = format!("more than {NAMES_MAX} imports or exports");
            return Err(Refusal::Invalid { message, offset: 0 });
        }
    }
    Ok(outline)
}

/// The parser's error as ours, its text bounded: it may quote names from the component.
pub(crate) fn invalid(error: &BinaryReaderError) -> Refusal {
    let message: String = error.message().chars().filter(|c| !c.is_control()).take(300).collect();
    let offset = u64::try_from(error.offset()).unwrap_or(u64::MAX);
    Refusal::Invalid { message, offset }
}
