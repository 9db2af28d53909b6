//! One request and its answer.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::{Client, Request, Url};

use super::body;
use super::fault::{Fault, fault};
use super::retry_after::retry_after;
use super::text;
use super::token::Token;

/// Whom to ask, and as whom.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) token: Token,
    pub(super) retry_after_cap: Duration,
    pub(super) http2: bool,
    /// Whether anything was ever answered: a peer that does not know HTTP/2 is told by that from one that went away.
    pub(super) spoken: AtomicBool,
}

/// What the answer's body is needed for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// Nothing but a log line.
    Nothing,
    /// It says what was handled; no longer than that.
    Results(usize),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// `None` where it was needed and could not be read to its end.
    pub(super) body: Option<Vec<u8>>,
}

impl Answer {
    /// For a log line.
    pub(super) fn said(&self) -> String {
        text::said(&format!("it answers {}", self.status), self.body.as_deref().unwrap_or_default())
    }
}

impl Exchange {
    /// Sends a request and reads what is needed of the answer.
    ///
    /// # Cancel safety
    ///
    /// The connection is closed, or the HTTP/2 stream reset; the application may have handled the request.
    pub(super) async fn send(&self, mut headers: HeaderMap, body: Bytes, wanted: Wanted) -> Result<Answer, Fault> {
        if let Some(token) = self.token.header().await {
            headers.insert(AUTHORIZATION, token);
        }
        if body.is_empty() {
            // Left to itself the client says nothing then, and some servers answer 411 to that.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let mut request = Request::new(Method::POST, self.url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into());
        let answer = self.client.execute(request).await;
        let answer = answer.map_err(|error| fault(&error, self.http2 && !self.spoken.load(Relaxed)))?;
        if !self.spoken.load(Relaxed) {
            self.spoken.store(true, Relaxed);
        }
        let (status, headers) = (answer.status().as_u16(), answer.headers());
        let retry_after = retry_after(headers, SystemTime::now(), self.retry_after_cap);
        let body = match wanted {
            Wanted::Results(longest) if (200..300).contains(&status) => body::whole(answer, longest).await,
            _ => Some(body::begin(answer).await),
        };
        Ok(Answer { status, retry_after, body })
    }
}
