//! CRS's rules as the tests read them: from `CASEMATE_CRS`, or from the folder beside the project.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use waf::{Files, Rules, Source};

struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, _from: &str, name: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.0.join(name)).map_err(|e| e.to_string())
    }
    fn expand(&self, _from: &str, pattern: &str) -> Result<Vec<String>, String> {
        Ok(vec![pattern.to_owned()])
    }
}

/// The folder, where it is there.
pub(crate) fn root() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..").join("shared").join("crs");
    let root = std::env::var_os("CASEMATE_CRS").map_or(beside, PathBuf::from);
    if !root.join("rules").is_dir() {
        eprintln!("no CRS at {}: set CASEMATE_CRS to the folder that holds it", root.display());
        return None;
    }
    Some(root)
}

/// All rules with CRS's own set-up.
pub(crate) fn load(root: &Path) -> Arc<Rules> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join("rules"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "conf"))
        .collect();
    files.sort();
    files.insert(0, root.join("crs-setup.conf.example"));
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect();
    let sources: Vec<Source<'_>> = texts.iter().map(|(name, text)| Source { name, text }).collect();
    match Rules::load(&sources, &Folder(root.join("rules"))) {
        Ok(rules) => Arc::new(rules),
        Err(e) => panic!("{e}"),
    }
}
