//! Replies as Redis sends them (RESP 2), read in place.

use redis::Value;

/// The deepest nesting of arrays that is read. Redis' own replies to our commands nest twice.
const DEEPEST: u8 = 8;

/// The longest array and the longest string that is read. Redis itself takes no longer ones.
const LONGEST: usize = 512 * 1024 * 1024;

/// Bytes that are no reply. What follows them cannot be read either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// A place in what was received.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Reads the reply at the front of `bytes`, and its length. Returns `None` if it has not arrived whole.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Value, usize)>, Unreadable> {
    let mut cursor = Cursor { bytes, at: 0 };
    Ok(cursor.value(DEEPEST)?.map(|value| (value, cursor.at)))
}

impl<'a> Cursor<'a> {
    fn value(&mut self, depth: u8) -> Result<Option<Value>, Unreadable> {
        let start = self.at;
        let Some(line) = self.line()? else { return Ok(None) };
        let (kind, text) = line.split_first().ok_or(Unreadable)?;
        let value = match kind {
            b'+' if text == b"OK" => Value::Okay,
            b'+' => Value::SimpleString(String::from_utf8_lossy(text).into_owned()),
            b':' => Value::Int(integer(text)?),
            b'$' => match length(text)? {
                None => Value::Nil,
                Some(length) => match self.string(length)? {
                    Some(string) => Value::BulkString(string.to_vec()),
                    None => return Ok(None),
                },
            },
            b'*' => match length(text)? {
                None => Value::Nil,
                Some(length) => match self.array(length, depth)? {
                    Some(values) => Value::Array(values),
                    None => return Ok(None),
                },
            },
            // The client library knows how to take an error apart.
            b'-' => redis::parse_redis_value(&self.bytes[start..self.at]).map_err(|_| Unreadable)?,
            _ => return Err(Unreadable),
        };
        Ok(Some(value))
    }

    fn array(&mut self, length: usize, depth: u8) -> Result<Option<Vec<Value>>, Unreadable> {
        let depth = depth.checked_sub(1).ok_or(Unreadable)?;
        // An element has three bytes at least, so what was received bounds the allocation.
        let mut values = Vec::with_capacity(length.min((self.bytes.len() - self.at) / 3));
        for _ in 0..length {
            match self.value(depth)? {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
        Ok(Some(values))
    }

    /// A string of that length and what ends it.
    fn string(&mut self, length: usize) -> Result<Option<&'a [u8]>, Unreadable> {
        let Some(bytes) = self.bytes.get(self.at..self.at + length + 2) else { return Ok(None) };
        let string = bytes.strip_suffix(b"\r\n").ok_or(Unreadable)?;
        self.at += bytes.len();
        Ok(Some(string))
    }

    /// A line without what ends it.
    fn line(&mut self) -> Result<Option<&'a [u8]>, Unreadable> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        self.at += end + 1;
        rest[..end].strip_suffix(b"\r").map(Some).ok_or(Unreadable)
    }
}

fn integer(text: &[u8]) -> Result<i64, Unreadable> {
    match text {
        // Most replies are a digit.
        [digit @ b'0'..=b'9'] => Ok(i64::from(digit - b'0')),
        text => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Unreadable),
    }
}

/// A count, or `None` for what is not there (-1).
fn length(text: &[u8]) -> Result<Option<usize>, Unreadable> {
    match integer(text)? {
        -1 => Ok(None),
        length => usize::try_from(length).ok().filter(|length| *length <= LONGEST).map(Some).ok_or(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: [&[u8]; 12] = [
        b"+OK\r\n",
        b"+PONG\r\n",
        b":0\r\n",
        b":-12\r\n",
        b":9223372036854775807\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$4\r\n\r\n\0x\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*3\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n-ERR no\r\n",
        b"-MOVED 3999 127.0.0.1:6381\r\n",
    ];

    #[test]
    fn resp_every_reply_reads_as_the_client_reads_it() {
        for reply in REPLIES {
            let (value, length) = read(reply).unwrap().unwrap();
            assert_eq!(length, reply.len());
            assert_eq!(value, redis::parse_redis_value(reply).unwrap(), "{}", reply.escape_ascii());
        }
    }

    #[test]
    fn resp_reply_in_parts_is_awaited() {
        for reply in REPLIES {
            for end in 0..reply.len() {
                assert_eq!(read(&reply[..end]), Ok(None), "{}", reply[..end].escape_ascii());
            }
            let mut more = reply.to_vec();
            more.extend_from_slice(b":7\r\n");
            assert_eq!(read(&more).unwrap().unwrap().1, reply.len());
        }
    }

    #[test]
    fn resp_other_bytes_are_refused() {
        let deep = [b"*1\r\n".repeat(usize::from(DEEPEST) + 1), b":1\r\n".to_vec()].concat();
        let bad: [&[u8]; 8] =
            [b"\r\n", b"HTTP/1.1 400\r\n", b":x\r\n", b"$1\r\nabc", b"$-2\r\n", b"+OK\n", b"*999999999999\r\n", &deep];
        for bytes in bad {
            assert_eq!(read(bytes), Err(Unreadable), "{}", bytes.escape_ascii());
        }
    }
}
