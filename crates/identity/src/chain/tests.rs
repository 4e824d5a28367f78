use model::TokenId;

use super::*;
use crate::caller::caller;

fn alice() -> Caller {
    caller(Principal {
        kind: PrincipalKind::User,
        tenant: Some("default".parse().unwrap()),
        name: "alice".into(),
        roles: vec![model::Role::Owner],
        scopes: vec!["*".into()],
        token: Some("t".parse::<TokenId>().unwrap()),
    })
}

fn began(functions: &Functions, caller: &Caller, name: &str) -> Running {
    functions.began(caller, &"default".parse().unwrap(), &name.parse().unwrap(), RevisionNumber(3))
}

fn texts(caller: &Caller) -> Vec<String> {
    caller.chain().unwrap().links().iter().map(Link::to_string).collect()
}

#[test]
fn a_function_acts_for_whoever_began_the_chain() {
    let functions = Functions::new("node.example").unwrap();
    let front = functions.caller(&began(&functions, &alice(), "front")).unwrap();
    assert_eq!(front.key(), "Function::\"default/front\"");
    assert_eq!(front.on_behalf_of(), "User::\"default/alice\"");
    let principal = front.principal();
    assert!(
        principal.roles.is_empty() && principal.token.is_none(),
        "nothing of alice's goes on: {principal:?}"
    );
    assert_eq!(principal.scopes, ["invoke"]);
    assert!(!front.is_anonymous());
    let middle = functions.caller(&began(&functions, &front, "middle")).unwrap();
    assert_eq!(middle.on_behalf_of(), "User::\"default/alice\"");
    assert_eq!(texts(&middle), ["default/front@r3", "default/middle@r3"]);
    let id = functions.id_of(&"default".parse().unwrap(), &"front".parse().unwrap());
    assert_eq!(id, "spiffe://node.example/default/front");
    assert!(crate::certificate::spiffe::SpiffeId::parse(&id).is_some());
    assert_eq!(alice().on_behalf_of(), alice().key());
    let nobody = caller(Principal::anonymous());
    let public = functions.caller(&began(&functions, &nobody, "public")).unwrap();
    assert!(!public.is_anonymous(), "the function is somebody, whoever called it");
    assert_eq!(public.on_behalf_of(), "Anonymous::\"anonymous\"");
}

#[test]
fn a_chain_ends() {
    let functions = Functions::new("node.example").unwrap();
    let mut caller = alice();
    for length in 1..limits::CHAIN_DEPTH_MAX {
        caller =
            functions.caller(&began(&functions, &caller, if length % 2 == 0 { "a" } else { "b" })).unwrap();
        assert_eq!(texts(&caller).len(), length);
    }
    let last = began(&functions, &caller, "a");
    assert_eq!(last.links().count(), limits::CHAIN_DEPTH_MAX);
    assert_eq!(functions.caller(&last), Err(NoCall::Depth));
    assert_eq!(NoCall::Depth.code(), "call-depth");
}

#[test]
fn all_calls_of_a_chain_are_counted_together() {
    let functions = Functions::new("node.example").unwrap();
    let root = began(&functions, &alice(), "front");
    let inner = began(&functions, &functions.caller(&root).unwrap(), "inner");
    for made in 1..limits::CHAIN_CALLS_MAX {
        let by = if made % 2 == 0 { &root } else { &inner };
        assert!(functions.caller(by).is_ok(), "{made}");
    }
    assert_eq!(functions.caller(&root), Err(NoCall::Calls));
    assert_eq!(functions.caller(&inner), Err(NoCall::Calls));
    let other = began(&functions, &alice(), "front");
    assert!(functions.caller(&other).is_ok(), "another request is another chain");
}

#[test]
fn only_the_authority_that_made_a_function_vouches_for_it() {
    let (ours, theirs) = (Functions::new("node.example").unwrap(), Functions::new("node.example").unwrap());
    let made = |by: &Functions| by.caller(&began(by, &alice(), "front")).unwrap();
    assert!(ours.vouches_for(&made(&ours)) && ours.vouches_for(&alice()));
    assert!(!ours.vouches_for(&made(&theirs)), "another authority's chain is a forged one");
    let named = caller(Principal { kind: PrincipalKind::Function, ..Principal::clone(alice().principal()) });
    assert!(!ours.vouches_for(&named), "a function without a chain is none");
    assert_ne!(made(&ours), made(&theirs));
}

#[test]
fn what_is_no_trust_domain() {
    for wrong in ["", "Node.example", "a/b", "a b", "a:1", &"x".repeat(256)] {
        assert!(Functions::new(wrong).is_err(), "{wrong}");
    }
}
