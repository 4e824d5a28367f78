//! Rules that an operator adds, such as OWASP's Core Rule Set: files by name, and what the node reads before them. It never
//! opens a file.

use waf::{Files, LoadError, Rules, Source};

/// A file of rules, or of what they name.
#[derive(Debug, Clone, Copy)]
pub struct RuleFile<'a> {
    /// Its name; `/` stands between folders.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// What functions are sent that rules for sites would refuse, and what bodies must be.
const BEFORE: Source<'static> = Source { name: "node/added.conf", text: include_str!("../rules/added.conf") };

/// Compiles the files named in `read`, in that order; `files` holds them and what they name.
///
/// # Errors
/// At the first thing that is not understood, or a file that is not there.
pub fn added_rules(read: &[String], files: &[RuleFile<'_>]) -> Result<Rules, LoadError> {
    load(vec![BEFORE], read, files)
}

/// The same without what the node reads before them: as their authors' tests expect them.
///
/// # Errors
/// As [`added_rules`].
pub fn plain_rules(read: &[String], files: &[RuleFile<'_>]) -> Result<Rules, LoadError> {
    load(Vec::new(), read, files)
}

fn load<'a>(
    mut sources: Vec<Source<'a>>,
    read: &'a [String],
    files: &'a [RuleFile<'a>],
) -> Result<Rules, LoadError> {
    let given = Given(files);
    for name in read {
        match given.find(name) {
            Some(file) => sources.push(Source { name: file.name, text: file.text }),
            None => {
                let place = waf::seclang::Place { file: name.as_str().into(), line: 1 };
                let why = "it is not among the files".to_owned();
                return Err(LoadError {
                    place,
                    reason: waf::seclang::Reason::File { name: name.clone(), why },
                });
            }
        }
    }
    Rules::load(&sources, &given)
}

struct Given<'a>(&'a [RuleFile<'a>]);

impl<'a> Given<'a> {
    fn find(&self, name: &str) -> Option<RuleFile<'a>> {
        self.0.iter().find(|file| file.name == name).copied()
    }

    /// The file of this name, or of the last part of it.
    fn named(&self, name: &str) -> Option<RuleFile<'a>> {
        self.find(name).or_else(|| self.find(name.rsplit('/').next().unwrap_or_default()))
    }
}

/// The name of a file beside another one.
fn beside(from: &str, name: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl Files for Given<'_> {
    fn read(&self, from: &str, name: &str) -> Result<Vec<u8>, String> {
        let name = beside(from, name);
        self.named(&name)
            .map(|file| file.text.as_bytes().to_vec())
            .ok_or_else(|| format!("`{name}` is not among the files"))
    }

    /// The last part may hold one `*`.
    fn expand(&self, from: &str, pattern: &str) -> Result<Vec<String>, String> {
        let pattern = beside(from, pattern);
        let Some((start, end)) = pattern.split_once('*') else {
            return Ok(self.named(&pattern).map(|_| pattern).into_iter().collect());
        };
        if end.contains(['*', '/']) {
            return Err("one `*` in the last part of the path is read".to_owned());
        }
        let fits = |name: &str| {
            let middle = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
            middle.is_some_and(|middle| !middle.contains('/'))
        };
        let mut found: Vec<String> =
            self.0.iter().filter(|file| fits(file.name)).map(|file| file.name.to_owned()).collect();
        found.sort();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(read: &[&str], files: &[(&str, &str)], expect: Result<usize, &str>) {
        let files: Vec<RuleFile<'_>> = files.iter().map(|(name, text)| RuleFile { name, text }).collect();
        let read: Vec<String> = read.iter().map(|name| (*name).to_owned()).collect();
        let own = added_rules(&[], &[]).unwrap().len();
        match (added_rules(&read, &files), expect) {
            (Ok(rules), Ok(expect)) => assert_eq!(rules.len() - own, expect, "{read:?}"),
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{read:?}: {error}"),
            (found, expect) => panic!("{read:?}: {found:?}, not {expect:?}"),
        }
    }

    #[test]
    fn files_of_a_set() {
        const RULE: &str = "SecRule ARGS \"@pmFromFile words.data\" \"id:1,phase:2,deny\"";
        check(&["a.conf"], &[("a.conf", RULE), ("words.data", "one\ntwo")], Ok(1));
        check(&["rules/a.conf"], &[("rules/a.conf", RULE), ("rules/words.data", "one")], Ok(1));
        check(&["a.conf"], &[("a.conf", RULE)], Err("a.conf:1: cannot read `words.data`"));
        check(&["b.conf"], &[("a.conf", RULE)], Err("b.conf:1: cannot read `b.conf`"));
        check(&["a.conf"], &[("a.conf", "SecRule ARGS nonsense id:1,colour:red")], Err("a.conf:1"));
        let all =
            [("main.conf", "Include more/*.conf"), ("more/x.conf", "SecAction id:1,pass"), ("y.conf", "?")];
        check(&["main.conf"], &all, Ok(1));
        check(&["main.conf"], &[("main.conf", "Include main.conf")], Err("at most 8 deep"));
        check(
            &["a.conf"],
            &[("a.conf", "Include ../../../etc/passwd")],
            Err("a.conf:1: cannot read `../../../etc/passwd`: no file fits"),
        );
        check(&["a.conf"], &[("a.conf", "IncludeOptional own.conf")], Ok(0));
    }
}
