//! Bodies of parts: taken apart within their bounds whatever the boundary says. The first line is the header's value.

use waf::body::{Bounds, multipart};

/// What must hold of any bytes.
pub(crate) fn holds(input: &[u8]) {
    let cut = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (head, body) = input.split_at(cut);
    let content_type = [b"multipart/form-data; boundary=", head].concat();
    let bounds = Bounds { pairs_max: 64, ..Bounds::default() };
    for content_type in [&content_type[..], head] {
        let parsed = multipart(content_type, body, &bounds);
        assert!(parsed.fields.len() <= 64 && parsed.files.len() <= 64);
        assert!(parsed.fields.bytes() <= 2 * input.len() && parsed.file_contents.bytes() <= 2 * input.len());
    }
}
