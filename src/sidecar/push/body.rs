//! Bodies of answers, which may be long, or never end.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout, timeout_at};

use super::text;

/// How much is read of a body that is not needed.
const LONGEST_COURTESY: usize = 16 * 1024;
/// How long a body is waited for that is not needed: reading it to its end keeps the connection for the next request.
const COURTESY: Duration = Duration::from_millis(250);

/// What was read of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) bytes: Vec<u8>,
    pub(super) end: End,
}

/// Why nothing more was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is whole.
    Whole,
    /// It is longer than the limit.
    TooLong(usize),
    /// The answer did not end within the request's time limit.
    TooSlow,
    /// The connection ended within the answer, or what came is not HTTP.
    Broken,
    /// It is compressed, which was not asked for.
    Encoded,
    /// It is whole, as far as can be known: the headers before it cannot be read.
    Unreadable,
}

impl End {
    /// For a log line, where the body was needed: what kept it from being read.
    pub(super) fn note(self) -> Option<String> {
        Some(match self {
            Self::Whole => return None,
            Self::TooLong(limit) => format!("its body is longer than HAPAX_PUSH_MAX_ANSWER ({})", text::size(limit)),
            Self::TooSlow => "its answer did not end within HAPAX_HANDLER_TIME_LIMIT".to_owned(),
            Self::Broken => "the connection ended within its answer".to_owned(),
            Self::Encoded => "its body is compressed, although the request has accept-encoding: identity".to_owned(),
            Self::Unreadable => "its headers cannot be read".to_owned(),
        })
    }
}

impl Answered {
    /// The body as text: in UTF-8, UTF-16 or UTF-32, without a byte order mark, and what is none of these replaced.
    pub(super) fn text(&self) -> Cow<'_, str> {
        text::decoded(&self.bytes)
    }

    /// Whether these are the body's first bytes, and not what became of them on the way.
    pub(super) fn is_plain(&self) -> bool {
        self.end != End::Encoded
    }

    /// Whether more was to come, so that the end of the text is not the end of what was said.
    pub(super) fn is_broken_off(&self) -> bool {
        matches!(self.end, End::TooSlow | End::Broken)
    }

    /// Whether the connection is free for another request.
    pub(super) fn is_read_to_its_end(&self) -> bool {
        self.end == End::Whole
    }
}

/// The body up to a length, as far as it comes in time.
pub(super) async fn whole(mut body: Incoming, longest: usize, deadline: Instant) -> Answered {
    let mut bytes = Vec::new();
    let end = read(&mut body, &mut bytes, longest);
    let end = timeout_at(deadline, end).await.unwrap_or(End::TooSlow);
    Answered { bytes, end }
}

/// What comes of the body soon: for a log line, or to use the connection again.
pub(super) async fn begin(mut body: Incoming) -> Answered {
    let mut bytes = Vec::new();
    if body.is_end_stream() {
        return Answered { bytes, end: End::Whole };
    }
    let end = timeout(COURTESY, read(&mut body, &mut bytes, LONGEST_COURTESY)).await.unwrap_or(End::TooSlow);
    Answered { bytes, end }
}

/// The beginning of a body that is compressed.
pub(super) async fn encoded(body: Incoming) -> Answered {
    let answered = begin(body).await;
    match answered.bytes.is_empty() && answered.end == End::Whole {
        true => answered,
        false => Answered { end: End::Encoded, ..answered },
    }
}

/// Whether the body is compressed.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|encoding| {
        let encoding = encoding.as_bytes().trim_ascii();
        !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")
    })
}

async fn read(body: &mut Incoming, into: &mut Vec<u8>, longest: usize) -> End {
    loop {
        let data: Bytes = match body.frame().await {
            None => return End::Whole,
            Some(Err(_)) => return End::Broken,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(_trailers) => continue,
            },
        };
        let left = longest - into.len();
        into.extend_from_slice(data.get(..left).unwrap_or(&data));
        if data.len() > left {
            return End::TooLong(longest);
        }
    }
}
