//! An answer in bytes, where the HTTP client cannot read it.

use std::borrow::Cow;

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

/// A final answer as it came, cut off anywhere behind its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'b> {
    pub(super) status: u16,
    /// Whether the end of the status line is there.
    pub(super) has_line: bool,
    /// The lines of the headers, as far as they are there.
    headers: &'b [u8],
    /// What follows the headers; `None` where they do not end.
    body: Option<&'b [u8]>,
}

/// Reads a final answer from its first bytes, whatever follows its status. Skips interim answers.
pub(super) fn raw(mut bytes: &[u8]) -> Option<Raw<'_>> {
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
        let (head, body) = match head_end(rest) {
            Some((end, start)) => (&rest[..end], Some(&rest[start..])),
            None => (rest, None),
        };
        match std::str::from_utf8(digits).ok()?.parse().ok()? {
            0..=99 => return None,
            // Another answer follows.
            100 | 102..=199 => bytes = body?,
            status => {
                let line = head.iter().position(|byte| *byte == b'\n');
                let headers = line.map_or(&head[..0], |line| &head[line + 1..]);
                return Some(Raw { status, has_line: line.is_some(), headers, body });
            }
        }
    }
}

/// Where the lines of a head end, and where the body begins.
fn head_end(bytes: &[u8]) -> Option<(usize, usize)> {
    let end =
        |mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark).map(|at| (at + 1, at + mark.len()));
    [end(b"\n\r\n"), end(b"\n\n")].into_iter().flatten().min()
}

impl<'b> Raw<'b> {
    /// The values of a header, read leniently.
    fn values(&self, name: &'static str) -> impl Iterator<Item = &'b [u8]> {
        let headers = self.headers;
        headers.split(|byte| *byte == b'\n').filter_map(move |line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let is_it = line[..colon].trim_ascii().eq_ignore_ascii_case(name.as_bytes());
            is_it.then(|| line[colon + 1..].trim_ascii())
        })
    }

    fn is_chunked(&self) -> bool {
        self.values("transfer-encoding").any(|value| value.to_ascii_lowercase().ends_with(b"chunked"))
    }

    /// The length of the body, where one is stated: of several the smallest.
    fn length(&self) -> Option<usize> {
        let length = |value: &[u8]| std::str::from_utf8(value).ok()?.parse().ok();
        let empty = matches!(self.status, 204 | 304).then_some(0);
        empty.or_else(|| self.values("content-length").filter_map(length).min())
    }

    /// Whether the body is compressed.
    pub(super) fn is_encoded(&self) -> bool {
        self.values("content-encoding").any(|value| !value.is_empty() && !value.eq_ignore_ascii_case(b"identity"))
    }

    /// Whether its end can be known before that of the connection.
    pub(super) fn is_framed(&self) -> bool {
        self.is_chunked() || self.length().is_some()
    }

    /// Whether it is whole, as far as that can be known.
    pub(super) fn is_whole(&self) -> bool {
        let Some(body) = self.body else { return false };
        match self.is_chunked() {
            true => dechunked(body).1,
            false => self.length().is_some_and(|length| body.len() >= length),
        }
    }

    /// The body, as far as it is there.
    pub(super) fn body(&self) -> Cow<'b, [u8]> {
        let body = self.body.unwrap_or_default();
        match self.is_chunked() {
            true => Cow::Owned(dechunked(body).0),
            false => Cow::Borrowed(body),
        }
    }
}

/// What the chunks of a body hold, and whether the last one is there. What is no chunk is left out.
fn dechunked(mut body: &[u8]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    while let Some(end) = body.iter().position(|byte| *byte == b'\n') {
        let size = body[..end].split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let rest = &body[end + 1..];
        match size {
            Some(0) => return (data, true),
            Some(size) => {
                let (chunk, rest) = rest.split_at(size.min(rest.len()));
                data.extend_from_slice(chunk);
                body = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n")).unwrap_or(rest);
            }
            // An empty line, or no chunk.
            None => body = rest,
        }
    }
    (data, false)
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
            assert_eq!(raw(text.as_bytes()).map(|raw| raw.status), expected, "{text:?}");
        }
    }

    #[test]
    fn status_line_ends_with_its_line_feed() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\n", true),
            ("HTTP/1.1 200\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Type: te", true),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", true),
            ("HTTP/1.1 200 OK\r", false),
            ("HTTP/1.1 200 ", false),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", false),
        ] {
            assert_eq!(raw(text.as_bytes()).unwrap().has_line, expected, "{text:?}");
        }
    }

    #[test]
    fn body_behind_any_headers_is_found() {
        for (head, body, expected, is_whole) in [
            ("content-length: 2\r\n", "ok", "ok", true),
            ("Content-Length : 2\r\nx: \0\r\n", "ok", "ok", true),
            ("content-length: 2\ncontent-length: 3\n", "ok", "ok", true),
            ("content-length: 3\r\n", "ok", "ok", false),
            ("content-length: x\r\n", "ok", "ok", false),
            ("", "ok", "ok", false),
            ("transfer-encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n", "ok", true),
            ("Transfer-Encoding: x, Chunked\r\n", "1;a=b\r\no\r\n1\r\nk\r\n0\r\n", "ok", true),
            ("transfer-encoding: chunked\r\n", "2\r\nok\r\n", "ok", false),
            ("transfer-encoding: chunked\r\n", "ffffffff\r\nok", "ok", false),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}");
            let raw = raw(text.as_bytes()).unwrap();
            assert_eq!((&*raw.body(), raw.is_whole()), (expected.as_bytes(), is_whole), "{text:?}");
            assert_eq!((raw.status, raw.is_encoded()), (200, false));
        }
        assert!(raw(b"HTTP/1.1  204 No\r\n\r\n").unwrap().is_whole());
        assert!(!raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n").unwrap().is_whole());
        assert!(raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n").unwrap().is_encoded());
        assert!(!raw(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n").unwrap().is_framed());
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
