//! Sets of rules as people have them: a folder, an archive, Debian's package. Text is taken into memory, within a bound;
//! nothing is unpacked onto a disk. It reads no rule.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use gateway::api;
use model::limits;

use crate::exit::{Exit, Failure};

/// Where Debian's `modsecurity-crs` puts rules and their set-up.
const DEBIAN: (&str, &str) = ("/usr/share/modsecurity-crs", "/etc/modsecurity/crs/crs-setup.conf");
/// Text of one file, and of all, tests too, in bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;
const ALL_BYTES_MAX: usize = 64 << 20;
/// Folders below the one that is named.
const DEPTH_MAX: usize = 8;
/// Ends of the names of files that are taken.
const TAKEN: [&str; 6] = [".conf", ".conf.example", ".data", ".txt", ".yaml", ".yml"];

/// Files by their name below the folder or in the archive.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    /// What it is called where nobody says otherwise.
    pub(super) name: String,
    files: BTreeMap<String, String>,
    bytes: usize,
}

impl Bundle {
    /// A folder, or a `.tar` or `.tar.gz`; Debian's package where nothing is named.
    pub(super) fn open(path: Option<&Path>, setup: Option<&Path>) -> Result<Self, Failure> {
        let mut bundle = match path {
            Some(path) if path.is_dir() => Self::folder(path)?,
            Some(path) => Self::archive(path)?,
            None => Self::debian()?,
        };
        if let Some(setup) = setup {
            let text = read(&mut File::open(setup).map_err(|e| Failure::file("read", setup, &e))?, setup)?;
            bundle.files.retain(|name, _| !is_setup(name));
            bundle.take("crs-setup.conf".to_owned(), text)?;
        }
        Ok(bundle)
    }

    fn debian() -> Result<Self, Failure> {
        let (folder, setup) = (Path::new(DEBIAN.0), Path::new(DEBIAN.1));
        if !folder.is_dir() {
            let why = "Debian's package `modsecurity-crs` is not installed";
            return Err(Failure::new(Exit::Invalid, why)
                .next("name a folder or an archive of rules, or `apt install modsecurity-crs`"));
        }
        let mut bundle = Self::folder(folder)?;
        if setup.is_file() {
            let mut file = File::open(setup).map_err(|e| Failure::file("read", setup, &e))?;
            bundle.take("crs-setup.conf".to_owned(), read(&mut file, setup)?)?;
        }
        bundle.name = "debian-crs".to_owned();
        Ok(bundle)
    }

    fn folder(folder: &Path) -> Result<Self, Failure> {
        let full = folder.canonicalize().map_err(|e| Failure::file("read", folder, &e))?;
        let mut bundle = Self { name: named(&full), ..Self::default() };
        bundle.walk(&full, "", DEPTH_MAX)?;
        // A folder of rules alone has its set-up above it.
        let above = full.parent().map(Path::to_owned).unwrap_or_default();
        for setup in ["crs-setup.conf", "crs-setup.conf.example"] {
            let path = above.join(setup);
            if !bundle.files.keys().any(|name| is_setup(name)) && path.is_file() {
                let mut file = File::open(&path).map_err(|e| Failure::file("read", &path, &e))?;
                bundle.take(setup.to_owned(), read(&mut file, &path)?)?;
            }
        }
        Ok(bundle)
    }

    fn walk(&mut self, folder: &Path, below: &str, depth: usize) -> Result<(), Failure> {
        let wrong = |e: std::io::Error| Failure::file("read", folder, &e);
        for entry in std::fs::read_dir(folder).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let whole = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            if path.is_dir() && depth > 0 && !name.starts_with('.') {
                self.walk(&path, &whole, depth - 1)?;
            } else if path.is_file() && is_taken(name) {
                let mut file = File::open(&path).map_err(|e| Failure::file("read", &path, &e))?;
                self.take(whole, read(&mut file, &path)?)?;
            }
        }
        Ok(())
    }

    fn archive(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|e| Failure::file("read", path, &e))?;
        let mut bundle = Self { name: named(path), ..Self::default() };
        let is_packed = path.extension().is_some_and(|end| end == "gz" || end == "tgz");
        let reader: Box<dyn Read> =
            if is_packed { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };
        // The archive's own bound: what is left out is read over too.
        let mut archive = tar::Archive::new(reader.take(4 * ALL_BYTES_MAX as u64));
        let wrong = |e: std::io::Error| Failure::file("read", path, &e);
        for entry in archive.entries().map_err(wrong)? {
            let mut entry = entry.map_err(wrong)?;
            let name = entry.path().map_err(wrong)?.to_string_lossy().into_owned();
            if entry.header().entry_type().is_file() && is_taken(&name) {
                let text = read(&mut entry, Path::new(&name))?;
                bundle.take(name, text)?;
            }
        }
        Ok(bundle)
    }

    fn take(&mut self, name: String, text: String) -> Result<(), Failure> {
        self.bytes += text.len();
        if self.bytes > ALL_BYTES_MAX {
            let why = format!("there is more text than {ALL_BYTES_MAX} bytes");
            return Err(Failure::new(Exit::Invalid, why).next("name the folder of the rules alone"));
        }
        self.files.insert(name, text);
        Ok(())
    }

    /// What a node is sent: the files that are read in order, with what they name beside them.
    pub(super) fn rules(&self) -> Result<api::RuleFiles, Failure> {
        let folder = self.rule_folder()?;
        let of_rules = |name: &str| parent(name) == folder;
        let mut read: Vec<String> = Vec::new();
        let setups = self.files.keys().filter(|name| is_setup(name));
        // The nearest to the top; one that somebody edited before the example.
        let setup = setups.min_by_key(|name| (name.matches('/').count(), name.len()));
        read.extend(setup.cloned());
        let plain = |name: &&String| of_rules(name) && name.ends_with(".conf") && !is_setup(name);
        read.extend(self.files.keys().filter(plain).cloned());
        let taken = |name: &str| {
            let named = [".conf", ".data", ".txt"].iter().any(|end| name.ends_with(end));
            read.iter().any(|known| known == name) || of_rules(name) && named
        };
        let files: BTreeMap<String, String> = self
            .files
            .iter()
            .filter(|(name, _)| taken(name))
            .map(|(name, text)| (name.clone(), text.clone()))
            .collect();
        let bytes: usize = files.values().map(String::len).sum();
        if bytes > limits::RULES_BYTES_MAX {
            let why = format!("the rules have {bytes} bytes, more than {}", limits::RULES_BYTES_MAX);
            return Err(Failure::new(Exit::Invalid, why));
        }
        Ok(api::RuleFiles { name: self.name.clone(), read, files })
    }

    /// The folder that holds most files of rules.
    fn rule_folder(&self) -> Result<&str, Failure> {
        let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.files.keys().filter(|name| name.ends_with(".conf") && !is_setup(name)) {
            *folders.entry(parent(name)).or_default() += 1;
        }
        let most = folders.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(folder, _)| folder).ok_or_else(|| {
            Failure::new(Exit::Invalid, "there is no `.conf` file of rules in it")
                .next("name the folder or the archive that holds the rules")
        })
    }

    /// The tests that came with the rules.
    pub(super) fn tests(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_test = |name: &str| {
            (name.ends_with(".yaml") || name.ends_with(".yml")) && name.contains("tests/") && {
                let file = name.rsplit('/').next().unwrap_or_default();
                file.starts_with(|c: char| c.is_ascii_digit())
            }
        };
        self.files.iter().filter(move |(name, _)| is_test(name)).map(|(name, text)| (&**name, &**text))
    }
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn is_setup(name: &str) -> bool {
    matches!(name.rsplit('/').next(), Some("crs-setup.conf" | "crs-setup.conf.example"))
}

fn is_taken(name: &str) -> bool {
    TAKEN.iter().any(|end| name.ends_with(end))
}

/// A name for the set, of what a path calls it.
fn named(path: &Path) -> String {
    let mut last = path.file_name().and_then(|name| name.to_str()).unwrap_or("rules").to_owned();
    for end in [".gz", ".tgz", ".tar", "-minimal"] {
        last = last.strip_suffix(end).unwrap_or(&last).to_owned();
    }
    if last == "rules" {
        let above = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        last = above.unwrap_or("rules").to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.+".contains(c) { c } else { '-' };
    let name: String = last.chars().map(plain).take(63).collect();
    if name == "base" || name.is_empty() { "rules".to_owned() } else { name }
}

fn read(from: &mut impl Read, path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = from.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|e| Failure::file("read", path, &e))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("`{}` has more than {FILE_BYTES_MAX} bytes", PathBuf::from(path).display());
        return Err(Failure::new(Exit::Invalid, why));
    }
    // Bytes that were changed would match something else.
    let text = waf::seclang::text(&path.display().to_string(), &bytes);
    Ok(text.map_err(|e| Failure::new(Exit::Invalid, e))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(files: &[(&str, &str)]) -> Bundle {
        let mut bundle = Bundle { name: "test".into(), ..Bundle::default() };
        for (name, text) in files {
            bundle.take((*name).to_owned(), (*text).to_owned()).unwrap();
        }
        bundle
    }

    #[test]
    fn what_is_sent_of_a_release() {
        let files = [
            ("crs-4/crs-setup.conf.example", "s"),
            ("crs-4/rules/REQUEST-901.conf", "a"),
            ("crs-4/rules/REQUEST-942.conf", "b"),
            ("crs-4/rules/words.data", "w"),
            ("crs-4/plugins/empty.conf", "p"),
            ("crs-4/tests/regression/tests/REQUEST-942/942100.yaml", "t"),
            ("crs-4/tests/regression/nginx-overrides.yaml", "o"),
        ];
        let bundle = bundle(&files);
        let rules = bundle.rules().unwrap();
        let read =
            ["crs-4/crs-setup.conf.example", "crs-4/rules/REQUEST-901.conf", "crs-4/rules/REQUEST-942.conf"];
        assert_eq!(rules.read, read);
        assert!(rules.files.contains_key("crs-4/rules/words.data"));
        assert!(!rules.files.keys().any(|name| name.contains("plugins") || name.contains("tests")));
        let tests: Vec<&str> = bundle.tests().map(|(name, _)| name).collect();
        assert_eq!(tests, ["crs-4/tests/regression/tests/REQUEST-942/942100.yaml"]);
    }

    #[test]
    fn a_setup_that_was_edited_wins() {
        let rules = bundle(&[("crs-setup.conf", "s"), ("crs-setup.conf.example", "e"), ("a.conf", "a")]);
        assert_eq!(rules.rules().unwrap().read, ["crs-setup.conf", "a.conf"]);
        assert!(bundle(&[("x.data", "")]).rules().is_err());
    }

    #[test]
    fn names() {
        let check = |path: &str, expect: &str| assert_eq!(named(Path::new(path)), expect, "{path}");
        check("/tmp/coreruleset-4.28.0-minimal.tar.gz", "coreruleset-4.28.0");
        check("/tmp/crs/rules", "crs");
        check("/tmp/my rules", "my-rules");
        check("/tmp/base", "rules");
    }

    #[test]
    fn an_archive_is_read_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set-1.tar");
        let mut builder = tar::Builder::new(File::create(&path).unwrap());
        for (name, text) in [("set-1/rules/a.conf", "SecAction id:1,pass"), ("set-1/readme.md", "no")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap();
        let bundle = Bundle::open(Some(&path), None).unwrap();
        let rules = bundle.rules().unwrap();
        assert_eq!(
            (rules.name.as_str(), rules.read.as_slice()),
            ("set-1", &["set-1/rules/a.conf".to_owned()][..])
        );
        std::fs::write(&path, b"no archive at all, but long enough for a header".repeat(30)).unwrap();
        assert!(Bundle::open(Some(&path), None).is_err());
    }
}
