//! `new`: a function that builds. It never overwrites a file.

use std::fs;

use super::Context;
use crate::{
    cli::New,
    exit::{Exit, Failure},
    output::Ink,
    templates,
};

/// `new`
pub(super) fn new(context: &Context, args: &New) -> Result<(), Failure> {
    let out = &context.out;
    let folder = args.dir.clone().unwrap_or_else(|| args.name.as_str().into());
    let taken = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    if taken || folder.is_file() {
        return Err(Failure::new(Exit::Failed, format!("`{}` is there already", folder.display()))
            .next("take another name, or another folder with `--dir`"));
    }
    let mut written = Vec::new();
    for (path, text) in templates::of(args.lang) {
        let file = folder.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(|e| Failure::file("make", parent, &e))?;
        }
        fs::write(&file, templates::fill(text, args.name.as_str()))
            .map_err(|e| Failure::file("write", &file, &e))?;
        written.push(file);
    }
    let answer = serde_json::json!({ "function": args.name, "folder": folder, "files": written });
    out.answer(&answer, |_| {
        let files: Vec<String> = written.iter().map(|file| format!("  {}", file.display())).collect();
        let name = out.paint(Ink::Strong, args.name.as_str());
        format!("made {name}\n{}\nnext: casemate deploy {}", files.join("\n"), folder.display())
    });
    Ok(())
}
