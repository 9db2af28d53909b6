//! How much one caller can take.

use std::time::Duration;

use super::ListenSettings;

/// How much one caller can take of a listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections served at once. Default 512. More wait in the system's queue until one ends.
    pub max_connections: usize,
    /// All headers of a request together, in bytes. Default 16 KiB, not less than 8 KiB. More is answered with 431.
    pub max_header_bytes: u32,
    /// How long a handshake may take, and how long the headers of a request, from their first byte; the first request
    /// of a connection counts from its beginning. Default 10 s, then the connection is closed.
    pub header_limit: Duration,
    /// How long a request may take from its headers to its answer. Default 60 s, then the answer is 503. It must
    /// exceed the longest wait of a pull claim.
    pub request_limit: Duration,
    /// How long a connection may lie idle between requests, and how long an answer may take to be fetched. Default
    /// 75 s: longer than the clients' pools keep theirs, so that they close first.
    pub idle_limit: Duration,
    /// How long requests under way may take to finish once the end has begun. Default 10 s, then they are cut.
    pub end_limit: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_header_bytes: 16 * 1024,
            header_limit: Duration::from_secs(10),
            request_limit: Duration::from_secs(60),
            idle_limit: Duration::from_secs(75),
            end_limit: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The defaults, with what the settings say.
    pub fn of(settings: &ListenSettings) -> Self {
        Self { max_connections: settings.max_connections.max(1), ..Self::default() }
    }
}
