//! Waiting for the application before the first message is delivered.

use std::time::Duration;

use http::header::AUTHORIZATION;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::exchange::Exchange;

/// The first pause between two questions, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How often it is logged that it is still waited for.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Asks until the answer is yes.
pub(super) async fn wait(exchange: &Exchange, ready_url: Option<&Url>) {
    let (mut pause, mut logged): (Duration, Option<Instant>) = (PAUSE.0, None);
    loop {
        let asked = async {
            match ready_url {
                Some(url) => ask(exchange, url).await,
                None => connect(&exchange.url).await,
            }
        };
        let Err(reason) = timeout(LIMIT, asked).await.unwrap_or_else(|_| Err("no answer in time".to_owned())) else {
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

async fn ask(exchange: &Exchange, url: &Url) -> Result<(), String> {
    let mut request = exchange.client.get(url.clone());
    // The token is the application's, and nobody else's.
    if url.origin() == exchange.url.origin()
        && let Some(token) = exchange.token.header().await
    {
        request = request.header(AUTHORIZATION, token);
    }
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("it answers {}", answer.status().as_u16())),
        Err(error) => Err(match super::fault::fault(&error, false) {
            super::fault::Fault::Away(reason)
            | super::fault::Fault::Misconfigured(reason)
            | super::fault::Fault::Unknown(reason) => reason,
        }),
    }
}

async fn connect(url: &Url) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let connecting = TcpStream::connect((host, url.port_or_known_default().unwrap_or_default()));
    connecting.await.map(drop).map_err(|error| format!("no connection: {}", error.kind()))
}
