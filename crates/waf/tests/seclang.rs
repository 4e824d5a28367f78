//! What is not understood is an error with its file and line, never skipped.
#![expect(clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use waf::{Files, NoFiles, Rules, Source};

fn load(text: &str) -> Result<Rules, String> {
    Rules::load(&[Source { name: "own.conf", text }], &NoFiles).map_err(|e| e.to_string())
}

fn refused(text: &str, expect: &str) {
    match load(text) {
        Err(error) => assert!(error.contains(expect), "{text}\n  gave: {error}\n  not:  {expect}"),
        Ok(_) => panic!("taken: {text}"),
    }
}

fn taken(text: &str) {
    if let Err(error) = load(text) {
        panic!("{text}\n  gave: {error}");
    }
}

#[test]
fn errors_name_the_file_and_the_line_on_which_the_directive_begins() {
    refused(
        "\n# a comment\nSecRule ARGS \"@rx a\" \\\n    \"id:1,\\\n    nosuch\"",
        "own.conf:3: there is no action `nosuch`",
    );
    refused("SecNoSuch On", "own.conf:1: there is no directive `SecNoSuch`");
    refused("SecRule NO_SUCH \"@rx a\" \"id:1\"", "own.conf:1: there is no variable `NO_SUCH`");
    refused("SecRule ARGS \"@nosuch a\" \"id:1\"", "there is no operator `@nosuch`");
    refused("SecRule ARGS \"@rx a\" \"id:1,t:nosuch\"", "there is no transformation `t:nosuch`");
    refused("SecRule ARGS \"@rx a\" \"id:1,ctl:nosuch=1\"", "there is no option of ctl `nosuch`");
    refused("SecAction \"id:1,setvar:tx.a=%{nosuch.b}\"", "there is no variable `nosuch`");
}

#[test]
fn arguments_that_are_none_are_errors() {
    for (text, expect) in [
        ("SecRule ARGS", "takes variables, an operator and actions"),
        ("SecRule ARGS \"@rx a\" \"id:1\" more", "takes variables, an operator and actions"),
        ("SecRule ARGS \"@rx a\" \"phase:2\"", "the rule has no `id`"),
        ("SecRule ARGS \"@rx a\" \"id:x\"", "a whole number is expected, not `x`"),
        ("SecAction \"id:1,phase:6\"", "1 to 5"),
        ("SecAction \"id:1,status:99\"", "a status of HTTP"),
        ("SecAction \"id:1,severity:8\"", "0 to 7"),
        ("SecAction \"id:1,allow:all\"", "`phase`, `request` or nothing"),
        ("SecAction \"id:1,setvar:a=1\"", "`COLLECTION.name` is expected"),
        ("SecAction \"id:1,setvar:args.a=1\"", "TX, IP, GLOBAL"),
        ("SecAction \"id:1,initcol:tx=1\"", "IP, GLOBAL"),
        ("SecAction \"id:1,expirevar:ip.a\"", "`COLLECTION.name=SECONDS`"),
        ("SecAction \"id:1,expirevar:ip.a=x\"", "a whole number"),
        ("SecAction \"id:1,ctl:ruleEngine\"", "`option=value`"),
        ("SecAction \"id:1,ctl:ruleEngine=Maybe\"", "`On`, `Off` or `DetectionOnly`"),
        ("SecAction \"id:1,ctl:requestBodyProcessor=YAML\"", "URLENCODED, MULTIPART"),
        ("SecAction \"id:1,ctl:ruleRemoveTargetById=1\"", "`RULES;VARIABLE`"),
        ("SecAction \"id:1,skipAfter:NOWHERE\"", "no marker or rule `NOWHERE` follows"),
        ("SecMarker BACK\nSecAction \"id:1,skipAfter:BACK\"", "own.conf:2: no marker"),
        ("SecRule REQUEST_URI:x \"@rx a\" \"id:1\"", "a variable without a selector"),
        ("SecRule XML \"@rx a\" \"id:1\"", "of XPath `/*`"),
        ("SecRule XML:/a/b \"@rx a\" \"id:1\"", "of XPath `/*`"),
        ("SecRule ARGS \"@ipMatch 1.2.3\" \"id:1\"", "the argument is not understood"),
        ("SecRule ARGS \"@validateByteRange 1-300\" \"id:1\"", "the argument is not understood"),
        ("SecRule ARGS \"@rxGlobal %{tx.a}\" \"id:1\"", "without macros"),
        ("SecRule ARGS \"@pm %{tx.a}\" \"id:1\"", "without macros"),
        ("SecRule ARGS \"!@rbl e.org\" \"id:1\"", "would always match"),
        ("SecRule ARGS \"@pmFromFile none.data\" \"id:1\"", "cannot read `none.data`"),
        ("SecRuleEngine Maybe", "`On`, `Off` or `DetectionOnly`"),
        ("SecRequestBodyAccess 1", "`On` or `Off`"),
        ("SecRequestBodyLimitAction Drop", "`Reject` or `ProcessPartial`"),
        ("SecArgumentSeparator &&", "one letter"),
        ("SecDefaultAction \"phase:2,id:1\"", "a phase, transformations"),
        ("SecMarker", "takes one argument"),
        ("SecAction \"id:1", "a quote is not closed"),
        ("SecAction \"id:1\"x", "a quote is not closed, or text follows it"),
        ("SecAction \"id:1,msg:'a\"", "a quote is not closed"),
        ("SecAction \"id:1,pass:xyz\"", "no argument is expected, not `xyz`"),
        ("SecAction \"id:1,pass,deny\"", "one disruptive action is expected"),
        ("SecAction \"id:1,ctl:ruleRemoveTargetById=1;ARGS:%{tx.a}\"", "text without macros"),
        ("SecRule ARGS: \"@rx a\" \"id:1\"", "a name is expected after"),
        ("SecRule ARGS \"@rx a\" \"id:1,msg:'%{tx.}'\"", "a name is expected after"),
        ("SecRuleEngine On Off", "`SecRuleEngine` takes one argument"),
        ("SecRequestBodyLimit", "`SecRequestBodyLimit` takes one argument"),
        ("SecRuleRemoveById", "an id or a range of ids is expected"),
        ("SecRuleRemoveById 5-1", "a range that ends behind its begin"),
        ("SecAuditEngine Foo", "`On`, `Off` or `RelevantOnly`"),
        ("SecPcreMatchLimit abc", "a whole number is expected"),
        ("SecDebugLogLevel high", "a whole number is expected"),
        ("SecAuditLog", "takes an argument"),
        ("SecDefaultAction \"phase:2,pass,msg:'a'\"", "a phase, transformations"),
        ("SecDefaultAction \"phase:2,pass,setvar:tx.a=1\"", "a phase, transformations"),
        (
            "SecRule ARGS a \"id:1,chain\"\nSecRule ARGS b \"deny\"",
            "own.conf:2: `a disruptive action` stands in",
        ),
        ("SecRule ARGS a \"id:1,chain\"\nSecRule ARGS b \"id:2\"", "own.conf:2: `id` stands in the first"),
        ("SecRule ARGS a \"id:1,chain\"\nSecRule ARGS b \"phase:1\"", "own.conf:2: `phase` stands in"),
        ("SecRule ARGS a \"id:1,chain\"\nSecRule ARGS b \"status:400\"", "own.conf:2: `status` stands in"),
        ("SecRule ARGS a \"id:1,chain\"\nSecRule ARGS b \"skip:1\"", "own.conf:2: `skip` stands in"),
        ("SecHashEngine On", "is refused"),
        ("SecContentInjection On", "is refused"),
    ] {
        refused(text, expect);
    }
}

#[test]
fn patterns_that_are_none_are_errors() {
    refused("SecRule ARGS \"@rx (a)\\11\" \"id:1\"", "own.conf:1: the pattern `(a)\\11` is not taken");
    for pattern in ["a(?R)", "(?<!a", "a(", "[a"] {
        refused(&format!("SecRule ARGS \"@rx {pattern}\" \"id:1\""), "is not taken");
    }
    refused("SecRule ARGS:/a(/ \"@rx a\" \"id:1\"", "is not taken");
    refused("SecRule ARGS \"@rx (?:a{1000}){1000}\" \"id:1\"", "is not taken");
}

#[test]
fn what_this_engine_does_not_do_is_refused_by_name_with_the_reason() {
    for (text, expect) in [
        ("SecRuleScript a.lua \"id:1\"", "directive `SecRuleScript` is refused: no script runs"),
        ("SecRemoteRules k https://e", "nothing is fetched"),
        ("SecRule ARGS \"@gsbLookup e\" \"id:1\"", "operator `@gsbLookup` is refused"),
        ("SecAction \"id:1,exec:/bin/x\"", "action `exec` is refused: nothing is started"),
        ("SecAction \"id:1,proxy:http://e\"", "action `proxy` is refused"),
        ("SecAction \"id:1,ctl:hashEngine=On\"", "ctl `hashEngine` is refused"),
        ("SecXmlExternalEntity On", "entities are never resolved"),
        ("SecCookieFormat 1", "obsolete"),
    ] {
        refused(text, expect);
    }
    taken(
        "SecHashEngine Off\nSecContentInjection Off\nSecStreamInBodyInspection Off\nSecStreamOutBodyInspection Off\n\
         SecRemoteRulesFailAction Warn\nSecAuditEngine RelevantOnly\nSecUnicodeMapFile unicode.mapping 20127\n\
         SecDefaultAction \"phase:2,pass,log,tag:'Host: %{request_headers.host}'\"",
    );
    taken("\u{feff}SecRuleEngine On");
    taken(
        "SecXmlExternalEntity Off\nSecCookieFormat 0\nSecAuditEngine Off\nSecTmpDir /tmp\nSecPcreMatchLimit 1000",
    );
}

#[test]
fn ids_and_chains_are_checked() {
    refused(
        "SecAction \"id:1\"\nSecAction \"id:1\"",
        "own.conf:2: the id 1 is taken by the rule at own.conf:1",
    );
    refused(
        "SecRule ARGS a \"id:1,chain\"",
        "own.conf:1: the chain that begins in line 1 has no further link",
    );
    refused("SecRule ARGS a \"id:1,chain\"\nSecMarker X", "own.conf:2: the chain that begins in line 1");
    taken("SecRule ARGS a \"id:1,chain\"\nSecRule ARGS b \"chain\"\nSecRule ARGS c");
    // A rule that was taken out gives its id back.
    taken("SecAction \"id:1\"\nSecRuleRemoveById 1\nSecAction \"id:1\"");
}

#[test]
fn continuations_quotes_and_case_are_read_as_modsecurity_does() {
    let rules = load(
        "  secrule args|Args_Names|!ARGS:a|&ARGS \"@RX a\\\"b\" \\\r\n   \"ID:1,PHASE:request,T:none,T:lowerCase\"\n\
         SecRule ARGS:'/a b/'|ARGS:/^x\\/(y|z)$/ '@contains \"' \"id:'2',msg:'it\\'s, so',tag:'a/b',logdata:'%{MATCHED_VAR}'\"\n\
         SecRule ARGS plain 'id:3,status:404,deny,severity:CRITICAL'\n",
    )
    .unwrap();
    assert_eq!(rules.len(), 3);
}

struct Folder(BTreeMap<&'static str, &'static str>);

impl Files for Folder {
    fn read(&self, _from: &str, name: &str) -> Result<Vec<u8>, String> {
        self.0.get(name).map(|text| text.as_bytes().to_vec()).ok_or_else(|| "no such file".to_owned())
    }
    fn expand(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        let start = pattern.trim_end_matches('*');
        Ok(self.0.keys().filter(|name| name.starts_with(start)).map(|name| (*name).to_owned()).collect())
    }
}

#[test]
fn included_files_are_read_in_order_and_their_errors_name_them() {
    let folder = |files: &[(&'static str, &'static str)]| Folder(files.iter().copied().collect());
    let load = |text, files: &Folder| {
        Rules::load(&[Source { name: "top.conf", text }], files).map_err(|e| e.to_string())
    };
    let files = folder(&[("r/1", "SecAction id:1"), ("r/2", "SecMarker M\nSecAction id:2")]);
    assert_eq!(load("Include r/*\nSecAction id:3", &files).unwrap().len(), 3);
    let files = folder(&[("r/1", "SecAction id:1\nSecAction id:1")]);
    assert!(
        load("Include r/*", &files).unwrap_err().starts_with("r/1:2: the id 1 is taken by the rule at r/1:1")
    );
    assert!(load("Include none/*", &files).unwrap_err().contains("no file fits"));
    for optional in ["IncludeOptional none/*", "IncludeOptional none.conf"] {
        assert_eq!(load(optional, &files).unwrap().len(), 0);
    }
    for wrong in ["IncludeOptional secret.conf", "IncludeOptional */*.conf"] {
        let error =
            Rules::load(&[Source { name: "top.conf", text: wrong }], &Locked).unwrap_err().to_string();
        assert!(error.starts_with("top.conf:1: "), "{error}");
    }
    let files = folder(&[("loop", "Include loop")]);
    assert!(load("Include loop", &files).unwrap_err().contains("at most 8 deep"));
    let files = folder(&[("words", "# no phrase\nalpha beta\n\n")]);
    assert_eq!(load("SecRule ARGS \"@pmFromFile words\" id:1", &files).unwrap().len(), 1);
}

/// What is there and cannot be read, or cannot be looked up.
struct Locked;

impl Files for Locked {
    fn read(&self, _from: &str, _name: &str) -> Result<Vec<u8>, String> {
        Err("permission denied".to_owned())
    }
    fn expand(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        if pattern.contains('*') { Err("one `*` is read".to_owned()) } else { Ok(vec![pattern.to_owned()]) }
    }
}

/// Bytes that were changed on the way would match something else.
#[test]
fn files_that_are_no_text_are_refused_with_their_line() {
    let files = Everywhere(b"# one\n# two\nSecRule ARGS \"@contains \xe9\" id:1".to_vec());
    let error = Rules::load(&[Source { name: "top.conf", text: "Include a.conf" }], &files).unwrap_err();
    assert!(error.to_string().starts_with("a.conf:3: a byte that is not UTF-8"), "{error}");
}

/// As many files as anybody asks for, each with the same text.
struct Everywhere(Vec<u8>);

impl Files for Everywhere {
    fn read(&self, _from: &str, _name: &str) -> Result<Vec<u8>, String> {
        Ok(self.0.clone())
    }

    fn expand(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }
}

/// What is small as it is written, and large when it is read.
#[test]
fn rules_that_multiply_are_refused() {
    let check = |text: &str, named: &str, expect: &str| {
        let files = Everywhere(named.as_bytes().to_vec());
        match Rules::load(&[Source { name: "own.conf", text }], &files) {
            Err(error) => assert!(error.to_string().contains(expect), "{error}, not {expect}"),
            Ok(_) => panic!("taken: {}", text.get(..80).unwrap_or(text)),
        }
    };
    let many = |line: &dyn Fn(usize) -> String, count: usize| (0..count).map(line).collect::<String>();
    let action = |n: usize| format!("SecAction \"id:{n},pass\"\n");
    check(&many(&action, 20_001), "", "more than 20000 directives");
    let include = |n: usize| format!("Include f{n}\n");
    check(&many(&include, 50), &"SecMarker X\n".repeat(500), "more than 20000 directives");
    check(&many(&include, 5_000), "# nothing\n", "more than 16777216 bytes");
    let list = |n: usize| format!("SecRule ARGS \"@pmFromFile f\" \"id:{n}\"\n");
    check(&many(&list, 20), &"a\n".repeat(1 << 19), "more than 16777216 bytes");
    check(&list(1), &many(&|n| format!("word{n}\n"), 300_000), "all lists together");
}

/// Rules of CRS 3 that run only where an operator asked for them: they load, and it is told that they do nothing.
#[test]
fn what_asks_a_list_or_a_database_never_matches_and_is_told() {
    let rules = load(
        "SecRule TX:real_ip \"@geoLookup\" \"id:1,chain\"\nSecRule GEO:COUNTRY_CODE \"@within DE\"\n\
         SecRule TX:real_ip \"@rbl e.org\" \"id:2\"\nSecRule ARGS \"@rx a\" \"id:3\"",
    )
    .unwrap();
    let told: Vec<&str> = rules.warnings().iter().filter_map(|told| told.split(" never").next()).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("own.conf:1: `@geoLookup`"), "{told:?}");
    assert!(told[1].starts_with("own.conf:2: `GEO`"), "{told:?}");
    assert!(told[2].starts_with("own.conf:3: `@rbl`"), "{told:?}");
}
