use clap::{Command as Clap, CommandFactory};

use super::*;

fn each(command: &Clap, path: &str, look: &mut impl FnMut(&str, &Clap)) {
    look(path, command);
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        each(sub, &format!("{path} {}", sub.get_name()), look);
    }
}

fn built() -> Clap {
    let mut command = Cli::command();
    command.build();
    command
}

#[test]
fn the_words_fit_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_help_has_an_example_and_the_format() {
    each(&built(), "casemate", &mut |path, command| {
        let help = command.clone().render_long_help().to_string();
        assert!(help.contains("Example:\n  casemate"), "`{path} --help` has no example");
        assert!(help.contains("--output <FORMAT>"), "`{path}` does not take `--output`");
        assert!(command.get_about().is_some(), "`{path}` does not say what it is for");
        let wide = help.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(wide <= 110, "`{path} --help` is {wide} columns wide");
    });
}

/// The examples are command lines that parse: an example that rots is a lie.
#[test]
fn every_example_parses() {
    each(&built(), "casemate", &mut |path, command| {
        let help = command.clone().render_long_help().to_string();
        let examples = help.lines().filter(|line| line.starts_with("  casemate "));
        for line in examples {
            let line = line.split(['#', '|', '>', '<']).next().unwrap().split("&&").next().unwrap();
            let words = words(line);
            let got = Cli::try_parse_from(&words);
            assert!(got.is_ok(), "`{path}`: `{line}` does not parse: {}", got.unwrap_err());
        }
    });
}

/// As a shell takes a line apart that quotes with `'` alone.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (index, part) in line.split('\'').enumerate() {
        for (at, word) in
            if index % 2 == 1 { vec![part] } else { part.split(' ').collect() }.iter().enumerate()
        {
            if at > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(word);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_list_of_commands() {
    let mut paths = Vec::new();
    each(&built(), "casemate", &mut |path, _| paths.push(path.to_owned()));
    let expect = "casemate; up; demo; login; logout; whoami; new; build; test; deploy; dev; invoke; logs; list; inspect; \
                  rollback; remove; token; token create; token list; token rotate; token recover; token revoke; \
                  session; session list; session revoke; tenant; tenant create; tenant set; tenant list; \
                  policy; policy get; policy set; policy check; \
                  policy test; policy explain; policy diff; policy who-can; policy what-can; policy pending; \
                  policy approve; policy reject; policy break-glass; policy glass; policy end-glass; records; manifest; \
                  manifest check; manifest schema; config; config check; config schema; identity; \
                  identity set; identity show; identity check; shield; shield test; shield explain; shield rules; \
                  shield rules list; shield rules add; shield rules use; shield rules rollback; shield simulate; \
                  shield status; shield why; shield block; shield suspend; shield quarantine; shield unblock; \
                  shield profile; shield profile show; shield profile approve; shield profile reset; \
                  shield honey; shield honey route; shield honey token; shield honey list; shield honey remove; \
                  doctor; completions";
    let got: Vec<&str> = paths.iter().map(|p| p.strip_prefix("casemate ").unwrap_or(p)).collect();
    assert_eq!(got.join("; "), expect);
}

fn refused(line: &str, part: &str) {
    let said = Cli::try_parse_from(line.split_whitespace()).expect_err(line).to_string();
    assert!(said.contains(part), "`{line}` said `{said}`");
}

#[test]
fn what_does_not_parse() {
    refused("casemate deplo", "deploy");
    refused("casemate new Hello", "not a function name");
    refused("casemate new hello --lang go", "possible values");
    refused("casemate token create --name ci --role king", "there are viewer, developer");
    refused("casemate token create --name ci --days 0", "1..=365");
    refused("casemate token create --name ci --days 400", "1..=365");
    refused("casemate token create", "--name");
    refused("casemate token revoke T1", "not a token id");
    refused("casemate token rotate ci --overlap 1y", "such as `1h`");
    refused("casemate token rotate ci --overlap 31d", "30d");
    refused("casemate records --of-node --function hello", "cannot be used with");
    refused("casemate rollback hello --to x", "not a revision");
    refused("casemate invoke hello -d a --data-file b", "cannot be used with");
    refused("casemate login --consume", "--token-file");
    refused("casemate login --device", "--oidc");
    refused("casemate login --oidc --consume --token-file t", "cannot be used with");
    refused("casemate up --listen 8443", "invalid");
    refused("casemate records --request 1", "not a request id");
    refused("casemate list --output yaml", "possible values");
    refused("casemate login --token secret", "unexpected argument");
    refused("casemate completions dos", "possible values");
}
