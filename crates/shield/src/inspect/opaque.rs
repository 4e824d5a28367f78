//! Which media types hold what no rule reads: pictures, archives and other binary forms. It never looks at a body.

/// Types whose bodies are binary, beside all of `image`, `audio`, `video` and `font`.
const OPAQUE: &[&str] = &[
    "application/cbor",
    "application/grpc",
    "application/gzip",
    "application/msgpack",
    "application/octet-stream",
    "application/ogg",
    "application/pdf",
    "application/protobuf",
    "application/vnd.apache.arrow.stream",
    "application/wasm",
    "application/x-7z-compressed",
    "application/x-bzip2",
    "application/x-gzip",
    "application/x-protobuf",
    "application/x-tar",
    "application/x-xz",
    "application/zip",
    "application/zstd",
];

/// Whether a `Content-Type` names a binary form: the rest of such a body, beyond what is looked at, may pass unseen. What
/// has no type, an unknown one, or is text (SVG is) is none.
pub fn is_opaque(content_type: &[u8]) -> bool {
    // A list names several forms, and whoever reads it takes one of them.
    if content_type.contains(&b',') {
        return false;
    }
    let media = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let media = media.trim_ascii().to_ascii_lowercase();
    let Ok(media) = std::str::from_utf8(&media) else { return false };
    if media.ends_with("+xml") || media.ends_with("+json") {
        return false;
    }
    let top = media.split('/').next().unwrap_or_default();
    matches!(top, "image" | "audio" | "video" | "font") || OPAQUE.binary_search(&media).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_rule_reads() {
        assert!(OPAQUE.is_sorted());
        for opaque in
            ["image/png", "IMAGE/PNG; a=b", "application/octet-stream", " application/zip ", "video/mp4"]
        {
            assert!(is_opaque(opaque.as_bytes()), "{opaque}");
        }
        for read in [
            "",
            "text/plain",
            "image/svg+xml",
            "application/json",
            "application/vnd.api+json",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "application/unknown",
            "octet-stream",
            "application/zip/x",
            "image/png, application/json",
        ] {
            assert!(!is_opaque(read.as_bytes()), "{read}");
        }
        assert!(!is_opaque(b"\xff/\xff"));
    }
}
