//! Multipart: what is taken, each flag, and what two readers could take differently.

use proptest::prelude::*;

use crate::body::{Bounds, Multipart, MultipartFlags, multipart};

const TYPE: &str = "multipart/form-data; boundary=0000";

fn read(content_type: &str, body: &str) -> Multipart {
    multipart(content_type.as_bytes(), body.as_bytes(), &Bounds::default())
}

fn part(head: &str, data: &str) -> String {
    format!("--0000\r\n{head}\r\n\r\n{data}\r\n--0000--\r\n")
}

fn field(name: &str, data: &str) -> String {
    part(&format!("Content-Disposition: form-data; {name}"), data)
}

fn pairs(pairs: &crate::body::Pairs) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    pairs.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn of(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn fields_and_files_are_taken_apart() {
    let body = "--0000\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\ny\r\n--0000\r\n\
        content-disposition: form-data; name=\"f\"; filename=\"n\\\"m.txt\"\r\nContent-Type:  text/plain\r\n\r\ndata\r\n\
        --0000--\r\n";
    let found = read(TYPE, body);
    assert_eq!(found.error, None);
    assert_eq!(pairs(&found.fields), of(&[("a", "x\r\ny")]));
    assert_eq!(pairs(&found.files), of(&[("f", "n\"m.txt")]));
    assert_eq!(pairs(&found.file_contents), of(&[("f", "data")]));
    assert_eq!(
        pairs(&found.part_headers),
        of(&[
            ("a", "Content-Disposition: form-data; name=\"a\""),
            ("f", "content-disposition: form-data; name=\"f\"; filename=\"n\\\"m.txt\""),
            ("f", "Content-Type: text/plain"),
        ])
    );
    assert_eq!(pairs(&found.names), of(&[("a", ""), ("f", "n\"m.txt")]));
    assert_eq!(found.flags, MultipartFlags { unmatched_boundary: 2, ..MultipartFlags::default() });
    assert!(!found.flags.strict_error());
    // The last line needs no line break; an empty value is one.
    let found = read(TYPE, "--0000\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--0000--");
    assert_eq!((found.error, pairs(&found.fields)), (None, of(&[("a", "")])));
}

fn flags(content_type: &str, body: &str) -> MultipartFlags {
    let mut flags = read(content_type, body).flags;
    flags.unmatched_boundary = if flags.unmatched_boundary == 2 { 0 } else { flags.unmatched_boundary };
    flags
}

#[test]
fn each_flag_is_set_by_what_it_names_and_by_nothing_else() {
    let plain = field("name=\"a\"", "x");
    let none = MultipartFlags::default();
    let flag = |set: fn(&mut MultipartFlags)| {
        let mut flags = none;
        set(&mut flags);
        flags
    };
    assert_eq!(flags(TYPE, &plain), none);
    let cases: [(&str, String, MultipartFlags); 14] = [
        ("multipart/form-data; boundary=\"0000\"", plain.clone(), flag(|f| f.boundary_quoted = true)),
        ("multipart/form-data; boundary =0000", plain.clone(), flag(|f| f.boundary_whitespace = true)),
        ("multipart/form-data boundary=0000", plain.clone(), flag(|f| f.missing_semicolon = true)),
        (TYPE, format!("x\r\n{plain}"), flag(|f| f.data_before = true)),
        (TYPE, format!("{plain}x"), flag(|f| f.data_after = true)),
        (TYPE, part("Content-Disposition: form-data;\r\n name=a", "x"), flag(|f| f.header_folding = true)),
        (
            TYPE,
            part("Content-Disposition: form-data;\r\n\x0bname=a", "x"),
            flag(|f| {
                f.header_folding = true;
                f.invalid_header_folding = true;
            }),
        ),
        (TYPE, plain.replace("\r\n", "\n"), flag(|f| f.lf_line = true)),
        (
            TYPE,
            plain.replacen("\r\n", "\n", 1),
            flag(|f| {
                f.lf_line = true;
                f.crlf_lf_lines = true;
            }),
        ),
        (
            TYPE,
            plain.replace("x\r\n", "x\n"),
            flag(|f| {
                f.lf_line = true;
                f.crlf_lf_lines = true;
            }),
        ),
        (TYPE, field("name='a'", "x"), flag(|f| f.invalid_quoting = true)),
        (TYPE, field("name=a'b", "x"), flag(|f| f.invalid_quoting = true)),
        (TYPE, plain.replace("\r\n\r\nx\r\n", "\r\n\r\n"), flag(|f| f.invalid_part = true)),
        (TYPE, field("name=\"a\"", "x\r\n--000\r\ny"), flag(|f| f.unmatched_boundary = 1)),
    ];
    for (content_type, body, expect) in cases {
        assert_eq!(flags(content_type, &body), expect, "{content_type} {body}");
    }
    assert_eq!(flags(TYPE, &field("name=a", "x --0000 y")).unmatched_boundary, 1);
}

#[test]
fn what_cannot_be_read_safely_ends_the_reading() {
    let plain = field("name=\"a\"", "x");
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=",
        "multipart/form-data; Boundary=0000",
        "multipart/form-data; boundary=\"0000",
        "multipart/form-data; boundary=0000\"",
        "multipart/form-data; boundary=0000; boundary=1111",
        "multipart/form-data; charset=x; boundary=0000",
        "multipart/form-data; boundaryx=0000",
        "multipart/form-data; boundary=00 ",
        "multipart/form-data; boundary=00@0",
        "multipart/mixed; boundary=0000",
    ] {
        assert!(read(content_type, &plain).error.is_some(), "{content_type}");
    }
    // A parameter behind the boundary is tolerated, as ModSecurity does.
    assert_eq!(read("multipart/form-data; boundary=0000; charset=utf-8", &plain).error, None);
    for body in [
        "x".to_owned(),
        plain.replace("--0000--\r\n", ""),
        plain.replace("--0000--", "--0000-"),
        plain.replacen("--0000\r\n", "--0000x\r\n", 1),
        plain.replacen("--0000\r\n", "-- 0000\r\n", 1),
        plain.replace("name", "nam\0e"),
        part("X: y", "x"),
        part("no colon", "x"),
        part(": x", "x"),
        part(" folded", "x"),
        part("Content-Disposition: form-data; name=a\r\ncontent-disposition: form-data; name=b", "x"),
        part("Content-Disposition: attachment; name=a", "x"),
        part(&format!("X: {}", "y".repeat(5000)), "x"),
        field("name=a; name=b", "x"),
        field("name=a; filename=b; filename=c", "x"),
        field("filename=b", "x"),
        field("name=\"a", "x"),
        field("name=\"a\"b", "x"),
        field("name", "x"),
        field("name=", "x"),
        field("name=a; other=b", "x"),
        field("name=a; filename*=UTF-8''x", "x"),
        field("name=a; filename=b; filename*=x", "x"),
        field("name=a; filename=b; filename*=UTF-8''%4", "x"),
        field("name=a; filename =b", "x"),
    ] {
        assert!(read(TYPE, &body).error.is_some(), "{body}");
    }
    assert_eq!(read(TYPE, &field("name=a; filename=b; filename*=UTF-8'en'%41x", "x")).error, None);
}

#[test]
fn what_was_read_before_an_error_is_looked_at() {
    let found = read(TYPE, "--0000\r\nContent-Disposition: form-data; name=a\r\n\r\nattack");
    assert!(found.error.is_some());
    assert_eq!(pairs(&found.fields), of(&[("a", "attack")]));
}

proptest! {
    #[test]
    fn hostile_bytes_end_in_an_answer(lines in proptest::collection::vec(prop_oneof![
        Just("--0000\r\n".to_owned()), Just("--0000--\r\n".to_owned()), Just("\r\n".to_owned()), Just("\n".to_owned()),
        Just("Content-Disposition: form-data; name=a\r\n".to_owned()), "[ -~]{0,20}\r?\n",
        "Content-Disposition: form-data[;= \"'a-z\\\\*]{0,20}\r\n",
    ], 0..20)) {
        let body = lines.concat();
        let found = read(TYPE, &body);
        let taken = found.fields.len() + found.files.len();
        prop_assert!(taken <= lines.len());
        // A body that ends with its last boundary and has no error is taken apart in full.
        prop_assert!(found.error.is_some() || body.is_empty() || body.contains("--0000--"));
    }
}
