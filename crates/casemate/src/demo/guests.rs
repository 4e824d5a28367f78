//! The functions of the tour: those that come built, and those that this machine may have. It never builds.

use std::path::{Path, PathBuf};

/// A function of the tour.
pub(super) struct Guest {
    /// Its name.
    pub(super) name: &'static str,
    /// Its component.
    pub(super) component: Vec<u8>,
    /// The manifest below name and component.
    pub(super) manifest: &'static str,
}

/// The policy that refuses a call of the tour, by its id and its text.
pub(super) const CLAUSE: &str = "no-deletes";

const OPEN_TO_TENANT: &str = "[access]\nallow = \"tenant\"\n";

const LEDGER: &str = r#"
[access]
policy = '''
permit (principal is User, action == Action::"invoke", resource);

@id("no-deletes")
forbid (principal, action == Action::"invoke", resource)
when { context.method == "DELETE" };
'''
"#;

/// For those whom the tour's issuer calls buyers, and not for those whom it calls trainees.
const ORDERS: &str = r#"
[access]
accept = ["token", "desk"]
policy = '''
permit (principal is User, action == Action::"invoke", resource)
when { principal.groups.contains("buyers") };

@id("no-trainees")
forbid (principal is User, action == Action::"invoke", resource)
when { principal.groups.contains("trainees") };
'''
"#;

/// `front` may call `vault`, which nobody else may: only `front`, and only for a person.
const FRONT: &str = r#"
[access]
allow = "tenant"

[[capabilities.http]]
url = "http://vault.function.internal/vault/..."

[[shield.exclude]]
tags = ["attack-ssrf"]
variables = ["ARGS:url"]
reason = "whoever calls it says whom it calls, within its grants"
"#;

const VAULT: &str = r#"
[access]
policy = '''
@id("front-for-people")
permit (principal == Function::"default/front", action == Action::"invoke", resource)
when { context.onBehalfOf like "User::*" && context.chain.depth == 1 };
'''
"#;

const BOUNDED: &str = r#"
[access]
allow = "tenant"

[limits]
cpu_ms = 250
wall_ms = 5000
memory_bytes = 33554432
"#;

macro_rules! built {
    ($name:literal) => {
        include_bytes!(concat!("../../../../guests/built/", $name, ".wasm")).to_vec()
    };
}

/// The functions that come built.
pub(super) fn built() -> Vec<Guest> {
    let guest = |name, component, manifest| Guest { name, component, manifest };
    vec![
        guest("hello", built!("hello"), OPEN_TO_TENANT),
        guest("hello-p3", built!("hello-p3"), OPEN_TO_TENANT),
        guest("ledger", built!("echo"), LEDGER),
        guest("orders", built!("echo"), ORDERS),
        guest("front", built!("outbound"), FRONT),
        guest("vault", built!("echo"), VAULT),
        guest("hostile", built!("hostile"), BOUNDED),
        guest("kitchen", built!("kitchen"), OPEN_TO_TENANT),
        guest("outbound", built!("outbound"), OPEN_TO_TENANT),
    ]
}

/// A component that imports an interface which no host has and no manifest can grant.
pub(super) fn ungranted() -> Guest {
    Guest { name: "ungranted", component: built!("import-ungranted"), manifest: OPEN_TO_TENANT }
}

/// A function in another language, where `cargo xtask guests` has built it.
pub(super) fn elsewhere(name: &'static str) -> Option<Guest> {
    let file = format!("{name}.wasm");
    let component =
        target_folders().into_iter().find_map(|f| std::fs::read(f.join("guests").join(&file)).ok())?;
    Some(Guest { name, component, manifest: OPEN_TO_TENANT })
}

/// Where `cargo xtask` leaves what it makes.
pub(super) fn target_folders() -> Vec<PathBuf> {
    let exe = std::env::current_exe().ok();
    let built = exe.as_deref().and_then(Path::parent).and_then(Path::parent).map(PathBuf::from);
    built.into_iter().chain([PathBuf::from("target")]).collect()
}

#[cfg(test)]
mod tests {
    use model::{Limits, Manifest};

    use super::*;

    #[test]
    fn every_manifest_holds() {
        for guest in built().into_iter().chain([ungranted()]) {
            let text = format!("name = \"{0}\"\ncomponent = \"{0}.wasm\"\n{1}", guest.name, guest.manifest);
            let manifest = Manifest::parse(&text, &Limits::CEILING).unwrap();
            let name = guest.name.parse().unwrap();
            policy::check_access(&"default".parse().unwrap(), &name, &manifest.access).unwrap();
        }
    }
}
