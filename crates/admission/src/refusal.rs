//! Why a component was not admitted, and what to do about it. It never decides so.

use model::Digest;

/// Why a component was refused. Each message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Larger than `COMPONENT_BYTES_MAX`.
    #[error(
        "the component has {bytes} bytes, more than {max}: build it for size, or strip it \
         (`wasm-tools strip`)"
    )]
    TooLarge {
        /// Its bytes.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// Other bytes than the digest names.
    #[error("the bytes have the digest `{found}`, not `{claimed}`: upload them again")]
    DigestDiffers {
        /// What was said.
        claimed: Digest,
        /// What it is.
        found: Digest,
    },
    /// Compiled code (ELF: an executable, or a `.cwasm` of wasmtime).
    #[error("this is compiled code, which is never taken: upload the component, the node compiles it itself")]
    Precompiled,
    /// No WebAssembly at all.
    #[error("this is no WebAssembly component but {0}: upload the `.wasm` file that the build makes")]
    NotWasm(&'static str),
    /// A core module.
    #[error(
        "this is a core module, not a component: build for `wasm32-wasip2`, or make a component of it with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// A component that does not hold together.
    #[error("the component is not valid: {message} (at byte {offset}); build it again with current tools")]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where, in bytes.
        offset: u64,
    },
    /// It exports no handler of requests.
    #[error(
        "the component answers no HTTP requests: it exports {}, but must export \
         `wasi:http/incoming-handler@0.2` or `wasi:http/handler@0.3`{}",
        listed(.exports),
        .hint.map(|hint| format!("; {hint}")).unwrap_or_default()
    )]
    NoHandler {
        /// What it exports, at most eight names.
        exports: Vec<String>,
        /// What to do, where the exports tell.
        hint: Option<&'static str>,
    },
    /// It exports the handler of 0.2, but imports interfaces of 0.3.
    #[error(
        "the component exports `wasi:http/incoming-handler@0.2` but imports `{0}`: export \
         `wasi:http/handler@0.3` to use interfaces of 0.3"
    )]
    MixedWorlds(String),
    /// It imports what nothing grants.
    #[error("the component imports `{name}`, which is refused: {why}")]
    Import {
        /// The import's name.
        name: String,
        /// Why, and what would grant it.
        why: String,
    },
}

impl Refusal {
    /// The stable code, in kebab case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "component-too-large",
            Self::DigestDiffers { .. } => "digest-differs",
            Self::Precompiled => "component-precompiled",
            Self::NotWasm(_) => "component-not-wasm",
            Self::CoreModule => "component-core-module",
            Self::Invalid { .. } => "component-invalid",
            Self::NoHandler { .. } => "component-no-handler",
            Self::MixedWorlds(_) => "component-mixed-worlds",
            Self::Import { .. } => "import-refused",
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
