//! What `casemate new` writes, carried inside the executable. It never touches a disk.

use crate::cli::Lang;

/// A file of a template: its path below the function's folder, and its text.
pub(crate) type File = (&'static str, &'static str);

macro_rules! files {
    ($lang:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../templates/", $lang, "/", $path)))),*]
    };
}

const RUST: &[File] = files!("rust":
    "casemate.toml", "Cargo.toml", "src/main.rs", "src/greeting.rs", "README.md", ".gitignore",
);

const JS: &[File] = files!("js":
    "casemate.toml", "package.json", "src/main.js", "src/greeting.js", "test/greeting.test.js",
    "wit/function.wit", "wit/deps/clocks.wit", "wit/deps/http.wit", "wit/deps/io.wit", "README.md", ".gitignore",
);

const PY: &[File] = files!("py":
    "casemate.toml", "requirements.txt", "src/app.py", "src/greeting.py", "tests/test_greeting.py",
    "wit/function.wit", "wit/deps/clocks.wit", "wit/deps/http.wit", "wit/deps/io.wit", "README.md", ".gitignore",
);

/// The files of a language's template, the manifest first.
pub(crate) const fn of(lang: Lang) -> &'static [File] {
    match lang {
        Lang::Rust => RUST,
        Lang::Js => JS,
        Lang::Py => PY,
    }
}

/// A template's text with the function's name in it.
pub(crate) fn fill(text: &str, name: &str) -> String {
    text.replace("{{name}}", name)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
    };

    use model::{Limits, Manifest};

    use super::*;

    const LANGS: [(&str, Lang); 3] = [("rust", Lang::Rust), ("js", Lang::Js), ("py", Lang::Py)];

    fn on_disk(folder: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                on_disk(&entry.path(), &path, found);
            } else {
                found.insert(path);
            }
        }
    }

    /// A file that lies in the folder and not in the table would never reach anybody.
    #[test]
    fn every_file_is_carried() {
        for (name, lang) in LANGS {
            let mut found = BTreeSet::new();
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(name);
            on_disk(&folder, Path::new(""), &mut found);
            let carried: BTreeSet<PathBuf> = of(lang).iter().map(|(path, _)| path.into()).collect();
            assert_eq!(carried, found, "{name}");
        }
    }

    #[test]
    fn every_manifest_holds_and_no_mark_stays() {
        for (_, lang) in LANGS {
            let (path, text) = of(lang)[0];
            assert_eq!(path, "casemate.toml");
            let manifest = Manifest::parse(&fill(text, "hello-2"), &Limits::CEILING).unwrap();
            assert_eq!(manifest.name.as_str(), "hello-2");
            assert!(manifest.build.command.is_some() && manifest.build.test.is_some());
            assert!(manifest.component.contains("hello-2"));
            for (path, text) in of(lang) {
                assert!(!fill(text, "x").contains("{{"), "{path} keeps a mark");
            }
        }
    }
}
