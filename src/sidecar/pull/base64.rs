//! IDs that are no text, in JSON.

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;

/// Reads base64 (RFC 4648, the usual alphabet, padded). `None` for anything that another reader might take otherwise:
/// spaces, missing padding, bits that are left over.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_one_reading_is_read() {
        let cases =
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmFy", "foobar")];
        for (text, bytes) in cases {
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(decode("+/+/").as_deref(), Some(&[0xfb, 0xff, 0xbf][..]));
        for text in ["Z", "Zg", "Zg=", "Zg===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9", "Zm9v\n", "-_-_", "Zgé"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
