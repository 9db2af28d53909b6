//! Text of the application, and the same made fit for a log line.

use std::borrow::Cow;
use std::fmt::Write;

/// The longest text that is shown, in characters.
const LONGEST: usize = 200;

/// A text in UTF-8, UTF-16 or UTF-32, without a byte order mark. What is none of these is replaced, not refused. Without
/// a mark, UTF-16 and UTF-32 are recognised by the zeros in their first character, as of JSON they can be.
pub(super) fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    let text = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => return String::from_utf8_lossy(rest),
        [0xff, 0xfe, 0, 0, ..] | [1..=255, 0, 0, 0, ..] => utf32(bytes, u32::from_le_bytes),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=255, ..] => utf32(bytes, u32::from_be_bytes),
        [0xff, 0xfe, ..] | [1..=255, 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, 1..=255, ..] => utf16(bytes, u16::from_be_bytes),
        _ => return String::from_utf8_lossy(bytes),
    };
    Cow::Owned(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_owned(),
        None => text,
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn utf32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> String {
    let units = bytes.chunks_exact(4).map(|four| unit([four[0], four[1], four[2], four[3]]));
    units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// The beginning of what the application said, on one line: whatever could end the line, colour the terminal or turn the
/// direction of writing is escaped.
pub(super) fn shown(text: &[u8]) -> String {
    // No character has more than four bytes, so these hold what is shown.
    let head = text.get(..4 * (LONGEST + 1)).unwrap_or(text);
    let text = String::from_utf8_lossy(head);
    let mut shown = String::new();
    for (at, char) in text.trim().chars().enumerate() {
        if at == LONGEST {
            shown.push('…');
            break;
        }
        match char {
            '"' | '\'' => shown.push(char),
            char => shown.extend(char.escape_debug()),
        }
    }
    shown
}

/// As [`shown`], behind `says` and in brackets; nothing where it said nothing.
pub(super) fn said(says: &str, text: &[u8]) -> String {
    let (mut said, text) = (says.to_owned(), shown(text));
    if !text.is_empty() {
        // Writing into a `String` cannot fail.
        let _written: Result<(), _> = write!(said, " ({text})");
    }
    said
}

/// A number of bytes, in the unit in which it is whole.
pub(super) fn size(bytes: usize) -> String {
    const UNITS: [(usize, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_in_whole_units_is_written() {
        for (bytes, expected) in [(0, "0 bytes"), (1000, "1000 bytes"), (16 << 10, "16 KiB"), (1 << 20, "1 MiB")] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn text_in_each_encoding_is_decoded() {
        let text = "{\"a\":\"gr\u{fc}n \u{1f600}\"}";
        let utf16 = |mark: &str, bytes: fn(u16) -> [u8; 2]| {
            format!("{mark}{text}").encode_utf16().flat_map(bytes).collect::<Vec<_>>()
        };
        let utf32 = |mark: &str, bytes: fn(u32) -> [u8; 4]| {
            format!("{mark}{text}").chars().flat_map(|char| bytes(char.into())).collect::<Vec<_>>()
        };
        for mark in ["", "\u{feff}"] {
            assert_eq!(decoded(format!("{mark}{text}").as_bytes()), text);
            assert_eq!(decoded(&utf16(mark, u16::to_le_bytes)), text);
            assert_eq!(decoded(&utf16(mark, u16::to_be_bytes)), text);
            assert_eq!(decoded(&utf32(mark, u32::to_le_bytes)), text);
            assert_eq!(decoded(&utf32(mark, u32::to_be_bytes)), text);
        }
        assert_eq!(decoded(b"gr\xfcn"), "gr\u{fffd}n");
        assert_eq!(decoded(b""), "");
    }

    #[test]
    fn nothing_leaves_its_line() {
        assert_eq!(shown(b" no such customer\n"), "no such customer");
        assert_eq!(shown("a\r\nb\0\u{1b}[31mc\u{202e}d".as_bytes()), "a\\r\\nb\\0\\u{1b}[31mc\\u{202e}d");
        assert_eq!(shown("\u{85}x\u{2028}y\u{9b}z".as_bytes()), "x\\u{2028}y\\u{9b}z");
        assert_eq!(shown(br#"{"error":"it's \"wrong\""}"#), r#"{"error":"it's \\"wrong\\""}"#);
        assert_eq!(shown("größe \u{fffd}".as_bytes()), shown(b"gr\xc3\xb6\xc3\x9fe \xff"));
        assert_eq!(said("answers 500", b""), "answers 500");
        assert_eq!(said("answers 500", b"oh"), "answers 500 (oh)");
    }

    #[test]
    fn much_is_cut() {
        assert_eq!(shown(&[b'a'; 100_000]), "a".repeat(LONGEST) + "…");
        assert_eq!(shown("ü".repeat(LONGEST).as_bytes()), "ü".repeat(LONGEST));
        assert_eq!(shown(&"😀".repeat(LONGEST + 5).into_bytes()).chars().count(), LONGEST + 1);
    }
}
