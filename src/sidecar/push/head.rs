//! The first bytes of an answer, where the HTTP client cannot read it.

/// How many bytes [`greeting`] needs: the head of an HTTP/2 frame.
pub(super) const GREETING: usize = 9;

/// The protocol by which the other side begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// HTTP/2, which begins with a frame of settings. A server of HTTP/2 takes no request in the form of HTTP/1.1.
    Http2,
    /// A TLS alert: the other side reads TLS, so that it cannot have read a request that was not encrypted.
    Tls,
    /// Another one, HTTP/1.1 included.
    Other,
}

/// Reads how the other side begins; `None` where that takes more bytes.
pub(super) fn greeting(bytes: &[u8]) -> Option<Greeting> {
    // Content type 21, a version of 3.x, and the length of an alert in clear.
    if let [21, 3, _, 0, 2, ..] = bytes {
        return Some(Greeting::Tls);
    }
    // Length (3), type 4, flags, stream 0.
    let [_, _, _, kind, _, stream @ ..] = bytes.get(..GREETING)? else { return None };
    Some(match *kind == 4 && stream == [0; 4] {
        true => Greeting::Http2,
        false => Greeting::Other,
    })
}

/// Reads the status of a final answer from its first bytes, whatever follows its status line. Skips interim answers.
pub(super) fn status(mut bytes: &[u8]) -> Option<u16> {
    loop {
        let line = bytes.trim_ascii_start();
        let (version, rest) = line.split_at_checked(5)?;
        if !version.eq_ignore_ascii_case(b"HTTP/") {
            return None;
        }
        let version = rest.iter().position(|byte| *byte == b' ')?;
        let is_version = rest[..version].iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        let rest = rest[version..].trim_ascii_start();
        let (digits, rest) = rest.split_at_checked(3)?;
        // A fourth digit, or the end of what was read, leaves open which status it is.
        if !is_version || version == 0 || !matches!(rest.first(), Some(b' ' | b'\r' | b'\n')) {
            return None;
        }
        match std::str::from_utf8(digits).ok()?.parse().ok()? {
            0..=99 => return None,
            // Another answer follows.
            100 | 102..=199 => bytes = after_head(rest)?,
            status => return Some(status),
        }
    }
}

/// What follows the empty line.
fn after_head(bytes: &[u8]) -> Option<&[u8]> {
    let end = |mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len());
    let end = [end(b"\r\n\r\n"), end(b"\n\n")].into_iter().flatten().min()?;
    bytes.get(end..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_whatever_follows_it_is_read() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.1 200\r\n", Some(200)),
            ("HTTP/1.1 503 \n", Some(503)),
            ("\r\nhttp/1.0  404 Not", Some(404)),
            ("HTTP/2 201 Created\r\n", Some(201)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x", Some(204)),
            ("HTTP/1.1 100 Continue\na: b\n\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 500 x", Some(500)),
            ("HTTP/1.1 101 Switching\r\n\r\n", Some(101)),
            ("HTTP/1.1 100 Continue\r\n\r\n", None),
            ("HTTP/1.1 20", None),
            ("HTTP/1.1 200", None),
            ("HTTP/1.1 2000 x", None),
            ("HTTP/1.1 099 x", None),
            ("HTTP/1.1 +20 x", None),
            ("HTTP/1.1", None),
            ("HTTP/ 200 OK\r\n", None),
            ("HTTP/a 200 OK\r\n", None),
            ("PHP Warning: HTTP/1.1 200 OK\r\n", None),
            ("", None),
        ] {
            assert_eq!(status(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn greeting_of_each_protocol_is_recognised() {
        for (bytes, expected) in [
            (b"\0\0\x12\x04\0\0\0\0\0\0\0".as_slice(), Some(Greeting::Http2)),
            (b"\0\0\0\x04\0\0\0\0\0", Some(Greeting::Http2)),
            (b"\0\0\x08\x07\0\0\0\0\0", Some(Greeting::Other)),
            (b"\0\0\0\x04\0\0\0\0\x01", Some(Greeting::Other)),
            (b"\0\0\0\0\0\0\0\0\0\0", Some(Greeting::Other)),
            (b"HTTP/1.1 200", Some(Greeting::Other)),
            (b"\x15\x03\x01\0\x02\x02\x46", Some(Greeting::Tls)),
            (b"\0\0\x12\x04\0", None),
            (b"", None),
        ] {
            assert_eq!(greeting(bytes), expected, "{bytes:?}");
        }
    }
}
