//! Where messages are posted to, and how.

use std::path::PathBuf;
use std::time::Duration;

use crate::sidecar::TokenSource;

/// Where messages are posted to, and how.
#[derive(Clone, Debug)]
pub struct PushSettings {
    /// The URL of the application: `http://` or `https://`, without user and password.
    pub url: String,
    /// What answers mean.
    pub protocol: PushProtocol,
    /// How messages are written.
    pub format: PushFormat,
    /// Whether one request holds many messages: the batch of the consumer's settings is greater than 1.
    pub batched: bool,
    /// Whether HTTP/2 is spoken from the first byte on (h2c, or over TLS); otherwise HTTP/1.1, and over TLS what both agree on.
    pub http2: bool,
    /// The longest time for one request with its answer. Default 30 s. The consumer's own limit for handlers should be a
    /// little longer, so that this one says what happened.
    pub time_limit: Duration,
    /// The longest time for a connection. Default 5 s; half of [`time_limit`](Self::time_limit) at most.
    pub connect_limit: Duration,
    /// Which headers of records are passed on, and under which name: `(Kafka's name, HTTP's name)`.
    pub headers: Vec<(String, String)>,
    /// What is asked until it answers with 2xx before the first message is delivered. `None` waits until a connection
    /// can be made.
    pub ready_url: Option<String>,
    /// The longest `Retry-After` that is honoured. Default 5 min.
    pub retry_after_cap: Duration,
    /// How many bytes are read of an answer's body where the body decides. Default 1 MiB. [What follows from a longer
    /// one](super#answers).
    pub max_answer: usize,
    /// The CloudEvents source of messages that name none; `None`: `/kafka/<topic>`.
    pub source: Option<String>,
    /// The CloudEvents type of messages that name none. Default `hapax.record`.
    pub event_type: String,
    /// What the payloads of messages are that do not say so in a header `content-type`. Default
    /// `application/octet-stream`. Only JSON and text stand readable in a structured event.
    pub content_type: String,
    /// Presented to the application as `Authorization: Bearer`. Read again when the file changes.
    pub token: Option<TokenSource>,
    /// A CA in PEM beside those of the system.
    pub ca: Option<PathBuf>,
    /// A client certificate and its key, in PEM.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl PushSettings {
    /// Posts to this URL; everything else as by default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            protocol: PushProtocol::default(),
            format: PushFormat::default(),
            batched: false,
            http2: false,
            time_limit: Duration::from_secs(30),
            connect_limit: Duration::from_secs(5),
            headers: Vec::new(),
            ready_url: None,
            retry_after_cap: Duration::from_secs(300),
            max_answer: 1024 * 1024,
            source: None,
            event_type: "hapax.record".to_owned(),
            content_type: "application/octet-stream".to_owned(),
            token: None,
            ca: None,
            client: None,
        }
    }
}

/// What answers of the application mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushProtocol {
    /// The status says it.
    #[default]
    Http,
    /// As Dapr does: the body says `SUCCESS`, `RETRY` or `DROP`. Events are always structured, as Dapr's are.
    Dapr,
}

/// How messages are written into requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushFormat {
    /// CloudEvents' binary mode: attributes in headers, the payload as it is. Not for batches, which are always structured.
    #[default]
    Binary,
    /// CloudEvents' structured mode: all in one JSON object.
    Structured,
}
