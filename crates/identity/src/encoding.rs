//! Base64 with padding, in one form. It never takes a second text after the first one's padding, which the
//! decoder by itself would.

/// Bytes of strict base64 (RFC 4648 §4).
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    if body.contains('=') { None } else { data_encoding::BASE64.decode(text.as_bytes()).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form() {
        assert_eq!(base64("AQI=").as_deref(), Some([1, 2].as_slice()));
        assert_eq!(base64(""), Some(Vec::new()));
        for bad in ["AQI", "AQI==", "AQJ=", "AQ==AQ==", "AQ==AQI=", "A Q=", "AQ\n==", "AQ-_", "="] {
            assert_eq!(base64(bad), None, "{bad}");
        }
    }
}
