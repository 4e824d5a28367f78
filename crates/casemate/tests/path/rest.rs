//! What lies on the disk: sealed, bound to its engine, and only opened by its root key.

use std::{fs, path::Path};

use crate::support::{TestNode, guest};

fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            files(&entry.path(), found);
        } else if let Ok(bytes) = fs::read(entry.path()) {
            found.push(bytes);
        }
    }
}

#[test]
fn nothing_of_a_tenant_is_readable() {
    let node = TestNode::start();
    let secret = "a-sentence-that-nobody-else-writes";
    let manifest = format!(
        "[access]\nallow = \"public\"\nwaiver = {{ reason = \"{secret}\", until = \"2027-06-01\" }}\n"
    );
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    node.deploy("hello", &guest("hello"), &manifest);
    assert_eq!(node.call("GET", "/hello", Some(&token), b"").status, 200);
    let home = node.stop();
    let mut found = Vec::new();
    files(&home.path().join("data"), &mut found);
    assert!(found.iter().any(|f| f.len() > 10_000), "there is something to look through");
    let component = guest("hello");
    let marks = [secret.as_bytes(), token.as_bytes(), &component[1_000..1_064]];
    for mark in marks {
        let readable = found.iter().any(|file| file.windows(mark.len()).any(|part| part == mark));
        assert!(!readable, "`{}` lies on the disk", String::from_utf8_lossy(mark));
    }
}

#[test]
fn another_root_key_is_a_refusal() {
    let node = TestNode::start();
    let data = node.data.clone();
    let home = node.stop();
    let key = data.join("root.key");
    assert!(key.exists(), "the root key lies in {}", key.display());
    let kept = fs::read(&key).unwrap();
    let other: Vec<u8> = kept.iter().map(|b| b ^ 0x5a).collect();
    fs::write(&key, other).unwrap();
    let refused = home.run(&[
        "up",
        "--data",
        data.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--control",
        "127.0.0.1:0",
    ]);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("root key"), "{}", refused.err);
    fs::write(&key, kept).unwrap();
    let node = TestNode::start_with(home, "");
    node.run(&["whoami"]).ok();
}

#[test]
fn altered_code_is_compiled_again_and_never_run() {
    let node = TestNode::start();
    let token = node.token(&["--name", "caller", "--scope", "invoke"]);
    node.deploy("hello", &guest("hello"), "[access]\nallow = \"tenant\"\n");
    let data = node.data.clone();
    let home = node.stop();
    let mut blobs = Vec::new();
    blob_paths(&data, &mut blobs);
    assert!(blobs.len() >= 2, "a component and its code: {blobs:?}");
    let largest = blobs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(largest, bytes).unwrap();
    let node = TestNode::start_with(home, "");
    let answer = node.call("GET", "/hello", Some(&token), b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world!\n"));
    assert!(node.log().contains("altered on disk"), "{}", node.log());
}

fn blob_paths(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            blob_paths(&path, found);
        } else if name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
            found.push(path);
        }
    }
}
