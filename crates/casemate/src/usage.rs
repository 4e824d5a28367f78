//! Wrong words, in the form of every other failure. It never parses right ones: `cli` does.

use clap::error::ErrorKind;

use crate::exit::{Exit, Failure};

/// Whether the words ask for JSON, as far as can be said of words that do not parse.
pub(crate) fn wants_json(words: impl Iterator<Item = String>) -> bool {
    let words: Vec<String> = words.take_while(|word| word != "--").collect();
    let pair = |two: &[String]| matches!(two, [name, value] if name == "--output" && value == "json");
    words.iter().any(|word| word == "--output=json") || words.windows(2).any(pair)
}

/// What is wrong with the words, in the form of every other failure.
pub(crate) fn failure(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut parts = text.trim().split("\n\n");
    let line = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
    let first = line(parts.next().unwrap_or_default());
    let rest: Vec<String> = parts.map(line).collect();
    let tip = rest.iter().find_map(|part| part.strip_prefix("tip: "));
    let usage = rest.iter().find(|part| part.starts_with("Usage: "));
    let failure = match first.strip_prefix("error: ") {
        Some(message) if error.kind() != ErrorKind::MissingSubcommand => Failure::new(Exit::Usage, message),
        _ => Failure::new(Exit::Usage, "a command is wanted"),
    };
    match tip.or(usage.map(String::as_str)) {
        Some(next) => failure.next(next),
        None => failure.next("`casemate --help` has every command"),
    }
}
