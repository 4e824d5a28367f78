use std::{fs, path::PathBuf};

use model::World;

use super::compile;

fn built(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../guests/built").join(name)).unwrap()
}

#[test]
fn the_functions_that_come_built_compile_for_their_world_and_no_other() {
    for (name, world, other) in
        [("hello.wasm", World::P2, World::P3), ("hello-p3.wasm", World::P3, World::P2)]
    {
        assert!(!compile(world, &built(name)).unwrap().is_empty());
        compile(other, &built(name)).unwrap_err();
    }
}

#[test]
fn what_is_no_function_is_refused_with_a_reason() {
    fn check(bytes: &[u8], expect: &str) {
        for world in [World::P2, World::P3] {
            let error = compile(world, bytes).unwrap_err().to_string();
            assert!(error.contains(expect), "{world:?}: {error}");
        }
    }
    let wat = |text: &str| wat::parse_str(text).unwrap();
    check(b"", "not WebAssembly");
    check(b"hello", "not WebAssembly");
    check(&wat("(module)"), "a core module");
    check(b"\0asm\x0d\0\x01", "another version");
    check(b"\x7fELF\x02\x01\x01\0", "native code");
    check(b"\0asm\x0d\0\x01\0\xff\xff\xff", "invalid");
    check(&wat("(component)"), "wasi:http/");
    check(
        &wat("(component (import \"evil:host/files\" (instance (export \"x\" (func)))))"),
        "evil:host/files",
    );
    check(
        &wat("(component (import \"wasi:keyvalue/store@0.2.0\" (instance (export \"x\" (func)))))"),
        "wasi:keyvalue/store",
    );
    check(&wat("(component (import \"wasi:http/types@9.0.0\" (instance (export \"x\" (func)))))"), "9.0.0");
    check(&wat("(component (core module $m (memory i64 1)) (core instance (instantiate $m)))"), "memory64");
    // Cut off, and with a byte changed in the middle of it.
    let mut hello = built("hello.wasm");
    hello.truncate(hello.len() / 2);
    compile(World::P2, &hello).unwrap_err();
}

#[test]
fn compiled_code_is_refused_as_input() {
    let code = compile(World::P2, &built("hello.wasm")).unwrap();
    let error = compile(World::P2, &code).unwrap_err().to_string();
    assert!(error.contains("native code"), "{error}");
}

#[test]
fn what_no_worker_could_hold_is_refused_here() {
    compile(World::P2, &wat::parse_str(format!("(component {ENTRY})")).unwrap()).unwrap();
    let memory = compile_with("(core module $m (memory 20000)) (core instance (instantiate $m))");
    assert!(memory.contains("bytes of memory"), "{memory}");
    let tables = compile_with("(core module $m (table 2000000 funcref)) (core instance (instantiate $m))");
    assert!(tables.contains("table elements"), "{tables}");
}

#[test]
fn what_comes_built_to_be_refused_is_refused() {
    for (name, expect) in [
        ("core-module", "a core module"),
        ("import-ungranted", "import"),
        ("memory-huge", "bytes of memory"),
        ("no-handler", "wasi:http/incoming-handler"),
        ("not-wasm", "not WebAssembly"),
        ("shared-memory", "invalid"),
        ("table-huge", "table elements"),
        ("wrong-handler", "`handle`"),
        ("instance-bomb", "memories"),
    ] {
        let code = compile(World::P2, &built(&format!("{name}.wasm"))).map(|code| code.len());
        let error = code.expect_err(name).to_string();
        assert!(error.contains(expect), "{name}: {error}");
    }
}

/// What is said of a component with an entry of 0.2 that traps, and `more`.
fn compile_with(more: &str) -> String {
    let text = format!("(component {more} {ENTRY})");
    compile(World::P2, &wat::parse_str(&text).unwrap()).unwrap_err().to_string()
}

const ENTRY: &str = r#"
    (import "wasi:http/types@0.2.0" (instance $types
        (export "incoming-request" (type (sub resource)))
        (export "response-outparam" (type (sub resource)))))
    (alias export $types "incoming-request" (type $request))
    (alias export $types "response-outparam" (type $out))
    (core module $entry (func (export "handle") (param i32 i32) unreachable))
    (core instance $instance (instantiate $entry))
    (func $handle (param "request" (own $request)) (param "response-out" (own $out))
        (canon lift (core func $instance "handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "wasi:http/incoming-handler@0.2.0" (instance $handler))"#;
