//! Waiting for the application before the first message is delivered.

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::client::{Client, Reply};
use super::fault::Fault;
use super::token::Token;
use super::{PushSettings, url};
use crate::error::Problem;

/// The variable that names whom to ask.
const READY_URL: &str = "HAPAX_PUSH_READY_URL";

/// The first pause between two questions, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How often it is logged that it is still waited for.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Whom to ask whether the application can take messages.
#[derive(Debug)]
pub(super) enum Ready {
    /// It answers with 2xx. Whether it is the same origin, to which the token belongs.
    Asked(Box<Client>, bool),
    /// A connection to it can be made.
    Reached(Url),
}

impl Ready {
    /// # Errors
    ///
    /// The URL cannot be used.
    pub(super) fn new(settings: &PushSettings, target: Url) -> Result<Self, Problem> {
        let Some(asked) = &settings.ready_url else { return Ok(Self::Reached(target)) };
        let asked = url::url(READY_URL, asked)?;
        let client = Box::new(Client::new(READY_URL, settings, &asked)?);
        Ok(Self::Asked(client, asked.origin() == target.origin()))
    }

    /// Asks until the answer is yes.
    pub(super) async fn wait(&self, token: &Token) {
        let (mut pause, mut logged): (Duration, Option<Instant>) = (PAUSE.0, None);
        loop {
            let asked = async {
                match self {
                    Self::Asked(client, is_its_own) => ask(client, token, *is_its_own).await,
                    Self::Reached(url) => connect(url).await,
                }
            };
            let Err(reason) = timeout(LIMIT, asked).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
            else {
                return;
            };
            if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                tracing::warn!(reason, "the application is not ready; no message is delivered before it is");
                logged = Some(Instant::now());
            }
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE.1);
        }
    }
}

async fn ask(client: &Client, token: &Token, is_its_own: bool) -> Result<(), String> {
    let mut headers = HeaderMap::new();
    // The token is the application's, and of no other.
    if is_its_own && let Some(token) = token.header().await {
        headers.insert(AUTHORIZATION, token);
    }
    let answer = client.send(Method::GET, headers, Bytes::new(), Instant::now() + LIMIT).await;
    let status = match answer.map_err(Fault::into_reason)? {
        Reply::Answer(answer, _) => answer.status().as_u16(),
        Reply::Status(status, _) => status,
    };
    match status {
        200..=299 => Ok(()),
        status => Err(format!("it answers {status}")),
    }
}

async fn connect(url: &Url) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let connecting = TcpStream::connect((host, url.port_or_known_default().unwrap_or_default()));
    connecting.await.map(drop).map_err(|error| format!("no connection: {}", error.kind()))
}
