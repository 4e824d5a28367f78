//! The public vectors of SecLang's transformations and operators. They are read from `CASEMATE_CRS`, or from the folder
//! beside the project; where neither is there the tests say so.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::indexing_slicing, reason = "tests")]

use std::path::PathBuf;

use serde_json::Value;
use waf::operator::{self, AddressSet, ByteRange};
use waf::transform::Transformation;
use waf::{injection, operator::number};

/// Vectors that are not asked, with the reason.
const NOT_ASKED: [(&str, &str); 1] = [(
    "validateSchema",
    "Coraza's JSON schemas are no part of SecLang's manual; a function's own schema is its own",
)];

/// Operators that want a pattern or phrases, which are the engine's.
const OF_THE_ENGINE: [&str; 3] = ["rx", "pm", "pmFromFile"];

fn folder(kind: &str) -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..").join("shared").join("crs");
    let root = std::env::var_os("CASEMATE_CRS").map_or(beside, PathBuf::from);
    let folder = root.join("vectors").join(kind);
    if !folder.is_dir() {
        eprintln!("no vectors at {}: set CASEMATE_CRS to the folder that holds them", folder.display());
        return None;
    }
    Some(folder)
}

/// Each vector with the name of its file, which for transformations is the name of what is asked.
fn vectors(kind: &str) -> Vec<(String, Value)> {
    let Some(folder) = folder(kind) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let vectors: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        vectors.into_iter().map(move |vector| (stem.clone(), vector))
    };
    files.iter().flat_map(read).collect()
}

/// `\xHH` and `\uHHHH` in a vector stand for a byte, as in ModSecurity's own reader of these files, which takes any
/// letters for digits and reads those that are.
fn bytes(text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    let mut output = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let digits = match text.get(at..at + 2) {
            Some(b"\\x") => text.get(at + 2..at + 4),
            Some(b"\\u") => text.get(at + 2..at + 6),
            _ => None,
        };
        match digits.filter(|digits| digits.iter().all(u8::is_ascii_alphanumeric)) {
            Some(digits) => {
                let value = digits.iter().map_while(|digit| char::from(*digit).to_digit(16));
                output.push(value.fold(0, |value: u32, digit| value * 16 + digit).to_be_bytes()[3]);
                at += 2 + digits.len();
            }
            None => {
                output.push(text[at]);
                at += 1;
            }
        }
    }
    output
}

#[test]
fn transformations() {
    let vectors = vectors("transformations");
    let mut wrong = Vec::new();
    for (name, vector) in &vectors {
        let (input, expect) =
            (bytes(vector["input"].as_str().unwrap()), bytes(vector["output"].as_str().unwrap()));
        let output = Transformation::parse(name).unwrap().apply(&input).into_owned();
        if output != expect {
            let [input, output, expect] =
                [input, output, expect].map(|bytes| bytes.escape_ascii().to_string());
            wrong.push(format!("{name}: {input:.300}\n  is       {output:.300}\n  expected {expect:.300}"));
        }
    }
    eprintln!("{} of {} transformation vectors hold", vectors.len() - wrong.len(), vectors.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the operator says, where it is one of `waf::operator` or `waf::injection`.
fn evaluate(name: &str, parameter: &str, input: &[u8]) -> Option<bool> {
    let parameter_bytes = bytes(parameter);
    let parameter_bytes = parameter_bytes.as_slice();
    Some(match name {
        "beginsWith" => input.starts_with(parameter_bytes),
        "endsWith" => input.ends_with(parameter_bytes),
        "contains" | "strmatch" => operator::contains(input, parameter_bytes),
        "containsWord" => operator::contains_word(input, parameter_bytes),
        "within" => operator::within(input, parameter_bytes),
        "streq" => input == parameter_bytes,
        "eq" => number(input) == number(parameter_bytes),
        "ge" => number(input) >= number(parameter_bytes),
        "gt" => number(input) > number(parameter_bytes),
        "le" => number(input) <= number(parameter_bytes),
        "lt" => number(input) < number(parameter_bytes),
        "noMatch" => false,
        "unconditionalMatch" => true,
        "ipMatch" => AddressSet::parse(parameter).is_ok_and(|set| set.contains(input)),
        "validateByteRange" => ByteRange::parse(parameter).unwrap().violation(input).is_some(),
        "validateUrlEncoding" => operator::invalid_url_encoding(input).is_some(),
        "validateUtf8Encoding" => operator::invalid_utf8(input).is_some(),
        "detectSQLi" => injection::sqli(input).is_some(),
        "detectXSS" => injection::xss(input),
        "verifyCC" => some_match(parameter, input, operator::is_card_number),
        "verifycpf" => some_match(parameter, input, operator::is_cpf),
        "verifyssn" => some_match(parameter, input, operator::is_ssn),
        "verifysvnr" => some_match(parameter, input, operator::is_svnr),
        "validateNid" => {
            let (country, pattern) = parameter.split_once(' ').unwrap();
            some_match(pattern, input, |text| operator::is_national_id(country, text))
        }
        _ => return None,
    })
}

/// Whether what the pattern matches, from whichever offset, passes the check.
fn some_match(pattern: &str, input: &[u8], check: impl Fn(&[u8]) -> bool) -> bool {
    let pattern = regex_automata::meta::Regex::new(pattern).unwrap();
    (0..=input.len()).any(|at| {
        let found = pattern.find(regex_automata::Input::new(input).range(at..));
        found.is_some_and(|found| check(&input[found.range()]))
    })
}

#[test]
fn operators() {
    let vectors = vectors("operators");
    let (mut asked, mut wrong) = (0, Vec::new());
    for (_, vector) in &vectors {
        let name = vector["name"].as_str().unwrap();
        if OF_THE_ENGINE.contains(&name) || NOT_ASKED.iter().any(|(known, _)| *known == name) {
            continue;
        }
        // Only here `\0` is a zero byte.
        let input = bytes(&vector["input"].as_str().unwrap().replace("\\0", "\\x00"));
        let parameter = vector["param"].as_str().unwrap_or_default();
        let expect = vector["ret"].as_i64() == Some(1);
        asked += 1;
        match evaluate(name, parameter, &input) {
            Some(answer) if answer == expect => {}
            answer => wrong.push(format!("{name} `{parameter}` of `{}`: {answer:?}", input.escape_ascii())),
        }
    }
    eprintln!(
        "{} of {asked} operator vectors hold; {} are not asked here",
        asked - wrong.len(),
        vectors.len() - asked
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
