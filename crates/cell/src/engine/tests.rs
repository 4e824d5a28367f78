use model::World;

use super::{Engines, StackClass, compiler, fingerprint};

#[test]
fn stacks_round_up_to_a_class() {
    fn check(stack_bytes: u64, expect: usize) {
        assert_eq!(StackClass::holding(stack_bytes).bytes(), expect, "{stack_bytes}");
    }
    check(64 << 10, 1 << 20);
    check(1 << 20, 1 << 20);
    check((1 << 20) + 1, 4 << 20);
    check(4 << 20, 4 << 20);
    check(u64::MAX, 4 << 20);
}

#[test]
fn the_fingerprint_is_stable_and_tells_worlds_apart() {
    let p2 = fingerprint(World::P2).unwrap();
    assert_eq!(p2, fingerprint(World::P2).unwrap());
    assert_ne!(p2, fingerprint(World::P3).unwrap());
    assert!(p2.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{p2}");
}

#[test]
fn code_loads_into_its_own_world_alone_and_into_each_class() {
    let engines = Engines::of_process().unwrap();
    for world in [World::P2, World::P3] {
        let code = compiler(world).unwrap().precompile_component(b"\0asm\x0d\0\x01\0").unwrap();
        for class in [StackClass::USUAL, StackClass::holding(4 << 20)] {
            for other in [World::P2, World::P3] {
                #[expect(unsafe_code, reason = "the code was compiled above")]
                // SAFETY: `code` comes from `precompile_component` of this very process.
                let loaded = unsafe {
                    wasmtime::component::Component::deserialize(engines.engine(other, class), &code)
                };
                assert_eq!(loaded.is_ok(), world == other, "{world:?} into {other:?}");
            }
        }
    }
}
