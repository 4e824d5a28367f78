use super::*;

fn check(name: &str, expect: Option<Import>) {
    let got = judge(name, true);
    assert_eq!(got.as_ref().ok().map(|(import, _)| *import), expect, "{name}: {got:?}");
}

#[test]
fn what_a_component_may_import() {
    check("wasi:http/types@0.2.0", Some(Import::Open));
    check("wasi:http/types@0.2.12", Some(Import::Open));
    check("wasi:http/types@0.3.2", Some(Import::Open));
    check("wasi:cli/environment@0.2.3", Some(Import::Closed));
    check("wasi:sockets/tcp@0.2.6", Some(Import::Closed));
    check("wasi:sockets/types@0.3.0", Some(Import::Closed));
    check("wasi:http/outgoing-handler@0.2.10", Some(Import::Outbound));
    check("wasi:http/client@0.3.0", Some(Import::Outbound));
}

#[test]
fn what_it_may_not() {
    for name in [
        "",
        "wasi:http/types",
        "wasi:http/types@0.2",
        "wasi:http/types@0.2.",
        "wasi:http/types@0.2.x",
        "wasi:http/types@0.2.0-rc-2023-11-10",
        "wasi:http/types@0.3.0-rc-2025-09-16",
        "wasi:http/types@0.4.0",
        "wasi:http/types@1.2.0",
        "wasi:http/types@00.2.0",
        "wasi:http/client@0.2.0",
        "wasi:http/outgoing-handler@0.3.0",
        "wasi:http/incoming-handler@0.2.0",
        "wasi:http/handler@0.3.0",
        "wasi:io/streams@0.3.0",
        "wasi:sockets/tcp@0.3.0",
        "wasi:keyvalue/store@0.2.0-draft",
        "wasi:clocks/timezone@0.2.3",
        "evil:http/types@0.2.0",
        "wasi:http/types@0.2.0@0.2.0",
        "wasi:http/types/x@0.2.0",
        "env",
        "a:b/c",
    ] {
        check(name, None);
    }
    assert!(judge("wasi:http/types@0.2.0", false).is_err(), "not an instance");
}

#[test]
fn a_refusal_says_what_would_help() {
    let said = |name| judge(name, true).unwrap_err().to_string();
    assert!(said("wasi:keyvalue/store@0.2.0-draft").contains("`wasi:keyvalue/store@0.2.0-draft`"));
    assert!(said("wasi:keyvalue/store@0.2.0-draft").contains("capabilities.http"));
    assert!(said("acme:db/query@1.0.0").contains("wac plug"));
    assert!(said("wasi:http/types@0.2.0-rc-2023-11-10").contains("current bindings"));
}
