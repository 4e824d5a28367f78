use super::*;

fn check(text: &str, expect: Result<(), &str>) {
    let got = Manifest::parse(text, &Limits::CEILING);
    match (got, expect) {
        (Ok(_), Ok(())) => {}
        (Err(error), Err(part)) => {
            let said = error.to_string();
            assert!(said.contains(part), "`{said}` does not say `{part}`");
        }
        (got, expect) => panic!("{text}\nwanted {expect:?}, got {got:?}"),
    }
}

const HEAD: &str = "name = \"hello\"\ncomponent = \"hello.wasm\"\n";

#[test]
fn what_passes() {
    check(HEAD, Ok(()));
    check(&format!("{HEAD}[access]\nallow = \"tenant\"\n"), Ok(()));
    check(&format!("{HEAD}[[route]]\npath = \"/a/...\"\nmethods = [\"GET\"]\n"), Ok(()));
    check(&format!("{HEAD}[[capabilities.http]]\nurl = \"https://example.com/v1/...\"\n"), Ok(()));
    let public =
        "[access]\nallow = \"public\"\nwaiver = { reason = \"the landing page\", until = \"2027-01-01\" }\n";
    check(&format!("{HEAD}{public}"), Ok(()));
}

#[test]
fn the_default_route_is_the_name() {
    let manifest = Manifest::parse(HEAD, &Limits::CEILING).unwrap();
    assert_eq!(manifest.routes, [Route::of("/hello/...")]);
}

#[test]
fn a_ceiling_below_a_default_lowers_it() {
    let ceiling = Limits { cpu_ms: 500, ..Limits::CEILING };
    let check = |limits: &str, expect: Option<u64>| {
        let parsed = Manifest::parse(&format!("{HEAD}{limits}"), &ceiling);
        assert_eq!(parsed.ok().map(|manifest| manifest.limits.cpu_ms), expect, "{limits}");
    };
    check("", Some(500));
    check("[limits]\nwall_ms = 5\n", Some(500));
    check("limits.cpu_ms = 400\n", Some(400));
    check("limits = { cpu_ms = 1000 }\n", None);
}

#[test]
fn api_tokens_alone_unless_more_is_named() {
    let accept = |text: &str| Manifest::parse(&format!("{HEAD}{text}"), &Limits::CEILING).unwrap().access;
    assert_eq!(accept("").accept, ["token"]);
    assert_eq!(accept("[access]\nallow = \"tenant\"").accept, ["token"]);
    let more = accept("[access]\naccept = [\"corp\", \"webhook:orders\", \"signature:partner\"]");
    assert_eq!(more.accept, ["corp", "webhook:orders", "signature:partner"]);
    // What was stored before there was a choice is read as it was meant.
    assert_eq!(serde_json::from_str::<Access>("{\"allow\":\"tenant\"}").unwrap().accept, ["token"]);
    assert!(!serde_json::to_string(&accept("")).unwrap().contains("accept"));
}

#[test]
fn what_does_not() {
    check("name = 1", Err("line 1"));
    check("name = \"Hello\"\ncomponent = \"x\"", Err("not a function name"));
    check(&format!("{HEAD}componnet = \"x\""), Err("line 3, column 1: unknown field `componnet`"));
    check(&format!("{HEAD}componnet = \"x\""), Err("did you mean `component`?"));
    check(&format!("{HEAD}[limits]\ncpu_msec = 5"), Err("did you mean `cpu_ms`?"));
    check(&format!("{HEAD}[limits]\ncpu_ms = 0"), Err("line 4, column 1: `limits.cpu_ms` is 0"));
    check(&format!("{HEAD}[limits]\nmemory_bytes = 999999999999"), Err("must be from"));
    check(&format!("{HEAD}[access]\nallow = \"publik\""), Err("did you mean `public`?"));
    check(&format!("{HEAD}[access]\nallow = \"public\""), Err("wants a waiver"));
    check(&format!("{HEAD}[access]\nallow = \"tenant\"\npolicy = \"\""), Err("exclude each other"));
    for word in ["", "Token", "webhook:", "webhook:a:b", "hook:a", "a b", "*", "tokеn"] {
        let says = format!("`{word}` is no credential");
        check(&format!("{HEAD}[access]\naccept = [\"{word}\"]"), Err(&says));
    }
    check(&format!("{HEAD}[access]\naccept = []"), Err("must name from 1 to"));
    check(&format!("{HEAD}[access]\naccept = [\"corp\", \"corp\"]"), Err("stands twice"));
    for path in ["", "a", "/a/../b", "/a//b", "/a%2e", "/.../b", "/a?x"] {
        check(&format!("{HEAD}[[route]]\npath = \"{path}\""), Err("is no route"));
    }
    check(&format!("{HEAD}[[route]]\npath = \"/a\"\nmethods = [\"get\"]"), Err("is no method"));
    check(
        &format!("{HEAD}[[capabilities.http]]\nurl = \"http://orders.function.internal/v1/...\"\n"),
        Ok(()),
    );
    for url in [
        "https://orders.function.internal/",
        "http://orders.function.internal:80/",
        "http://function.internal/",
        "http://a.b.function.internal",
        "http://Orders_.function.internal/",
        "http://u@orders.function.internal/",
    ] {
        check(&format!("{HEAD}[[capabilities.http]]\nurl = \"{url}\""), Err("no "));
    }
    for url in ["example.com", "ftp://x", "https://", "https://u@h/", "https://*.example.com/"] {
        check(&format!("{HEAD}[[capabilities.http]]\nurl = \"{url}\""), Err("no outbound destination"));
    }
    check(&" ".repeat(70_000), Err("at most"));
}

#[test]
fn a_route_takes_less_than_its_function() {
    let check = |accept: &str, expect: Result<(), &str>| {
        let text = format!(
            "{HEAD}[[route]]\npath = \"/a\"\naccept = {accept}\n[access]\naccept = [\"token\", \"webhook:shop\"]\n"
        );
        let said = Manifest::parse(&text, &Limits::CEILING).map(|_| ()).map_err(|error| error.to_string());
        match (said, expect) {
            (Ok(()), Ok(())) => {}
            (Err(said), Err(part)) => assert!(said.contains(part), "{accept}: {said}"),
            (said, _) => panic!("{accept}: {said:?}"),
        }
    };
    check("[\"webhook:shop\"]", Ok(()));
    check("[\"token\", \"webhook:shop\"]", Ok(()));
    check("[]", Ok(()));
    check("[\"corp\"]", Err("which `access.accept` does not name"));
    check("[\"token\", \"token\"]", Err("stands twice"));
}
