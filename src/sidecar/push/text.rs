//! Text of the application, made fit for a log line.

use std::fmt::Write;

/// The longest text that is shown, in characters.
const LONGEST: usize = 200;

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
