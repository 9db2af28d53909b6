//! One request and its answer.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method};
use tokio::time::Instant;

use super::body::{self, Answered};
use super::client::{Client, Reply};
use super::fault::Fault;
use super::retry_after::retry_after;
use super::text;
use super::token::Token;

/// The application, and how it is asked.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) client: Client,
    pub(super) token: Token,
    pub(super) time_limit: Duration,
    pub(super) retry_after_cap: Duration,
    /// How long a body may be that is needed.
    pub(super) longest_answer: usize,
}

/// What the answer's body is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing but a log line.
    Nothing,
    /// It says what was handled.
    Results,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Answered,
}

impl Answer {
    /// For operators: its status, and the first line of its body.
    pub(super) fn shown(&self) -> String {
        let body = self.body.bytes.trim_ascii_start();
        let line = body.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
        text::said(&format!("it answers {}", self.status), line)
    }

    /// For a log line.
    pub(super) fn said(&self) -> String {
        let said = text::said(&format!("it answers {}", self.status), &self.body.bytes);
        match self.note() {
            Some(note) => format!("{said}; {note}"),
            None => said,
        }
    }

    /// What kept the body from being read where it decides.
    pub(super) fn note(&self) -> Option<String> {
        (200..300).contains(&self.status).then(|| self.body.end.note()).flatten()
    }
}

impl Exchange {
    /// Sends a request and reads what is needed of the answer.
    ///
    /// # Cancel safety
    ///
    /// The connection is closed, or the HTTP/2 stream reset; the application may have handled the request.
    pub(super) async fn send(&self, mut headers: HeaderMap, body: Bytes, wanted: Wanted) -> Result<Answer, Fault> {
        let deadline = Instant::now() + self.time_limit;
        if let Some(token) = self.token.header().await {
            headers.insert(AUTHORIZATION, token);
        }
        if body.is_empty() {
            // Left to itself the client says nothing then, and some servers answer 411 to that.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let (answer, line) = match self.client.send(Method::POST, headers, body, deadline).await? {
            Reply::Answer(answer, line) => (answer, line),
            Reply::Status(status, body) => return Ok(Answer { status, retry_after: None, body }),
        };
        let (head, body) = answer.into_parts();
        let (status, headers) = (head.status.as_u16(), head.headers);
        let retry_after = retry_after(&headers, SystemTime::now(), self.retry_after_cap);
        let body = match wanted == Wanted::Results && (200..300).contains(&status) {
            true if body::is_encoded(&headers) => body::encoded(body).await,
            true => body::whole(body, self.longest_answer, deadline).await,
            false => body::begin(body).await,
        };
        // With a part of its answer still to come a connection is of no use.
        if let Some(line) = line.filter(|_| body.is_read_to_its_end()) {
            self.client.give_back(line);
        }
        Ok(Answer { status, retry_after, body })
    }
}
