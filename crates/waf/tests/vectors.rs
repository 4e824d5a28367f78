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

fn vectors(kind: &str) -> Vec<Value> {
    let Some(folder) = folder(kind) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| serde_json::from_slice::<Vec<Value>>(&std::fs::read(path).unwrap()).unwrap();
    files.iter().flat_map(read).collect()
}

/// `\xHH` and `\uHHHH` in a vector stand for a byte, as in ModSecurity's own reader of these files.
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
        let value = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| u32::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).ok())
            .and_then(|value| u8::try_from(value).ok());
        match (value, digits) {
            (Some(value), Some(digits)) => {
                output.push(value);
                at += 2 + digits.len();
            }
            _ => {
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
    for vector in &vectors {
        let name = vector["name"].as_str().unwrap();
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
        "ipMatch" => AddressSet::parse(parameter).unwrap().contains(input),
        "validateByteRange" => ByteRange::parse(parameter).unwrap().violation(input).is_some(),
        "validateUrlEncoding" => operator::invalid_url_encoding(input).is_some(),
        "validateUtf8Encoding" => operator::invalid_utf8(input).is_some(),
        "detectSQLi" => injection::sqli(input).is_some(),
        "detectXSS" => injection::xss(input),
        // The pattern of these is the engine's; the vectors' inputs hold one number each.
        "verifyCC" => operator::is_card_number(input) && parameter.contains('d'),
        "verifycpf" => operator::is_cpf(input),
        "verifyssn" => operator::is_ssn(input),
        "verifysvnr" => operator::is_svnr(input),
        "validateNid" => operator::is_national_id(parameter.split(' ').next().unwrap(), input),
        _ => return None,
    })
}

#[test]
fn operators() {
    let vectors = vectors("operators");
    let (mut asked, mut wrong) = (0, Vec::new());
    for vector in &vectors {
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
