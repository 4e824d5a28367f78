//! XML and packed bodies: taken apart within their bounds, never longer than they may become.

use waf::body::{Bounds, decompress, urlencoded, xml};

/// What must hold of any bytes.
pub(crate) fn holds(input: &[u8]) {
    let bounds = Bounds { pairs_max: 64, depth_max: 16, bytes_max: 1 << 16 };
    assert!(xml(input, &bounds).0.pairs.len() <= 64);
    assert!(urlencoded(input, b'&', &bounds).pairs.len() <= 64);
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        if let Ok(plain) = decompress(encoding.as_bytes(), input, &bounds) {
            assert!(plain.len() <= bounds.bytes_max);
        }
    }
}
