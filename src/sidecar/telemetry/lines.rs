//! Log lines that nobody else can write.

use std::borrow::Cow;
use std::io::{self, Write};

/// Writes each event as one line: what a message or an application brought in cannot end it and begin another.
///
/// The formatter hands over an event in one piece. Colours (ESC) are its own: it escapes those of others itself.
#[derive(Debug)]
pub(super) struct OneLine<W>(pub(super) W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(&one_line(event))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Control characters, but for the end of the line and the beginning of a colour, as `\u{..}`.
fn one_line(event: &[u8]) -> Cow<'_, [u8]> {
    let control = |byte: &u8| (*byte < 0x20 && *byte != 0x1b && *byte != b'\t') || *byte == 0x7f;
    let (text, end) = match event {
        [text @ .., b'\n'] => (text, &b"\n"[..]),
        text => (text, &b""[..]),
    };
    if !text.iter().any(control) {
        return Cow::Borrowed(event);
    }
    let mut line = Vec::with_capacity(event.len() + 16);
    for byte in text {
        match control(byte) {
            true => line.extend_from_slice(format!("\\u{{{byte:x}}}").as_bytes()),
            false => line.push(*byte),
        }
    }
    line.extend_from_slice(end);
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_one_line() {
        let written = |event: &str| {
            let mut line = OneLine(Vec::new());
            line.write_all(event.as_bytes()).unwrap();
            String::from_utf8(line.0).unwrap()
        };
        assert_eq!(written("all is well\n"), "all is well\n");
        assert_eq!(written("answered \"no\n2026 ERROR forged\"\n"), "answered \"no\\u{a}2026 ERROR forged\"\n");
        assert_eq!(written("a\r\0b\u{1b}[0m"), "a\\u{d}\\u{0}b\u{1b}[0m");
        assert_eq!(written("größe\n"), "größe\n");
    }
}
